// What an attacker with FFI tries, as system calls by number; each gives "done" or the errno that refused it.

const { symbols: libc } = Deno.dlopen("libc.so.6", {
  syscall: {
    parameters: ["i64", "i64", "i64", "i64", "i64", "i64"],
    // A bigint would be allocated, and errno changed by that now and then.
    result: "i32",
  },
  posix_spawn: {
    parameters: ["buffer", "buffer", "pointer", "pointer", "buffer", "buffer"],
    result: "i32",
  },
  __errno_location: { parameters: [], result: "pointer" },
});
// An array and no view, whose methods could change it before it is read.
const errno = new Int32Array(
  Deno.UnsafePointerView.getArrayBuffer(libc.__errno_location()!, 4),
);
/** What was passed last: the kernel reads it by its address. */
let held: readonly (number | Uint8Array<ArrayBuffer>)[] = [];

type Argument = number | string | Uint8Array<ArrayBuffer>;
export type Result = "done" | number;

const bytesOf = (text: string) => new TextEncoder().encode(text + "\0");

/** Returns the result, or minus errno. */
function call(number: number, ...args: readonly Argument[]): number {
  held = args.map((arg) => typeof arg === "string" ? bytesOf(arg) : arg);
  const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n] = held.map((arg) =>
    typeof arg === "number"
      ? BigInt(arg)
      : Deno.UnsafePointer.value(Deno.UnsafePointer.of(arg))
  );
  const result = libc.syscall(BigInt(number), a, b, c, d, e);
  return result < 0 ? -errno[0]! : result;
}

const outcome = (result: number): Result => result < 0 ? -result : "done";
const closing = (fd: number): Result => {
  if (fd >= 0) call(3, fd);
  return outcome(fd);
};

/** What the attacks are aimed at; all of it belongs to the test. */
export interface Targets {
  /** An empty folder that is not granted. */
  readonly folder: string;
  /** A process that is not ours. */
  readonly pid: number;
  /** A TCP port of 127.0.0.1 that somebody listens to. */
  readonly port: number;
  /** A unix socket that somebody listens to. */
  readonly socket: string;
}

function connectTcp(port: number): Result {
  const socket = call(41, 2, 1, 0);
  if (socket < 0) return outcome(socket);
  const address = new Uint8Array(16);
  address.set([2, 0, port >> 8, port & 0xff, 127, 0, 0, 1]);
  const result = call(42, socket, address, 16);
  call(3, socket);
  return outcome(result);
}

function connectUnix(path: string): Result {
  const socket = call(41, 1, 1, 0);
  if (socket < 0) return outcome(socket);
  const address = new Uint8Array(110);
  address.set([1, 0]);
  address.set(bytesOf(path), 2);
  const result = call(42, socket, address, 110);
  call(3, socket);
  return outcome(result);
}

function spawnShell(): Result {
  const path = bytesOf("/bin/true");
  const pointers = new BigUint64Array([
    Deno.UnsafePointer.value(Deno.UnsafePointer.of(path)),
    0n,
  ]);
  const result = libc.posix_spawn(
    new Uint8Array(4),
    path,
    null,
    null,
    new Uint8Array(pointers.buffer),
    new Uint8Array(8),
  );
  return result === 0 ? "done" : result;
}

function watchFolder(folder: string): Result {
  const inotify = call(294, 0);
  const result = call(254, inotify, folder, 0x100);
  call(3, inotify);
  return outcome(result);
}

function mountAndUnmount(folder: string): Result {
  const result = call(165, "none", folder, "tmpfs", 0, 0);
  if (result === 0) call(166, folder, 2);
  return outcome(result);
}

/** A struct sock_fprog of one instruction: the filter of a listener that would say yes. */
function allowAll(): Uint8Array<ArrayBuffer> {
  filter = new Uint8Array(Uint32Array.of(6, 0x7fff0000).buffer);
  const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(filter));
  return new Uint8Array(new BigUint64Array([1n, address]).buffer);
}
let filter: Uint8Array<ArrayBuffer>;

