// Thread: main
// Starts a deno process that can do what it is granted and no more, by Deno's permissions and by the kernel.
import { HostError, SysError } from "../errors.ts";
import { readableOf, writableOf } from "../sys/fd_stream.ts";
import { type Fd, writeText } from "../sys/fd.ts";
import { processLibc } from "../sys/process_libc.ts";
import { SIGKILL } from "../sys/linux.ts";
import { auditVariable } from "./audit.ts";
import { Child, tieToUs, watchChild } from "./child.ts";
import { closeVariable } from "./closing.ts";
import {
  configFile,
  denoEnvironment,
  denoExecutables,
  denoReads,
  NETWORK_FILES,
} from "./deno_rights.ts";
import type { LandlockRules } from "./landlock.ts";
import { posixSpawn, type SpawnOptions } from "./posix_spawn.ts";
import type { MemoryLimit } from "./rlimits.ts";
import { type Audit, hear, openRecords, type Records } from "./records.ts";
import { hasSeccomp } from "./seccomp.ts";
import { CLOSED, type SeccompOptions } from "./seccomp_filter.ts";
import type { ConfinedSpawn, Spawned } from "./spawn_worker.ts";
import { openStdio, type Stdio } from "./stdio.ts";
import { giveTo } from "./user.ts";
import type { SandboxLevel, Walls } from "./walls.ts";

export interface ConfinedOptions extends Partial<Walls> {
  readonly sandbox: SandboxLevel;
  /** The module to run, a file; Landlock lets it be read. */
  readonly entry: URL;
  readonly args?: readonly string[];
  /** Deno's flags: "--allow-ffi", "--allow-read=/data". */
  readonly permissions: readonly string[];
  /** What the kernel allows beyond what deno itself needs. */
  readonly landlock?: Partial<LandlockRules>;
  readonly seccomp?: SeccompOptions;
  /** It does not close itself: what it runs may be hostile from the first. Starting programs is Landlock's to refuse then. */
  readonly isHostile?: true;
  /** Whether it goes first where memory runs out: its end costs less than another's. */
  readonly isExpendable?: true;
  /** For V8's heap, and with `strict` for all of the process. */
  readonly memory?: MemoryLimit;
  /** These become FIRST_FD (closing.ts) and so on in the child. */
  readonly fds?: readonly number[];
  /** The child's whole environment, but for what deno finds its cache by. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether the child keeps the terminal, and gets its Ctrl-C; else it has a session of its own. */
  readonly terminal?: boolean;
  /** What Deno or the kernel refused its code, where that is to be told: all that `granted` does not cover. */
  readonly audit?: Audit;
  readonly stdin?: Stdio;
  readonly stdout?: Stdio;
  readonly stderr?: Stdio;
}

/** Starts the child; it ends with this process at the latest. */
export async function spawnConfined(options: ConfinedOptions): Promise<Child> {
  const { stdin = "null", stdout = "inherit", stderr = "inherit" } = options;
  using theirs = new DisposableStack();
  using ours = new DisposableStack();
  const stdio = openStdio([stdin, stdout, stderr], theirs);
  const [input, output, errors] = stdio.ours.map((fd) => ours.use(fd));
  const { audit } = options;
  const heard = audit === undefined
    ? null
    : openRecords(closesItself(options), theirs, ours);
  const fds = [...stdio.child, ...options.fds ?? []];
  const { pid, missing } = await spawn(options, fds, heard?.theirs);
  let ties: readonly Fd[];
  try {
    ties = tieToUs(pid, ours);
    options.cgroup?.add(pid);
    if (options.isExpendable) writeText(`/proc/${pid}/oom_score_adj`, "1000");
  } catch (error) {
    processLibc.kill(pid, SIGKILL);
    await watchChild(pid);
    throw error;
  }
  ours.move();
  const child = new Child(
    pid,
    missing,
    input ? writableOf(input) : null,
    output ? readableOf(output) : null,
    errors ? readableOf(errors) : null,
    [...ties, input],
  );
  if (heard !== null) {
    hear(heard.ours, child, audit!, () => rulesOf(options));
  }
  return child;
}

