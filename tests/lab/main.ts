// deno task lab -- COMMAND…: runs a command in the lab, or a shell in it.

import { parseArgs } from "@std/cli/parse-args";
import { HostError } from "../../core/errors.ts";
import { runInLab } from "./lab.ts";

const USAGE =
  `Usage: deno task lab -- [--memory=MIB] [--cpus=N] [--timeout=SECONDS] [COMMAND…]

Runs COMMAND (a shell if there is none) in a machine in software that has /dev/kvm.
On a terminal, Ctrl-] ends the lab.`;
const CTRL_CLOSE_BRACKET = 0x1d;

if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<number> {
  const { _: command, ...flags } = parseArgs(args, {
    string: ["memory", "cpus", "timeout"],
    boolean: ["help"],
    stopEarly: true,
  });
  if (flags.help) {
    console.log(USAGE);
    return 0;
  }
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => interrupted.abort());
  }
  const isTerminal = Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
  if (isTerminal) Deno.stdin.setRaw(true);
  try {
    const { code } = await runInLab(
      command.length > 0 ? command.map(String) : ["sh"],
      {
        signal: interrupted.signal,
        stdin: isTerminal
          ? Deno.stdin.readable.pipeThrough(escape(interrupted))
          : Deno.stdin.readable,
        stdout: Deno.stdout.writable,
        stderr: Deno.stderr.writable,
        onProgress: (message) =>
          console.error(isTerminal ? `${message}\r` : message),
        ...(isTerminal ? { terminal: Deno.consoleSize() } : {}),
        ...numbers(flags),
        cwd: Deno.cwd(),
      },
    );
    return code;
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    if (isTerminal) Deno.stdin.setRaw(false);
    console.error(error.message);
    return interrupted.signal.aborted ? 130 : 1;
  } finally {
    if (isTerminal) Deno.stdin.setRaw(false);
  }
}

function numbers(
  flags: Record<string, unknown>,
): { memory?: number; cpus?: number; timeout?: number } {
  const given = ["memory", "cpus", "timeout"].filter((name) =>
    flags[name] !== undefined
  );
  return Object.fromEntries(given.map((name) => [name, Number(flags[name])]));
}

/** Passes keys on, but for the one that ends the lab. */
function escape(
  interrupted: AbortController,
): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform(keys, controller) {
      if (keys.includes(CTRL_CLOSE_BRACKET)) interrupted.abort();
      else controller.enqueue(keys);
    },
  });
}
