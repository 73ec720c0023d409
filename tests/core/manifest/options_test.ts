import { assertEquals } from "@std/assert";
import { toJsonSchema } from "@valibot/to-json-schema";
import * as v from "valibot";
import { object } from "../../../core/manifest/fields.ts";
import {
  optionEntries,
  type OptionsSchema,
  type OptionValues,
  resolveOptions,
} from "../../../core/manifest/options.ts";

const OPTIONS = {
  label: { type: "string", pattern: "[a-z]|[0-9]{2}", description: "a label" },
  mode: {
    type: "string",
    enum: ["fast", "safe", "off"],
    default: "safe",
    description: "how to write",
  },
  note: { type: "string", optional: true, description: "a note" },
  count: {
    type: "integer",
    min: -1,
    max: 9,
    default: 3,
    description: "how many",
  },
  room: {
    type: "size",
    min: 4096,
    max: 2 ** 30,
    step: 4096,
    default: "8K",
    description: "the room",
  },
  loud: { type: "boolean", default: false, description: "log more" },
  file: { type: "path", default: "a/b", description: "a file" },
  peer: { type: "url", optional: true, description: "a URL" },
  names: { type: "strings", optional: true, description: "a list of names" },
} as const satisfies OptionsSchema;

/** What the manifest's device says, checked; or one line an issue. */
function check(
  given: Record<string, unknown>,
  options: OptionsSchema = OPTIONS,
): unknown {
  const result = v.safeParse(object(optionEntries(options), "a device"), given);
  return result.success
    ? result.output
    : result.issues.map((issue) => `${v.getDotPath(issue)}: ${issue.message}`);
}

Deno.test("Options that are missing have their defaults, or are absent", () => {
  assertEquals(check({ label: "a" }), {
    label: "a",
    mode: "safe",
    count: 3,
    room: "8K",
    loud: false,
    file: "a/b",
  });
});

Deno.test("Options of every type are taken as they are given", () => {
  const given = {
    label: "42",
    mode: "off",
    note: "any\ntext, \0 too",
    count: -1,
    room: "1G",
    loud: true,
    file: "/dev/null",
    peer: "https://example.org:8443/a?b#c",
    names: ["a", ""],
  };
  assertEquals(check(given), given);
});

Deno.test("An option that is required says what it is", () => {
  assertEquals(check({}), ["label: is required: a label"]);
});

Deno.test("An option that is not declared is refused, with the one that was meant", () => {
  assertEquals(check({ label: "a", counts: 1 }), [
    'counts: unknown field; did you mean "count"?',
  ]);
});

const BROKEN: readonly (readonly [keyof typeof OPTIONS, unknown[], string])[] =
  [
    ["label", ["ab", "4", "422", "a42", "", "a\n", 4, null], "a label"],
    ["mode", ["Fast", "", 0, null], '"fast", "safe" or "off"'],
    ["note", [1, null, ["a"]], "a note"],
    [
      "count",
      [-2, 10, 0.5, "3", NaN, null],
      "how many, a whole number from -1 to 9",
    ],
    [
      "room",
      ["1K", "9K", "2G", "8", "8k", 8192, "4096", "-8K", null],
      'the room, from 4K to 1G in steps of 4K, such as "64M"',
    ],
    ["loud", [0, "yes", null], "true or false"],
    ["file", ["", "a\0b", "a".repeat(4096), 1, null], "a file"],
    [
      "peer",
      [
        "example.org",
        "ftp://example.org",
        "https://",
        "https:///a",
        "http://a b",
        7,
      ],
      "a URL",
    ],
    ["names", ["a", { 0: "a" }, null], "a list of names"],
  ];

for (const [name, values, what] of BROKEN) {
  Deno.test(`Option ${name} refuses what is not ${what}`, () => {
    for (const value of values) {
      const found = check({ label: "a", [name]: value });
      const lines = Array.isArray(found) ? found as string[] : [];
      const say = JSON.stringify(value);
      assertEquals(lines.length > 0, true, say);
      assertEquals(
        lines[0]!.startsWith(`${name}: must be ${what}, not `),
        true,
        `${say}: ${lines[0]}`,
      );
    }
  });
}

Deno.test("A list of strings refuses other items by their place", () => {
  assertEquals(check({ label: "a", names: ["a", 1, "b\0"] }), [
    "names.1: must be a string, not 1",
    'names.2: must be a string, not "b\\u0000"',
  ]);
});

Deno.test("resolveOptions() makes paths absolute and sizes bytes", () => {
  const given = { label: "a", room: "8K", file: "b", count: 0, loud: false };
  const values: Record<string, unknown> = resolveOptions(
    OPTIONS,
    { ...given, more: 1 },
    (path) => `/folder/${path}`,
  );
  assertEquals(values, {
    label: "a",
    mode: undefined,
    note: undefined,
    count: 0,
    room: 8192,
    loud: false,
    file: "/folder/b",
    peer: undefined,
    names: undefined,
  });
});

Deno.test("The types of a device's options follow from what it declares", () => {
  const values: OptionValues<typeof OPTIONS> = {
    label: "a",
    mode: "fast",
    note: undefined,
    count: 1,
    room: 8192,
    loud: true,
    file: "/b",
    peer: "https://example.org",
    names: ["a"],
  };
  // @ts-expect-error: not a word of the enum
  const mode: typeof values.mode = "slow";
  // @ts-expect-error: a device gets bytes
  const room: typeof values.room = "8K";
  // @ts-expect-error: not optional
  const label: typeof values.label = undefined;
  assertEquals([mode, room, label], ["slow", "8K", undefined]);
});

Deno.test("An editor's schema has each option with its form, its default and what it is", () => {
  const { properties, required } = toJsonSchema(
    v.object(optionEntries(OPTIONS)),
    { typeMode: "input", errorMode: "ignore" },
  );
  assertEquals(required, ["label"]);
  assertEquals(properties?.label, {
    type: "string",
    pattern: "^(?:[a-z]|[0-9]{2})$",
    description: "a label",
  });
  assertEquals(properties?.mode, {
    enum: ["fast", "safe", "off"],
    type: "string",
    description: 'how to write: "fast", "safe" or "off"',
    default: "safe",
  });
  assertEquals(properties?.count, {
    type: "integer",
    minimum: -1,
    maximum: 9,
    description: "how many, a whole number from -1 to 9",
    default: 3,
  });
  assertEquals(properties?.names, {
    type: "array",
    items: { type: "string", pattern: "^[^\\0]*$", description: "a string" },
    description: "a list of names",
  });
});
