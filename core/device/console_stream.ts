// Thread: main
// The console device's port as two streams and a size.
import type { DevicePort } from "../plugin.ts";
import { ByteChannel } from "../bus/byte_channel.ts";

/** Input that the guest has not taken yet, above which `writable` waits. */
const WINDOW = 64 * 1024;
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
  #inFlight = 0;
  #room: (() => void) | null = null;
  #closed = false;
  /** Bytes to the guest's hvc0. */
  readonly writable: WritableStream<Uint8Array>;

  constructor(port: DevicePort) {
    this.#port = port;
    this.#output = new ByteChannel((length) => {
      this.#gone += length;
      if (!this.#receiving) this.#answer();
    });
    port.onmessage = (data) => this.#receive(data as FromConsole);
    this.writable = new WritableStream({ write: (bytes) => this.#send(bytes) });
  }

  /** Output is answered at once, read or not: the device waits for that with what is small. */
  #receive(message: FromConsole): void {
    if (message.type === "taken") return this.#taken(message.length);
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

  async #send(bytes: Uint8Array): Promise<void> {
    if (this.#closed) return;
    this.#inFlight += bytes.length;
    this.#port.postMessage({ type: "input", bytes: bytes.slice() });
    if (this.#inFlight < WINDOW) return;
    await new Promise<void>((resolve) => this.#room = resolve);
  }

  #taken(length: number): void {
    this.#inFlight -= length;
    if (this.#inFlight >= WINDOW) return;
    this.#room?.();
    this.#room = null;
  }

  /** Tells the guest its terminal's size, in characters. */
  resize(columns: number, rows: number): void {
    if (!this.#closed) {
      this.#port.postMessage({ type: "resize", columns, rows });
    }
  }

  close(): void {
    this.#closed = true;
    this.#output.close();
    this.#room?.();
  }
}
