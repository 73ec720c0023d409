// Thread: any
// The seccomp filter of a closed process: which system calls it is refused, as a program for the kernel.
import {
  AF_UNIX,
  ENOSYS,
  EPERM,
  F_SETOWN,
  PRIO_PROCESS,
  SOCK_STREAM,
} from "../sys/linux.ts";
import {
  allow,
  and,
  ask,
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
import { PATH_SYSCALLS } from "./path_syscalls.ts";
import {
  CHECKED_SYSCALLS,
  CLONE3,
  errnoOf,
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
  /** Whether it is told which files are opened, made and removed by their path: each such call is a round trip. */
  readonly paths: boolean;
}

/** Nothing of that. */
export const CLOSED: SeccompOptions = {
  run: false,
  sockets: "none",
  write: false,
  paths: false,
};

const AUDIT_ARCH_X86_64 = 0xc000003e;
const X32_SYSCALL_BIT = 0x40000000;
/** One more listener than the first could say yes (seccomp_unotify(2)). */
export const SECCOMP_FILTER_FLAG_NEW_LISTENER = 8;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_TYPE_MASK = 0xf;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const MSG_FASTOPEN = 0x20000000;
const IOPRIO_WHO_PROCESS = 1;
const CLONE_THREAD = 0x10000;
/** NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (linux/sched.h). */
const CLONE_NEW_ANY = 0x7e020000;
/** They type into the terminal that the user's shell will read. */
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;
/** As F_SETOWN does, they name a process that gets a signal, of any number, when an fd becomes ready. */
const F_SETOWN_EX = 15;
const FIOSETOWN = 0x8901;
const SIOCSPGRP = 0x8902;

/**
 * The filter: allow by default. Calls whose arguments matter come first, since the kernel caches its verdict about all
 * others and never runs the filter for them (Linux 5.11, seccomp_cache_prepare). `pid` is null where it is not known
 * yet: limits of any process may be set then. With `isAsked`, the filter's listener is asked about what is refused: it
 * must be another process's, and there must never be a second one, which could say yes.
 */
export function seccompProgram(
  options: SeccompOptions,
  pid: number | null,
  isAsked = false,
): Block {
  const no = (errno: number) => isAsked ? ask : refuse(errno);
  const told = isAsked && options.paths ? PATH_SYSCALLS : [];
  return [
    ...load(SECCOMP_DATA_ARCH),
    // 32-bit calls have other numbers; none is made here.
    ...unlessEqual(AUDIT_ARCH_X86_64, refuse(ENOSYS)),
    ...load(SECCOMP_DATA_NR),
    ...ifAtLeast(X32_SYSCALL_BIT, refuse(ENOSYS)),
    ...byArguments(options, pid, no(EPERM)),
    ...always(options, no),
    ...told.flatMap(({ number }) => ifEqual(number, ask)),
    ...allow,
  ];
}

function always(
  { run, sockets, write }: SeccompOptions,
  no: (errno: number) => Block,
): Block {
  const groups = [
    ...run ? [] : [RUN_SYSCALLS],
    ...write ? [] : [METADATA_SYSCALLS],
    ...write || sockets !== "none" ? [] : [FCHMOD],
    ...REFUSED_SYSCALLS,
  ];
  const refused = groups.flatMap((group) =>
    Object.values(group.calls).flatMap((number) =>
      ifEqual(number, no(errnoOf(group)))
    )
  );
  return [...refused, ...ifEqual(CLONE3, refuse(ENOSYS))];
}

/** Every block ends in a verdict, so that the accumulator may change in it. */
function byArguments(
  { run, sockets }: SeccompOptions,
  pid: number | null,
  no: Block,
): Block {
  return [
    ...ifEqual(CHECKED_SYSCALLS.ioctl, [
      ...load(seccompDataArg(1)),
      ...ifEqual(TIOCSTI, no),
      ...ifEqual(TIOCLINUX, no),
      ...run ? [] : ifEqual(FIOSETOWN, no),
      ...run ? [] : ifEqual(SIOCSPGRP, no),
      ...allow,
    ]),
    ...run ? [] : ifEqual(CHECKED_SYSCALLS.fcntl, [
      ...load(seccompDataArg(1)),
      ...ifEqual(F_SETOWN, no),
      ...ifEqual(F_SETOWN_EX, no),
      ...allow,
    ]),
    ...ifEqual(CHECKED_SYSCALLS.clone, [
      ...load(seccompDataArg(0)),
      ...ifAnyBit(CLONE_NEW_ANY, no),
      ...run ? [] : ifAnyBit(CLONE_THREAD, allow),
      ...run ? allow : no,
    ]),
    ...ifEqual(CHECKED_SYSCALLS.seccomp, [
      ...load(seccompDataArg(1)),
      ...ifAnyBit(SECCOMP_FILTER_FLAG_NEW_LISTENER, no),
      ...allow,
    ]),
    ...ifEqual(CHECKED_SYSCALLS.socket, socketRule(sockets, no)),
    // One of datagrams could be sent to whoever listens on the host.
    ...ifEqual(CHECKED_SYSCALLS.socketpair, [
      ...load(seccompDataArg(0)),
      ...unlessEqual(AF_UNIX, no),
      ...load(seccompDataArg(1)),
      ...and(SOCK_TYPE_MASK),
      ...ifEqual(SOCK_STREAM, allow),
      ...no,
    ]),
    ...sockets === "none" ? [] : withoutFastOpen(no),
    ...otherProcesses(run, pid, no),
  ];
}

/** What names a process is for the caller only. */
function otherProcesses(run: boolean, pid: number | null, no: Block): Block {
  const toSelfOnly = (index: number, ...pids: number[]): Block => [
    ...load(seccompDataArg(index)),
    ...pids.flatMap((pid) => ifEqual(pid, allow)),
    ...no,
  ];
  const signals = [
    CHECKED_SYSCALLS.kill,
    CHECKED_SYSCALLS.tgkill,
    CHECKED_SYSCALLS.rt_sigqueueinfo,
    CHECKED_SYSCALLS.rt_tgsigqueueinfo,
  ];
  /** Which argument names it; before that one in two of them, what kind of name it is: a process, not a user, say. */
  const scheduling = [
    [CHECKED_SYSCALLS.sched_setparam, 0],
    [CHECKED_SYSCALLS.sched_setscheduler, 0],
    [CHECKED_SYSCALLS.sched_setaffinity, 0],
    [CHECKED_SYSCALLS.sched_setattr, 0],
    [CHECKED_SYSCALLS.setpriority, 1, PRIO_PROCESS],
    [CHECKED_SYSCALLS.ioprio_set, 1, IOPRIO_WHO_PROCESS],
  ] as const;
  return [
    ...run || pid === null
      ? []
      : signals.flatMap((number) => ifEqual(number, toSelfOnly(0, pid))),
    ...pid === null
      ? []
      : ifEqual(CHECKED_SYSCALLS.prlimit64, toSelfOnly(0, 0, pid)),
    ...scheduling.flatMap(([number, index, kind]) =>
      ifEqual(number, [
        ...kind === undefined
          ? []
          : [...load(seccompDataArg(0)), ...unlessEqual(kind, no)],
        ...toSelfOnly(index, 0),
      ])
    ),
  ];
}

/** Landlock looks at connect() only; this connects as it sends. */
function withoutFastOpen(no: Block): Block {
  const calls = [
    [CHECKED_SYSCALLS.sendto, 3],
    [CHECKED_SYSCALLS.sendmsg, 2],
    [CHECKED_SYSCALLS.sendmmsg, 3],
  ] as const;
  return calls.flatMap(([number, flags]) =>
    ifEqual(number, [
      ...load(seccompDataArg(flags)),
      ...ifAnyBit(MSG_FASTOPEN, no),
      ...allow,
    ])
  );
}

/**
 * Raw and packet sockets, netlink and every rarer family are refused in any case; and protocols beside TCP and UDP, such
 * as MPTCP, whose ports Landlock does not know.
 */
function socketRule(sockets: SeccompOptions["sockets"], no: Block): Block {
  if (sockets === "none") return no;
  const protocols: Block = [
    ...load(seccompDataArg(2)),
    ...[0, IPPROTO_TCP, IPPROTO_UDP].flatMap((protocol) =>
      ifEqual(protocol, allow)
    ),
    ...no,
  ];
  const types: Block = [
    ...load(seccompDataArg(1)),
    ...and(SOCK_TYPE_MASK),
    ...ifEqual(SOCK_STREAM, protocols),
    ...ifEqual(SOCK_DGRAM, protocols),
    ...no,
  ];
  return [
    ...load(seccompDataArg(0)),
    ...[AF_UNIX, AF_INET, AF_INET6].flatMap((family) => ifEqual(family, types)),
    ...no,
  ];
}
