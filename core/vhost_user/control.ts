// Thread: main
// What a device's process and the VM tell each other beside vhost-user, as lines of JSON: what the device declares,
// logs and posts. Each has one end of a pair of sockets.
import type { FromWorker, ToWorker } from "../device/messages.ts";
import { isFromWorker } from "../device/messages.ts";
import { Fd } from "../sys/fd.ts";
import { readableOf, writableOf } from "../sys/fd_stream.ts";
import { encodeLine, readLines } from "../sys/json_lines.ts";
import { check, libc } from "../sys/libc.ts";
import { F_DUPFD_CLOEXEC } from "../sys/linux.ts";
import type { UnixSocket } from "../sys/unix_socket.ts";

/** Device process → VM. */
export type FromDevice = Extract<
  FromWorker,
  {
    readonly type:
      | "declared"
      | "driver-error"
      | "failed"
      | "log"
      | "port"
      | "trace";
  }
>;
/** VM → device process. */
export type ToDevice = Extract<ToWorker, { readonly type: "port" }>;

const FROM_DEVICE: readonly string[] = [
  "declared",
  "driver-error",
  "failed",
  "log",
  "port",
  "trace",
] satisfies FromDevice["type"][];

/** Bytes that wait for an end that does not read, or that is not there yet. */
const MOST_WAITING = 16 * 2 ** 20;

/** The device's code decides what its process says. */
export function isFromDevice(data: unknown): data is FromDevice {
  return isFromWorker(data) && FROM_DEVICE.includes(data.type);
}

export function isToDevice(data: unknown): data is ToDevice {
  return typeof data === "object" && data !== null &&
    (data as { readonly type?: unknown }).type === "port";
}

/** One end of a control connection. */
export class ControlChannel<In, Out> {
  readonly #socket: UnixSocket;
  readonly #readable: ReadableStream<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #isIn: (data: unknown) => data is In;
  #waiting = 0;
  readonly #lines: Uint8Array[] = [];
  #flushed: Promise<void> | null = null;
  #closed = false;
  #closing = false;
  /** The other end has hung up. */
  #ended = false;

  /** Takes over a connected socket. */
  constructor(socket: UnixSocket, isIn: (data: unknown) => data is In) {
    const second = libc.fcntl(socket.fd, F_DUPFD_CLOEXEC, 0);
    this.#writer = writableOf(new Fd(check("fcntl", second))).getWriter();
    this.#socket = socket;
    this.#readable = readableOf(socket);
    this.#isIn = isIn;
    // Whoever reads sees the end too.
    this.#writer.closed.catch(() => {});
  }

  /** In order. A message to an end that is gone, or that has long not read, is lost. Throws what encodeLine does. */
  send(message: Out): void {
    const line = encodeLine(message);
    if (this.#closed || this.#waiting > MOST_WAITING) return;
    this.#waiting += line.length;
    this.#lines.push(line);
    this.#flushed ??= this.#flush();
  }

  /** What comes while something is being written goes out with one write after it. */
  async #flush(): Promise<void> {
    try {
      while (this.#lines.length > 0) {
        const lines = this.#lines.splice(0);
        const bytes = concat(lines);
        await this.#writer.write(bytes);
        this.#waiting -= bytes.length;
      }
    } catch {
      this.#closed = true;
    }
    this.#flushed = null;
  }

  /** What the other end sends until it hangs up; somebody has to read it. Throws an Error for what is no message. */
  async *messages(): AsyncGenerator<In> {
    try {
      for await (const data of readLines(this.#readable)) {
        if (!this.#isIn(data)) throw new TypeError("a line is no message");
        yield data;
      }
    } finally {
      this.#ended = true;
      await this.close();
    }
  }

  /** What was sent before arrives first, unless the other end has hung up: it may be there and read nothing. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = this.#closed = true;
    if (this.#ended) return await this.#writer.abort().catch(() => {});
    await this.#flushed;
    await this.#writer.close().catch(() => {});
    if (!this.#ended) this.#socket.shutdown();
  }
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
