// Thread: main
// A system call that a closed process waits for: what it is, in words, and whether its paths are granted.
import { resolve } from "../manifest/paths.ts";
import { EPERM, O_CREAT, O_PATH } from "../sys/linux.ts";
import { readMemory, readMemoryText } from "../sys/traced_memory.ts";
import { realPath } from "../sys/real_path.ts";
import { attemptOf } from "./attempts.ts";
import { covers } from "./grants.ts";
import type { LandlockRules } from "./landlock.ts";
import { PATH_SYSCALLS, type PathSyscall } from "./path_syscalls.ts";
import {
  CHECKED_SYSCALLS,
  errnoOf,
  FCHMOD,
  METADATA_SYSCALLS,
  REFUSED_SYSCALLS,
  RUN_SYSCALLS,
} from "./refused_syscalls.ts";

/** A call as the kernel tells it; arguments are numbers, exact as far as addresses and descriptors go. */
export interface AttemptedCall {
  /** Of the process, and of the thread that waits. */
  readonly pid: number;
  readonly tid: number;
  readonly number: number;
  readonly args: readonly number[];
}

/** linux/socket.h, of those that somebody may try. */
const FAMILIES: Readonly<Record<number, string>> = {
  1: "AF_UNIX",
  2: "AF_INET",
  10: "AF_INET6",
  16: "AF_NETLINK",
  17: "AF_PACKET",
  38: "AF_ALG",
  40: "AF_VSOCK",
};
/** Beyond is told as it is. */
const LONGEST_PATH = 1024;
const AT_FDCWD = -100;
const O_ACCMODE = 3;

/** Which argument says what the call is about. */
const ABOUT: Readonly<
  Record<string, readonly ["path" | "process" | "family", argument: number]>
> = {
  execve: ["path", 0],
  execveat: ["path", 1],
  chmod: ["path", 0],
  chown: ["path", 0],
  lchown: ["path", 0],
  fchmodat: ["path", 1],
  fchownat: ["path", 1],
  utimensat: ["path", 1],
  mount: ["path", 1],
  umount2: ["path", 0],
  chroot: ["path", 0],
  mknod: ["path", 0],
  mknodat: ["path", 1],
  name_to_handle_at: ["path", 1],
  ptrace: ["process", 1],
  process_vm_readv: ["process", 0],
  process_vm_writev: ["process", 0],
  kill: ["process", 0],
  tkill: ["process", 0],
  tgkill: ["process", 0],
  rt_sigqueueinfo: ["process", 0],
  prlimit64: ["process", 0],
  setpriority: ["process", 1],
  sched_setaffinity: ["process", 0],
  sched_setscheduler: ["process", 0],
  socket: ["family", 0],
  socketpair: ["family", 0],
};

const REFUSED = new Map(
  [RUN_SYSCALLS, METADATA_SYSCALLS, FCHMOD, ...REFUSED_SYSCALLS].flatMap(
    (group) =>
      Object.entries(group.calls).map(([name, number]) =>
        [number, { name, errno: errnoOf(group) }] as const
      ),
  ),
);
const CHECKED = new Map<number, string>(
  Object.entries(CHECKED_SYSCALLS).map(([name, number]) => [number, name]),
);
const PATHS = new Map(PATH_SYSCALLS.map((call) => [call.number, call]));

/** Whether a call is told for the sake of its path, and Landlock's to refuse. */
export const isPathCall = (number: number): boolean => PATHS.has(number);

/** What a call that seccomp refuses fails with. */
export const errnoFor = (number: number): number =>
  REFUSED.get(number)?.errno ?? EPERM;

/**
 * What a call tries, in words; null where all that it names is granted. `rules` hold what exists by its real path
 * ({@linkcode resolveRules}).
 */
export function describeAttempt(
  call: AttemptedCall,
  rules: LandlockRules,
): string | null {
  const { number } = call;
  const byPath = PATHS.get(number);
  if (byPath !== undefined) return pathAttempt(call, byPath, rules);
  const name = REFUSED.get(number)?.name ?? CHECKED.get(number) ??
    `call ${number}`;
  return attemptOf(name, aboutOf(name, call));
}

