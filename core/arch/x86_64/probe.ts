// Thread: main
// Tiny guests that tell what this host's KVM can do: whether guest kernel mode runs on the CPU or is emulated.
import {
  KVM_EXIT_HLT,
  KVM_EXIT_INTERNAL_ERROR,
  KvmRun,
} from "../../kvm/abi.ts";
import type { KvmSystem } from "../../kvm/system.ts";
import { KvmVcpu } from "../../kvm/vcpu_fd.ts";
import { GuestMemory } from "../../memory/guest_memory.ts";
import { HIGH_MEMORY } from "../../memory/layout.ts";
import { entryMemory } from "./entry.ts";
import { setEntry } from "./registers.ts";

export interface ProbeResult {
  /** Guest kernel mode runs at the CPU's speed. Where it is emulated, Linux takes hours or fails. */
  readonly native: boolean;
  readonly instructionsPerSecond: number;
  /** Instructions every Linux kernel uses that KVM refuses in guest kernel mode. */
  readonly refused: readonly string[];
}

/** mov ecx, LOOPS; 1: dec ecx; jnz 1b; hlt */
const LOOPS = 100_000;
const LOOP = [0xb9, 0xa0, 0x86, 0x01, 0x00, 0xff, 0xc9, 0x75, 0xfc, 0xf4];
/** Emulators do a few million a second, CPUs a thousand million. */
const NATIVE_INSTRUCTIONS_PER_SECOND = 20e6;

const HLT = 0xf4;
const INSTRUCTIONS: Readonly<Record<string, readonly number[]>> = {
  popcnt: [0xf3, 0x0f, 0xb8, 0xc1],
  cmpxchg16b: [0x48, 0x0f, 0xc7, 0x0c, 0x24],
  fwait: [0x9b],
};

/** Takes about 0.1 s where kernel mode is emulated, else a few ms. */
export function probeKernelMode(kvm: KvmSystem): ProbeResult {
  runProbe(kvm, LOOP); // once for the caches and page tables
  const { reason, seconds } = runProbe(kvm, LOOP);
  const instructionsPerSecond = reason === KVM_EXIT_HLT
    ? Math.round((2 * LOOPS) / seconds)
    : 0;
  const refused = Object.entries(INSTRUCTIONS)
    .filter(([_, code]) =>
      runProbe(kvm, [...code, HLT]).reason === KVM_EXIT_INTERNAL_ERROR
    ).map(([name]) => name);
  const native = instructionsPerSecond > NATIVE_INSTRUCTIONS_PER_SECOND;
  return { native, instructionsPerSecond, refused };
}

/** Whether a stock Linux kernel can be expected to run. */
export function canRunLinux(result: ProbeResult): boolean {
  return result.native && result.refused.length === 0;
}

/** Runs 64-bit kernel-mode code until its first exit. The code ends in hlt and has no loop without an end. */
function runProbe(
  kvm: KvmSystem,
  code: readonly number[],
): { reason: number; seconds: number } {
  using memory = new GuestMemory(16 * 2 ** 20);
  for (const { gpa, data } of entryMemory("long64")) memory.write(gpa, data);
  memory.write(HIGH_MEMORY, Uint8Array.from(code));
  using vm = kvm.createVm();
  vm.setMemory(memory);
  using fd = vm.createVcpu(0);
  using vcpu = new KvmVcpu(fd.fd, kvm.runSize);
  vcpu.setCpuid(kvm.supportedCpuid().bytes);
  setEntry(vcpu, { mode: "long64", rip: HIGH_MEMORY, rbx: 0, rsi: 0 });
  const begin = performance.now();
  while (!vcpu.enter());
  const seconds = (performance.now() - begin) / 1000;
  const view = new DataView(vcpu.run.buffer);
  return { reason: view.getUint32(KvmRun.OFFSET.exit_reason, true), seconds };
}
