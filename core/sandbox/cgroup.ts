// Thread: main
// A control group of one machine's (Documentation/admin-guide/cgroup-v2.rst): what all of its processes may use together.
import { ManifestError, SysError } from "../errors.ts";
import { readText, writeText } from "../sys/fd.ts";
import { realPath } from "../sys/real_path.ts";

/** What the processes of a machine may have; each limit as its file takes it. */
export interface CgroupLimits {
  /** Bytes, guest RAM included. */
  readonly memory: number;
  /** Processors. */
  readonly cpus: number;
  /** Processes and threads. */
  readonly pids: number;
}

const PERIOD_US = 100_000;
/** How often it is looked whether the processes have gone. */
const POLL_MS = 10;
const END_MS = 5_000;
const YOUNG_MS = 60_000;

let count = 0;

export class Cgroup implements AsyncDisposable {
  readonly path: string;
  /** Limits that the parent has no controller for, a phrase each. */
  readonly missing: readonly string[];
  #removed: Promise<void> | null = null;

  private constructor(path: string, missing: readonly string[]) {
    this.path = path;
    this.missing = missing;
  }

  /** Makes a group in `parent`. Throws a ManifestError where that is no folder of cgroup v2 or may not be changed. */
  static create(parent: string, limits: CgroupLimits): Cgroup {
    const has = controllersOf(parent);
    try {
      sweep(parent);
      const path = makeFolder(parent);
      return new Cgroup(path, limit(path, limits, has));
    } catch (error) {
      throw new ManifestError(
        "cgroup",
        `${(error as Error).message}; name one that this user may change`,
      );
    }
  }

  /** Moves a process in, with all of its threads. */
  add(pid: number): void {
    writeText(`${this.path}/cgroup.procs`, `${pid}`);
  }

  /** Ends whatever is in it still, and removes it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#removed ??= remove(this.path);
  }
}

async function remove(path: string): Promise<void> {
  // Linux 5.14; before that, each process has an owner that ends it.
  tryWrite(`${path}/cgroup.kill`, "1");
  for (const end = Date.now() + END_MS; Date.now() < end;) {
    if (!readText(`${path}/cgroup.events`).includes("populated 1")) break;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  Deno.removeSync(path);
}

/** A new one: another process's id may have been the same elsewhere. */
function makeFolder(parent: string): string {
  for (;;) {
    const path = `${parent.replace(/\/$/, "")}/paddock-${Deno.pid}-${count++}`;
    try {
      Deno.mkdirSync(path);
      return path;
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }
}

/** Returns what cannot be limited; a group that cannot be limited otherwise is removed. */
function limit(
  path: string,
  limits: CgroupLimits,
  has: ReadonlySet<string>,
): string[] {
  const missing: string[] = [];
  try {
    for (const [controller, [file, value]] of Object.entries(filesOf(limits))) {
      if (has.has(controller)) writeText(`${path}/${file}`, value);
      else missing.push(`the cgroup has no controller ${controller}`);
    }
    // Where there is swap.
    if (has.has("memory")) tryWrite(`${path}/memory.swap.max`, "0");
    return missing;
  } catch (error) {
    Deno.removeSync(path);
    throw error;
  }
}

/** Those that groups in `parent` have, after it was asked for the ones that are needed. */
function controllersOf(parent: string): Set<string> {
  const words = (file: string) =>
    new Set(readText(`${parent}/${file}`).trim().split(" "));
  try {
    for (const name of words("cgroup.controllers")) {
      if (["memory", "cpu", "pids"].includes(name)) {
        // EBUSY where the group has processes itself, and nothing is passed on.
        tryWrite(`${parent}/cgroup.subtree_control`, `+${name}`);
      }
    }
    return words("cgroup.subtree_control");
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    throw new ManifestError(
      "cgroup",
      `${parent} is no folder of cgroup v2; name one, as in /sys/fs/cgroup/machines`,
    );
  }
}

/** By controller: a file, and what is written to it. */
function filesOf({ memory, cpus, pids }: CgroupLimits) {
  return {
    memory: ["memory.max", `${memory}`],
    cpu: ["cpu.max", `${cpus * PERIOD_US} ${PERIOD_US}`],
    pids: ["pids.max", `${pids}`],
  } as const;
}

/** Removes the groups of owners that were killed; the kernel keeps those that have processes. */
function sweep(parent: string): void {
  for (const { name } of Deno.readDirSync(parent)) {
    const [, pid] = /^paddock-([0-9]+)-[0-9]+$/.exec(name) ?? [];
    if (pid === undefined || realPath(`/proc/${pid}`) !== null) continue;
    try {
      // A young one may be just being made, where that id is not ours to see.
      const { mtime } = Deno.statSync(`${parent}/${name}`);
      const age = Date.now() - (mtime?.getTime() ?? 0);
      if (age > YOUNG_MS) Deno.removeSync(`${parent}/${name}`);
    } catch {
      // EBUSY, or somebody was faster.
    }
  }
}

function tryWrite(path: string, text: string): boolean {
  try {
    writeText(path, text);
    return true;
  } catch (error) {
    if (error instanceof SysError) return false;
    throw error;
  }
}
