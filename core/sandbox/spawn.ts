// Thread: main
// Starts a deno process that can do what it is granted and no more, by Deno's permissions and by the kernel.
import { HostError, SysError } from "../errors.ts";
import { readableOf, writableOf } from "../sys/fd_stream.ts";
import { type Audit, auditVariable, listenToAudit } from "./audit.ts";
import { Child, pipe, tieToPipe } from "./child.ts";
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
import { hasSeccomp, type SeccompOptions } from "./seccomp.ts";
import type { ConfinedSpawn, Spawned } from "./spawn_worker.ts";
import { openStdio, type Stdio } from "./stdio.ts";

/**
 * How far a process is closed. `off`: not at all (deno -A). `deno`: Deno's permissions, which bind nothing that has FFI.
 * `strict`: also Landlock, no_new_privs, capabilities and rlimits from outside, and seccomp by closeProcess().
 */
export type SandboxLevel = "off" | "deno" | "strict";

export interface ConfinedOptions {
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
  /** For V8's heap, and with `strict` for all of the process. */
  readonly memory?: MemoryLimit;
  /** These become 3, 4 and so on in the child. */
  readonly fds?: readonly number[];
  /** The child's whole environment, but for what deno finds its cache by. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether the child keeps the terminal, and gets its Ctrl-C; else it has a session of its own. */
  readonly terminal?: boolean;
  /** What Deno refused its code, where that is to be told. */
  readonly audit?: Audit;
  readonly stdin?: Stdio;
  readonly stdout?: Stdio;
  readonly stderr?: Stdio;
}

const CLOSED: SeccompOptions = { run: false, sockets: "none", write: false };

/** Starts the child; it ends with this process at the latest. */
export async function spawnConfined(options: ConfinedOptions): Promise<Child> {
  const { stdin = "null", stdout = "inherit", stderr = "inherit" } = options;
  using theirs = new DisposableStack();
  using ours = new DisposableStack();
  const stdio = openStdio([stdin, stdout, stderr], theirs);
  const [input, output, errors] = stdio.ours.map((fd) => ours.use(fd));
  const life = pipe();
  theirs.use(life.read);
  ours.use(life.write);
  const { audit } = options;
  const record = audit === undefined ? null : pipe();
  theirs.use(record?.write);
  ours.use(record?.read);
  const fds = [...stdio.child, ...options.fds ?? [], life.read.fd];
  const { pid, missing } = record === null
    ? await spawn(options, fds)
    : await spawn(
      { ...options, env: { ...options.env, ...auditVariable(fds.length) } },
      [...fds, record.write.fd],
    );
  tieToPipe(life.read, pid);
  ours.move();
  if (record !== null) {
    // It ends with the process, as what that prints does.
    listenToAudit(record.read, audit!).catch(() => {});
  }
  return new Child(
    pid,
    missing,
    input ? writableOf(input) : null,
    output ? readableOf(output) : null,
    errors ? readableOf(errors) : null,
    [life.write, input],
  );
}

type Started = Extract<Spawned, { pid: number }>;

async function spawn(
  options: ConfinedOptions,
  fds: readonly number[],
): Promise<Started> {
  const { sandbox, seccomp = CLOSED, memory, isHostile = false } = options;
  const strict = sandbox === "strict";
  const closes = strict && hasSeccomp();
  const plan: SpawnOptions = {
    path: Deno.execPath(),
    args: denoArguments(options),
    env: {
      ...denoEnvironment(),
      ...options.env,
      ...closes && !isHostile ? closeVariable(seccomp) : {},
    },
    fds,
    session: options.terminal !== true,
  };
  if (!strict) return { pid: posixSpawn(plan), missing: [] };
  const landlock = rulesOf(options);
  const { pid, missing } = await spawnInWorker({
    ...plan,
    landlock,
    memory,
    seccomp: closes && isHostile ? seccomp : null,
  });
  return {
    pid,
    missing: closes ? missing : [...missing, "seccomp: the kernel has none"],
  };
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
