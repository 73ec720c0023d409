// Thread: any
// What main and a device's worker post to each other. Commands go through the device page, not through here.
import type { SharedRam } from "../memory/guest_memory.ts";

/** Main → worker, once. */
export interface QueueWorkerInit {
  readonly type: "init";
  readonly name: string;
  readonly index: number;
  readonly options: Readonly<Record<string, unknown>>;
  readonly page: SharedArrayBuffer;
  readonly irqPage: SharedArrayBuffer;
  readonly ram: SharedRam;
  /** The device's end of its stream to whoever holds the VM. */
  readonly port: MessagePort;
}

/** What a device says of itself; plain data, checked by main before anything believes it. */
export interface Declaration {
  readonly id: number;
  readonly features: readonly number[];
  readonly queues: readonly { readonly name: string; readonly size: number }[];
  readonly config: Uint8Array;
}

/** Main → worker. */
export type ToWorker =
  | QueueWorkerInit
  | { readonly type: "punched"; readonly id: number; readonly ok: boolean };

/** Worker → main. */
export type FromWorker =
  | { readonly type: "declared"; readonly declaration: Declaration }
  | {
    readonly type: "driver-error";
    readonly section: string;
    readonly message: string;
  }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "log"; readonly message: string }
  | {
    readonly type: "punch-hole";
    readonly id: number;
    readonly offset: number;
    readonly length: number;
  }
  | { readonly type: "closed" };
