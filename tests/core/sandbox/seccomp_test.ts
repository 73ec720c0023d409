import { assert, assertEquals } from "@std/assert";
import { assemble } from "../../../core/sandbox/bpf.ts";
import {
  CLOSED,
  type SeccompOptions,
  seccompProgram,
} from "../../../core/sandbox/seccomp_filter.ts";

const PID = 4242;
const ALLOW = 0x7fff0000;
const EPERM = 0x50001;
const ENOSYS = 0x50026;

/** A seccomp_data: number, architecture, arguments. */
function data(
  nr: number,
  args: readonly number[],
  arch: number,
): DataView<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(64));
  view.setUint32(0, nr, true);
  view.setUint32(4, arch, true);
  for (const [index, arg] of args.entries()) {
    view.setBigUint64(16 + 8 * index, BigInt.asUintN(64, BigInt(arg)), true);
  }
  return view;
}

/** The kernel's interpreter, as far as filters here go (linux/filter.h); also says whether an argument was read. */
function interpret(
  program: Uint8Array<ArrayBuffer>,
  input: DataView<ArrayBuffer>,
): { verdict: number; readArgument: boolean } {
  const view = new DataView(program.buffer);
  let readArgument = false;
  let a = 0;
  for (let pc = 0; pc < program.length / 8; pc++) {
    const at = pc * 8;
    const k = view.getUint32(at + 4, true);
    const jump = (taken: boolean) => pc += view.getUint8(at + (taken ? 2 : 3));
    switch (view.getUint16(at, true)) {
      case 0x20:
        readArgument ||= k >= 16;
        a = input.getUint32(k, true);
        break;
      case 0x15:
        jump(a === k);
        break;
      case 0x35:
        jump(a >= k);
        break;
      case 0x45:
        jump((a & k) !== 0);
        break;
      case 0x54:
        a = (a & k) >>> 0;
        break;
      case 0x06:
        return { verdict: k, readArgument };
      default:
        throw new Error(`instruction ${pc} is unknown`);
    }
  }
  throw new Error("the filter ends without a verdict");
}

function verdict(
  nr: number,
  args: readonly number[] = [],
  options = CLOSED,
  arch = 0xc000003e,
  isAsked = false,
): number {
  const program = assemble(seccompProgram(options, PID, isAsked));
  return interpret(program, data(nr, args, arch)).verdict;
}

Deno.test("The filter lets pass what Deno and KVM do all day", () => {
  // read, write, mmap, futex, openat, epoll_wait, exit_group, sigtimedwait, prctl, memfd_create, sendmsg
  for (const nr of [0, 1, 9, 202, 257, 232, 231, 128, 157, 319, 46]) {
    assertEquals(verdict(nr), ALLOW, `${nr}`);
  }
  // KVM_RUN, TIOCGWINSZ
  assertEquals(verdict(16, [5, 0xae80]), ALLOW);
  assertEquals(verdict(16, [0, 0x5413]), ALLOW);
});

Deno.test("The filter refuses by number", () => {
  const refused = [59, 322, 57, 58, 101, 310, 311, 165, 166, 155, 321, 298];
  refused.push(272, 308, 313, 246, 320, 250, 323, 169, 135, 304, 424, 438, 200);
  for (const nr of refused) assertEquals(verdict(nr), EPERM, `${nr}`);
  // clone3, io_uring_*
  for (const nr of [435, 425, 426, 427]) assertEquals(verdict(nr), ENOSYS);
});

Deno.test("The filter knows no other architecture and no x32 calls", () => {
  assertEquals(verdict(0, [], CLOSED, 0x40000003), ENOSYS);
  assertEquals(
    verdict(11, [], { ...CLOSED, run: true, sockets: "inet" }, 0x40000003),
    ENOSYS,
  );
  assertEquals(verdict(0x40000000), ENOSYS);
  assertEquals(verdict(0x4000003b), ENOSYS);
});

Deno.test("The filter lets threads start, but no process and no namespace", () => {
  const thread = 0x3d0f00;
  assertEquals(verdict(56, [thread]), ALLOW);
  assertEquals(verdict(56, [17]), EPERM);
  for (const flag of [0x20000, 0x2000000, 0x10000000, 0x20000000, 0x40000000]) {
    assertEquals(verdict(56, [thread | flag]), EPERM);
    assertEquals(verdict(56, [17 | flag], { ...CLOSED, run: true }), EPERM);
  }
  assertEquals(verdict(56, [17], { ...CLOSED, run: true }), ALLOW);
  assertEquals(verdict(59, [], { ...CLOSED, run: true }), ALLOW);
});

