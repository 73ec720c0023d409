// Thread: any
// seccomp: refuses system calls that neither Deno nor KVM needs, in every thread of this process, for good.
import { SysError } from "../errors.ts";
import { Fd } from "../sys/fd.ts";
import { check, libc } from "../sys/libc.ts";
import { processLibc } from "../sys/process_libc.ts";
import { struct } from "../sys/struct.ts";
import { assemble, type Block, SECCOMP_RET_ALLOW } from "./bpf.ts";
import { setNoNewPrivs } from "./privileges.ts";
import {
  SECCOMP_FILTER_FLAG_NEW_LISTENER,
  type SeccompOptions,
  seccompProgram,
} from "./seccomp_filter.ts";
import { CHECKED_SYSCALLS } from "./refused_syscalls.ts";

const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
/** TSYNC fails with ESRCH then, instead of with a thread's id, which would look like the listener. Linux 5.7. */
const SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 16;
const SECCOMP_GET_ACTION_AVAIL = 2;
const SockFprog = struct({ len: "u16", filter: "u64" });

/** True where the kernel has seccomp filters. */
export function hasSeccomp(): boolean {
  const action = new Uint8Array(Uint32Array.of(SECCOMP_RET_ALLOW).buffer);
  return processLibc.syscallSeccomp(
    CHECKED_SYSCALLS.seccomp,
    SECCOMP_GET_ACTION_AVAIL,
    0,
    action,
  ) === 0;
}

/** Closes every thread of this process. Call it on main, before threads that could be told apart are started. */
export function installSeccomp(options: SeccompOptions): void {
  const program = seccompProgram(options, libc.getpid());
  const thread = install(program, SECCOMP_FILTER_FLAG_TSYNC);
  if (thread !== 0) {
    throw new Error(
      `thread ${thread} has a seccomp filter of its own; close the process before it gets one`,
    );
  }
}

/**
 * As installSeccomp(), but what is refused waits for whoever has the listener that is returned, which is to be another
 * process. Null, and nothing is closed, where the kernel is older, or somebody else's listener is there.
 */
export function installAskingSeccomp(options: SeccompOptions): Fd | null {
  const program = seccompProgram(options, libc.getpid(), true);
  const flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH |
    SECCOMP_FILTER_FLAG_NEW_LISTENER;
  try {
    return new Fd(install(program, flags));
  } catch (error) {
    if (error instanceof SysError) return null;
    throw error;
  }
}

/** Closes the calling thread and the program that it starts, which cannot close itself. */
export function installSeccompBeforeExec(
  options: Omit<SeccompOptions, "run">,
): void {
  install(seccompProgram({ ...options, run: true }, null), 0);
}

function install(block: Block, flags: number): number {
  setNoNewPrivs();
  const filter = assemble(block);
  const program = new SockFprog();
  program.len = filter.length / 8;
  // SAFETY: `filter` lives until the call below returns; the kernel copies it.
  program.filter = Number(
    Deno.UnsafePointer.value(Deno.UnsafePointer.of(filter)),
  );
  return check(
    "seccomp SECCOMP_SET_MODE_FILTER",
    processLibc.syscallSeccomp(
      CHECKED_SYSCALLS.seccomp,
      SECCOMP_SET_MODE_FILTER,
      flags,
      program.bytes,
    ),
  );
}
