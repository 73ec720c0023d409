// Thread: main
// `paddock init`: writes a manifest to start from, and its JSON Schema beside it.

import type { Registry } from "../manifest/built_in.ts";
import { defaultManifest } from "../manifest/defaults.ts";
import { MANIFEST_NAME } from "../manifest/load.ts";
import type { ArgsOf } from "./args.ts";
import { writeNewFiles } from "./new_files.ts";
import { jsonSchema } from "./schema.ts";

/** What `$schema` in the manifest names. */
const SCHEMA_NAME = "vm.schema.json";

/** Writes both files or neither; those that exist stay, unless --force. */
export function init(
  { dir, force }: ArgsOf<"init">,
  registry: Registry,
): Promise<number> {
  return Promise.try(() => {
    const files = {
      [MANIFEST_NAME]: defaultManifest(),
      [SCHEMA_NAME]: `${jsonSchema(registry)}\n`,
    };
    writeNewFiles(dir, files, force);
    return 0;
  });
}