Deno.test("The filter lets signals go to this process only", () => {
  // kill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo
  for (const nr of [62, 234, 129, 297]) {
    assertEquals(verdict(nr, [PID]), ALLOW);
    for (const pid of [1, 0, -1, -PID, PID + 1]) {
      assertEquals(verdict(nr, [pid, PID, PID]), EPERM, `${nr} ${pid}`);
    }
  }
  // prlimit64
  assertEquals(verdict(302, [0]), ALLOW);
  assertEquals(verdict(302, [PID]), ALLOW);
  assertEquals(verdict(302, [PID + 1]), EPERM);
});

Deno.test("The filter lets no descriptor send signals to another process", () => {
  // fcntl F_SETOWN, F_SETOWN_EX; ioctl FIOSETOWN, SIOCSPGRP
  assertEquals(verdict(72, [5, 8]), EPERM);
  assertEquals(verdict(72, [5, 15]), EPERM);
  assertEquals(verdict(16, [5, 0x8901]), EPERM);
  assertEquals(verdict(16, [5, 0x8902]), EPERM);
  // F_SETFL, F_DUPFD_CLOEXEC
  assertEquals(verdict(72, [5, 4]), ALLOW);
  assertEquals(verdict(72, [5, 1030]), ALLOW);
});

Deno.test("The filter lets the sockets be made that are granted", () => {
  const table: [
    family: number,
    type: number,
    none: number,
    inet: number,
  ][] = [
    [1, 1, EPERM, ALLOW],
    [1, 0x80802, EPERM, ALLOW],
    [2, 1, EPERM, ALLOW],
    [10, 0x80002, EPERM, ALLOW],
    [2, 3, EPERM, EPERM],
    [10, 0x80003, EPERM, EPERM],
    [1, 5, EPERM, EPERM],
    // netlink, packet, vsock, AF_ALG
    [16, 3, EPERM, EPERM],
    [17, 3, EPERM, EPERM],
    [40, 1, EPERM, EPERM],
    [38, 5, EPERM, EPERM],
  ];
  for (const [family, type, ...verdicts] of table) {
    for (
      const [index, sockets] of (["none", "inet"] as const).entries()
    ) {
      const options = { ...CLOSED, sockets };
      assertEquals(verdict(41, [family, type], options), verdicts[index]);
    }
  }
});

Deno.test("The filter lets nobody type into the terminal", () => {
  assertEquals(verdict(16, [0, 0x5412]), EPERM);
  assertEquals(verdict(16, [0, 0x541c]), EPERM);
  // The kernel looks at the low half of the request only.
  assertEquals(verdict(16, [0, 0x1_0000_5412]), EPERM);
});

Deno.test("The filter reads arguments of a few calls only, so that the kernel caches its verdict about all others", () => {
  const program = assemble(seccompProgram(CLOSED, PID));
  const reading = [];
  for (let nr = 0; nr < 500; nr++) {
    const { readArgument } = interpret(program, data(nr, [], 0xc000003e));
    if (readArgument) reading.push(nr);
  }
  const scheduling = [141, 142, 144, 203, 251, 314];
  const others = [16, 53, 56, 62, 72, 129, 234, 297, 302, 317];
  assertEquals(reading, [...scheduling, ...others].sort((a, b) => a - b));
  assert(program.length / 8 < 4096, "BPF_MAXINSNS");
});

Deno.test("The filter lets files be changed only where some may be written", () => {
  const metadata = [90, 268, 452, 92, 93, 94, 260, 132, 235, 261, 280];
  const attributes = [188, 189, 190, 463, 197, 198, 199, 466, 469];
  for (const nr of [...metadata, ...attributes]) {
    assertEquals(verdict(nr), EPERM, `${nr}`);
    assertEquals(verdict(nr, [], { ...CLOSED, write: true }), ALLOW, `${nr}`);
  }
  // fchmod, which the making of a socket needs
  assertEquals(verdict(91), EPERM);
  assertEquals(verdict(91, [], { ...CLOSED, sockets: "inet" }), ALLOW);
});

