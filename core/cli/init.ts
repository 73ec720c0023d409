// Thread: main
// `paddock init`: writes a manifest to start from, and its JSON Schema beside it.

import { HostError } from "../errors.ts";
import type { Registry } from "../manifest/built_in.ts";
import { defaultManifest } from "../manifest/defaults.ts";
import { MANIFEST_NAME } from "../manifest/load.ts";
import { resolve } from "../manifest/paths.ts";
import { hostReason, quote } from "../manifest/text.ts";
import { type ArgsOf, UsageError } from "./args.ts";
import { printLine } from "./output.ts";
import { jsonSchema } from "./schema.ts";

/** What `$schema` in the manifest names. */
const SCHEMA_NAME = "vm.schema.json";

/** Writes both files or neither; those that exist stay, unless --force. */
export function init(
  { dir, force }: ArgsOf<"init">,
  registry: Registry,
): Promise<number> {
  return Promise.try(() => {
    const files = new Map([
      [resolve(dir, MANIFEST_NAME), defaultManifest()],
      [resolve(dir, SCHEMA_NAME), `${jsonSchema(registry)}\n`],
    ]);
    try {
      Deno.mkdirSync(dir, { recursive: true });
      if (!force) { for (const path of files.keys()) refuseExisting(path); }
      for (const [path, text] of files) {
        Deno.writeTextFileSync(path, text, { createNew: !force });
        printLine(`wrote ${path}`);
      }
      return 0;
    } catch (error) {
      throw error instanceof UsageError ? error : cannotWrite(dir, error);
    }
  });
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
