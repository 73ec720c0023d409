// Thread: main
// How the listener of a child's seccomp filter comes to its owner: passed on by the child, or taken from it.
import { HostError, SysError } from "../errors.ts";
import { AsyncFd } from "../sys/async_fd.ts";
import { Fd } from "../sys/fd.ts";
import { check, cString, cText, libc } from "../sys/libc.ts";
import { processLibc } from "../sys/process_libc.ts";
import { EBADF, ESRCH, PATH_MAX } from "../sys/linux.ts";
import type { UnixSocket } from "../sys/unix_socket.ts";
import { ASKS, FIRST_FD } from "./closing.ts";

const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;
/**
 * The child's main thread may wait for a thread of V8's, which waits for an answer already: then it does not come to
 * passing the listener on. How often that is looked for, and how many times: this thread may have been busy meanwhile.
 */
const LOOK_MS = 50;
const MOST_LOOKS = 100;
const LINK = "anon_inode:seccomp notify";
/** More than a process has open by then. */
const MOST_FDS = 256;

/** Null where the child ends before it asks, or asks nobody. Throws where its listener is lost. */
export async function receiveListener(
  socket: UnixSocket,
  pid: number,
  ended: Promise<unknown>,
): Promise<Fd | null> {
  using report = new AsyncFd(socket);
  ended.then(() => report.close());
  if (await receive(report) === null) return null;
  let taken: Fd | null = null;
  let problem: unknown = null;
  let looks = 0;
  const timer = setInterval(() => {
    try {
      taken = take(pid);
      if (taken === null && ++looks > MOST_LOOKS) {
        problem = new HostError("its questions cannot be heard");
      }
    } catch (error) {
      // Where it may not be taken, it still may come.
      if (++looks > MOST_LOOKS) problem = error;
    }
    if (taken === null && problem === null) return;
    clearInterval(timer);
    report.close();
  }, LOOK_MS);
  try {
    const received = await receive(report);
    if (problem !== null) throw problem;
    if (received === null) return taken;
    const { byte, fds: [listener, ...more] } = received;
    for (const fd of more) fd.close();
    if (byte !== ASKS) return null;
    // EMFILE here, and it may be asking already.
    if (listener === undefined) throw new HostError("its listener was lost");
    return listener;
  } finally {
    clearInterval(timer);
  }
}

/** Null at the end of the child, and once the socket is closed. */
async function receive(
  report: AsyncFd<UnixSocket>,
): Promise<{ byte: number; fds: readonly Fd[] } | null> {
  const into = new Uint8Array(1);
  const received = await report.next((socket) => socket.receive(into));
  if (received === null || received.length === 0) return null;
  return { byte: into[0]!, fds: received.fds };
}

/** A copy of the listener that the process holds; null while it has none. */
function take(pid: number): Fd | null {
  for (let number = FIRST_FD; number < MOST_FDS; number++) {
    if (linkOf(`/proc/${pid}/fd/${number}`) !== LINK) continue;
    const copy = copyOf(pid, number);
    if (copy === null || linkOf(`/proc/self/fd/${copy.fd}`) === LINK) {
      return copy;
    }
    // It was passed on in this moment, and the number is another's.
    copy.close();
  }
  return null;
}

/** Null where it is closed by now, or the process has ended. */
function copyOf(pid: number, number: number): Fd | null {
  try {
    using process = new Fd(
      check("pidfd_open", processLibc.syscallPidfdOpen(SYS_pidfd_open, pid, 0)),
    );
    return new Fd(
      check(
        "pidfd_getfd",
        processLibc.syscallPidfdGetfd(SYS_pidfd_getfd, process.fd, number, 0),
      ),
    );
  } catch (error) {
    const isGone = error instanceof SysError &&
      (error.errno === EBADF || error.errno === ESRCH);
    if (isGone) return null;
    throw error;
  }
}

function linkOf(path: string): string {
  const target = new Uint8Array(PATH_MAX);
  const length = libc.readlink(cString(path), target, target.length);
  return cText(target.subarray(0, Math.max(length, 0)));
}
