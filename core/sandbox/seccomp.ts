// Thread: any
// seccomp: refuses system calls that neither Deno nor KVM needs, in every thread of this process, for good.
import { check, libc } from "../sys/libc.ts";
import { struct } from "../sys/struct.ts";
import {
  allow,
  and,
  assemble,
  type Block,
  ifAnyBit,
  ifAtLeast,
  ifEqual,
  load,
  refuse,
  SECCOMP_DATA_ARCH,
  SECCOMP_DATA_NR,
  seccompDataArg,
  unlessEqual,
} from "./bpf.ts";
import { setNoNewPrivs } from "./privileges.ts";
import {
  FCHMOD,
  METADATA_SYSCALLS,
  REFUSED_SYSCALLS,
  RUN_SYSCALLS,
} from "./refused_syscalls.ts";

export interface SeccompOptions {
  /** Starting programs, and signals to them. Landlock says which, and keeps signals inside (from ABI 6 on). */
  readonly run: boolean;
  /** Making sockets: none, or TCP, UDP and unix ones. A socket that is inherited works in any case. */
  readonly sockets: "none" | "inet";
  /** Changing modes, owners, times and attributes of files, whichever they are. */
  readonly write: boolean;
}

const SYS_seccomp = 317;
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
const SECCOMP_GET_ACTION_AVAIL = 2;
const AUDIT_ARCH_X86_64 = 0xc000003e;
const X32_SYSCALL_BIT = 0x40000000;
const EPERM = 1;
const ENOSYS = 38;
const SockFprog = struct({ len: "u16", filter: "u64" });

const SYS = {
  ioctl: 16,
  socket: 41,
  clone: 56,
  kill: 62,
  fcntl: 72,
  rt_sigqueueinfo: 129,
  setpriority: 141,
  sched_setparam: 142,
  sched_setscheduler: 144,
  sched_setaffinity: 203,
  tgkill: 234,
  ioprio_set: 251,
  rt_tgsigqueueinfo: 297,
  sched_setattr: 314,
  prlimit64: 302,
} as const;
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_TYPE_MASK = 0xf;
const CLONE_THREAD = 0x10000;
/** NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (linux/sched.h). */
const CLONE_NEW_ANY = 0x7e020000;
/** They type into the terminal that the user's shell will read. */
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;
/** They name a process that gets a signal, of any number, when an fd becomes ready. */
const F_SETOWN = 8;
const F_SETOWN_EX = 15;
const FIOSETOWN = 0x8901;
const SIOCSPGRP = 0x8902;

const no = refuse(EPERM);

/** True where the kernel has seccomp filters. */
export function hasSeccomp(): boolean {
  const action = new Uint8Array(new Uint32Array([0x7fff0000]).buffer);
  return libc.syscallSeccomp(
    SYS_seccomp,
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
    libc.syscallSeccomp(
      SYS_seccomp,
      SECCOMP_SET_MODE_FILTER,
      flags,
      program.bytes,
    ),
  );
}

/**
 * The filter: allow by default. Calls whose arguments matter come first, since the kernel caches its verdict about all
 * others and never runs the filter for them (Linux 5.11, seccomp_cache_prepare). `pid` is null where it is not known
 * yet: limits of any process may be set then.
 */
export function seccompProgram(
  options: SeccompOptions,
  pid: number | null,
): Block {
  return [
    ...load(SECCOMP_DATA_ARCH),
    // 32-bit calls have other numbers; none is made here.
    ...unlessEqual(AUDIT_ARCH_X86_64, refuse(ENOSYS)),
    ...load(SECCOMP_DATA_NR),
    ...ifAtLeast(X32_SYSCALL_BIT, refuse(ENOSYS)),
    ...byArguments(options, pid),
    ...always(options),
    ...allow,
  ];
}

function always({ run, sockets, write }: SeccompOptions): Block {
  const groups = [
    ...run ? [] : [RUN_SYSCALLS],
    ...write ? [] : [METADATA_SYSCALLS],
    ...write || sockets !== "none" ? [] : [FCHMOD],
    ...REFUSED_SYSCALLS,
  ];
  return groups.flatMap(({ calls, errno }) =>
    Object.values(calls).flatMap((number) =>
      ifEqual(number, errno === "ENOSYS" ? refuse(ENOSYS) : no)
    )
  );
}

/** Every block ends in a verdict, so that the accumulator may change in it. */
function byArguments(options: SeccompOptions, pid: number | null): Block {
  const { run, sockets } = options;
  const toSelfOnly = (index: number, ...pids: number[]): Block => [
    ...load(seccompDataArg(index)),
    ...pids.flatMap((pid) => ifEqual(pid, allow)),
    ...no,
  ];
  /** What 0 stands for is the caller. */
  const scheduling = [
    [SYS.setpriority, 1],
    [SYS.sched_setparam, 0],
    [SYS.sched_setscheduler, 0],
    [SYS.sched_setaffinity, 0],
    [SYS.sched_setattr, 0],
    [SYS.ioprio_set, 1],
  ] as const;
  const signals = [
    SYS.kill,
    SYS.tgkill,
    SYS.rt_sigqueueinfo,
    SYS.rt_tgsigqueueinfo,
  ];
  return [
    ...ifEqual(SYS.ioctl, [
      ...load(seccompDataArg(1)),
      ...ifEqual(TIOCSTI, no),
      ...ifEqual(TIOCLINUX, no),
      ...run ? [] : ifEqual(FIOSETOWN, no),
      ...run ? [] : ifEqual(SIOCSPGRP, no),
      ...allow,
    ]),
    ...run ? [] : ifEqual(SYS.fcntl, [
      ...load(seccompDataArg(1)),
      ...ifEqual(F_SETOWN, no),
      ...ifEqual(F_SETOWN_EX, no),
      ...allow,
    ]),
    ...ifEqual(SYS.clone, [
      ...load(seccompDataArg(0)),
      ...ifAnyBit(CLONE_NEW_ANY, no),
      ...run ? [] : ifAnyBit(CLONE_THREAD, allow),
      ...run ? allow : no,
    ]),
    ...ifEqual(SYS.socket, socketRule(sockets)),
    ...run || pid === null
      ? []
      : signals.flatMap((number) => ifEqual(number, toSelfOnly(0, pid))),
    ...pid === null ? [] : ifEqual(SYS.prlimit64, toSelfOnly(0, 0, pid)),
    ...scheduling.flatMap(([number, index]) =>
      ifEqual(number, toSelfOnly(index, 0))
    ),
  ];
}

/** Raw and packet sockets, netlink and every rarer family are refused in any case. */
function socketRule(sockets: SeccompOptions["sockets"]): Block {
  if (sockets === "none") return no;
  const types: Block = [
    ...load(seccompDataArg(1)),
    ...and(SOCK_TYPE_MASK),
    ...ifEqual(SOCK_STREAM, allow),
    ...ifEqual(SOCK_DGRAM, allow),
    ...no,
  ];
  return [
    ...load(seccompDataArg(0)),
    ...[AF_UNIX, AF_INET, AF_INET6].flatMap((family) => ifEqual(family, types)),
    ...no,
  ];
}
