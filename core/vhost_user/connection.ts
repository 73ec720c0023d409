// Thread: any
// A vhost-user connection: messages with their descriptors, over a unix stream socket. What the peer sends is hostile.
import { SysError, VhostUserError } from "../errors.ts";
import { AsyncFd } from "../sys/async_fd.ts";
import type { Fd } from "../sys/fd.ts";
import { EAGAIN } from "../sys/linux.ts";
import { MAX_FDS, UnixSocket } from "../sys/unix_socket.ts";
import {
  decodeHeader,
  encodeHeader,
  type Header,
  HEADER_SIZE,
  requestName,
} from "./protocol.ts";

type Bytes = Uint8Array<ArrayBuffer>;
const NOTHING: Bytes = new Uint8Array(0);

/** A message that came. Disposing of it closes the descriptors that nobody took. */
export class Message implements Disposable {
  readonly request: number;
  readonly flags: number;
  readonly payload: Bytes;
  #fds: readonly Fd[];

  constructor(header: Header, payload: Bytes, fds: readonly Fd[]) {
    this.request = header.request;
    this.flags = header.flags;
    this.payload = payload;
    this.#fds = fds;
  }

  /** Descriptors that came with it and were not taken. */
  get fds(): readonly Fd[] {
    return this.#fds;
  }

  /** The descriptors, now the caller's; throws a VhostUserError unless there are `count` of them. */
  takeFds(count: number): readonly Fd[] {
    const fds = this.#fds;
    if (fds.length !== count) {
      throw new VhostUserError(
        `sent ${fds.length} descriptors with ${
          requestName(this.request)
        }, which takes ${count}`,
      );
    }
    this.#fds = [];
    return fds;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) fd.close();
    this.#fds = [];
  }
}

export class Connection implements Disposable {
  readonly #socket: AsyncFd<UnixSocket>;
  /** Of the message that is coming. */
  #fds: Fd[] = [];

  /** Takes over a connected socket. */
  constructor(socket: UnixSocket) {
    this.#socket = new AsyncFd(socket);
  }

  /** Takes over the descriptor with this number, such as one that was inherited. */
  static adopt(fd: number): Connection {
    return new Connection(new UnixSocket(fd));
  }

  /** Sends at once; throws a VhostUserError when the peer is gone or does not read. `flags` without the version. */
  send(
    request: number,
    payload: Uint8Array = NOTHING,
    fds: readonly Fd[] = [],
    flags = 0,
  ): void {
    if (this.#socket.closed) throw new VhostUserError("hung up");
    const bytes = new Uint8Array(HEADER_SIZE + payload.length);
    bytes.set(encodeHeader({ request, flags, size: payload.length }));
    bytes.set(payload, HEADER_SIZE);
    try {
      this.#socket.fd.send(bytes, fds);
    } catch (cause) {
      const stuck = cause instanceof SysError && cause.errno === EAGAIN;
      throw new VhostUserError(
        stuck ? "does not read what is sent to it" : "hung up",
        { cause },
      );
    }
  }

  /**
   * The next message, null once the peer has hung up (in the middle of one, even) or `close` was called. One at a time.
   * Throws a VhostUserError for what is no message; the connection is closed then.
   */
  async receive(): Promise<Message | null> {
    try {
      return await this.#receive();
    } catch (error) {
      this.close();
      throw error;
    } finally {
      for (const fd of this.#fds.splice(0)) fd.close();
    }
  }

  async #receive(): Promise<Message | null> {
    const header = await this.#read(HEADER_SIZE);
    if (header === null) return null;
    const announced = decodeHeader(header);
    const attached = this.#fds.length;
    const payload = await this.#read(announced.size);
    if (payload === null) return null;
    if (this.#fds.length > attached) {
      throw new VhostUserError("sent descriptors in the middle of a message");
    }
    return new Message(announced, payload, this.#fds.splice(0));
  }

  /** Exactly `size` bytes; null when the peer hangs up. */
  async #read(size: number): Promise<Bytes | null> {
    const bytes = new Uint8Array(new ArrayBuffer(size));
    let length = 0;
    while (length < size) {
      const rest = bytes.subarray(length);
      const received = await this.#socket.next((socket) =>
        socket.receive(rest)
      );
      if (received === null) return null;
      this.#fds.push(...received.fds);
      if (received.truncated || this.#fds.length > MAX_FDS) {
        throw new VhostUserError("sent more descriptors than a message has");
      }
      if (received.length === 0) return null;
      length += received.length;
    }
    return bytes;
  }

  /** Ends a pending `receive` too. The peer sees a hang-up. */
  close(): void {
    if (!this.#socket.closed) this.#socket.fd.shutdown();
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
