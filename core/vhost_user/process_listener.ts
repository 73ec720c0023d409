// Thread: main
// What a device's process says on its control channel, as far as its owner listens.
import { DeviceError } from "../errors.ts";
import type { DevicePort } from "../plugin.ts";
import { RateLimit } from "../sys/rate_limit.ts";
import type { TraceEvent } from "../virtio/trace.ts";
import type { ControlChannel, FromDevice, ToDevice } from "./control.ts";

/** Messages of a device in a second. */
const MAX_MESSAGES = 50_000;
/** What is told of one message. */
const MAX_TEXT = 1000;

/** What devices have to say. */
export interface ProcessEvents {
  onDriverError(device: string, section: string, message: string): void;
  onFault(error: DeviceError): void;
  onLog(device: string, message: string): void;
  onTrace(device: string, event: TraceEvent): void;
}

/** A device talks too much to be heard. */
class RateError extends Error {}

export class ProcessListener {
  /** One of the device's processes has declared it. */
  wasThere = false;
  readonly #name: string;
  readonly #port: DevicePort;
  readonly #events: ProcessEvents;
  /** Shared with what the process prints. */
  readonly #lines: RateLimit;
  readonly #messages = new RateLimit(MAX_MESSAGES);

  constructor(
    name: string,
    port: DevicePort,
    events: ProcessEvents,
    lines: RateLimit,
  ) {
    this.#name = name;
    this.#port = port;
    this.#events = events;
    this.#lines = lines;
  }

  /** Hears one process until it ends. False where it is not to be heard any longer. */
  async listen(
    control: ControlChannel<FromDevice, ToDevice>,
  ): Promise<boolean> {
    try {
      for await (const message of control.messages()) this.#receive(message);
      return true;
    } catch (error) {
      this.fault(
        error instanceof RateError
          ? error.message
          : "sent something else than messages",
      );
      return false;
    }
  }

  #receive(message: FromDevice): void {
    const name = this.#name;
    if (!this.#messages.take()) {
      throw new RateError(`sent over ${MAX_MESSAGES} messages in a second`);
    }
    switch (message.type) {
      case "declared":
        this.wasThere = true;
        return;
      case "port":
        return this.#deliver(message.data);
      case "trace":
        return this.#events.onTrace(name, message.event);
    }
    if (!this.#lines.take()) return;
    const text = message.message.replace(/\s+/g, " ").slice(0, MAX_TEXT);
    switch (message.type) {
      case "log":
        return this.#events.onLog(name, text);
      case "failed":
        return this.fault(text.replace(`device ${name}: `, ""));
      case "driver-error":
        return this.#events.onDriverError(
          name,
          message.section.slice(0, MAX_TEXT),
          text,
        );
    }
  }

  /** What the embedder's listener throws does not end the device. */
  #deliver(data: unknown): void {
    try {
      this.#port.onmessage?.(data);
    } catch (error) {
      this.fault(`a listener of its port failed: ${error}`);
    }
  }

  /** Tells what is wrong with the device. */
  fault(problem: string, absent = false): void {
    this.#events.onFault(new DeviceError(this.#name, problem, { absent }));
  }
}
