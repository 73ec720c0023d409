// Thread: main
// A process that we started: its end, its streams, and an end for it when this process ends, however that happens.
import { check, libc } from "../sys/libc.ts";
import { processLibc } from "../sys/process_libc.ts";
import {
  F_DUPFD_CLOEXEC,
  F_SETFL,
  F_SETOWN,
  O_CLOEXEC,
  SIGKILL,
} from "../sys/linux.ts";
import { Fd } from "../sys/fd.ts";

/** As Deno.CommandStatus has it, with the signal's number. */
export interface ChildStatus {
  readonly success: boolean;
  /** 128 and the signal where one ended it, as shells have it. */
  readonly code: number;
  readonly signal: number | null;
}

const WNOHANG = 1;
const SIGTERM = 15;
const F_SETSIG = 10;
const O_ASYNC = 0o20000;
/** Only in case a SIGCHLD is lost; also what keeps the event loop alive. */
const LOOK_AGAIN = 1000;

const running = new Map<number, (status: ChildStatus) => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** Resolves when the child has ended; until then its pid cannot become another's. */
export function watchChild(pid: number): Promise<ChildStatus> {
  const { promise, resolve } = Promise.withResolvers<ChildStatus>();
  running.set(pid, resolve);
  if (running.size === 1) {
    Deno.addSignalListener("SIGCHLD", reap);
    timer = setInterval(reap, LOOK_AGAIN);
  }
  // It may have ended before anybody listened.
  reap();
  return promise;
}

/** Asks for each of ours by its pid: others in this process have children too. */
function reap(): void {
  // Where somebody else has asked for it first, all that is known is that it has ended.
  const status = new Int32Array([1 << 8]);
  for (const [pid, resolve] of running) {
    if (
      processLibc.waitpid(pid, new Uint8Array(status.buffer), WNOHANG) === 0
    ) {
      continue;
    }
    running.delete(pid);
    resolve(parseStatus(status[0]!));
  }
  if (running.size > 0 || timer === undefined) return;
  Deno.removeSignalListener("SIGCHLD", reap);
  clearInterval(timer);
  timer = undefined;
}

function parseStatus(status: number): ChildStatus {
  const signal = status & 0x7f;
  const code = signal === 0 ? (status >> 8) & 0xff : 128 + signal;
  return { success: code === 0, code, signal: signal === 0 ? null : signal };
}

/** Signals a child that watchChild() watches; one that has ended gets nothing. */
function signalChild(pid: number, signal: number): void {
  if (running.has(pid)) processLibc.kill(pid, signal);
}

/** A pipe; both ends are closed on exec. */
export function pipe(): { readonly read: Fd; readonly write: Fd } {
  const fds = new Int32Array(2);
  check("pipe2", libc.pipe2(new Uint8Array(fds.buffer), O_CLOEXEC));
  return { read: new Fd(fds[0]!), write: new Fd(fds[1]!) };
}

/**
 * Ties a child to this process: when that ends, however it does, the kernel closes the writing end of a pipe, and sends
 * the child SIGKILL for the reading end. Both are ours: whoever held one could undo it. PR_SET_PDEATHSIG would be the end
 * of the thread that started the child. What is returned is `stack`'s too, until that is moved.
 */
export function tieToUs(pid: number, stack: DisposableStack): readonly Fd[] {
  const own = ({ read, write }: ReturnType<typeof pipe>) =>
    [stack.use(read), stack.use(write)] as const;
  const [first, end] = own(pipe());
  const [second, otherEnd] = own(pipe());
  // At the end the kernel closes descriptors in an order that is not promised: there is a pipe for either.
  const number = libc.fcntl(second.fd, F_DUPFD_CLOEXEC, otherEnd.fd);
  const behind = stack.use(new Fd(check("dup", number)));
  second.close();
  const reads = [first, behind];
  for (const { fd } of reads) {
    check("fcntl F_SETOWN", libc.fcntl(fd, F_SETOWN, pid));
    check("fcntl F_SETSIG", libc.fcntl(fd, F_SETSIG, SIGKILL));
    check("fcntl F_SETFL", libc.fcntl(fd, F_SETFL, O_ASYNC));
  }
  return [...reads, end, otherEnd];
}

/** A started process. */
export class Child implements AsyncDisposable {
  readonly status: Promise<ChildStatus>;

  constructor(
    readonly pid: number,
    /** What the host could not confine, a phrase each. */
    readonly missing: readonly string[],
    readonly stdin: WritableStream<Uint8Array> | null,
    readonly stdout: ReadableStream<Uint8Array> | null,
    readonly stderr: ReadableStream<Uint8Array> | null,
    /** Our ends of the pipes that mean nothing without it: closed when it has ended. */
    held: readonly (Fd | null | undefined)[],
  ) {
    this.status = watchChild(pid).finally(() => {
      for (const fd of held) fd?.close();
    });
  }

  /** Sends a signal, SIGTERM unless it is given. */
  kill(signal = SIGTERM): void {
    signalChild(this.pid, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill(SIGKILL);
    await this.status;
  }
}
