// Thread: main
// A control group of one machine's (Documentation/admin-guide/cgroup-v2.rst): what all of its processes may use together.
import { ManifestError, SysError } from "../errors.ts";
import { Fd, readText } from "../sys/fd.ts";
import { check, libc } from "../sys/libc.ts";
import { O_WRONLY } from "../sys/linux.ts";
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

let count = 0;

export class Cgroup implements AsyncDisposable {
  readonly path: string;
  /** Limits that the parent has no controller for, a phrase each. */
  readonly missing: readonly string[];

  private constructor(path: string, missing: readonly string[]) {
    this.path = path;
    this.missing = missing;
  }

  /** Makes a group in `parent`. Throws a ManifestError where that is no folder of cgroup v2 or may not be changed. */
  static create(parent: string, limits: CgroupLimits): Cgroup {
    const path = `${parent.replace(/\/$/, "")}/paddock-${Deno.pid}-${count++}`;
    const has = controllersOf(parent);
    sweep(parent);
    try {
      Deno.mkdirSync(path);
    } catch (error) {
      throw new ManifestError(
        "cgroup",
        `${(error as Error).message}; name one that this user may change`,
      );
    }
    const missing: string[] = [];
    for (const [controller, files] of Object.entries(filesOf(limits))) {
      if (!has.has(controller)) {
        missing.push(`cgroup ${parent} has no controller ${controller}`);
        continue;
      }
      for (const [file, value] of Object.entries(files)) {
        writeWord(`${path}/${file}`, value);
      }
    }
    // Where there is swap.
    if (has.has("memory")) tryWriteWord(`${path}/memory.swap.max`, "0");
    return new Cgroup(path, missing);
  }

  /** Moves a process in, with all of its threads. */
  add(pid: number): void {
    writeWord(`${this.path}/cgroup.procs`, `${pid}`);
  }

  /** Ends whatever is in it still, and removes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    // Linux 5.14; before that, each process has an owner that ends it.
    tryWriteWord(`${this.path}/cgroup.kill`, "1");
    for (const end = Date.now() + END_MS; Date.now() < end;) {
      if (!readText(`${this.path}/cgroup.events`).includes("populated 1")) {
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    Deno.removeSync(this.path);
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
        tryWriteWord(`${parent}/cgroup.subtree_control`, `+${name}`);
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

/** By controller: files and what is written to them. */
function filesOf({ memory, cpus, pids }: CgroupLimits) {
  return {
    memory: { "memory.max": `${memory}` },
    cpu: { "cpu.max": `${cpus * PERIOD_US} ${PERIOD_US}` },
    pids: { "pids.max": `${pids}` },
  } as const satisfies Record<string, Record<string, string>>;
}

/** Removes the groups of owners that were killed; the kernel keeps those that have processes. */
function sweep(parent: string): void {
  for (const { name } of Deno.readDirSync(parent)) {
    const [, pid] = /^paddock-([0-9]+)-[0-9]+$/.exec(name) ?? [];
    if (pid === undefined || realPath(`/proc/${pid}`) !== null) continue;
    try {
      Deno.removeSync(`${parent}/${name}`);
    } catch {
      // EBUSY, or somebody was faster.
    }
  }
}

function tryWriteWord(path: string, text: string): boolean {
  try {
    writeWord(path, text);
    return true;
  } catch (error) {
    if (error instanceof SysError) return false;
    throw error;
  }
}

function writeWord(path: string, text: string): void {
  using file = Fd.open(path, O_WRONLY);
  const bytes = new TextEncoder().encode(text);
  check(`write ${path}`, libc.write(file.fd, bytes, bytes.length));
}
