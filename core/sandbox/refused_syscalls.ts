// Thread: any
// The system calls that a closed process is refused: name, x86-64 number, why.
import { ENOSYS, EPERM } from "../sys/linux.ts";

/** One group, refused for one reason. */
export interface Refused {
  readonly why: string;
  /** ENOSYS where a library then does without; else EPERM. */
  readonly errno?: "ENOSYS";
  readonly calls: Readonly<Record<string, number>>;
}

/** What a call of this group fails with. */
export const errnoOf = ({ errno }: Refused): number =>
  errno === "ENOSYS" ? ENOSYS : EPERM;

/** Whether they are refused depends on their arguments (seccomp_filter.ts). */
export const CHECKED_SYSCALLS = {
  ioctl: 16,
  socket: 41,
  sendto: 44,
  sendmsg: 46,
  socketpair: 53,
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
  sendmmsg: 307,
  prlimit64: 302,
  sched_setattr: 314,
  seccomp: 317,
} as const;

/** Only where the caller grants no programs to run. */
export const RUN_SYSCALLS: Refused = {
  why: "another program has none of this process's checks",
  calls: { execve: 59, execveat: 322, fork: 57, vfork: 58 },
};

/** Only where the caller grants no file to write: Landlock has no rule for what is not in a file (landlock.rst, ABI 7). */
export const METADATA_SYSCALLS: Refused = {
  why: "changes whose a file is and who may open it, wherever it lies",
  calls: {
    chmod: 90,
    fchmodat: 268,
    fchmodat2: 452,
    chown: 92,
    fchown: 93,
    lchown: 94,
    fchownat: 260,
    utime: 132,
    utimes: 235,
    futimesat: 261,
    utimensat: 280,
    setxattr: 188,
    lsetxattr: 189,
    fsetxattr: 190,
    setxattrat: 463,
    removexattr: 197,
    lremovexattr: 198,
    fremovexattr: 199,
    removexattrat: 466,
    file_setattr: 469,
  },
};

/** And only where no socket is made either, which has a mode too. */
export const FCHMOD: Refused = {
  why: METADATA_SYSCALLS.why,
  calls: { fchmod: 91 },
};

/**
 * Fails with ENOSYS, and is told to nobody: glibc tries it for each new thread, and then calls clone, whose flags a
 * filter can see.
 */
export const CLONE3 = 435;

export const REFUSED_SYSCALLS: readonly Refused[] = [
  {
    why: "what it does passes a filter unseen; libraries then use epoll",
    errno: "ENOSYS",
    calls: { io_uring_setup: 425, io_uring_enter: 426, io_uring_register: 427 },
  },
  {
    why: "reads, changes or signals other processes",
    calls: {
      ptrace: 101,
      process_vm_readv: 310,
      process_vm_writev: 311,
      process_madvise: 440,
      process_mrelease: 448,
      pidfd_getfd: 438,
      pidfd_send_signal: 424,
      kcmp: 312,
      move_pages: 279,
      migrate_pages: 256,
      // A thread id says nothing about whose thread it is; glibc uses tgkill.
      tkill: 200,
    },
  },
  {
    why: "changes what a path means",
    calls: {
      mount: 165,
      umount2: 166,
      pivot_root: 155,
      chroot: 161,
      open_tree: 428,
      open_tree_attr: 467,
      move_mount: 429,
      fsopen: 430,
      fsconfig: 431,
      fsmount: 432,
      fspick: 433,
      mount_setattr: 442,
      quotactl: 179,
      quotactl_fd: 443,
      swapon: 167,
      swapoff: 168,
    },
  },
  {
    why: "tells what happens to files that may not be opened",
    calls: { inotify_add_watch: 254 },
  },
  {
    why: "opens files without their path",
    calls: { open_by_handle_at: 304, name_to_handle_at: 303 },
  },
  {
    why: "enters or makes namespaces",
    calls: { unshare: 272, setns: 308 },
  },
  {
    why: "puts code into the kernel, or asks it to run another",
    calls: {
      bpf: 321,
      init_module: 175,
      finit_module: 313,
      delete_module: 176,
      kexec_load: 246,
      kexec_file_load: 320,
      reboot: 169,
    },
  },
  {
    why: "a part of the kernel with a history of faults that nothing here uses",
    calls: {
      perf_event_open: 298,
      userfaultfd: 323,
      keyctl: 250,
      add_key: 248,
      request_key: 249,
      fanotify_init: 300,
      lookup_dcookie: 212,
      uselib: 134,
      modify_ldt: 154,
      personality: 135,
    },
  },
  {
    why: "reaches objects of other programs, which have no path",
    calls: {
      shmget: 29,
      shmat: 30,
      shmctl: 31,
      shmdt: 67,
      semget: 64,
      semop: 65,
      semctl: 66,
      semtimedop: 220,
      msgget: 68,
      msgsnd: 69,
      msgrcv: 70,
      msgctl: 71,
      mq_open: 240,
      mq_unlink: 241,
    },
  },
  {
    why: "belongs to the host's administrator",
    calls: {
      settimeofday: 164,
      clock_settime: 227,
      clock_adjtime: 305,
      adjtimex: 159,
      sethostname: 170,
      setdomainname: 171,
      iopl: 172,
      ioperm: 173,
      syslog: 103,
      acct: 163,
      vhangup: 153,
      mknod: 133,
      mknodat: 259,
    },
  },
];
