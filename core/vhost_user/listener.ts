// Thread: any
// A listening unix socket, for a back end: one connection after the other.
import { AsyncFd } from "../sys/async_fd.ts";
import type { UnixSocket } from "../sys/unix_socket.ts";
import { Connection } from "./connection.ts";

export class Listener implements Disposable {
  readonly #socket: AsyncFd<UnixSocket>;

  /** Takes over a listening socket. */
  constructor(socket: UnixSocket) {
    this.#socket = new AsyncFd(socket);
  }

  /** The next connection, null after `close`. One at a time. */
  async accept(): Promise<Connection | null> {
    const socket = await this.#socket.next((listening) => listening.accept());
    return socket && new Connection(socket);
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
