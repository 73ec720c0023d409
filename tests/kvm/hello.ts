// The guest that needs no operating system, as a manifest, and what tests do with it.

import { Vm, type VmExit } from "../../core/vm.ts";

export const ROOT: string = new URL("../../", import.meta.url).pathname;
export const HELLO = `${ROOT}tests/guests/hello/hello.elf`;

/** A manifest that boots the guest with this command line and these devices. */
export function hello(
  cmdline = "",
  devices: readonly Record<string, unknown>[] = [{ use: "console" }],
): Record<string, unknown> {
  return { memory: "32M", boot: { kernel: HELLO, cmdline }, devices };
}

export interface Run {
  readonly exit: VmExit;
  readonly console: string;
  readonly serial: string;
}

/** Runs a VM to its end; kills it after 20 s. */
export async function runToEnd(
  manifest: Record<string, unknown>,
): Promise<Run> {
  await using vm = await Vm.start(manifest);
  const limit = setTimeout(() => vm.kill(), 20_000);
  const [console, serial, exit] = await Promise.all([
    vm.console === null ? "" : new Response(vm.console.readable).text(),
    new Response(vm.serial.readable).text(),
    vm.wait(),
  ]);
  clearTimeout(limit);
  return { exit, console, serial };
}

/** Reads until `text` has come; what comes after it is read and dropped. */
export async function readUntil(
  from: ReadableStream<Uint8Array>,
  text: string,
): Promise<string> {
  const decoder = new TextDecoder();
  const reader = from.getReader();
  let all = "";
  while (!all.includes(text)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`The output ended without "${text}":\n${all}`);
    all += decoder.decode(value, { stream: true });
  }
  (async () => {
    while (!(await reader.read()).done);
  })();
  return all;
}

/** Rejects after `ms`, so that a hang is a failure and not a wait. */
export async function within<T>(
  ms: number,
  what: string,
  promise: Promise<T>,
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`${what} took over ${ms} ms`)),
    ms,
  );
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

export interface CliRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `paddock …`; `during` may send signals once it has seen output. */
export async function paddock(
  args: readonly string[],
  during?: (
    child: Deno.ChildProcess,
    stdout: ReadableStream<Uint8Array>,
  ) => Promise<void>,
): Promise<CliRun> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${ROOT}main.ts`, ...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const limit = setTimeout(() => child.kill("SIGKILL"), 30_000);
  const [watched, kept] = child.stdout.tee();
  const [stdout, stderr, status] = await Promise.all([
    new Response(kept).text(),
    new Response(child.stderr).text(),
    child.status,
    during === undefined ? watched.cancel() : during(child, watched),
  ]);
  clearTimeout(limit);
  return { code: status.code, stdout, stderr };
}

/** Ids of this process's children, whichever of its threads started them. */
export function children(): number[] {
  return [...Deno.readDirSync("/proc/self/task")].flatMap(({ name }) => {
    try {
      const list = Deno.readTextFileSync(`/proc/self/task/${name}/children`);
      return list.split(" ").map(Number).filter((pid) => pid > 0);
    } catch {
      return []; // The thread has ended.
    }
  });
}

/** Ids of the processes whose command line has `text` in it. */
export function processesWith(text: string): number[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter(
    (pid) => {
      if (!(pid > 0) || pid === Deno.pid) return false;
      try {
        return Deno.readTextFileSync(`/proc/${pid}/cmdline`).includes(text);
      } catch {
        return false;
      }
    },
  );
}
