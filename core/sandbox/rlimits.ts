// Thread: any
// Resource limits of a process, set from outside. RLIMIT_AS is none of them, since V8 reserves 50 GB of addresses that
// it never uses; nor RLIMIT_NPROC, which counts all processes of the user and spares root.
import { check } from "../sys/libc.ts";
import { processLibc } from "../sys/process_libc.ts";
import { setU64 } from "../sys/struct.ts";

const RLIMIT_DATA = 2;
const RLIMIT_CORE = 4;
const RLIMIT_NOFILE = 7;
const MAX_FILES = 1024;
const MiB = 2 ** 20;
/** Counted by RLIMIT_DATA for each isolate: V8 maps all of its code range writable (kMaximalCodeRangeSize on x64). */
const CODE_RANGE = 512 * MiB;
/** Counted too: stacks and the first heap of an isolate, and once what all of them share. */
const ISOLATE = 12 * MiB;
const PROCESS = 32 * MiB;

export interface MemoryLimit {
  /** Bytes of private memory beyond what deno and its workers have when they start. */
  readonly bytes: number;
  /** How many workers the process starts: each costs half a gigabyte of the limit before it holds anything. */
  readonly workers: number;
  /** Bytes more for a moment, as {@linkcode withSpareMemory} takes them; none if absent. */
  readonly spare?: number;
}

/**
 * No core dumps, a bounded number of open files, and bounded private memory. RLIMIT_DATA counts V8's heaps, typed arrays
 * and thread stacks, but not guest RAM, which is shared. A typed array above it is a RangeError, unless V8 needs the last
 * of it for itself; a heap or a worker above it ends the process.
 */
export function limitProcess(
  pid: number,
  memory: MemoryLimit | undefined,
): void {
  setLimit(pid, "RLIMIT_CORE", RLIMIT_CORE, 0);
  setLimit(pid, "RLIMIT_NOFILE", RLIMIT_NOFILE, MAX_FILES);
  if (memory !== undefined) {
    const start = PROCESS + (1 + memory.workers) * (CODE_RANGE + ISOLATE);
    const { bytes, spare = 0 } = memory;
    setLimit(pid, "RLIMIT_DATA", RLIMIT_DATA, start + bytes, spare);
  }
}

/** The soft limit, and the hard one `spare` above it; a hard limit that is lower already stays. */
function setLimit(
  pid: number,
  name: string,
  resource: number,
  value: number,
  spare = 0,
): void {
  const { limit, view } = readLimit(pid, name, resource);
  const hard = view.getBigUint64(8, true);
  const atMost = (wanted: number) =>
    BigInt(wanted) < hard ? wanted : Number(hard);
  setU64(view, 0, atMost(value));
  setU64(view, 8, atMost(value + spare));
  check(`prlimit ${name}`, processLibc.prlimit(pid, resource, limit, null));
}

function readLimit(pid: number, name: string, resource: number) {
  const limit = new Uint8Array(16);
  check(`prlimit ${name}`, processLibc.prlimit(pid, resource, null, limit));
  return { limit, view: new DataView(limit.buffer) };
}

/**
 * Lets this process have its spare memory during `work`: a buffer that other memory is mapped over counts as private
 * until it is.
 */
export function withSpareMemory<T>(work: () => T): T {
  const { limit, view } = readLimit(0, "RLIMIT_DATA", RLIMIT_DATA);
  const before = limit.slice();
  view.setBigUint64(0, view.getBigUint64(8, true), true);
  check(
    "prlimit RLIMIT_DATA",
    processLibc.prlimit(0, RLIMIT_DATA, limit, null),
  );
  try {
    return work();
  } finally {
    processLibc.prlimit(0, RLIMIT_DATA, before, null);
  }
}
