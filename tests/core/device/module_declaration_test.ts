import { assertEquals, assertThrows } from "@std/assert";
import {
  type ModuleDeclaration,
  readModule,
  readModuleDeclaration,
} from "../../../core/device/module_declaration.ts";

const create = () => ({ queues: {} });
const byte = { type: "integer", min: 0, max: 255, description: "a byte" };
const good = {
  id: 4,
  features: { LOWEST: 0, LOW: 23, HIGH: 50, HIGHEST: 63 },
  featureNeeds: { HIGH: ["LOW", "LOWEST"] },
  queues: { small: 1, large: 1024 },
  config: { mac: 6, status: { type: "u16", writable: true }, rest: 1016 },
  options: {
    byte,
    url: { type: "url", description: "a URL", optional: true },
  },
  permissions: { net: [{ option: "url" }, "example.org:80"], read: [] },
};

Deno.test("readModule() takes a declaration, and fills in what is not there", () => {
  const { create: made, ...declaration } = readModule({ ...good, create });
  assertEquals(declaration, good);
  assertEquals(made({}), { queues: {} });
  const { create: _, ...least } = readModule({ id: 65535, queues: {}, create });
  assertEquals(least, {
    id: 65535,
    features: {},
    featureNeeds: {},
    queues: {},
    config: {},
    options: {},
    permissions: {},
  });
});

Deno.test("readModule() calls create() of what was exported, with its context", () => {
  class Module {
    id = 4;
    queues = {};
    create(context: unknown) {
      return [this instanceof Module, context];
    }
  }
  assertEquals(readModule(new Module()).create("context"), [true, "context"]);
});

Deno.test("readModuleDeclaration() copies what it takes, and needs no create()", () => {
  const read = readModuleDeclaration({ ...good, more: 1 });
  assertEquals<unknown>(read, good);
  const { options } = read as ModuleDeclaration;
  assertEquals<unknown>(options === good.options, false);
  assertEquals<unknown>(options.byte === good.options.byte, false);
});

Deno.test("Queues keep the order in which they are declared", () => {
  const queues = { tx: 8, rx: 8, event: 8, control: 8 };
  const { queues: read } = readModule({ id: 1, queues, create });
  assertEquals(Object.keys(read), ["tx", "rx", "event", "control"]);
});

/** As an object without a way to become text, which a plugin can post. */
const mute = { toString: 1, valueOf: 1 };
const option = (option: unknown) => ({ ...good, options: { it: option } });
const described = { description: "a thing" };
const TYPES = "string, integer, size, boolean, path, url, strings";
const FIELD =
  'of configuration space that is not "u8", "u16", "u32", "u64" or a number of bytes (see config in plugins/API.md)';
const ASKS =
  "that are not lists by read, write, net, env, run, import, of strings or { option } with the name of an option that is text (see permissions in plugins/API.md)";

