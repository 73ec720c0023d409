import { assertEquals } from "@std/assert";
import {
  device,
  edgeInterrupt,
  eisaId,
  integer,
  ioPorts,
  memory32Fixed,
  name,
  packageOf,
  resourceTemplate,
  scope,
  string,
} from "../../../../core/arch/x86_64/aml.ts";

const filler = (length: number) => new Array<number>(length).fill(0xa3);

Deno.test("integer() takes the shortest form", () => {
  assertEquals(integer(0), [0x00]);
  assertEquals(integer(1), [0x01]);
  assertEquals(integer(2), [0x0a, 0x02]);
  assertEquals(integer(0x1234), [0x0b, 0x34, 0x12]);
  assertEquals(integer(0xfedc_ba98), [0x0c, 0x98, 0xba, 0xdc, 0xfe]);
});

Deno.test("eisaId() packs letters and digits", () => {
  assertEquals(eisaId("PNP0501"), [0x0c, 0x41, 0xd0, 0x05, 0x01]);
});

Deno.test("name() pads segments and keeps the root", () => {
  assertEquals(name("\\_S5", [0x01]), [0x08, 0x5c, 0x5f, 0x53, 0x35, 0x5f, 1]);
  assertEquals(
    name("_HID", string("A")),
    [0x08, 0x5f, 0x48, 0x49, 0x44, 0x0d, 0x41, 0],
  );
});

Deno.test("packageOf() counts its elements", () => {
  assertEquals(
    packageOf(integer(5), integer(0)),
    [0x12, 0x05, 0x02, 0x0a, 0x05, 0x00],
  );
});

Deno.test("device() encodes its length in one, two and three bytes", () => {
  assertEquals(
    device("ABCD", filler(58)).slice(0, 3),
    [0x5b, 0x82, 0x3f],
  );
  assertEquals(
    device("ABCD", filler(59)).slice(0, 5),
    [0x5b, 0x82, 0x41, 0x04, 0x41],
  );
  assertEquals(
    device("ABCD", filler(4089)).slice(0, 4),
    [0x5b, 0x82, 0x4f, 0xff],
  );
  assertEquals(
    device("ABCD", filler(4090)).slice(0, 5),
    [0x5b, 0x82, 0x81, 0x00, 0x01],
  );
});

Deno.test("scope() encloses its terms", () => {
  assertEquals(
    scope("\\_SB", [0xa3]),
    [0x10, 0x07, 0x5c, 0x5f, 0x53, 0x42, 0x5f, 0xa3],
  );
});

Deno.test("resourceTemplate() is a buffer with an end tag", () => {
  assertEquals(resourceTemplate(ioPorts(0x3f8, 8)), [
    ...[0x11, 0x0d, 0x0a, 0x0a],
    ...[0x47, 0x01, 0xf8, 0x03, 0xf8, 0x03, 0x01, 0x08],
    ...[0x79, 0x00],
  ]);
});

Deno.test("memory32Fixed() and edgeInterrupt() give base, size and line", () => {
  assertEquals(
    memory32Fixed(0xd000_1000, 0x1000),
    [0x86, 9, 0, 1, 0x00, 0x10, 0x00, 0xd0, 0x00, 0x10, 0x00, 0x00],
  );
  assertEquals(edgeInterrupt(23), [0x89, 6, 0, 3, 1, 23, 0, 0, 0]);
});
