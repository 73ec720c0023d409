// Thread: main
// Whether this deno was started with what lets workers have permissions of their own. Trying it here would end it.

const ENTRY = new URL("./worker_options_process.ts", import.meta.url);

/** Tried in a process with the flags of this one; null where this is no `deno run`. */
export function hasWorkerOptions(): boolean | null {
  const [command, ...flags] = ownFlags();
  if (command !== "run") return null;
  const { success } = new Deno.Command(Deno.execPath(), {
    args: [command, ...flags, ENTRY.href],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).outputSync();
  return success;
}

/** The command line between "deno" and the main module. */
function ownFlags(): string[] {
  const words = Deno.readTextFileSync("/proc/self/cmdline").split("\0");
  // The last is behind the last NUL, and empty.
  return words.slice(1, -1 - Deno.args.length - 1);
}