Deno.test("The filter lets nobody change how other processes are scheduled", () => {
  // setpriority with PRIO_PROCESS, ioprio_set with IOPRIO_WHO_PROCESS
  for (const [nr, process] of [[141, 0], [251, 1]] as const) {
    assertEquals(verdict(nr, [process, 0]), ALLOW, `${nr}`);
    for (const who of [1, PID]) {
      assertEquals(verdict(nr, [process, who]), EPERM);
    }
    // A group, a user
    for (const which of [1 - process, 2, 3]) {
      assertEquals(verdict(nr, [which, 0]), EPERM, `${nr} ${which}`);
    }
  }
  // sched_setparam, sched_setscheduler, sched_setaffinity, sched_setattr
  for (const nr of [142, 144, 203, 314]) {
    assertEquals(verdict(nr, [0]), ALLOW, `${nr}`);
    for (const pid of [1, PID]) assertEquals(verdict(nr, [pid]), EPERM);
  }
});

Deno.test("The filter of before exec lets the child be started and limited, and no more", () => {
  const program = assemble(seccompProgram({ ...CLOSED, run: true }, null));
  const before = (nr: number, args: readonly number[] = []) =>
    interpret(program, data(nr, args, 0xc000003e)).verdict;
  // clone, execve, prlimit64
  for (const [nr, arg] of [[56, 17], [59, 0], [302, PID]] as const) {
    assertEquals(before(nr, [arg]), ALLOW, `${nr}`);
  }
  for (const nr of [101, 41, 90, 165, 321]) {
    assertEquals(before(nr), EPERM, `${nr}`);
  }
});

Deno.test("The filter that asks asks about all that the other refuses, but what every thread tries", () => {
  const asking = (nr: number, args: readonly number[] = [], paths = false) =>
    verdict(nr, args, { ...CLOSED, paths }, 0xc000003e, true);
  const ASK = 0x7fc00000;
  for (let nr = 0; nr < 500; nr++) {
    const refused = verdict(nr) !== ALLOW && nr !== 435;
    assertEquals(asking(nr) === ASK, refused, `${nr}`);
  }
  assertEquals(asking(435), ENOSYS);
  assertEquals(asking(62, [1]), ASK);
  assertEquals(asking(62, [PID]), ALLOW);
  // open, openat, openat2, unlinkat, renameat2, symlinkat; read, fstat
  for (const nr of [2, 257, 437, 263, 316, 266]) {
    assertEquals(asking(nr), ALLOW);
    assertEquals(asking(nr, [], true), ASK, `${nr}`);
  }
  for (const nr of [0, 5]) assertEquals(asking(nr, [], true), ALLOW);
});

Deno.test("The filter lets nobody have a listener who could say yes", () => {
  const ASK = 0x7fc00000;
  // SECCOMP_SET_MODE_FILTER; NEW_LISTENER, with others and alone; TSYNC
  for (const flags of [8, 8 | 1 | 16, 8 | 32]) {
    assertEquals(verdict(317, [1, flags]), EPERM);
    assertEquals(verdict(317, [1, flags], CLOSED, 0xc000003e, true), ASK);
    assertEquals(verdict(317, [1, flags], { ...CLOSED, run: true }), EPERM);
  }
  assertEquals(verdict(317, [1, 1]), ALLOW);
});

Deno.test("The filter lets pairs of sockets be made that reach nobody else", () => {
  // socketpair: AF_UNIX with SOCK_STREAM, and flags; then datagrams, packets, other families
  assertEquals(verdict(53, [1, 1]), ALLOW);
  assertEquals(verdict(53, [1, 0x80801]), ALLOW);
  for (const sockets of ["none", "inet"] as const) {
    const options = { ...CLOSED, sockets };
    for (const [family, type] of [[1, 2], [1, 5], [2, 1], [16, 3], [40, 1]]) {
      assertEquals(verdict(53, [family!, type!], options), EPERM);
    }
  }
});

Deno.test("The filter lets TCP be used in no way whose ports Landlock does not see", () => {
  const inet: SeccompOptions = { ...CLOSED, sockets: "inet" };
  // IPPROTO_TCP, UDP; MPTCP, SMC, SCTP
  for (const protocol of [0, 6, 17]) {
    assertEquals(verdict(41, [2, 1, protocol], inet), ALLOW);
  }
  for (const protocol of [262, 256, 132]) {
    assertEquals(verdict(41, [2, 1, protocol], inet), EPERM);
  }
  // sendto, sendmsg, sendmmsg with MSG_FASTOPEN, and with MSG_NOSIGNAL
  for (const [nr, at] of [[44, 3], [46, 2], [307, 3]] as const) {
    const flags = (value: number) => [5, 0, 0, 0].with(at, value);
    assertEquals(verdict(nr, flags(0x20000000), inet), EPERM, `${nr}`);
    assertEquals(verdict(nr, flags(0x4000), inet), ALLOW, `${nr}`);
  }
});
