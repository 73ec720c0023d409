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
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

export const libc = Deno.dlopen("libc.so.6", SYMBOLS).symbols;

// errno is thread-local; a second FFI call could change it, so its address is taken once a thread.
const errnoLocation = libc.__errno_location();
if (errnoLocation === null) throw new Error("libc gave no errno location");
const errnoView = new Deno.UnsafePointerView(errnoLocation);

/** errno of this thread, right after the call that failed. */
export function errno(): number {
  return errnoView.getInt32();
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

// Linux x86-64 values (asm-generic/fcntl.h, mman-common.h, linux/memfd.h, signal.h, falloc.h).
export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_CLOEXEC = 0o2000000;
export const PROT_READ_WRITE = 3;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MADV_HUGEPAGE = 14;
export const MADV_DONTDUMP = 16;
export const MFD_CLOEXEC = 1;
export const EFD_CLOEXEC = 0o2000000;
export const EFD_NONBLOCK = 0o4000;
export const EPOLL_CLOEXEC = 0o2000000;
export const EPOLL_CTL_ADD = 1;
export const EPOLLIN = 1;
export const EPOLLET = 2 ** 31;
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const SIG_BLOCK = 0;
export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;
export const EINTR = 4;
export const EAGAIN = 11;
