// What each wall around a process costs at its start: a deno that ends at once, behind one of them or all.
import { watchChild } from "../../core/sandbox/child.ts";
import { closeVariable } from "../../core/sandbox/closing.ts";
import {
  denoEnvironment,
  denoExecutables,
  denoReads,
} from "../../core/sandbox/deno_rights.ts";
import {
  posixSpawn,
  type SpawnOptions,
} from "../../core/sandbox/posix_spawn.ts";
import { CLOSED } from "../../core/sandbox/seccomp_filter.ts";
import { spawnConfined } from "../../core/sandbox/spawn.ts";
import { NOTHING } from "../support/permissions.ts";
import { now } from "./paddock.ts";
import { inTurns, median, type Row, type Section } from "./report.ts";
import type { Wall, WalledSpawn } from "./walls_worker.ts";

const ROUNDS = 15;
const ENTRY = new URL("../core/sandbox/child_process.ts", import.meta.url);
const FOLDER = new URL(".", ENTRY).pathname;
const TELLING = "with all, and told of it";
const TITLE = "walls: a deno that ends at once, behind each";

/** By name: walls from outside, and whether the process closes itself by seccomp. */
const KINDS: Readonly<Record<string, readonly [readonly Wall[], boolean]>> = {
  "a thread of its own": [[], false],
  "with Landlock": [["landlock"], false],
  "with no capabilities": [["capabilities"], false],
  "with rlimits": [["rlimits"], false],
  "with seccomp": [[], true],
  "with all of them": [["landlock", "capabilities", "rlimits"], true],
};

export async function measureWalls(): Promise<Section> {
  const contenders = Object.fromEntries(
    Object.entries(KINDS).map(([name, [walls, closes]]) => [
      name,
      () => timed(async () => await spawnBehind(walls, planOf(closes))),
    ]),
  );
  const samples = await inTurns<string, number>(ROUNDS, {
    bare: () => timed(() => posixSpawn(planOf(false))),
    ...contenders,
    [TELLING]: telling,
  });
  const bare = median(samples.bare!);
  const rows: Row[] = [...Object.keys(KINDS), TELLING].map((name) => ({
    name: `${name} / none`,
    unit: "ms",
    value: median(samples[name]!),
    reference: bare,
    goal: null,
  }));
  const notes = [
    "to the end of the process; in `run` the thread starts ahead of its use",
  ];
  return { title: TITLE, rows, notes };
}

/** As `run` starts a machine's process. */
async function telling(): Promise<number> {
  const begin = now();
  const child = await spawnConfined({
    sandbox: "strict",
    entry: ENTRY,
    args: ["exit", "0"],
    permissions: ["--allow-ffi"],
    landlock: { read: [FOLDER] },
    seccomp: { ...CLOSED, paths: true },
    audit: { granted: NOTHING, onRefused: () => {} },
  });
  const { success } = await child.status;
  if (!success) throw new Error("The process behind the walls failed");
  return now() - begin;
}

/** Milliseconds until the process that `start` gives has ended. */
async function timed(start: () => number | Promise<number>): Promise<number> {
  const begin = now();
  const { success } = await watchChild(await start());
  if (!success) throw new Error("The process behind the walls failed");
  return now() - begin;
}

function planOf(closes: boolean): SpawnOptions {
  return {
    path: Deno.execPath(),
    args: [
      ...["run", "--quiet", "--no-prompt", "--cached-only", "--no-lock"],
      ...["--no-code-cache", "--no-check", "--allow-ffi", ENTRY.href],
      ...["exit", "0"],
    ],
    env: {
      ...denoEnvironment(),
      ...closes ? closeVariable({ ...CLOSED, reportTo: null }) : {},
    },
    fds: [0, 1, 2],
    session: true,
  };
}

function spawnBehind(
  walls: readonly Wall[],
  plan: SpawnOptions,
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const worker = new Worker(new URL("walls_worker.ts", import.meta.url), {
    type: "module",
  });
  worker.onmessage = ({ data }: MessageEvent<number>) => resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new Error(event.message));
  };
  const root = new URL("../../", import.meta.url).pathname;
  const message: WalledSpawn = {
    plan,
    walls,
    landlock: {
      read: [...denoReads(), root],
      write: [],
      exec: denoExecutables(),
      devices: ["/dev/null"],
      bind: [],
      connect: [],
    },
  };
  worker.postMessage(message);
  return promise;
}
