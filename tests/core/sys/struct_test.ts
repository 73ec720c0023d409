import { assertEquals, assertThrows } from "@std/assert";
import { struct } from "../../../core/sys/struct.ts";

Deno.test("struct() lays fields out as the x86-64 ABI does", () => {
  const Mixed = struct({
    a: "u8",
    b: "u32",
    c: "u8",
    d: "u64",
    e: [3, 1],
    f: "u16",
  });
  assertEquals(Mixed.OFFSET, { a: 0, b: 4, c: 8, d: 16, e: 24, f: 28 });
  assertEquals(Mixed.SIZE, 32);
  assertEquals(struct({ a: "u16", b: "u8" }).SIZE, 4);
  assertEquals(struct({ a: "u8", b: [4, 1] }).SIZE, 5);
  assertEquals(struct({}).SIZE, 0);
});

Deno.test("A struct reads and writes its bytes, little-endian", () => {
  const Some = struct({ a: "u8", b: "u16", c: "u32", d: "i32", e: "u64" });
  const some = new Some();
  some.a = 0x11;
  some.b = 0x2233;
  some.c = 0xfedc_ba98;
  some.d = -2;
  some.e = 0x1f_ffff_ffff_fffe;
  assertEquals(
    Array.from(some.bytes, (byte) => byte.toString(16).padStart(2, "0")).join(
      "",
    ),
    "11003322" + "98badcfe" + "feffffff" + "00000000" + "feffffffffff1f00",
  );
  assertEquals(
    [some.a, some.b, some.c, some.d, some.e],
    [0x11, 0x2233, 0xfedc_ba98, -2, 0x1f_ffff_ffff_fffe],
  );
});

Deno.test("A struct over given bytes changes only its own", () => {
  const Pair = struct({ a: "u16", list: [2, 1] });
  const bytes = new Uint8Array(8).fill(0xee);
  const pair = new Pair(bytes.subarray(2));
  pair.a = 1;
  pair.list = new Uint8Array([2, 3, 4]);
  assertEquals(
    bytes,
    new Uint8Array([0xee, 0xee, 1, 0, 2, 3, 0xee, 0xee]),
  );
  assertEquals(pair.list, new Uint8Array([2, 3]));
});

Deno.test("A struct refuses too few bytes and what is no u64", () => {
  const One = struct({ a: "u64" });
  assertThrows(() => new One(new Uint8Array(7)), RangeError);
  const one = new One();
  for (const value of [-1, 2 ** 53, 1.5, NaN]) {
    assertThrows(() => one.a = value, RangeError, "u64");
  }
});
