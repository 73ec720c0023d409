// deno task lab -- COMMAND…: runs a command in the lab, or a shell in it.

import { parseArgs } from "@std/cli/parse-args";
import { HostError } from "../../core/errors.ts";
import { runInteractively } from "./interactive.ts";

const USAGE =
  `Usage: deno task lab -- [--memory=MIB] [--cpus=N] [--timeout=SECONDS] [COMMAND…]

Runs COMMAND (a shell if there is none) in a machine in software that has /dev/kvm.
On a terminal, Ctrl-] ends the lab.`;

// Progress and errors may come while the terminal is in raw mode.
function print(stream: { writeSync(data: Uint8Array): number }, line: string) {
  stream.writeSync(new TextEncoder().encode(`${line}\r\n`));
}

const OPTIONS = ["memory", "cpus", "timeout"];

async function main(args: string[]): Promise<number> {
  const { _: words, help, ...numbers } = parseArgs(args, {
    string: OPTIONS,
    boolean: ["help"],
    stopEarly: true,
  });
  if (help) {
    print(Deno.stdout, USAGE);
    return 0;
  }
  const options: Record<string, number> = {};
  for (const [name, value] of Object.entries(numbers)) {
    const number = Number(value);
    if (!OPTIONS.includes(name) || !(number > 0)) {
      print(Deno.stderr, `--${name}=${value} is not understood\r\n${USAGE}`);
      return 2;
    }
    options[name] = number;
  }
  try {
    return await runInteractively(
      words.length > 0 ? words.map(String) : ["busybox", "sh"],
      {
        ...options,
        cwd: Deno.cwd(),
        onProgress: (message) => print(Deno.stderr, message),
      },
    );
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    print(Deno.stderr, error.message);
    return 1;
  }
}

// `deno task` passes its own "--" on.
const given = Deno.args[0] === "--" ? Deno.args.slice(1) : Deno.args;
Deno.exit(await main(given));
