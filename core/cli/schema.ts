// Thread: main
// `paddock schema`: the manifest's JSON Schema, for editors.

import { toJsonSchema } from "@valibot/to-json-schema";
import type { Registry } from "../manifest/built_in.ts";
import { manifestSchema } from "../manifest/schema.ts";
import type { ArgsOf } from "./args.ts";
import { printLine } from "./output.ts";

/** The JSON Schema as text. Ranges of sizes, which it cannot express, are left to `check`. */
export function jsonSchema(registry: Registry): string {
  const schema = toJsonSchema(manifestSchema(registry), {
    typeMode: "input",
    errorMode: "ignore",
  });
  return JSON.stringify(schema, null, 2);
}

/** Prints the JSON Schema. */
export function schema(
  _args: ArgsOf<"schema">,
  registry: Registry,
): Promise<number> {
  printLine(jsonSchema(registry));
  return Promise.resolve(0);
}