function aboutOf(name: string, { tid, args }: AttemptedCall): string | null {
  const about = ABOUT[name];
  if (about === undefined) return null;
  const [kind, index] = about;
  const value = args[index]!;
  switch (kind) {
    case "family":
      return FAMILIES[value] ?? `family ${value}`;
    case "process":
      return `process ${value | 0}`;
    case "path": {
      const path = readMemoryText(tid, value);
      return path === null ? null : JSON.stringify(path);
    }
  }
}

/** Null where all that the call names is granted, or is not there: Landlock decides in any case. */
function pathAttempt(
  call: AttemptedCall,
  { name, paths, open }: PathSyscall,
  rules: LandlockRules,
): string | null {
  const wanted = open === undefined ? WRITE : accessOf(call, open);
  for (const { dir, path } of paths) {
    const real = locate(call, dir, path, wanted.create);
    if (real === null) continue;
    for (const access of wanted.access) {
      if (isGranted(call.pid, real, access, rules)) continue;
      const what = open === undefined ? name : access;
      return attemptOf(what, JSON.stringify(real));
    }
  }
  return null;
}

type Access = "read" | "write";
interface Wanted {
  readonly access: readonly Access[];
  /** Whether the file need not be there. */
  readonly create: boolean;
}
const WRITE: Wanted = { access: ["write"], create: true };

function accessOf(
  { tid, args }: AttemptedCall,
  open: NonNullable<PathSyscall["open"]>,
): Wanted {
  const flags = "flags" in open
    ? args[open.flags]!
    // The low half of its first member, u64 flags; what is not there opens nothing.
    : readMemory(tid, args[open.how]!, 4).reduceRight(
      (flags, byte) => flags << 8 | byte,
      0,
    );
  const create = (flags & O_CREAT) !== 0;
  // Such a descriptor opens nothing.
  if ((flags & O_PATH) !== 0) return { access: [], create };
  const mode = flags & O_ACCMODE;
  const access: Access[] = mode === 0
    ? ["read"]
    : mode === 1
    ? ["write"]
    : ["read", "write"];
  return { access, create };
}

/** Where links to /proc/self lead us, and would lead the process to its own. */
const OWN_PROC = new RegExp(`^/proc/${Deno.pid}(?=/|$)`);

/** Where the path leads, as far as it is there; null where it is not. */
function locate(
  { pid, tid, args }: AttemptedCall,
  dir: number | undefined,
  path: number,
  mayBeMissing: boolean,
): string | null {
  const text = readMemoryText(tid, args[path]!);
  if (text === null || text === "") return null;
  // To follow it would take us long.
  if (text.length > LONGEST_PATH) return text;
  const base = dir === undefined || (args[dir]! | 0) === AT_FDCWD
    ? `/proc/${pid}/cwd`
    : `/proc/${pid}/fd/${args[dir]! | 0}`;
  const full = text.startsWith("/")
    ? text.replace(/^\/proc\/(thread-)?self(?=\/|$)/, `/proc/${pid}`)
    : `${base}/${text}`;
  // Its links lead to files that may well be granted.
  if (isOthers(pid, full)) return full;
  const real = realPath(full)?.replace(OWN_PROC, `/proc/${pid}`) ?? null;
  if (real !== null || !mayBeMissing) return real;
  const slash = full.replace(/\/+$/, "").lastIndexOf("/");
  const folder = realPath(full.slice(0, slash) || "/");
  return folder === null ? null : `${folder}/${full.slice(slash + 1)}`;
}

/** All of /proc is granted for the sake of this process's own folder. */
function isOthers(pid: number, path: string): boolean {
  const other = /^\/proc\/([0-9]+)/.exec(resolve(path));
  return other !== null && Number(other[1]) !== pid;
}

function isGranted(
  pid: number,
  real: string,
  access: Access,
  { read, write, exec, devices }: LandlockRules,
): boolean {
  if (isOthers(pid, real)) return false;
  const granted = access === "read" ? [read, exec, devices] : [write, devices];
  return granted.flat().some((path) => covers(access, path, real));
}

/** The rules with symlinks followed, as Landlock does when they are applied. */
export function resolveRules(rules: LandlockRules): LandlockRules {
  const real = (paths: readonly string[]) =>
    paths.map((path) => realPath(path) ?? path);
  const { read, write, exec, devices } = rules;
  return {
    ...rules,
    read: real(read),
    write: real(write),
    exec: real(exec),
    devices: real(devices),
  };
}
