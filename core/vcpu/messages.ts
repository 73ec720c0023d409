// Thread: any
// What main and a vCPU worker say to each other. While the vCPU runs, only the shared pages speak.
import type { EntryState } from "../arch/x86_64/entry.ts";
import type { Inline } from "../bus/address_space.ts";

/** A range of the flat view as the worker needs it. */
export interface VcpuRange {
  readonly start: number;
  readonly end: number;
  /** Where it starts inside its region's registers. */
  readonly offset: number;
  readonly inline: Inline | null;
}

/** Main → worker, once. The guest starts with it. */
export interface VcpuInit {
  readonly index: number;
  readonly cpus: number;
  /** The vCPU's fd, which main closes when this worker has ended. */
  readonly vcpuFd: number;
  readonly runSize: number;
  /** struct kvm_cpuid2 of the host, to be patched for this vCPU. */
  readonly cpuid: Uint8Array<ArrayBuffer>;
  /** Where the guest starts; null for the vCPUs that wait for a SIPI. */
  readonly entry: EntryState | null;
  readonly vmPage: SharedArrayBuffer;
  readonly devicePages: readonly SharedArrayBuffer[];
  readonly serialPage: SharedArrayBuffer;
  readonly serialEventFd: number;
  readonly mmio: readonly VcpuRange[];
  readonly pio: readonly VcpuRange[];
}

/** Why a vCPU cannot go on. `detail` is one line for people. */
export interface VcpuExit {
  readonly reason:
    | "triple-fault"
    | "internal-error"
    | "entry-failed"
    | "unexpected-exit"
    | "system-event"
    | "failure";
  readonly detail: string;
}

/** Worker → main. */
export type VcpuMessage =
  | { readonly type: "running"; readonly tid: number }
  | { readonly type: "exit"; readonly exit: VcpuExit }
  | { readonly type: "closed" };
