// Thread: main
// What the kernel refuses a closed process: the listener of its seccomp filter, by which it asks, and we say no and tell.
import { SysError } from "../errors.ts";
import { AsyncFd } from "../sys/async_fd.ts";
import type { Fd } from "../sys/fd.ts";
import { errno, libc } from "../sys/libc.ts";
import { EINTR, ENOENT, POLLERR, POLLHUP, POLLIN } from "../sys/linux.ts";
import { nextTask } from "../sys/next_task.ts";
import { pollNow } from "../sys/poll.ts";
import { RateLimit } from "../sys/rate_limit.ts";
import { struct } from "../sys/struct.ts";
import type { UnixSocket } from "../sys/unix_socket.ts";
import {
  describeAttempt,
  errnoFor,
  isPathCall,
  resolveRules,
} from "./attempted_call.ts";
import type { Attempts } from "./attempts.ts";
import type { Child } from "./child.ts";
import type { LandlockRules } from "./landlock.ts";
import { receiveListener } from "./listener_passing.ts";

/** linux/seccomp.h: struct seccomp_notif with its struct seccomp_data, and struct seccomp_notif_resp. */
const SeccompNotif = struct({
  id: [8, 8],
  pid: "u32",
  flags: "u32",
  nr: "i32",
  arch: "u32",
  instruction_pointer: [8, 8],
  args: [48, 8],
});
const SeccompNotifResp = struct({
  id: [8, 8],
  val: [8, 8],
  error: "i32",
  flags: "u32",
});
/** asm-generic/ioctl.h _IOWR('!', …), _IOW. */
const SECCOMP_IOCTL_NOTIF_RECV = 0xc0502100;
const SECCOMP_IOCTL_NOTIF_SEND = 0xc0182101;
const SECCOMP_IOCTL_NOTIF_ID_VALID = 0x40082102;
const SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1;

/** In a second; what comes above is answered without a look at it. */
const MAX_LOOKS = 500;

const TOO_MANY =
  `tried over ${MAX_LOOKS} things in a second, not all of which are told`;

export class Refusals {
  /** Whether paths are looked at: a process that loads its modules names hundreds. */
  lookAtPaths = false;
  readonly #child: Child;
  readonly #rulesOf: () => LandlockRules;
  /** Made when something is looked at first: the start of a machine needs none. */
  #rules: LandlockRules | null = null;
  readonly #attempts: Attempts;
  readonly #looks = new RateLimit(MAX_LOOKS);
  readonly #notif = new SeccompNotif();
  readonly #response = new SeccompNotifResp();

  constructor(
    child: Child,
    rulesOf: () => LandlockRules,
    attempts: Attempts,
  ) {
    this.#child = child;
    this.#rulesOf = rulesOf;
    this.#attempts = attempts;
  }

  /**
   * Takes the listener that the child passes on when it closes itself, and answers until it has ended. Throws where there
   * should be one and is none, and a SysError for what is no listener.
   */
  async answerAll(socket: UnixSocket): Promise<void> {
    const { status, pid } = this.#child;
    const listener = await receiveListener(socket, pid, status);
    if (listener === null) return;
    using asking = new AsyncFd(listener);
    // Before Linux 5.9 a listener did not hang up.
    status.then(() => asking.close());
    while (await asking.next((listener) => this.#answerOne(listener))) {
      // One that never stops asking must not keep this thread from everything else.
      await nextTask();
    }
  }

  /** As AsyncFd.next() wants it: null while nobody asks, false once nobody can. */
  #answerOne(listener: Fd): boolean | null {
    const asked = isAsked(listener);
    if (asked) this.#answer(listener.fd);
    return asked;
  }

  #answer(fd: number): void {
    const notif = this.#notif;
    // The kernel wants it zeroed.
    notif.bytes.fill(0);
    if (libc.ioctlPtr(fd, SECCOMP_IOCTL_NOTIF_RECV, notif.bytes) < 0) {
      const error = errno();
      // A signal has ended the call.
      if (error === ENOENT || error === EINTR) return;
      throw new SysError("SECCOMP_IOCTL_NOTIF_RECV", error);
    }
    const { nr } = notif;
    const isPath = isPathCall(nr);
    if (!isPath || this.lookAtPaths) {
      if (this.#looks.take()) this.#look(fd);
      else this.#attempts.tell(TOO_MANY);
    }
    this.#respond(fd, isPath ? null : errnoFor(nr));
  }

  /** Reads what the call is about, and tells it where it is not granted. */
  #look(fd: number): void {
    const { id, pid: tid, nr: number, args } = this.#notif;
    const words = new BigUint64Array(args.slice().buffer);
    const attempt = describeAttempt(
      { pid: this.#child.pid, tid, number, args: Array.from(words, Number) },
      this.#rules ??= resolveRules(this.#rulesOf()),
    );
    if (attempt === null) return;
    // Else what was read may be another process's.
    const isThere =
      libc.ioctlPtr(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, new Uint8Array(id)) === 0;
    if (isThere) this.#attempts.tell(attempt);
  }

  #respond(fd: number, errno: number | null): void {
    const response = this.#response;
    response.id.set(this.#notif.id);
    response.error = errno === null ? 0 : -errno;
    response.flags = errno === null ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
    // ENOENT: it has gone meanwhile.
    libc.ioctlPtr(fd, SECCOMP_IOCTL_NOTIF_SEND, response.bytes);
  }
}

/** False once nobody can ask any more; null while nobody does: to receive would block. */
function isAsked(listener: Fd): boolean | null {
  const events = pollNow(listener, POLLIN);
  if ((events & POLLIN) !== 0) return true;
  return (events & (POLLERR | POLLHUP)) !== 0 ? false : null;
}
