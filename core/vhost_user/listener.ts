// Thread: any
// A listening unix socket, for a back end: one connection after the other.
import { type Wait, waitReadable } from "../sys/readiness.ts";
import { UnixSocket } from "../sys/unix_socket.ts";
import { Connection } from "./connection.ts";

export class Listener implements Disposable {
  readonly #socket: UnixSocket;
  #wait: Wait | null = null;
  #closed = false;

  /** Takes over a listening socket. */
  constructor(socket: UnixSocket) {
    this.#socket = socket;
  }

  /** Creates the socket `path`; throws a SysError that names it. Removing it is the caller's business. */
  static listen(path: string): Listener {
    return new Listener(UnixSocket.listen(path));
  }

  /** The next connection, null after `close`. One at a time. */
  async accept(): Promise<Connection | null> {
    while (!this.#closed) {
      const socket = this.#socket.accept();
      if (socket !== null) return new Connection(socket);
      this.#wait = waitReadable(this.#socket);
      await this.#wait.ready;
      this.#wait = null;
    }
    return null;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wait?.cancel();
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
