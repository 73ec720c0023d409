// Thread: main
// Files that a command writes for the user to go on with.

import { HostError } from "../errors.ts";
import { resolve } from "../manifest/paths.ts";
import { hostReason, quote } from "../manifest/text.ts";
import { printLine } from "./output.ts";
import { UsageError } from "./usage.ts";

/** Writes all of the folder's files, by name, or none; those that exist stay, unless `force`. */
export function writeNewFiles(
  dir: string,
  files: Readonly<Record<string, string>>,
  force: boolean,
): void {
  const paths = Object.entries(files).map(([name, text]) =>
    [resolve(dir, name), text] as const
  );
  try {
    Deno.mkdirSync(dir, { recursive: true });
    if (!force) { for (const [path] of paths) refuseExisting(path); }
    for (const [path, text] of paths) {
      Deno.writeTextFileSync(path, text, { createNew: !force });
      printLine(`wrote ${path}`);
    }
  } catch (error) {
    throw error instanceof UsageError ? error : cannotWrite(dir, error);
  }
}

function cannotWrite(dir: string, cause: unknown): HostError {
  return new HostError(
    `Cannot write to ${quote(dir)}: ${
      hostReason(cause)
    }; name a directory that you may write to`,
    { cause },
  );
}

function refuseExisting(path: string): void {
  try {
    Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  throw new UsageError(
    `${quote(path)} exists already; add --force to overwrite it`,
  );
}
