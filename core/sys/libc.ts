// Thread: any
// The only dlopen: libc, with the C type beside each parameter, and one throwing wrapper that keeps errno.
import { SysError } from "../errors.ts";

const SYMBOLS = {
  open: {
    parameters: [
      "buffer", /* const char *path */
      "i32", /* int flags */
      "u32", /* mode_t */
    ],
    result: "i32",
  },
  close: { parameters: ["i32" /* int fd */], result: "i32" },
  read: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* void *buf */
      "u32", /* size_t */
    ],
    result: "i32",
  },
  write: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* const void *buf */
      "u32", /* size_t */
    ],
    result: "i32",
  },
  // The same symbol with its argument as an integer and as a pointer: KVM uses both. Requests and integer
  // arguments fit 32 bits (x86-64 zero-extends them), and a u32 costs no BigInt.
  ioctl: {
    parameters: [
      "i32", /* int fd */
      "u32", /* request */
      "u32", /* unsigned long */
    ],
    result: "i32",
  },
  ioctlPtr: {
    name: "ioctl",
    parameters: [
      "i32", /* int fd */
      "u32", /* request */
      "buffer", /* void *argp */
    ],
    result: "i32",
  },
  mmap: {
    parameters: [
      "pointer", /* void *addr */
      "usize", /* size_t length */
      "i32", /* int prot */
      "i32", /* int flags */
      "i32", /* int fd */
      "i64", /* off_t offset */
    ],
    result: "pointer",
  },
  munmap: {
    parameters: ["pointer", /* void *addr */ "usize" /* size_t */],
    result: "i32",
  },
  poll: {
    parameters: [
      "buffer", /* struct pollfd * */
      "u32", /* nfds_t */
      "i32", /* int ms */
    ],
    result: "i32",
  },
  readlink: {
    parameters: [
      "buffer", /* const char *path */
      "buffer", /* char *buf */
      "u32", /* size_t */
    ],
    result: "i32",
  },
  realpath: {
    parameters: [
      "buffer", /* const char *path */
      "buffer", /* char resolved[PATH_MAX] */
    ],
    result: "pointer",
  },
  pread: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* void *buf */
      "u32", /* size_t */
      "i64", /* off_t */
    ],
    result: "i32",
  },
  madvise: {
    parameters: [
      "pointer", /* void *addr */
      "usize", /* size_t */
      "i32", /* int advice */
    ],
    result: "i32",
  },
  memfd_create: {
    parameters: ["buffer", /* const char *name */ "u32" /* unsigned flags */],
    result: "i32",
  },
  ftruncate: {
    parameters: ["i32", /* int fd */ "i64" /* off_t */],
    result: "i32",
  },
  fchmod: {
    parameters: ["i32", /* int fd */ "u32" /* mode_t */],
    result: "i32",
  },
  lseek: {
    parameters: [
      "i32", /* int fd */
      "i64", /* off_t */
      "i32", /* int whence */
    ],
    result: "i64",
  },
  dup3: {
    parameters: [
      "i32", /* int oldfd */
      "i32", /* int newfd */
      "i32", /* int flags */
    ],
    result: "i32",
  },
  fallocate: {
    parameters: [
      "i32", /* int fd */
      "i32", /* int mode */
      "i64", /* off_t offset */
      "i64", /* off_t len */
    ],
    result: "i32",
  },
  flock: {
    parameters: ["i32", /* int fd */ "i32" /* int operation */],
    result: "i32",
  },
  eventfd: {
    parameters: ["u32", /* unsigned initval */ "i32" /* int flags */],
    result: "i32",
  },
  epoll_create1: { parameters: ["i32" /* int flags */], result: "i32" },
  epoll_ctl: {
    parameters: [
      "i32", /* int epfd */
      "i32", /* int op */
      "i32", /* int fd */
      "buffer", /* struct epoll_event * */
    ],
    result: "i32",
  },
  epoll_wait: {
    parameters: [
      "i32", /* int epfd */
      "buffer", /* struct epoll_event * */
      "i32", /* int max */
      "i32", /* int ms */
    ],
    result: "i32",
  },
  gettid: { parameters: [], result: "i32" },
  getpid: { parameters: [], result: "i32" },
  setpriority: {
    parameters: [
      "i32", /* int which */
      "i32", /* id_t */
      "i32", /* int prio */
    ],
    result: "i32",
  },
  sched_setscheduler: {
    parameters: [
      "i32", /* pid_t */
      "i32", /* int policy */
      "buffer", /* const struct sched_param * */
    ],
    result: "i32",
  },
  getdents64: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* void *dirp */
      "u32", /* size_t */
    ],
    result: "i32",
  },
  tgkill: {
    parameters: [
      "i32", /* pid_t tgid */
      "i32", /* pid_t tid */
      "i32", /* int sig */
    ],
    result: "i32",
  },
  pthread_sigmask: {
    parameters: [
      "i32", /* int how */
      "buffer", /* const sigset_t *set */
      "pointer", /* sigset_t *oldset */
    ],
    result: "i32",
  },
  sigtimedwait: {
    parameters: [
      "buffer", /* const sigset_t * */
      "pointer", /* siginfo_t * */
      "buffer", /* const struct timespec * */
    ],
    result: "i32",
  },
  geteuid: { parameters: [], result: "u32" },
  getenv: { parameters: ["buffer" /* const char * */], result: "pointer" },
  fcntl: {
    parameters: ["i32", /* int fd */ "i32", /* int cmd */ "i32" /* int arg */],
    result: "i32",
  },
  dup2: {
    parameters: ["i32", /* int oldfd */ "i32" /* int newfd */],
    result: "i32",
  },
  pipe2: {
    parameters: ["buffer", /* int fds[2] */ "i32" /* int flags */],
    result: "i32",
  },
  // In the blocking pool, for a thread that must not block; errno is that of a pool thread, and lost.
  epollWaitInPool: {
    name: "epoll_wait",
    nonblocking: true,
    parameters: [
      "i32", /* int epfd */
      "buffer", /* struct epoll_event * */
      "i32", /* int max */
      "i32", /* int ms */
    ],
    result: "i32",
  },
  writeInPool: {
    name: "write",
    nonblocking: true,
    parameters: [
      "i32", /* int fd */
      "buffer", /* const void *buf */
      "u32", /* size_t */
    ],
    result: "i32",
  },
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Functions of libc by a table of them. Binding one costs a thread 0.2 ms, so each is bound when it is first called. */
export function bindLazily<const Symbols extends Deno.ForeignLibraryInterface>(
  table: Symbols,
): Deno.DynamicLibrary<Symbols>["symbols"] {
  const bound = {} as Deno.DynamicLibrary<Symbols>["symbols"];
  for (const [name, symbol] of Object.entries(table)) {
    Object.defineProperty(bound, name, {
      configurable: true,
      get() {
        const { symbols } = Deno.dlopen("libc.so.6", { [name]: symbol });
        const value = symbols[name];
        Object.defineProperty(bound, name, { value });
        return value;
      },
    });
  }
  return bound;
}

export const libc = bindLazily(SYMBOLS);

// errno is thread-local; a second FFI call could change it, so its address is taken once a thread.
const errnoLocation = libc.__errno_location();
if (errnoLocation === null) throw new Error("libc gave no errno location");
// An array and no view: what Deno does for a view's methods could change it before it is read.
const errnoWord = new Int32Array(
  Deno.UnsafePointerView.getArrayBuffer(errnoLocation, 4),
);

/** errno of this thread, right after the call that failed. */
export function errno(): number {
  return errnoWord[0]!;
}

/** Passes a libc result on, or throws a {@linkcode SysError} with errno when it is negative. */
export function check(
  call: string,
  result: number | bigint,
  hint?: string,
): number {
  if (result < 0) throw new SysError(call, errno(), hint);
  return Number(result);
}

/** A NUL-terminated copy for C. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text + "\0");
}

/** The text before the first NUL. */
export function cText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
