// Thread: any
// A unix stream socket that carries file descriptors beside its bytes (unix(7), cmsg(3)). No call of it blocks.
import { SysError } from "../errors.ts";
import { Fd } from "./fd.ts";
import { check, errno, libc } from "./libc.ts";
import { socketLibc } from "./socket_libc.ts";
import {
  AF_UNIX,
  EAGAIN,
  ECONNRESET,
  EINTR,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SCM_RIGHTS,
  SHUT_RDWR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "./linux.ts";
import { struct } from "./struct.ts";

/** Descriptors that one message may carry; what a peer sends beyond is closed by the kernel. */
export const MAX_FDS = 8;

export const Iovec = struct({ base: "u64", len: "u64" });
export const Msghdr = struct({
  name: "u64",
  namelen: "u32",
  iov: "u64",
  iovlen: "u64",
  control: "u64",
  controllen: "u64",
  flags: "i32",
});
export const Cmsghdr = struct({ len: "u64", level: "i32", type: "i32" });
/** struct sockaddr_un: a u16 family, then the path with its NUL. */
const SOCKADDR_SIZE = 110;
const MAX_PATH = SOCKADDR_SIZE - 3;
const BACKLOG = 4;
const FLAGS = SOCK_CLOEXEC | SOCK_NONBLOCK;

/** What one `receive` brought. */
export interface Received {
  /** Bytes; 0 when the peer has hung up. */
  readonly length: number;
  /** Owned by the caller. */
  readonly fds: Fd[];
  /** The peer sent more descriptors than {@linkcode MAX_FDS}. */
  readonly truncated: boolean;
}

function addressOf(bytes: Uint8Array<ArrayBuffer>): number {
  return Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
}

/** A struct msghdr with one buffer and room for descriptors. */
class Message {
  // Of an ArrayBuffer each: the address of a small typed array's own storage may change.
  readonly #control = new Uint8Array(
    new ArrayBuffer(Cmsghdr.SIZE + MAX_FDS * 4),
  );
  readonly #iovec = new Iovec(new Uint8Array(new ArrayBuffer(Iovec.SIZE)));
  readonly #header = new Msghdr(new Uint8Array(new ArrayBuffer(Msghdr.SIZE)));
  readonly #cmsg = new Cmsghdr(this.#control);
  readonly #fds = new Int32Array(this.#control.buffer, Cmsghdr.SIZE, MAX_FDS);

  /** SAFETY: the msghdr's addresses are of buffers that this object and the caller hold during the call. */
  #point(bytes: Uint8Array<ArrayBuffer>, controlLength: number): Uint8Array {
    this.#iovec.base = addressOf(bytes);
    this.#iovec.len = bytes.length;
    this.#header.iov = addressOf(this.#iovec.bytes);
    this.#header.iovlen = 1;
    this.#header.control = controlLength === 0 ? 0 : addressOf(this.#control);
    this.#header.controllen = controlLength;
    return this.#header.bytes;
  }

  send(
    fd: number,
    bytes: Uint8Array<ArrayBuffer>,
    fds: readonly Fd[],
  ): number {
    if (fds.length > MAX_FDS) throw new RangeError("too many descriptors");
    const length = fds.length === 0 ? 0 : Cmsghdr.SIZE + fds.length * 4;
    this.#cmsg.len = length;
    this.#cmsg.level = SOL_SOCKET;
    this.#cmsg.type = SCM_RIGHTS;
    fds.forEach((each, i) => this.#fds[i] = each.fd);
    // Control messages are padded to eight bytes (CMSG_SPACE).
    const header = this.#point(bytes, Math.ceil(length / 8) * 8);
    return socketLibc.sendmsg(fd, header, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  receive(fd: number, into: Uint8Array<ArrayBuffer>): Received | number {
    const header = this.#point(into, this.#control.length);
    const length = socketLibc.recvmsg(
      fd,
      header,
      MSG_DONTWAIT | MSG_CMSG_CLOEXEC,
    );
    if (length < 0) return length;
    const truncated = (this.#header.flags & MSG_CTRUNC) !== 0;
    return { length, fds: this.#takeFds(), truncated };
  }

  #takeFds(): Fd[] {
    const { len, level, type } = this.#cmsg;
    if (this.#header.controllen < Cmsghdr.SIZE) return [];
    if (level !== SOL_SOCKET || type !== SCM_RIGHTS) return [];
    const count = (len - Cmsghdr.SIZE) / 4;
    return Array.from(this.#fds.subarray(0, count), (fd) => new Fd(fd));
  }
}

const message = new Message();

function sockaddr(call: string, path: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(path);
  if (bytes.length > MAX_PATH) {
    throw new RangeError(
      `${call} ${path}: a socket's path has at most ${MAX_PATH} bytes; use a shorter one`,
    );
  }
  const address = new Uint8Array(SOCKADDR_SIZE);
  address[0] = AF_UNIX;
  address.set(bytes, 2);
  return address;
}

export class UnixSocket extends Fd {
  static #create(): UnixSocket {
    const fd = socketLibc.socket(AF_UNIX, SOCK_STREAM | FLAGS, 0);
    return new UnixSocket(check("socket", fd));
  }

  static #at(call: "connect" | "bind", path: string): UnixSocket {
    const address = sockaddr(call, path);
    const socket = UnixSocket.#create();
    try {
      // What bind makes has this mode, less the umask: ours alone.
      check("fchmod", libc.fchmod(socket.fd, 0o600));
      const result = socketLibc[call](socket.fd, address, address.length);
      check(`${call} ${path}`, result);
      return socket;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /** Connects to `path`. A server that is too busy to queue the call fails it with EAGAIN. */
  static connect(path: string): UnixSocket {
    return UnixSocket.#at("connect", path);
  }

  /** Creates `path`; whoever connects is refused until somebody listens. */
  static bindTo(path: string): UnixSocket {
    return UnixSocket.#at("bind", path);
  }

  /** Creates `path` and listens there. */
  static listen(path: string): UnixSocket {
    const socket = UnixSocket.bindTo(path);
    socket.listen();
    return socket;
  }

  /** From now on connections are taken. */
  listen(): void {
    check("listen", socketLibc.listen(this.fd, BACKLOG));
  }

  /** Two that are connected to each other. */
  static pair(): [UnixSocket, UnixSocket] {
    const fds = new Int32Array(2);
    const bytes = new Uint8Array(fds.buffer);
    check(
      "socketpair",
      socketLibc.socketpair(AF_UNIX, SOCK_STREAM | FLAGS, 0, bytes),
    );
    return [new UnixSocket(fds[0]!), new UnixSocket(fds[1]!)];
  }

  /** A connection that somebody asked for; null while nobody does. */
  accept(): UnixSocket | null {
    const fd = socketLibc.accept4(this.fd, null, null, FLAGS);
    if (fd < 0 && (errno() === EAGAIN || errno() === EINTR)) return null;
    return new UnixSocket(check("accept4", fd));
  }

  /** Sends all of `bytes`, with at most MAX_FDS descriptors; throws a SysError, EAGAIN when the peer does not read. */
  send(bytes: Uint8Array<ArrayBuffer>, fds: readonly Fd[] = []): void {
    let result = message.send(this.fd, bytes, fds);
    while (result < 0 && errno() === EINTR) {
      result = message.send(this.fd, bytes, fds);
    }
    if (check("sendmsg", result) < bytes.length) {
      throw new SysError("sendmsg", EAGAIN);
    }
  }

  /** What has come, as much as `into` holds; null while there is nothing. */
  receive(into: Uint8Array<ArrayBuffer>): Received | null {
    const received = message.receive(this.fd, into);
    if (typeof received !== "number") return received;
    const error = errno();
    if (error === EAGAIN || error === EINTR) return null;
    // The peer hung up without having read everything.
    if (error === ECONNRESET) return { length: 0, fds: [], truncated: false };
    throw new SysError("recvmsg", error);
  }

  /** Ends it for every descriptor of this socket, in whichever process. */
  shutdown(): void {
    socketLibc.shutdown(this.fd, SHUT_RDWR);
  }
}
