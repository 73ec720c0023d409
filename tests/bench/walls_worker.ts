// A thread that puts up the walls that it is told to, one at a time, and starts a process behind them.
import {
  type LandlockRules,
  restrictThread,
} from "../../core/sandbox/landlock.ts";
import {
  posixSpawn,
  type SpawnOptions,
} from "../../core/sandbox/posix_spawn.ts";
import {
  CAP_DAC_OVERRIDE,
  dropCapabilities,
} from "../../core/sandbox/privileges.ts";
import { limitProcess } from "../../core/sandbox/rlimits.ts";
import { workerScope } from "../../core/sys/worker_scope.ts";

export type Wall = "landlock" | "capabilities" | "rlimits";

export interface WalledSpawn {
  readonly plan: SpawnOptions;
  readonly walls: readonly Wall[];
  readonly landlock: LandlockRules;
}

const scope = workerScope<WalledSpawn, number>();
scope.onmessage = ({ data: { plan, walls, landlock } }) => {
  if (walls.includes("landlock")) restrictThread(landlock);
  if (walls.includes("capabilities")) dropCapabilities([CAP_DAC_OVERRIDE]);
  const pid = posixSpawn(plan);
  if (walls.includes("rlimits")) {
    limitProcess(pid, { bytes: 2 ** 29, workers: 1 });
  }
  scope.postMessage(pid);
  scope.close();
};
