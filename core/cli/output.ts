// Thread: main
// Where the CLI writes to stdout and stderr, and how errors look there.

import { HostError, ManifestError, SysError } from "../errors.ts";
import { UsageError } from "./args.ts";

/** Writes all of the text; a reader that has gone away is no failure of ours. */
function writeAll(
  stream: { writeSync(bytes: Uint8Array): number },
  text: string,
): void {
  let bytes = new TextEncoder().encode(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

/** Columns of a page. */
export const WIDTH = 80;

/** Text as lines of at most `width` columns, broken between words. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** A line of a command's result. */
export function printLine(line: string): void {
  writeAll(Deno.stdout, `${line}\n`);
}

/** A line about the run itself: progress, remarks. */
export function printNote(line: string): void {
  writeAll(Deno.stderr, `${line}\n`);
}

/** Whether stderr takes colour: a terminal, and neither NO_COLOR nor --no-color. */
export function useColor(color: boolean): boolean {
  return color && !Deno.noColor && Deno.stderr.isTerminal();
}

/** Prints an error as one line and gives the exit status. A bug of ours shows its stack. */
export function reportError(error: unknown, color: boolean): number {
  const red = useColor(color);
  const label = red ? "\x1b[1;31merror:\x1b[0m" : "error:";
  printNote(`${label} ${describe(error)}`);
  return error instanceof ManifestError || error instanceof UsageError ? 2 : 1;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `${error}`;
  const expected = error instanceof ManifestError ||
    error instanceof UsageError || error instanceof HostError ||
    error instanceof SysError;
  return expected ? error.message : error.stack ?? `${error}`;
}

/** A word as a shell reads it back. */
export function quoteForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word)
    ? word
    : `'${word.replaceAll("'", `'\\''`)}'`;
}
