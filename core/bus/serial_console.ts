// Thread: main
// Main's side of the serial port: its output as a stream, its input as the guest has room.
import { ByteChannel } from "./byte_channel.ts";
import { type SerialPort, TX_SIZE } from "./serial.ts";

/** Output taken from the ring that nobody has read yet; above it the guest waits. */
const BACKLOG = 4 * TX_SIZE;

export class SerialConsole {
  readonly #port: SerialPort;
  readonly #output: ByteChannel;
  #input: { bytes: Uint8Array; done: () => void } | null = null;
  #closed = false;
  /** Bytes to the guest's ttyS0. */
  readonly writable: WritableStream<Uint8Array>;

  /** `wake` rings the core event loop, which calls `turn`. */
  constructor(port: SerialPort, wake: () => void) {
    this.#port = port;
    this.#output = new ByteChannel(wake);
    this.writable = new WritableStream({
      write: (bytes) =>
        new Promise<void>((done) => {
          if (this.#closed) return done();
          this.#input = { bytes, done };
          this.turn();
        }),
    });
  }

  /** Bytes from the guest's ttyS0. */
  get readable(): ReadableStream<Uint8Array> {
    return this.#output.readable;
  }

  /** Moves what can be moved. Called on each turn of the core event loop. */
  turn(): void {
    if (this.#output.pending < BACKLOG) {
      const bytes = this.#port.takeOutput();
      if (bytes !== null) this.#output.push(bytes);
    }
    if (this.#input === null) return;
    const given = this.#port.giveInput(this.#input.bytes);
    this.#input.bytes = this.#input.bytes.subarray(given);
    if (this.#input.bytes.length > 0) return;
    this.#input.done();
    this.#input = null;
  }

  close(): void {
    this.#closed = true;
    this.turn();
    this.#output.close();
    this.#input?.done();
    this.#input = null;
  }
}
