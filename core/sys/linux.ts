// Thread: any
// Numbers of Linux on x86-64, by the names that its headers give them.

// asm-generic/fcntl.h, linux/fcntl.h, sys/file.h, unistd.h
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_PATH = 0o10000000;
export const O_NOFOLLOW = 0o400000;
export const O_CLOEXEC = 0o2000000;
export const SEEK_END = 2;
export const F_SETFD = 2;
export const F_SETFL = 4;
export const F_SETOWN = 8;
export const FD_CLOEXEC = 1;
export const F_DUPFD_CLOEXEC = 1030;
export const F_ADD_SEALS = 1033;
export const F_SEAL_SEAL = 1;
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;

// linux/limits.h
export const PATH_MAX = 4096;

// linux/falloc.h
export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;

// asm-generic/mman-common.h, linux/mman.h, linux/memfd.h
export const PROT_READ_WRITE = 3;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MADV_HUGEPAGE = 14;
export const MADV_DONTDUMP = 16;
export const MFD_CLOEXEC = 1;
export const MFD_ALLOW_SEALING = 2;

// asm-generic/poll.h
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 0x10;

// linux/eventfd.h, linux/eventpoll.h
export const EFD_CLOEXEC = 0o2000000;
export const EFD_NONBLOCK = 0o4000;
export const EPOLL_CLOEXEC = 0o2000000;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLLIN = 1;
export const EPOLLONESHOT = 2 ** 30;
export const EPOLLET = 2 ** 31;

// asm-generic/signal.h, asm-generic/signal-defs.h, linux/resource.h, linux/sched.h
export const SIGKILL = 9;
export const SIG_BLOCK = 0;
export const SIG_UNBLOCK = 1;
export const PRIO_PROCESS = 0;
export const SCHED_IDLE = 5;

// asm-generic/errno-base.h, asm-generic/errno.h
export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EBADF = 9;
export const EAGAIN = 11;
export const EPIPE = 32;
export const ENOSYS = 38;
export const ECONNRESET = 104;

// linux/socket.h, linux/net.h, asm-generic/socket.h
export const AF_UNIX = 1;
export const SOCK_STREAM = 1;
export const SOCK_CLOEXEC = 0o2000000;
export const SOCK_NONBLOCK = 0o4000;
export const SOL_SOCKET = 1;
export const SCM_RIGHTS = 1;
export const MSG_CTRUNC = 8;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x4000_0000;
export const SHUT_RDWR = 2;
