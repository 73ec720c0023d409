// Thread: main
// What the process that runs a VM and the one that owns it tell each other, a line of JSON each.
import { DeviceError, HostError, ManifestError } from "./errors.ts";
import type { VmConfig } from "./manifest/config.ts";
import { isTrace, type TraceKind } from "./virtio/trace.ts";
import type { VmEvents, VmExit } from "./vm_backend.ts";

/** Bytes of the serial port's output that the owner has not taken yet. */
export const SERIAL_WINDOW = 256 * 1024;

/** Owner → VM. */
export type ToVm =
  | {
    readonly type: "start";
    readonly config: VmConfig;
    readonly trace: readonly TraceKind[];
  }
  | {
    readonly type: "call";
    readonly id: number;
    readonly name: "pause" | "resume" | "statistics" | "reload";
    readonly device: string;
    readonly options: Readonly<Record<string, unknown>>;
  }
  | { readonly type: "end"; readonly exit: VmExit }
  | { readonly type: "port"; readonly device: string; readonly data: unknown }
  | { readonly type: "serial"; readonly bytes: Uint8Array }
  | { readonly type: "serial-taken"; readonly length: number };

/** VM → owner. */
export type FromVm =
  | { readonly type: "ready" }
  /** All threads have loaded their code: from now on it names no files, but for a device that is loaded anew. */
  | { readonly type: "loaded" }
  | { readonly type: "failed"; readonly error: PlainError }
  | {
    readonly type: "event";
    readonly name: keyof VmEvents;
    readonly detail: unknown;
  }
  | {
    readonly type: "reply";
    readonly id: number;
    readonly value: unknown;
    readonly error?: string;
  }
  | { readonly type: "port"; readonly device: string; readonly data: unknown }
  | { readonly type: "serial"; readonly bytes: Uint8Array }
  /** So much of what the owner gave the serial port is with the guest. */
  | { readonly type: "serial-given"; readonly length: number }
  /** Threads that cannot be ended, by their mark: the VM's process may not do it itself. */
  | { readonly type: "lower-priority"; readonly mark: number };

/** An error as data. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  /** Of a ManifestError: the field; of a DeviceError: the device. */
  readonly place: string;
  /** Of a DeviceError. */
  readonly absent?: true;
}

export function plainError(error: unknown): PlainError {
  if (!(error instanceof Error)) {
    return { name: "Error", message: String(error), place: "" };
  }
  const place = error instanceof ManifestError
    ? error.path
    : error instanceof DeviceError
    ? error.device
    : "";
  const absent = error instanceof DeviceError && error.absent
    ? { absent: true } as const
    : {};
  return { name: error.name, message: error.message, place, ...absent };
}

/** The error that {@linkcode plainError} made data of. */
export function errorOf({ name, message, place, absent }: PlainError): Error {
  const rest = (prefix: string) =>
    message.startsWith(prefix) ? message.slice(prefix.length) : message;
  switch (name) {
    case "ManifestError":
      return new ManifestError(place, rest(`${place}: `));
    case "DeviceError":
      return new DeviceError(place, rest(`device ${place}: `), {
        absent: absent === true,
      });
    default:
      return new HostError(message);
  }
}

const EVENTS: readonly string[] = [
  "started",
  "guestpanic",
  "drivererror",
  "devicefault",
  "log",
  "exit",
  "trace",
] satisfies (keyof VmEvents)[];
const REASONS: readonly string[] = [
  "poweroff",
  "reboot",
  "panic",
  "triple-fault",
  "internal-error",
  "stopped",
  "killed",
  "failure",
] satisfies VmExit["reason"][];

type Fields = Record<string, unknown>;
const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null;
const hasTexts = (value: unknown, ...keys: string[]) =>
  isObject(value) && keys.every((key) => typeof value[key] === "string");

/** Whether a message is one of a VM's: what runs a guest may have been taken over by it. */
export function isFromVm(message: unknown): message is FromVm {
  if (!isObject(message)) return false;
  switch (message.type) {
    case "ready":
    case "loaded":
      return true;
    case "failed":
      return hasTexts(message.error, "name", "message", "place");
    case "event":
      return EVENTS.includes(String(message.name)) &&
        isDetail(String(message.name), message.detail);
    case "reply":
      return typeof message.id === "number" &&
        (message.error === undefined || typeof message.error === "string");
    case "port":
      return typeof message.device === "string";
    case "serial":
      return message.bytes instanceof Uint8Array;
    case "serial-given":
      return Number.isSafeInteger(message.length);
    case "lower-priority":
      return Number.isSafeInteger(message.mark);
    default:
      return false;
  }
}

function isDetail(name: string, detail: unknown): boolean {
  switch (name) {
    case "drivererror":
      return hasTexts(detail, "device", "section", "message");
    case "devicefault":
      return hasTexts(detail, "name", "message", "place") &&
        (detail as Fields).name === "DeviceError";
    case "log":
      return hasTexts(detail, "device", "message");
    case "exit":
      return hasTexts(detail, "reason", "detail") &&
        REASONS.includes(String((detail as Fields).reason));
    case "trace":
      return hasTexts(detail, "device") && isTrace((detail as Fields).event);
    default:
      return detail === null;
  }
}
