// Thread: main
// What a VM in another process says, checked, cut and counted: what runs a guest may be taken over by it.
import type { DeviceError } from "./errors.ts";
import { RateLimit } from "./sys/rate_limit.ts";
import type { EmitVmEvent, VmEvents } from "./vm_backend.ts";
import {
  errorOf,
  type FromVm,
  isFromVm,
  type PlainError,
  type ToVm,
} from "./vm_messages.ts";

/** In a second: messages of its own, twice what a device may post; lines of its own, and what each device may log. */
const MAX_MESSAGES = 100_000;
const MAX_LINES = 100;
/** Characters of what it says that are told. */
const MAX_TEXT = 1000;

export class VmFilter {
  readonly #devices: ReadonlySet<string>;
  readonly #isTraced: boolean;
  readonly #messages: RateLimit;
  readonly #lines: RateLimit;
  readonly #emit: EmitVmEvent;

  /** `start` is what the VM was started with. */
  constructor({ config, trace }: ToVm & { type: "start" }, emit: EmitVmEvent) {
    const speakers = 1 + config.devices.length;
    this.#devices = new Set(config.devices.map(({ name }) => name));
    this.#isTraced = trace.length > 0;
    this.#messages = new RateLimit(MAX_MESSAGES * speakers);
    this.#lines = new RateLimit(MAX_LINES * speakers);
    this.#emit = emit;
  }

  /** Throws an Error for what is no message, and for one too many. */
  check(message: unknown): FromVm {
    if (!isFromVm(message)) throw new TypeError("no message of a VM");
    // Traces are as many as the user asked for.
    if (!this.#isTraced && !this.#messages.take()) {
      throw new RangeError(
        `over ${this.#messages.perSecond} messages in a second`,
      );
    }
    return message;
  }

  mustKnow(device: string): void {
    if (this.#devices.has(device)) return;
    throw new TypeError("a message about a device that it has not");
  }

  /** Passes an event on, of which check() has looked at the detail. */
  tell(name: Exclude<keyof VmEvents, "exit">, detail: unknown): void {
    switch (name) {
      case "devicefault": {
        const plain = detail as PlainError;
        this.mustKnow(plain.place);
        if (!this.#lines.take()) return;
        const message = shorten(plain.message);
        return this.#emit(name, errorOf({ ...plain, message }) as DeviceError);
      }
      case "log": {
        const { device, message } = detail as VmEvents["log"];
        return this.#line(name, { device, message: shorten(message) });
      }
      case "drivererror": {
        const { device, section, message } = detail as VmEvents["drivererror"];
        return this.#line(name, {
          device,
          section: shorten(section),
          message: shorten(message),
        });
      }
      case "trace": {
        const { device, event } = detail as VmEvents["trace"];
        this.mustKnow(device);
        if (!this.#isTraced) throw new TypeError("traces that nobody wants");
        return this.#emit(name, { device, event });
      }
      default:
        return this.#emit(name, null);
    }
  }

  #line<Name extends "log" | "drivererror">(
    name: Name,
    detail: VmEvents[Name],
  ): void {
    this.mustKnow(detail.device);
    if (this.#lines.take()) this.#emit(name, detail);
  }
}

function shorten(text: string): string {
  return text.slice(0, MAX_TEXT);
}
