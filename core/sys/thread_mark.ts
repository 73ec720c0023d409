// Thread: main
// Finds a worker's threads again, to take the processor from them: Deno tells nobody which they are, and a worker
// without FFI cannot. But a thread starts with the signal mask of the one that started it (pthreads(7)), so a worker
// starts with a mask of its own, as do the threads that it starts.
import { SysError } from "../errors.ts";
import { Fd } from "./fd.ts";
import { libc } from "./libc.ts";
import {
  O_RDONLY,
  PRIO_PROCESS,
  SCHED_IDLE,
  SIG_BLOCK,
  SIG_UNBLOCK,
} from "./linux.ts";

/** The real-time signals from here on spell a mark, one bit each. Nobody sends them, and a child process has none blocked. */
const FIRST_SIGNAL = 43;
const MARK_BITS = 20;
const LOWEST_PRIORITY = 19;

const decoder = new TextDecoder();
let marks = 0;
let owner: ((mark: number) => void) | null = null;

/** Runs `start`; all threads that it starts have the mark. */
export function startMarked<T>(start: () => T): { started: T; mark: number } {
  const mark = marks = marks % (2 ** MARK_BITS - 1) + 1;
  const set = new BigUint64Array(16);
  set[0] = BigInt(mark) << BigInt(FIRST_SIGNAL - 1);
  const bytes = new Uint8Array(set.buffer);
  libc.pthread_sigmask(SIG_BLOCK, bytes, null);
  try {
    return { started: start(), mark };
  } finally {
    libc.pthread_sigmask(SIG_UNBLOCK, bytes, null);
  }
}

/** For a process that is refused it by seccomp: the one that started it calls {@linkcode lowerPriority} with its pid. */
export function askOwner(ask: (mark: number) => void): void {
  owner = ask;
}

/** Leaves the threads with this mark, of this process or of a child, what nobody else wants of the processor. */
export function lowerPriority(
  mark: number,
  pid: number | "self" = "self",
): void {
  // Of what was not started with a mark.
  if (mark === 0) return;
  if (pid === "self" && owner !== null) return owner(mark);
  const tasks = `/proc/${pid}/task`;
  for (const tid of threads(tasks)) {
    if (markOf(`${tasks}/${tid}/status`) !== mark) continue;
    // One that has ended meanwhile needs nothing any more.
    libc.setpriority(PRIO_PROCESS, tid, LOWEST_PRIORITY);
    libc.sched_setscheduler(tid, SCHED_IDLE, new Uint8Array(4));
  }
}

/** The mark of one thread; 0 where it has none, or is gone. */
function markOf(path: string): number {
  using file = openIfThere(path);
  if (file === null) return 0;
  // SigBlk is in the first kilobyte.
  const bytes = new Uint8Array(4096);
  libc.read(file.fd, bytes, bytes.length);
  const blocked = /^SigBlk:\s*([0-9a-f]+)$/m.exec(decoder.decode(bytes))?.[1];
  const bits = BigInt(`0x${blocked ?? 0}`) >> BigInt(FIRST_SIGNAL - 1);
  return Number(BigInt.asUintN(MARK_BITS, bits));
}

/** Thread ids; none where they cannot be had. */
function threads(path: string): number[] {
  using folder = openIfThere(path);
  if (folder === null) return [];
  const tids: number[] = [];
  const bytes = new Uint8Array(8192);
  const view = new DataView(bytes.buffer);
  for (
    let length;
    (length = libc.getdents64(folder.fd, bytes, bytes.length)) > 0;
  ) {
    // struct linux_dirent64: d_ino, d_off, d_reclen at 16, d_type, d_name from 19 on.
    for (let at = 0; at < length; at += view.getUint16(at + 16, true)) {
      const name = bytes.subarray(at + 19, bytes.indexOf(0, at + 19));
      const tid = Number(decoder.decode(name));
      if (tid > 0) tids.push(tid);
    }
  }
  return tids;
}

/** By libc: Deno wants all permissions for anything under /proc. */
function openIfThere(path: string): Fd | null {
  try {
    return Fd.open(path, O_RDONLY);
  } catch (error) {
    if (error instanceof SysError) return null;
    throw error;
  }
}
