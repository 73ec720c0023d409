// Thread: any
// libc's functions about processes and their rights, which only those that start or close a process call.
import { bindLazily } from "./libc.ts";

export const processLibc = bindLazily({
  prctl: {
    parameters: [
      "i32", /* int option */
      "u32", /* unsigned long */
      "u32", /* unsigned long */
      "u32", /* unsigned long */
      "u32", /* unsigned long */
    ],
    result: "i32",
  },
  prlimit: {
    parameters: [
      "i32", /* pid_t */
      "i32", /* int resource */
      "buffer", /* const struct rlimit *new */
      "buffer", /* struct rlimit *old */
    ],
    result: "i32",
  },
  getpwnam: { parameters: ["buffer" /* const char * */], result: "pointer" },
  getgrouplist: {
    parameters: [
      "buffer", /* const char *user */
      "u32", /* gid_t */
      "buffer", /* gid_t *groups */
      "buffer", /* int *ngroups */
    ],
    result: "i32",
  },
  fchown: {
    parameters: ["i32", /* int fd */ "u32", /* uid_t */ "u32" /* gid_t */],
    result: "i32",
  },
  access: {
    parameters: ["buffer", /* const char *path */ "i32" /* int mode */],
    result: "i32",
  },
  capget: {
    parameters: ["buffer", /* cap_user_header_t */ "buffer" /* data */],
    result: "i32",
  },
  capset: {
    parameters: ["buffer", /* cap_user_header_t */ "buffer" /* data */],
    result: "i32",
  },
  // System calls that libc has no function for, or one that does more, by number; an error comes back through errno.
  syscallSetgroups: {
    name: "syscall",
    parameters: [
      "i32", /* SYS_setgroups */
      "u32", /* size_t */
      "buffer", /* const gid_t * */
    ],
    result: "i32",
  },
  syscallSetresid: {
    name: "syscall",
    parameters: [
      "i32", /* SYS_setresuid, SYS_setresgid */
      "u32", /* real */
      "u32", /* effective */
      "u32", /* saved */
    ],
    result: "i32",
  },
  syscallPidfdOpen: {
    name: "syscall",
    parameters: [
      "i32", /* SYS_pidfd_open */
      "i32", /* pid_t */
      "u32", /* unsigned flags */
    ],
    result: "i32",
  },
  syscallPidfdGetfd: {
    name: "syscall",
    parameters: [
      "i32", /* SYS_pidfd_getfd */
      "i32", /* int pidfd */
      "i32", /* int targetfd */
      "u32", /* unsigned flags */
    ],
    result: "i32",
  },
  syscallSeccomp: {
    name: "syscall",
    parameters: [
      "i32", /* SYS_seccomp */
      "u32", /* unsigned operation */
      "u32", /* unsigned flags */
      "buffer", /* void *args */
    ],
    result: "i32",
  },
  syscallLandlockCreateRuleset: {
    name: "syscall",
    parameters: [
      "i32", /* SYS_landlock_create_ruleset */
      "buffer", /* const struct landlock_ruleset_attr * */
      "u32", /* size_t */
      "u32", /* __u32 flags */
    ],
    result: "i32",
  },
  syscallLandlockAddRule: {
    name: "syscall",
    parameters: [
      "i32", /* SYS_landlock_add_rule */
      "i32", /* int ruleset_fd */
      "i32", /* enum landlock_rule_type */
      "buffer", /* const void *rule_attr */
      "u32", /* __u32 flags */
    ],
    result: "i32",
  },
  syscallLandlockRestrictSelf: {
    name: "syscall",
    parameters: [
      "i32", /* SYS_landlock_restrict_self */
      "i32", /* int ruleset_fd */
      "u32", /* __u32 flags */
    ],
    result: "i32",
  },
  posix_spawn: {
    parameters: [
      "buffer", /* pid_t *pid */
      "buffer", /* const char *path */
      "buffer", /* const posix_spawn_file_actions_t * */
      "buffer", /* const posix_spawnattr_t * */
      "buffer", /* char *const argv[] */
      "buffer", /* char *const envp[] */
    ],
    result: "i32",
  },
  posix_spawn_file_actions_init: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_destroy: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_adddup2: {
    parameters: ["buffer", "i32", /* int fd */ "i32" /* int newfd */],
    result: "i32",
  },
  posix_spawn_file_actions_addclosefrom_np: {
    parameters: ["buffer", "i32" /* int from */],
    result: "i32",
  },
  posix_spawnattr_init: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_destroy: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_setflags: {
    parameters: ["buffer", "i16" /* short flags */],
    result: "i32",
  },
  posix_spawnattr_setsigmask: {
    parameters: ["buffer", "buffer" /* const sigset_t * */],
    result: "i32",
  },
  posix_spawnattr_setsigdefault: {
    parameters: ["buffer", "buffer" /* const sigset_t * */],
    result: "i32",
  },
  unsetenv: { parameters: ["buffer" /* const char * */], result: "i32" },
  waitpid: {
    parameters: [
      "i32", /* pid_t */
      "buffer", /* int *wstatus */
      "i32", /* int options */
    ],
    result: "i32",
  },
  kill: { parameters: ["i32", /* pid_t */ "i32" /* int sig */], result: "i32" },
});