const BROKEN: readonly (readonly [string, unknown, string])[] = [
  [
    "queues in the singular",
    { id: 4, queue: { requestq: 64 } },
    "declares queue; did you mean queues? (see queues in plugins/API.md)",
  ],
  [
    "options in the singular, though none need be there",
    { id: 4, queues: {}, option: {} },
    "declares option; did you mean options? (see options in plugins/API.md)",
  ],
  [
    "a field with another case",
    { id: 4, queues: {}, featureneeds: {} },
    "declares featureneeds; did you mean featureNeeds? (see featureNeeds in plugins/API.md)",
  ],
  [
    "nothing",
    undefined,
    "its default export is not defineDevice({ … }) (see defineDevice in plugins/API.md)",
  ],
  [
    "null",
    null,
    "its default export is not defineDevice({ … }) (see defineDevice in plugins/API.md)",
  ],
  [
    "a function",
    () => good,
    "its default export is not defineDevice({ … }) (see defineDevice in plugins/API.md)",
  ],
  [
    "no id",
    { ...good, id: undefined },
    "declares id undefined; a virtio device id is 1 to 65535 (see id in plugins/API.md)",
  ],
  [
    "id 0",
    { ...good, id: 0 },
    "declares id 0; a virtio device id is 1 to 65535 (see id in plugins/API.md)",
  ],
  [
    "id 65536",
    { ...good, id: 65536 },
    "declares id 65536; a virtio device id is 1 to 65535 (see id in plugins/API.md)",
  ],
  [
    "a mute id",
    { ...good, id: mute },
    "declares id that; a virtio device id is 1 to 65535 (see id in plugins/API.md)",
  ],
  [
    "a list of features",
    { ...good, features: [3] },
    "declares features that are not bit numbers by name (see features in plugins/API.md)",
  ],
  [
    "features null",
    { ...good, features: null },
    "declares features that are not bit numbers by name (see features in plugins/API.md)",
  ],
  [
    "65 features",
    {
      ...good,
      features: Object.fromEntries(
        Array.from({ length: 65 }, (_, i) => [`F${i}`, 1]),
      ),
    },
    "declares features that are not bit numbers by name (see features in plugins/API.md)",
  ],
  ...[24, 41, 49, 64, -1, 1.5].map((bit) =>
    [
      `feature bit ${bit}`,
      { ...good, features: { FINE: 1, WRONG: bit } },
      `declares feature bit ${bit}; a device's own are 0–23 and 50–63 (virtio-v1.3 §2.2) (see features in plugins/API.md)`,
    ] as const
  ),
  [
    "a feature bit as text",
    { ...good, features: { A: "1" } },
    "declares feature bit 1; a device's own are 0–23 and 50–63 (virtio-v1.3 §2.2) (see features in plugins/API.md)",
  ],
  [
    "no queues",
    { ...good, queues: undefined },
    "declares queues that are not sizes by name, up to 31 (see queues in plugins/API.md)",
  ],
  [
    "a list of queues",
    { ...good, queues: [{ name: "q", size: 8 }] },
    "declares queues that are not sizes by name, up to 31 (see queues in plugins/API.md)",
  ],
  [
    "queues whose names are numbers",
    { ...good, queues: { 1: 8, 0: 8 } },
    "declares queues that are not sizes by name, up to 31 (see queues in plugins/API.md)",
  ],
  [
    "32 queues",
    {
      ...good,
      queues: Object.fromEntries(
        Array.from({ length: 32 }, (_, i) => [`q${i}`, 8]),
      ),
    },
    "declares queues that are not sizes by name, up to 31 (see queues in plugins/API.md)",
  ],
  ...[0, 3, 2048, -8, 1.5].map((size) =>
    [
      `a queue of size ${size}`,
      { ...good, queues: { fine: 8, wrong: size } },
      `declares size ${size} for queue wrong; it is a power of two up to 1024 (virtio-v1.3 §2.7) (see queues in plugins/API.md)`,
    ] as const
  ),
  [
    "a mute queue size",
    { ...good, queues: { q: mute } },
    "declares size that for queue q; it is a power of two up to 1024 (virtio-v1.3 §2.7) (see queues in plugins/API.md)",
  ],
  [
    "a huge queue name",
    { ...good, queues: { ["q".repeat(1e6)]: 3 } },
    `declares size 3 for queue ${
      "q".repeat(40)
    }; it is a power of two up to 1024 (virtio-v1.3 §2.7) (see queues in plugins/API.md)`,
  ],
  ["bytes as a layout", { ...good, config: [1] }, `declares a layout ${FIELD}`],
  ["a layout null", { ...good, config: null }, `declares a layout ${FIELD}`],
  [
    "a field of no type",
    { ...good, config: { fine: "u8", odd: "u24" } },
    `declares field odd ${FIELD}`,
  ],
  [
    "a field that is an object's method",
    { ...good, config: { odd: "toString" } },
    `declares field odd ${FIELD}`,
  ],
  [
    "a field of 0 bytes",
    { ...good, config: { a: 0 } },
    `declares field a ${FIELD}`,
  ],
  [
    "a mute field type",
    { ...good, config: { a: { type: mute } } },
    `declares field a ${FIELD}`,
  ],
  [
    "too large a configuration space",
    { ...good, config: { a: 1024, b: "u8" } },
    "declares a configuration space of 1025 bytes; 1024 are possible (see config in plugins/API.md)",
  ],
  [
    "a list of options",
    { ...good, options: [byte] },
    "declares options that are not an object (see options in plugins/API.md)",
  ],
  ...["use", "name", "permissions", "virtio", "isolation", "integrity"].map(
    (name) =>
      [
        `option ${name}`,
        { ...good, options: { [name]: byte } },
        `declares option ${name}, which is the host's (see options in plugins/API.md)`,
      ] as const,
  ),
  [
    "an option that is a text",
    option("integer"),
    "declares option it as no object (see options in plugins/API.md)",
  ],
  [
    "an option of no type",
    option(described),
    `declares option it of type undefined; the types are ${TYPES} (see options in plugins/API.md)`,
  ],
  [
    "an option of an unknown type",
    option({ ...described, type: "number" }),
    `declares option it of type number; the types are ${TYPES} (see options in plugins/API.md)`,
  ],
  [
    "an option of a mute type",
    option({ ...described, type: mute }),
    `declares option it of type that; the types are ${TYPES} (see options in plugins/API.md)`,
  ],
  [
    "an option whose type is a list",
    option({ ...described, type: ["string"] }),
    `declares option it of type that; the types are ${TYPES} (see options in plugins/API.md)`,
  ],
  [
    "an option without a description",
    option({ type: "path" }),
    "declares option it without a description (see options in plugins/API.md)",
  ],
  ...["integer", "size"].map((type) =>
    [
      `an option of type ${type} without min`,
      option({ ...described, type, max: 9 }),
      "declares option it without min and max (see options in plugins/API.md)",
    ] as const
  ),
  [
    "an option with max Infinity",
    option({ ...byte, max: Infinity }),
    "declares option it without min and max (see options in plugins/API.md)",
  ],
  [
    "an option with step 0",
    option({ ...byte, type: "size", step: 0 }),
    "declares option it with a step that is not a whole number (see options in plugins/API.md)",
  ],
  [
    "an option with half a pattern",
    option({ ...described, type: "string", pattern: "(" }),
    "declares option it with a pattern that is no regular expression (see options in plugins/API.md)",
  ],
  [
    "an option with a RegExp",
    option({ ...described, type: "string", pattern: /a/ }),
    "declares option it with a pattern that is no regular expression (see options in plugins/API.md)",
  ],
  ...[["one"], "ab", [1, 2], []].map((words) =>
    [
      `an option with enum ${JSON.stringify(words)}`,
      option({ ...described, type: "string", enum: words }),
      "declares option it with an enum that is not two or more strings (see options in plugins/API.md)",
    ] as const
  ),
  ...[
    ["LOW"],
    { NONE: ["LOW"] },
    { LOW: ["NONE"] },
    { LOW: "HIGH" },
    { LOW: [] },
    { LOW: ["LOW"] },
    { LOW: [1] },
  ].map((featureNeeds) =>
    [
      `needs ${JSON.stringify(featureNeeds)}`,
      { ...good, features: { LOW: 1, HIGH: 2 }, featureNeeds },
      "declares featureNeeds that are not lists of names of features, by names of others (see featureNeeds in plugins/API.md)",
    ] as const
  ),
  ...([
    ["integer", 300, { min: 0, max: 255 }],
    ["integer", "7", { min: 0, max: 255 }],
    ["integer", 1.5, { min: 0, max: 255 }],
    ["size", 1024, { min: 0, max: 4096 }],
    ["size", "8K", { min: 0, max: 4096 }],
    ["size", "1e3K", { min: 0, max: 2 ** 30 }],
    ["size", "3K", { min: 0, max: 4096, step: 2048 }],
    ["boolean", "true", {}],
    ["string", "c", { enum: ["a", "b"] }],
    ["string", 7, {}],
    ["path", null, {}],
    ["strings", ["a", 1], {}],
    ["strings", "a", {}],
  ] as const).map(([type, value, more]) =>
    [
      `${type} ${JSON.stringify(value)} as a default`,
      option({ ...described, type, default: value, ...more }),
      "declares option it with a default that it would not take (see options in plugins/API.md)",
    ] as const
  ),
  [
    "an option that is optional and has a default",
    option({ ...described, type: "boolean", default: true, optional: true }),
    "declares option it as optional, and with a default: one of both (see options in plugins/API.md)",
  ],
  [
    "a list of permissions",
    { ...good, permissions: ["read"] },
    `asks for permissions ${ASKS}`,
  ],
  [
    "an unknown permission",
    { ...good, permissions: { ffi: ["/lib"] } },
    `asks for permissions ffi ${ASKS}`,
  ],
  [
    "all permissions of a kind",
    { ...good, permissions: { read: true } },
    `asks for permissions read ${ASKS}`,
  ],
  ...[7, null, {}, { option: "none" }, { option: "byte" }, mute].map((ask) =>
    [
      `a permission ${JSON.stringify(ask)}`,
      { ...good, permissions: { net: ["example.org", ask] } },
      `asks for permissions net ${ASKS}`,
    ] as const
  ),
];

for (const [what, declaration, message] of BROKEN) {
  Deno.test(`A module that declares ${what} is refused`, () => {
    assertEquals(readModuleDeclaration(declaration), message);
    const isObject = typeof declaration === "object" && declaration !== null;
    const exported = isObject ? { ...declaration, create } : declaration;
    const error = assertThrows(() => readModule(exported), TypeError);
    assertEquals((error as Error).message, message);
  });
}

Deno.test("A module without create() is refused", () => {
  for (const wrong of [undefined, {}, "create"]) {
    const error = assertThrows(
      () => readModule({ ...good, create: wrong }),
      TypeError,
    );
    assertEquals(
      (error as Error).message,
      "declares no function create, which makes the device (see create in plugins/API.md)",
    );
  }
});
