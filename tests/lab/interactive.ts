// Runs a command in the lab on this process's own terminal or streams, as if it ran here.

import { HostError } from "../../core/errors.ts";
import { type LabOptions, runInLab } from "./lab.ts";

export type InteractiveOptions = Pick<
  LabOptions,
  "cwd" | "env" | "paths" | "timeout" | "memory" | "cpus" | "onProgress"
>;

const CTRL_CLOSE_BRACKET = 0x1d;
/** Exit status of what SIGINT ended (128 + 2). */
const INTERRUPTED = 130;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * The command's exit status. A terminal is in raw mode meanwhile, so that all keys reach the lab,
 * but for Ctrl-], which ends it; elsewhere SIGINT, SIGTERM and SIGHUP do.
 */
export async function runInteractively(
  command: readonly string[],
  options: InteractiveOptions = {},
): Promise<number> {
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  const isTerminal = Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
  for (const signal of SIGNALS) Deno.addSignalListener(signal, interrupt);
  if (isTerminal) Deno.stdin.setRaw(true);
  try {
    const { code } = await runInLab(command, {
      ...options,
      signal: interrupted.signal,
      stdin: isTerminal
        ? Deno.stdin.readable.pipeThrough(watchKeys(interrupt))
        : Deno.stdin.readable,
      stdout: Deno.stdout.writable,
      stderr: Deno.stderr.writable,
      ...(isTerminal ? { terminal: sizeOf(Deno.consoleSize()) } : {}),
    });
    return code;
  } catch (error) {
    if (interrupted.signal.aborted && error instanceof HostError) {
      return INTERRUPTED;
    }
    throw error;
  } finally {
    if (isTerminal) Deno.stdin.setRaw(false);
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, interrupt);
  }
}

/** Some terminals say that they have no rows and columns, which stty does not take: what has no size is a VT100. */
export function sizeOf(
  { rows, columns }: { readonly rows: number; readonly columns: number },
): { readonly rows: number; readonly columns: number } {
  return rows > 0 && columns > 0
    ? { rows, columns }
    : { rows: 24, columns: 80 };
}

/** Passes keys on, but for the one that ends the lab. */
function watchKeys(
  interrupt: () => void,
): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform(keys, controller) {
      if (keys.includes(CTRL_CLOSE_BRACKET)) interrupt();
      else controller.enqueue(keys);
    },
  });
}
