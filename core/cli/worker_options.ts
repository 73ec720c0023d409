// Thread: main
// Whether this deno was started with what lets workers have permissions of their own. Trying it here would end it.

import { readText } from "../sys/fd.ts";

const ENTRY = new URL("./worker_options_process.ts", import.meta.url);

/** Tried in a process with the flags of this one; null where this is no `deno run`, or may run nothing. */
export function hasWorkerOptions(): boolean | null {
  const [command, ...flags] = ownFlags();
  if (command !== "run") return null;
  try {
    const { success } = new Deno.Command(Deno.execPath(), {
      args: [command, ...flags, ENTRY.href],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).outputSync();
    return success;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return null;
    throw error;
  }
}

/** The command line between "deno" and the main module, but for what would keep a process from its end. */
function ownFlags(): string[] {
  const words = readText("/proc/self/cmdline").split("\0");
  // The last is behind the last NUL, and empty.
  return words.slice(1, -1 - Deno.args.length - 1)
    .filter((word) => !/^--(watch|inspect)/.test(word));
}
