// Thread: main
// What the kernel refuses a closed process: the listener of its seccomp filter, by which it asks, and we say no and tell.
import type { Fd } from "../sys/fd.ts";
import { libc } from "../sys/libc.ts";
import { type Wait, waitReadable } from "../sys/readiness.ts";
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
  let wait: Wait | null = null;
  let ended = false;
  // Before Linux 5.9 a listener did not hang up.
  status.then(() => {
    ended = true;
    wait?.cancel();
  });
  while (!ended) {
    wait = waitReadable(listener);
    await wait.ready;
    // Without one that waits, the next call would block.
    if (isWaitedFor(listener)) answer(listener, pid, granted, attempts);
    else if (hasHungUp(listener)) return;
  }
}

/** Null where the process has none to pass on. */
async function receiveListener(socket: UnixSocket): Promise<Fd | null> {
  using _ = socket;
  const into = new Uint8Array(1);
  for (;;) {
    const received = socket.receive(into);
    if (received !== null) return received.fds[0] ?? null;
    await waitReadable(socket).ready;
  }
}

const isWaitedFor = (fd: Fd) => (pollNow(fd) & POLLIN) !== 0;
const hasHungUp = (fd: Fd) => (pollNow(fd) & (POLLERR | POLLHUP)) !== 0;

function pollNow({ fd }: Fd): number {
  const poll = Object.assign(new Pollfd(), { fd, events: POLLIN });
  libc.poll(poll.bytes, 1, 0);
  return poll.revents;
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
