// Thread: any
// Signals by an eventfd that somebody else has too, who may make it blocking and fill it, or give us a pipe instead.
import { Fd, ONE } from "./fd.ts";
import { libc } from "./libc.ts";
import { F_DUPFD_CLOEXEC, POLLOUT } from "./linux.ts";
import { pollNow } from "./poll.ts";

/** Each may keep a thread of Deno's blocking pool, which has 32, for ever. */
const MAX_UNDER_WAY = 4;
let underWay = 0;

/** Never blocks this thread. A descriptor that is full holds a signal already. `fd` may be closed meanwhile. */
export function signalSharedEventFd(fd: Fd): void {
  if ((pollNow(fd, POLLOUT) & POLLOUT) === 0) return;
  // Only those get this far that were filled right after they were looked at.
  if (underWay >= MAX_UNDER_WAY) return;
  const number = libc.fcntl(fd.fd, F_DUPFD_CLOEXEC, 0);
  // EMFILE: a signal is not worth more than that.
  if (number < 0) return;
  const copy = new Fd(number);
  underWay++;
  libc.writeInPool(copy.fd, ONE, 8).finally(() => {
    underWay--;
    copy.close();
  });
}
