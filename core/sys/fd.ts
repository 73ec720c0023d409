// Thread: any
// A file descriptor and its owner: closed once, on every path.
import { check, cString, libc } from "./libc.ts";
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  O_CLOEXEC,
  O_RDONLY,
  O_WRONLY,
} from "./linux.ts";

/** Owns one file descriptor. `close()` is idempotent. */
export class Fd implements Disposable {
  #fd: number;
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Opens `path`; throws a SysError naming it. */
  static open(path: string, flags: number, mode = 0o600): Fd {
    return new Fd(
      check(`open ${path}`, libc.open(cString(path), flags | O_CLOEXEC, mode)),
    );
  }

  /** The number, for a call made now; throws once it is closed. */
  get fd(): number {
    if (this.#fd < 0) throw new Error("file descriptor used after close");
    return this.#fd;
  }

  /** The number, from now on the caller's to close. */
  release(): number {
    const { fd } = this;
    this.#fd = -1;
    return fd;
  }

  close(): void {
    if (this.#fd >= 0) libc.close(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A small file's text, by libc: Deno wants all permissions for anything under /proc and /sys. */
export function readText(path: string): string {
  using file = Fd.open(path, O_RDONLY);
  const decoder = new TextDecoder();
  const bytes = new Uint8Array(65536);
  for (let text = "";;) {
    const length = check(
      `read ${path}`,
      libc.read(file.fd, bytes, bytes.length),
    );
    if (length === 0) return text;
    text += decoder.decode(bytes.subarray(0, length), { stream: true });
  }
}

/** Writes a file that is there, in one call: a word for the kernel. */
export function writeText(path: string, text: string): void {
  using file = Fd.open(path, O_WRONLY);
  const bytes = new TextEncoder().encode(text);
  check(`write ${path}`, libc.write(file.fd, bytes, bytes.length));
}

/** What is written to an eventfd. */
export const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

/** Adds one to the eventfd with this number; a full counter already holds a signal, so EAGAIN is no loss. */
export function signalEventFd(fd: number): void {
  libc.write(fd, ONE, 8);
}

/** An eventfd, non-blocking and closed on exec. */
export class EventFd extends Fd {
  constructor() {
    super(check("eventfd", libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
  }
}
