// Thread: any
// A thread that confines itself, starts one process, which inherits that, and ends: the process it is in stays free.
import { SysError } from "../errors.ts";
import { libc } from "../sys/libc.ts";
import { workerScope } from "../sys/worker_scope.ts";
import { type LandlockRules, restrictThread } from "./landlock.ts";
import { posixSpawn, type SpawnOptions } from "./posix_spawn.ts";
import { CAP_DAC_OVERRIDE, dropCapabilities } from "./privileges.ts";
import { limitProcess, type MemoryLimit } from "./rlimits.ts";
import { installSeccompBeforeExec } from "./seccomp.ts";
import type { SeccompOptions } from "./seccomp_filter.ts";

export interface ConfinedSpawn extends SpawnOptions {
  readonly landlock: LandlockRules;
  readonly memory: MemoryLimit | undefined;
  /** For a child that does not close itself. */
  readonly seccomp: SeccompOptions | null;
}

export type Spawned =
  | { readonly pid: number; readonly missing: readonly string[] }
  | { readonly call: string; readonly errno: number }
  | { readonly error: string };

const SIGKILL = 9;
const scope = workerScope<ConfinedSpawn, Spawned>();

// Nothing asynchronous from here on: a thread that Deno started for it would be confined too.
scope.onmessage = ({ data }) => {
  scope.postMessage(spawn(data));
  scope.close();
};

function spawn(options: ConfinedSpawn): Spawned {
  try {
    const missing = restrictThread(options.landlock);
    dropCapabilities([CAP_DAC_OVERRIDE]);
    if (options.seccomp !== null) installSeccompBeforeExec(options.seccomp);
    const pid = posixSpawn(options);
    try {
      limitProcess(pid, options.memory);
    } catch (error) {
      libc.kill(pid, SIGKILL);
      throw error;
    }
    return { pid, missing };
  } catch (error) {
    if (error instanceof SysError) {
      return { call: error.call, errno: error.errno };
    }
    return { error: String(error) };
  }
}
