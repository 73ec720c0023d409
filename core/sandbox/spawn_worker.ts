// Thread: any
// A thread that confines itself, starts one process, which inherits that, and ends: the process it is in stays free.
import { HostError, SysError } from "../errors.ts";
import { cString, errno } from "../sys/libc.ts";
import { processLibc } from "../sys/process_libc.ts";
import { ENOENT, SIGKILL } from "../sys/linux.ts";
import { workerScope } from "../sys/worker_scope.ts";
import { type LandlockRules, restrictThread } from "./landlock.ts";
import { posixSpawn, type SpawnOptions } from "./posix_spawn.ts";
import {
  becomeUser,
  CAP_DAC_OVERRIDE,
  CAP_SETGID,
  CAP_SETUID,
  dropCapabilities,
} from "./privileges.ts";
import { limitProcess, type MemoryLimit } from "./rlimits.ts";
import { installSeccompBeforeExec } from "./seccomp.ts";
import type { SeccompOptions } from "./seccomp_filter.ts";

import type { User } from "./user.ts";

export interface ConfinedSpawn extends SpawnOptions {
  readonly landlock: LandlockRules;
  readonly memory: MemoryLimit | undefined;
  /** Whom it runs as, where that is not this process's user. */
  readonly user: User | null;
  /** For a child that does not close itself. */
  readonly seccomp: SeccompOptions | null;
}

export type Spawned =
  | { readonly pid: number; readonly missing: readonly string[] }
  | { readonly call: string; readonly errno: number }
  | { readonly error: string };

const scope = workerScope<ConfinedSpawn, Spawned>();

// Nothing asynchronous from here on: a thread that Deno started for it would be confined too.
scope.onmessage = ({ data }) => {
  scope.postMessage(spawn(data));
  scope.close();
};

const F_OK = 0;
const W_OK = 2;
const R_OK = 4;

/** What the user lacks is told by name: the child itself would only fail. */
function refuseClosed({ name }: User, rules: LandlockRules): void {
  const needs = [
    [R_OK, "read", [...rules.exec, ...rules.read, ...rules.devices]],
    [W_OK, "write", [...rules.write, ...rules.devices]],
  ] as const;
  for (const [mode, verb, paths] of needs) {
    const closed = paths.find((path) => mayNot(path, mode));
    if (closed === undefined) continue;
    throw new HostError(
      `user ${name} may not ${verb} ${closed}; let it, or name another user`,
    );
  }
}

/** What is not there needs no right; it may be hidden from the user, though. */
function mayNot(path: string, mode: number): boolean {
  if (processLibc.access(cString(path), mode) === 0) return false;
  return !(processLibc.access(cString(path), F_OK) !== 0 && errno() === ENOENT);
}

function spawn(options: ConfinedSpawn): Spawned {
  try {
    const missing = restrictThread(options.landlock);
    if (options.user === null) dropCapabilities([CAP_DAC_OVERRIDE]);
    else {
      dropCapabilities([CAP_SETGID, CAP_SETUID]);
      becomeUser(options.user);
      dropCapabilities([]);
      refuseClosed(options.user, options.landlock);
    }
    if (options.seccomp !== null) installSeccompBeforeExec(options.seccomp);
    const pid = posixSpawn(options);
    try {
      limitProcess(pid, options.memory);
    } catch (error) {
      processLibc.kill(pid, SIGKILL);
      throw error;
    }
    return { pid, missing };
  } catch (error) {
    if (error instanceof SysError) {
      return { call: error.call, errno: error.errno };
    }
    return {
      error: error instanceof HostError ? error.message : String(error),
    };
  }
}
