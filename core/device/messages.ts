// Thread: any
// What main and a device's worker post to each other. Commands go through the device page, not through here.
import { isTrace, type TraceEvent, type TraceKind } from "../virtio/trace.ts";
import type { SharedRam } from "../memory/guest_memory.ts";
import type { SharedInflight } from "../virtio/inflight.ts";

/** Main → worker, once. */
export interface QueueWorkerInit {
  readonly type: "init";
  readonly name: string;
  readonly index: number;
  /** URL of the device's module. */
  readonly module: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly page: SharedArrayBuffer;
  /** COMMAND_SEQ when the worker was started: what came later is for it. */
  readonly commandsDone: number;
  readonly irqPage: SharedArrayBuffer;
  readonly trace: readonly TraceKind[];
  /** Whether each queue has an interrupt line, and a change of configuration a message; else the device has one line. */
  readonly linePerQueue: boolean;
  /** Null where it comes later, before any queue is live. */
  readonly ram: SharedRam | null;
}

/** What the rings are in, and where what is in flight is recorded. */
export interface DeviceMemory {
  readonly ram: SharedRam;
  readonly inflight: SharedInflight | null;
}

/** Main → worker. */
export type ToWorker =
  | QueueWorkerInit
  | ({ readonly type: "memory" } & DeviceMemory)
  | { readonly type: "punched"; readonly id: number; readonly ok: boolean }
  | { readonly type: "port"; readonly data: unknown };

/** Worker → main. */
export type FromWorker =
  | { readonly type: "declared"; readonly declaration: unknown }
  /** It has the memory that was posted to it. */
  | { readonly type: "memory" }
  | { readonly type: "config-changed" }
  | {
    readonly type: "driver-error";
    readonly section: string;
    readonly message: string;
  }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "log"; readonly message: string }
  | { readonly type: "port"; readonly data: unknown }
  | { readonly type: "trace"; readonly event: TraceEvent }
  | {
    readonly type: "punch-hole";
    readonly id: number;
    readonly offset: number;
    readonly length: number;
  }
  /** The thread ends: on command, or because the device failed. */
  | { readonly type: "closed"; readonly error: string | null };

/** Posts to main. */
export type Post = (message: FromWorker, transfer?: Transferable[]) => void;

/** Whether what a worker posted is one of the above: the device's code can post anything. */
export function isFromWorker(data: unknown): data is FromWorker {
  if (typeof data !== "object" || data === null) return false;
  const message = data as Record<string, unknown>;
  const isText = (key: string) => typeof message[key] === "string";
  switch (message.type) {
    case "declared":
    case "memory":
    case "config-changed":
    case "port":
      return true;
    case "trace":
      return isTrace(message.event);
    case "driver-error":
      return isText("section") && isText("message");
    case "failed":
    case "log":
      return isText("message");
    case "punch-hole":
      return ["id", "offset", "length"].every((key) =>
        typeof message[key] === "number"
      );
    case "closed":
      return message.error === null || isText("error");
    default:
      return false;
  }
}
