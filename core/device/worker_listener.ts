// Thread: main
// What a device's worker posts, as far as main listens: checked, cut to a length, and no more than it can take.
import { DeviceError } from "../errors.ts";
import type { DevicePort } from "../plugin.ts";
import { RateLimit } from "../sys/rate_limit.ts";
import type { TraceEvent } from "../virtio/trace.ts";
import { isFromWorker, type ToWorker } from "./messages.ts";

/** What is logged of one message of a device. */
const MAX_TEXT = 1000;
/** Messages and lines of log that a device may post in a second; more would keep main from everything else. */
const MAX_MESSAGES = 50_000;
const MAX_LINES = 100;

/** Who is to hear what the device says. */
export interface WorkerEvents {
  readonly name: string;
  readonly onTrace: (event: TraceEvent) => void;
  /** Where each queue has an interrupt line: called when configuration space has changed. */
  readonly onConfigChange?: () => void;
  /** Punches a hole into the disk that the core holds open for this device. */
  readonly punchHole: (
    offset: number,
    length: number,
  ) => boolean | Promise<boolean>;
  /** The driver broke the specification; the worker has set DEVICE_NEEDS_RESET. */
  readonly onDriverError: (section: string, message: string) => void;
  /** The device failed. */
  readonly onFault: (error: DeviceError) => void;
  readonly onLog: (message: string) => void;
  /** Messages that it may post in a second. */
  readonly maxMessages?: number;
}

/** What the worker's host hears of the worker itself. */
export interface WorkerLife {
  declared(declaration: unknown): void;
  /** It has the memory that it was given. */
  hasMemory(): void;
  /** Its thread has ended, by this error if any. */
  closed(error: string | null): void;
  /** It posted what nobody has to listen to. */
  misbehaved(problem: string): void;
  post(message: ToWorker): void;
}

export class WorkerListener {
  readonly #events: WorkerEvents;
  readonly #life: WorkerLife;
  readonly #port: DevicePort;
  readonly #messages: RateLimit;
  readonly #lines = new RateLimit(MAX_LINES);

  constructor(events: WorkerEvents, port: DevicePort, life: WorkerLife) {
    this.#events = events;
    this.#port = port;
    this.#life = life;
    this.#messages = new RateLimit(events.maxMessages ?? MAX_MESSAGES);
  }

  receive(message: unknown): void {
    if (!this.#messages.take()) {
      return this.#life.misbehaved(
        `posted over ${this.#messages.perSecond} messages in a second`,
      );
    }
    if (!isFromWorker(message)) {
      return this.#life.misbehaved(
        "posted a message that is not one of the harness",
      );
    }
    switch (message.type) {
      case "declared":
        return this.#life.declared(message.declaration);
      case "memory":
        return this.#life.hasMemory();
      case "config-changed":
        return this.#events.onConfigChange?.();
      case "driver-error":
        return this.#events.onDriverError(
          message.section.slice(0, MAX_TEXT),
          message.message.slice(0, MAX_TEXT),
        );
      case "failed":
        if (!this.#lines.take()) return;
        return this.report(message.message);
      case "port":
        return this.#deliver(message.data);
      case "trace":
        return this.#events.onTrace(message.event);
      case "log":
        if (!this.#lines.take()) return;
        return this.#events.onLog(message.message.slice(0, MAX_TEXT));
      case "punch-hole":
        return void this.#punch(message.id, message.offset, message.length);
      case "closed":
        return this.#life.closed(message.error);
    }
  }

  /** One line of what is wrong with the device. */
  report(problem: string, absent = false): void {
    const line = problem.replace(/\s+/g, " ").slice(0, MAX_TEXT);
    const error = new DeviceError(this.#events.name, line, { absent });
    this.#events.onFault(error);
  }

  async #punch(id: number, offset: number, length: number): Promise<void> {
    const ok = await this.#events.punchHole(offset, length);
    this.#life.post({ type: "punched", id, ok });
  }

  #deliver(data: unknown): void {
    try {
      this.#port.onmessage?.(data);
    } catch (error) {
      this.report(`a listener of its port failed: ${error}`);
    }
  }
}
