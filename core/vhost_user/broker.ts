// Thread: main
// Connections for a process that may make no sockets: whoever may makes them, and passes them on, one a question.
import { SysError, VhostUserError } from "../errors.ts";
import { AsyncFd } from "../sys/async_fd.ts";
import { ENOENT } from "../sys/linux.ts";
import { nextTask } from "../sys/next_task.ts";
import { RateLimit } from "../sys/rate_limit.ts";
import { UnixSocket } from "../sys/unix_socket.ts";

/** A question is a number, and so is its answer: 0 and a connection, or the errno that kept it from being made. */
const SIZE = 4;

/** In a second; devices look for their back ends ten times. */
const MAX_QUESTIONS = 1000;
const ENAMETOOLONG = 36;

type Word = Uint8Array<ArrayBuffer>;
const encode = (value: number): Word =>
  new Uint8Array(Uint32Array.of(value).buffer);
const decode = (bytes: Word): number =>
  new DataView(bytes.buffer).getUint32(0, true);

/** The end that asks. */
export class Broker {
  readonly #socket: AsyncFd<UnixSocket>;
  #turn: Promise<unknown> = Promise.resolve();

  /** Takes over a socket that a BrokerServer has the other end of. */
  constructor(socket: UnixSocket) {
    this.#socket = new AsyncFd(socket);
  }

  /** A connection to the socket with this number. Throws what UnixSocket.connect throws of `path`. */
  connect(number: number, path: string): Promise<UnixSocket> {
    const turn = this.#turn.then(() => this.#ask(number, path));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #ask(number: number, path: string): Promise<UnixSocket> {
    this.#socket.fd.send(encode(number));
    const into = new Uint8Array(SIZE);
    const received = await this.#socket.next((socket) => socket.receive(into));
    if (received?.length !== SIZE) {
      throw new VhostUserError("cannot be asked for");
    }
    const errno = decode(into);
    const [fd] = received.fds;
    if (fd === undefined) throw new SysError(`connect ${path}`, errno);
    return new UnixSocket(fd.release());
  }
}

/** The end that connects: answers questions about `paths` until the other has hung up, or `close`. */
export class BrokerServer implements Disposable {
  readonly #socket: AsyncFd<UnixSocket>;
  readonly #paths: ReadonlyMap<number, string>;
  readonly #questions = new RateLimit(MAX_QUESTIONS);

  /** Takes over the socket. Only these paths are connected to, whatever is asked. */
  constructor(socket: UnixSocket, paths: ReadonlyMap<number, string>) {
    this.#socket = new AsyncFd(socket);
    this.#paths = paths;
    this.#serve();
  }

  async #serve(): Promise<void> {
    const into = new Uint8Array(SIZE);
    for (;;) {
      const received = await this.#socket.next((socket) =>
        socket.receive(into)
      );
      if (received === null) break;
      for (const fd of received.fds) fd.close();
      if (received.length !== SIZE || !this.#questions.take()) break;
      if (!this.#answer(decode(into))) break;
      // One that never stops asking must not keep this thread from everything else.
      await nextTask();
    }
    this.close();
  }

  /** False where the other end does not take the answer. */
  #answer(number: number): boolean {
    const path = this.#paths.get(number);
    let errno = ENOENT;
    let connection: UnixSocket | null = null;
    try {
      if (path !== undefined) connection = UnixSocket.connect(path);
    } catch (error) {
      // Else it is longer than the address of a socket.
      errno = error instanceof SysError ? error.errno : ENAMETOOLONG;
    }
    try {
      if (connection === null) this.#socket.fd.send(encode(errno));
      else this.#socket.fd.send(encode(0), [connection]);
      return true;
    } catch {
      return false;
    } finally {
      connection?.close();
    }
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