/** SEIZE does not stop its target, and ends with the attacker. */
const PTRACE_SEIZE = 0x4206;

export const ATTACKS = {
  "read /etc/shadow": () => closing(call(257, -100, "/etc/shadow", 0, 0)),
  "write a file": ({ folder }) =>
    closing(call(257, -100, `${folder}/made`, 0o101, 0o600)),
  "list a folder": ({ folder }) =>
    closing(call(257, -100, folder, 0o200000, 0)),
  "run a program": () => spawnShell(),
  "connect to a TCP port": ({ port }) => connectTcp(port),
  "connect to a unix socket": ({ socket }) => connectUnix(socket),
  "open a raw socket": () => closing(call(41, 2, 3, 1)),
  "open a packet socket": () => closing(call(41, 17, 3, 0)),
  "open a netlink socket": () => closing(call(41, 16, 3, 0)),
  "make a datagram socket of a pair": () =>
    outcome(call(53, 1, 2, 0, new Uint8Array(8))),
  "watch a folder": ({ folder }) => watchFolder(folder),
  "trace a process": ({ pid }) => outcome(call(101, PTRACE_SEIZE, pid, 0, 0)),
  "signal a process": ({ pid }) => outcome(call(62, pid, 10)),
  "signal its thread": ({ pid }) => outcome(call(234, pid, pid, 10)),
  "signal by tkill": ({ pid }) => outcome(call(200, pid, 10)),
  "read its memory": ({ pid }) =>
    closing(call(257, -100, `/proc/${pid}/mem`, 0, 0)),
  "read its environment": ({ pid }) =>
    closing(call(257, -100, `/proc/${pid}/environ`, 0, 0)),
  "open its files": ({ pid }) =>
    closing(call(257, -100, `/proc/${pid}/fd/0`, 0, 0)),
  "read its command line": ({ pid }) =>
    closing(call(257, -100, `/proc/${pid}/cmdline`, 0, 0)),
  "write to /proc": () => closing(call(257, -100, "/proc/self/mem", 1, 0)),
  "limit its files": ({ pid }) =>
    outcome(call(302, pid, 7, new Uint8Array(16).fill(9, 0, 1).fill(9, 8, 9))),
  "slow it down": ({ pid }) => outcome(call(141, 0, pid, 19)),
  "choose its processor": ({ pid }) =>
    outcome(call(203, pid, 8, new Uint8Array(8).fill(1, 0, 1))),
  "change a mode": ({ folder }) => outcome(call(90, folder, 0o755)),
  "change an owner": ({ folder }) => outcome(call(92, folder, 0, 0)),
  "change times": ({ folder }) => outcome(call(280, -100, folder, 0, 0)),
  "share memory with others": () => {
    const id = call(29, 0, 4096, 0o600);
    if (id >= 0) call(31, id, 0, 0);
    return outcome(id);
  },
  "open a message queue": () => {
    const id = call(68, 0, 0o600);
    if (id >= 0) call(71, id, 0, 0);
    return outcome(id);
  },
  "mount": ({ folder }) => mountAndUnmount(folder),
  "make a namespace": () => outcome(call(272, 0x04000000)),
  "load a BPF map": () =>
    closing(
      call(
        321,
        0,
        new Uint8Array(new Uint32Array([2, 4, 8, 1, 0, 0, 0, 0]).buffer),
        32,
      ),
    ),
  "open by handle": () =>
    outcome(
      call(303, -100, "/", new Uint8Array(136).fill(128, 0, 1), "....", 0),
    ),
  "set up io_uring": () => closing(call(425, 1, new Uint8Array(120))),
  "answer for its owner": () => closing(call(317, 1, 8, allowAll())),
  "use a key ring": () => outcome(call(250, 0, -3, 1, 0)),
} as const satisfies Readonly<Record<string, (targets: Targets) => Result>>;

export type Attack = keyof typeof ATTACKS;

/** Tries all of them. */
export function attack(targets: Targets): Record<Attack, Result> {
  return Object.fromEntries(
    Object.entries(ATTACKS).map(([name, run]) => [name, run(targets)]),
  ) as Record<Attack, Result>;
}
