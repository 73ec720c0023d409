// Thread: any
// The signal that takes a vCPU thread out of KVM_RUN. It is blocked everywhere but inside KVM_RUN
// (KVM_SET_SIGNAL_MASK), so it needs no handler and no kick is lost between the check and the call.
import { check, libc } from "./libc.ts";
import { SIG_BLOCK } from "./linux.ts";

/** A real-time signal that neither libc (32, 33) nor V8 (SIGPROF) nor Deno uses. */
const KICK_SIGNAL = 42;
const mask = new Uint8Array(128);
const now = new Uint8Array(16);
mask[(KICK_SIGNAL - 1) >> 3] = 1 << ((KICK_SIGNAL - 1) & 7);

/** Blocks the kick signal in the calling thread and returns its tid, for {@linkcode kickThread}. */
export function acceptKicks(): number {
  check("pthread_sigmask", -libc.pthread_sigmask(SIG_BLOCK, mask, null));
  return libc.gettid();
}

/** The 8-byte sigset for KVM_SET_SIGNAL_MASK: nothing is blocked inside KVM_RUN. */
export function runSignalMask(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(8);
}

/** Sends the kick to a thread of this process; returns false when the thread is gone. */
export function kickThread(tid: number): boolean {
  return libc.tgkill(libc.getpid(), tid, KICK_SIGNAL) === 0;
}

/** Takes a pending kick away, so that the next KVM_RUN does not return at once. */
export function drainKicks(): void {
  while (libc.sigtimedwait(mask, null, now) > 0);
}
