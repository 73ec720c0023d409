// Thread: main
// A device's options: what it declares of them as plain data → checks with the manifest's messages → typed values.

import * as v from "valibot";
import { flag, integer, list, oneOf, path, size, text } from "./fields.ts";
import { parseSize } from "./size.ts";

/** What every option has. */
interface Described<Value> {
  /** A noun phrase: "the most bytes that one request gets". It is the error, the help and the editor's hover text. */
  readonly description: string;
  /** The value where the manifest has none; without it, and without `optional`, the manifest must have one. */
  readonly default?: Value;
  /** May be missing, and is undefined then. */
  readonly optional?: true;
}

/** One option, as plain data. A `path` is made absolute by the manifest's folder, a `size` such as "64M" becomes bytes. */
export type OptionSchema =
  | ({
    readonly type: "string";
    /** A regular expression that the whole text must match. */
    readonly pattern?: string;
    readonly enum?: readonly string[];
  } & Described<string>)
  | ({
    readonly type: "integer";
    readonly min: number;
    readonly max: number;
  } & Described<number>)
  | ({
    readonly type: "size";
    readonly min: number;
    readonly max: number;
    /** A multiple of this many bytes. */
    readonly step?: number;
  } & Described<string>)
  | ({ readonly type: "boolean" } & Described<boolean>)
  | ({ readonly type: "path" | "url" } & Described<string>)
  | ({ readonly type: "strings" } & Described<readonly string[]>);

/**
 * A device's options by name.
 *
 * ```ts
 * import type { OptionsSchema } from "@paddock/paddock/plugin";
 *
 * export const options = {
 *   image: { type: "path", description: "the file to serve" },
 *   cache: {
 *     type: "size",
 *     min: 0,
 *     max: 2 ** 30,
 *     default: "16M",
 *     description: "the most memory that it takes",
 *   },
 *   mode: {
 *     type: "string",
 *     enum: ["fast", "safe"],
 *     optional: true,
 *     description: "when writes are done",
 *   },
 * } as const satisfies OptionsSchema;
 * ```
 */
export type OptionsSchema = Readonly<Record<string, OptionSchema>>;

type TypeOf<Option> = Option extends { readonly enum: readonly (infer Word)[] }
  ? Word
  : Option extends { readonly type: "integer" | "size" } ? number
  : Option extends { readonly type: "boolean" } ? boolean
  : Option extends { readonly type: "strings" } ? readonly string[]
  : string;

/** What a device gets for its options. */
export type OptionValues<Schema> = {
  readonly [Name in keyof Schema]: Schema[Name] extends
    { readonly optional: true } ? TypeOf<Schema[Name]> | undefined
    : TypeOf<Schema[Name]>;
};

/** One valibot schema an option, which the manifest's and the editor's schema are made of. */
export function optionEntries(options: OptionsSchema): v.ObjectEntries {
  return Object.fromEntries(
    Object.entries(options).map(([name, option]) => {
      const field = fieldOf(option);
      if (option.default !== undefined) {
        return [name, v.optional(field, option.default as never)];
      }
      return [name, option.optional === true ? v.optional(field) : field];
    }),
  );
}

function fieldOf(option: OptionSchema): v.GenericSchema {
  const { description } = option;
  switch (option.type) {
    case "string":
      if (option.enum !== undefined) return oneOf(option.enum, description);
      return text(
        new RegExp(`^(?:${option.pattern ?? ".*"})$`, "s"),
        description,
      );
    case "integer":
      return integer(option.min, option.max, description);
    case "size":
      return size(option.min, option.max, option.step ?? 1, description);
    case "boolean":
      return flag(description);
    case "path":
      return path(description);
    case "url":
      return text(/^https?:\/\/[^\s/]+\S*$/, description);
    case "strings":
      return list(text(/^[^\0]*$/, "a string"), description);
  }
}

/** The values that a device gets: `given` has passed the schemas; `absolute` resolves a path against the manifest's folder. */
export function resolveOptions(
  options: OptionsSchema,
  given: Readonly<Record<string, unknown>>,
  absolute: (path: string) => string,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([name, { type }]) => {
      const value = given[name];
      if (value === undefined) return [name, undefined];
      if (type === "path") return [name, absolute(value as string)];
      return [name, type === "size" ? parseSize(value as string) : value];
    }),
  );
}
