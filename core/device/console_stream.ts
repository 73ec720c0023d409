// Thread: main
// The console device's port as two streams and a size.
import type { DevicePort } from "../plugin.ts";
import { ByteChannel } from "../bus/byte_channel.ts";
import { InputWindow } from "../bus/input_window.ts";

/** The driver's fields for a size (virtio-v1.3 §5.3.4) have 16 bits. */
const MOST_CHARACTERS = 0xffff;
/** Output that nobody has read yet: far above the device's own window. */
const MOST_PENDING = 2 ** 20;

type FromConsole =
  | { readonly type: "output"; readonly bytes: Uint8Array }
  | { readonly type: "taken"; readonly length: number };

export class ConsoleStream {
  readonly #port: DevicePort;
  readonly #output: ByteChannel;
  /** Bytes that are out of the way, and not told yet. */
  #gone = 0;
  #receiving = false;
  readonly #input: InputWindow;
  #closed = false;

  constructor(port: DevicePort) {
    this.#port = port;
    this.#output = new ByteChannel((length) => {
      this.#gone += length;
      if (!this.#receiving) this.#answer();
    });
    port.onmessage = (data) => this.#receive(data as FromConsole);
    this.#input = new InputWindow((bytes) =>
      port.postMessage({ type: "input", bytes })
    );
  }

  /** Output is answered at once, read or not: the device waits for that with what is small. */
  #receive(message: FromConsole): void {
    if (message.type === "taken") return this.#input.taken(message.length);
    if (!(message.bytes instanceof Uint8Array)) {
      throw new TypeError("a console's output is bytes");
    }
    // The device waits for "taken"; one that was taken over may not.
    if (this.#output.pending > MOST_PENDING) {
      throw new RangeError("more output of a console than it may");
    }
    this.#receiving = true;
    this.#output.push(message.bytes);
    this.#receiving = false;
    this.#answer();
  }

  #answer(): void {
    this.#port.postMessage({ type: "taken", length: this.#gone });
    this.#gone = 0;
  }

  /** Bytes from the guest's hvc0. */
  get readable(): ReadableStream<Uint8Array> {
    return this.#output.readable;
  }

  /** Bytes to the guest's hvc0. */
  get writable(): WritableStream<Uint8Array> {
    return this.#input.writable;
  }

  /** Tells the guest its terminal's size, in characters. Throws a RangeError for what is no size. */
  resize(columns: number, rows: number): void {
    for (const count of [columns, rows]) {
      if (Number.isInteger(count) && count >= 0 && count <= MOST_CHARACTERS) {
        continue;
      }
      throw new RangeError(
        `A terminal has 0 to ${MOST_CHARACTERS} columns and rows, not ${count}`,
      );
    }
    if (!this.#closed) {
      this.#port.postMessage({ type: "resize", columns, rows });
    }
  }

  close(): void {
    this.#closed = true;
    this.#output.close();
    this.#input.close();
  }
}
