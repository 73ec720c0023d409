// Thread: main
// What the kernel refuses a closed process: the listener of its seccomp filter, by which it asks, and we say no and tell.
import { AsyncFd } from "../sys/async_fd.ts";
import type { Fd } from "../sys/fd.ts";
import { libc } from "../sys/libc.ts";
import { struct } from "../sys/struct.ts";
import type { UnixSocket } from "../sys/unix_socket.ts";
import {
  type AttemptedCall,
  judge,
  resolveRules,
  type Verdict,
} from "./attempted_call.ts";
import type { Attempts } from "./attempts.ts";
import type { Child } from "./child.ts";
import type { LandlockRules } from "./landlock.ts";

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
const POLLIN = 1;
const POLLERR = 8;
const POLLHUP = 16;
const Pollfd = struct({ fd: "i32", events: "u16", revents: "u16" });

/** Takes the listener that a child passes on when it closes itself, and answers until it has ended. */
export async function answerRefusals(
  socket: UnixSocket,
  { pid, status }: Child,
  rules: LandlockRules,
  attempts: Attempts,
): Promise<void> {
  using listener = await receiveListener(socket);
  if (listener === null) return;
  const granted = resolveRules(rules);
  // Before Linux 5.9 a listener did not hang up.
  status.then(() => listener.close());
  while (await listener.next(isAsked)) {
    answer(listener.fd, pid, granted, attempts);
  }
}

/** Null where the process has none to pass on. */
async function receiveListener(
  socket: UnixSocket,
): Promise<AsyncFd | null> {
  using report = new AsyncFd(socket);
  const into = new Uint8Array(1);
  const received = await report.next((socket) => socket.receive(into));
  const [listener] = received?.fds ?? [];
  return listener === undefined ? null : new AsyncFd(listener);
}

/** False once nobody can ask any more; null while nobody does: to receive would block. */
function isAsked({ fd }: Fd): boolean | null {
  const poll = Object.assign(new Pollfd(), { fd, events: POLLIN });
  libc.poll(poll.bytes, 1, 0);
  if ((poll.revents & POLLIN) !== 0) return true;
  return (poll.revents & (POLLERR | POLLHUP)) !== 0 ? false : null;
}

function answer(
  { fd }: Fd,
  pid: number,
  granted: LandlockRules,
  attempts: Attempts,
): void {
  const notif = new SeccompNotif();
  // It has gone: a signal ended the call.
  if (libc.ioctlPtr(fd, SECCOMP_IOCTL_NOTIF_RECV, notif.bytes) < 0) return;
  const words = new BigUint64Array(notif.args.slice().buffer);
  const call: AttemptedCall = {
    pid,
    tid: notif.pid,
    number: notif.nr,
    args: Array.from(words, Number),
  };
  const { errno, attempt } = judge(call, granted);
  // Else what was read may be another process's.
  const id = new Uint8Array(notif.id);
  if (libc.ioctlPtr(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, id) < 0) return;
  if (attempt !== null) attempts.tell(attempt);
  respond(fd, id, errno);
}

function respond(fd: number, id: Uint8Array, errno: Verdict["errno"]): void {
  const response = new SeccompNotifResp();
  response.id.set(id);
  response.error = errno === null ? 0 : -errno;
  response.flags = errno === null ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
  libc.ioctlPtr(fd, SECCOMP_IOCTL_NOTIF_SEND, response.bytes);
}