type Started = Extract<Spawned, { pid: number }>;

/** Whether it is the child's own first step to have seccomp close it. */
const closesItself = ({ sandbox, isHostile }: ConfinedOptions): boolean =>
  sandbox === "strict" && isHostile !== true && hasSeccomp();

async function spawn(
  options: ConfinedOptions,
  inherited: readonly number[],
  records: Records | undefined,
): Promise<Started> {
  const { sandbox, seccomp = CLOSED, memory, isHostile = false, user = null } =
    options;
  const fds = [...inherited];
  const env = { ...denoEnvironment(), ...options.env };
  if (records !== undefined) {
    // It is opened by its name.
    if (user !== null) giveTo(user, records.record);
    Object.assign(env, auditVariable(fds.push(records.record.fd) - 1));
  }
  if (closesItself(options)) {
    const { report = null } = records ?? {};
    const reportTo = report === null ? null : fds.push(report.fd) - 1;
    Object.assign(env, closeVariable({ ...seccomp, reportTo }));
  }
  const plan: SpawnOptions = {
    path: Deno.execPath(),
    args: denoArguments(options),
    env,
    fds,
    session: options.terminal !== true,
  };
  if (sandbox !== "strict") return { pid: posixSpawn(plan), missing: [] };
  const landlock = rulesOf(options);
  const { pid, missing } = await spawnInWorker({
    ...plan,
    landlock,
    memory,
    user,
    seccomp: isHostile && hasSeccomp() ? seccomp : null,
  });
  const lacks = hasSeccomp() ? [] : ["seccomp: the kernel has none"];
  return { pid, missing: [...missing, ...lacks] };
}

function denoArguments(options: ConfinedOptions): string[] {
  const { sandbox, entry, args = [], permissions, memory } = options;
  const heap = memory === undefined
    ? []
    : [`--v8-flags=--max-old-space-size=${Math.ceil(memory.bytes / 2 ** 20)}`];
  return [
    "run",
    "--quiet",
    "--no-prompt",
    "--cached-only",
    // What a plugin imports is no dependency of ours.
    "--no-lock",
    // The cache is read only there.
    ...sandbox === "strict" ? ["--no-code-cache"] : [],
    ...configFile === undefined ? ["--no-config"] : ["--config", configFile],
    ...heap,
    ...sandbox === "off" ? ["--allow-all"] : permissions,
    entry.href,
    ...args,
  ];
}

function rulesOf(options: ConfinedOptions): LandlockRules {
  const { entry, landlock = {}, seccomp = CLOSED } = options;
  const { read = [], write = [], exec = [], devices = [] } = landlock;
  return {
    read: [
      ...denoReads(),
      decodeURIComponent(entry.pathname),
      ...seccomp.sockets === "inet" ? NETWORK_FILES : [],
      ...read,
    ],
    write,
    exec: [...denoExecutables(), ...exec],
    devices: ["/dev/null", ...devices],
    bind: landlock.bind ?? [],
    connect: landlock.connect ?? [],
  };
}

/** A thread that is about to be needed. */
let warm: Worker | null = null;

/** Has the thread of the next `strict` child come up while something else is done. */
export function warmSpawn(): void {
  warm ??= startWorker();
}

/** Ends it if it was not needed. */
export function coolSpawn(): void {
  warm?.terminate();
  warm = null;
}

function startWorker(): Worker {
  return new Worker(new URL("./spawn_worker.ts", import.meta.url), {
    type: "module",
    name: "spawn",
  });
}

async function spawnInWorker(plan: ConfinedSpawn): Promise<Started> {
  const worker = warm ?? startWorker();
  warm = null;
  const { promise, resolve, reject } = Promise.withResolvers<Spawned>();
  worker.onmessage = ({ data }: MessageEvent<Spawned>) => resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new HostError(`Cannot start a process: ${event.message}`));
  };
  worker.postMessage(plan);
  const spawned = await promise;
  if ("pid" in spawned) return spawned;
  if ("errno" in spawned) throw new SysError(spawned.call, spawned.errno);
  throw new HostError(`Cannot start a process: ${spawned.error}`);
}
