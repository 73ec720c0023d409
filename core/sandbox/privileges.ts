// Thread: any
// no_new_privs, and root's capabilities, or root itself, taken from the calling thread and what it starts.
import { check } from "../sys/libc.ts";
import { processLibc } from "../sys/process_libc.ts";
import type { User } from "./user.ts";

const PR_SET_NO_NEW_PRIVS = 38;
const PR_CAPBSET_READ = 23;
const PR_CAPBSET_DROP = 24;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const SYS_setgroups = 116;
const SYS_setresuid = 117;
const SYS_setresgid = 119;
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;
const CAPABILITIES = 64;
/** Read and write whatever the owner: Landlock says which files. */
export const CAP_DAC_OVERRIDE = 1;
export const CAP_SETGID = 6;
export const CAP_SETUID = 7;
const CAP_SETPCAP = 8;

/** From now on neither exec nor anything else gives the calling thread new rights. */
export function setNoNewPrivs(): void {
  check(
    "prctl PR_SET_NO_NEW_PRIVS",
    processLibc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
  );
}

/**
 * Makes the calling thread another user's; libc's own functions would do so with all threads. From then on the process is
 * not dumpable, which keeps the user from its memory (proc_pid_mem(5)).
 */
export function becomeUser({ uid, gid, groups }: User): void {
  const list = new Uint8Array(Uint32Array.from(groups).buffer);
  check(
    "setgroups",
    processLibc.syscallSetgroups(SYS_setgroups, groups.length, list),
  );
  check("setresgid", processLibc.syscallSetresid(SYS_setresgid, gid, gid, gid));
  check("setresuid", processLibc.syscallSetresid(SYS_setresuid, uid, uid, uid));
}

/** Takes every capability but those in `keep` from the calling thread; a user who has none loses none. */
export function dropCapabilities(keep: readonly number[]): void {
  // struct __user_cap_header_struct; twice struct __user_cap_data_struct: effective, permitted, inheritable.
  const header = new Uint8Array(
    new Uint32Array([LINUX_CAPABILITY_VERSION_3, 0]).buffer,
  );
  const sets = new Uint32Array(6);
  const data = new Uint8Array(sets.buffer);
  check("capget", processLibc.capget(header, data));
  const has = (set: number, capability: number) =>
    (sets[set + 3 * (capability >> 5)]! & (1 << (capability & 31))) !== 0;
  // exec gives root all of the bounding set again, so that has to go first.
  if (has(0, CAP_SETPCAP)) dropBounding(keep);
  processLibc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  const kept = new Uint32Array(2);
  for (const capability of keep) {
    kept[capability >> 5]! |= 1 << (capability & 31);
  }
  for (const [word, mask] of kept.entries()) {
    sets[3 * word]! &= mask;
    sets[3 * word + 1]! &= mask;
    sets[3 * word + 2] = 0;
  }
  check("capset", processLibc.capset(header, data));
}

function dropBounding(keep: readonly number[]): void {
  for (let capability = 0; capability < CAPABILITIES; capability++) {
    // -1: this kernel has no more.
    if (processLibc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) < 0) return;
    if (keep.includes(capability)) continue;
    check(
      "prctl PR_CAPBSET_DROP",
      processLibc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0),
    );
  }
}
