import { assertEquals, assertThrows } from "@std/assert";
import {
  type ConfigLayout,
  configSize,
  encodeField,
  fieldSize,
  placeFields,
  readField,
} from "../../../core/virtio/config_layout.ts";

const LAYOUT = {
  byte: "u8",
  half: { type: "u16", writable: true },
  word: "u32",
  mac: 6,
  long: { type: "u64" },
  tail: { type: 3, writable: true },
} as const satisfies ConfigLayout;

/** The field of LAYOUT with this name. */
function field(name: keyof typeof LAYOUT) {
  return placeFields(LAYOUT).find((each) => each.name === name)!;
}

Deno.test("placeFields() lays fields one after the other, without padding", () => {
  assertEquals(placeFields(LAYOUT), [
    { name: "byte", offset: 0, size: 1, isBytes: false, writable: false },
    { name: "half", offset: 1, size: 2, isBytes: false, writable: true },
    { name: "word", offset: 3, size: 4, isBytes: false, writable: false },
    { name: "mac", offset: 7, size: 6, isBytes: true, writable: false },
    { name: "long", offset: 13, size: 8, isBytes: false, writable: false },
    { name: "tail", offset: 21, size: 3, isBytes: true, writable: true },
  ]);
  assertEquals(placeFields({ a: { type: "u8", writable: false } }), [
    { name: "a", offset: 0, size: 1, isBytes: false, writable: false },
  ]);
});

Deno.test("configSize() is the end of the last field", () => {
  assertEquals(configSize(placeFields(LAYOUT)), 24);
  assertEquals(configSize(placeFields({})), 0);
});

Deno.test("fieldSize() knows what a field may be, and nothing else", () => {
  assertEquals(
    ["u8", "u16", "u32", "u64", 1, 1000, { type: "u16" }, { type: 7 }]
      .map(fieldSize),
    [1, 2, 4, 8, 1, 1000, 2, 7],
  );
  const wrong = [
    undefined,
    null,
    "",
    "u128",
    "i32",
    "toString",
    "__proto__",
    0,
    -1,
    1.5,
    NaN,
    Infinity,
    8n,
    true,
    [],
    ["u8"],
    {},
    { type: undefined },
    { type: { type: "u8" } },
    { size: 4 },
    () => "u8",
  ];
  for (const each of wrong) assertEquals(fieldSize(each), undefined);
});

Deno.test("Numbers are little-endian, and come back as they were written", () => {
  const space = new Uint8Array(24);
  const values = [
    ["byte", 0xfe, [0xfe]],
    ["half", 0x8001, [0x01, 0x80]],
    ["word", 0xdead_beef, [0xef, 0xbe, 0xad, 0xde]],
    ["long", 0x1f_0203_0405_0607, [7, 6, 5, 4, 3, 2, 0x1f, 0]],
  ] as const;
  for (const [name, value, bytes] of values) {
    const { offset, size } = field(name);
    space.set(encodeField(field(name), value), offset);
    assertEquals([...space.subarray(offset, offset + size)], [...bytes]);
    assertEquals(readField(space, field(name)), value);
  }
});

Deno.test("A u64 holds 2^53 - 1, and one that a driver set beyond it is rounded", () => {
  const space = new Uint8Array(24);
  const long = field("long");
  space.set(encodeField(long, 2 ** 53 - 1), long.offset);
  assertEquals(readField(space, long), 9007199254740991);
  space.fill(0xff);
  assertEquals(readField(space, long), 2 ** 64);
});

Deno.test("Bytes are read as a copy", () => {
  const space = new Uint8Array(24).map((_, i) => i);
  const mac = readField(space, field("mac")) as Uint8Array;
  assertEquals([...mac], [7, 8, 9, 10, 11, 12]);
  mac.fill(0xff);
  assertEquals(space[7], 7);
});

Deno.test("encodeField() refuses what a field cannot hold, and names it", () => {
  const wrong: [keyof typeof LAYOUT, unknown, string][] = [
    ["byte", 256, "byte takes a whole number from 0 to 255, not 256"],
    ["byte", -1, "byte takes a whole number from 0 to 255, not -1"],
    ["half", 65536, "half takes a whole number from 0 to 65535, not 65536"],
    ["word", 0.5, "word takes a whole number from 0 to 4294967295, not 0.5"],
    ["word", NaN, "word takes a whole number from 0 to 4294967295, not NaN"],
    [
      "word",
      2 ** 32,
      "word takes a whole number from 0 to 4294967295, not 4294967296",
    ],
    [
      "long",
      2 ** 53,
      "long takes a whole number from 0 to 9007199254740991, not 9007199254740992",
    ],
    ["long", 5n, "long takes a whole number from 0 to 9007199254740991, not 5"],
    ["byte", "7", "byte takes a whole number from 0 to 255, not 7"],
    [
      "byte",
      undefined,
      "byte takes a whole number from 0 to 255, not undefined",
    ],
    ["mac", new Uint8Array(5), "mac takes a Uint8Array of 6 bytes"],
    ["mac", new Uint8Array(7), "mac takes a Uint8Array of 6 bytes"],
    ["mac", [1, 2, 3, 4, 5, 6], "mac takes a Uint8Array of 6 bytes"],
    ["mac", new Uint16Array(6), "mac takes a Uint8Array of 6 bytes"],
    ["tail", 7, "tail takes a Uint8Array of 3 bytes"],
  ];
  for (const [name, value, message] of wrong) {
    const error = assertThrows(() => encodeField(field(name), value), Error);
    assertEquals((error as Error).message, `config field ${message}`);
  }
});
