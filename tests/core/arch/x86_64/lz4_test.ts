import { assertEquals, assertThrows } from "@std/assert";
import { decodeLz4Legacy } from "../../../../core/arch/x86_64/lz4.ts";
import { storeLz4 } from "./kernel_fixtures.ts";

/** What `lz4 -l -9` makes of `sample()`. */
const PACKED = Uint8Array.from(
  (("02214c185a0000008f706164646f636b200800ff26ff32000102030405060708090a0b0c" +
    "0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30" +
    "3132333435363738393a3b3c3d3e3f000100ff14500000000000").match(/../g)!)
    .map((byte) => parseInt(byte, 16)),
);

/** "paddock " forty times, 0 to 63, and 300 zeroes. */
function sample(): Uint8Array {
  const words = new TextEncoder().encode("paddock ".repeat(40));
  const numbers = Array.from({ length: 64 }, (_, i) => i);
  return Uint8Array.from([...words, ...numbers, ...new Array(300).fill(0)]);
}

function frame(...blocks: number[][]): Uint8Array {
  const bytes = [0x02, 0x21, 0x4c, 0x18];
  for (const block of blocks) bytes.push(block.length, 0, 0, 0, ...block);
  return Uint8Array.from(bytes);
}

Deno.test("decodeLz4Legacy() decodes what the lz4 tool packed", () => {
  assertEquals(decodeLz4Legacy(PACKED, 684), sample());
});

Deno.test("decodeLz4Legacy() joins blocks and frames", () => {
  const one = storeLz4(sample());
  const both = new Uint8Array([...PACKED, ...one, ...one.subarray(4)]);
  const expected = [...sample(), ...sample(), ...sample()];
  assertEquals(decodeLz4Legacy(both, 684 * 3), Uint8Array.from(expected));
});

Deno.test("decodeLz4Legacy() repeats bytes where a match overlaps itself", () => {
  // Literals "ab", a match of 7 at distance 2, the literal "!".
  const block = [0x23, 0x61, 0x62, 2, 0, 0x10, 0x21];
  assertEquals(
    new TextDecoder().decode(decodeLz4Legacy(frame(block), 10)),
    "ababababa!",
  );
});

Deno.test("decodeLz4Legacy() refuses distances of zero, too far, and into an earlier block", () => {
  const first = [0x40, 1, 2, 3, 4];
  for (const distance of [0, 2, 255]) {
    const block = [0x10, 0x61, distance, 0, 0x10, 0x21];
    assertThrows(() => decodeLz4Legacy(frame(first, block), 10), RangeError);
  }
});

Deno.test("decodeLz4Legacy() refuses every truncation", () => {
  for (let length = 0; length < PACKED.length; length++) {
    assertThrows(
      () => decodeLz4Legacy(PACKED.subarray(0, length), 684),
      RangeError,
      undefined,
      `${length} bytes`,
    );
  }
});

Deno.test("decodeLz4Legacy() refuses more and less than was announced", () => {
  for (const size of [0, 1, 383, 384, 683, 685, 100_000]) {
    assertThrows(() => decodeLz4Legacy(PACKED, size), RangeError);
  }
});

Deno.test("decodeLz4Legacy() refuses blocks that claim more than there is", () => {
  const longBlock = frame([0x10, 0x21]);
  longBlock[4] = 0xff;
  const hugeBlock = frame([0x10, 0x21]);
  hugeBlock[7] = 0xff;
  const longLiterals = frame([0xf0, 255, 255, 255, 0x21]);
  const endlessLiterals = frame([0xf0, 255, 255, 255, 255]);
  const emptyBlock = frame([]);
  for (
    const bad of [
      longBlock,
      hugeBlock,
      longLiterals,
      endlessLiterals,
      emptyBlock,
    ]
  ) assertThrows(() => decodeLz4Legacy(bad, 1), RangeError);
});

Deno.test("decodeLz4Legacy() refuses a block of more than 8 MiB", () => {
  // One literal, a match that repeats it, and `literals` more.
  const decode = (matchLength: number, literals: number) => {
    const tail = matchLength - 19;
    const block = [
      0x1f,
      0x61,
      1,
      0,
      ...Array(Math.floor(tail / 255)).fill(255),
    ];
    block.push(tail % 255, literals << 4, ...Array(literals).fill(0x62));
    const bytes = Uint8Array.from([0, 0, 0, 0, ...block]);
    new DataView(bytes.buffer).setUint32(0, block.length, true);
    return decodeLz4Legacy(bytes, 1 + matchLength + literals);
  };
  const full = 8 * 1024 * 1024;
  assertEquals(decode(full - 3, 2).length, full);
  assertThrows(() => decode(full - 3, 3), RangeError);
  assertThrows(() => decode(full, 1), RangeError);
});

Deno.test("decodeLz4Legacy() survives any single damaged byte", () => {
  for (let at = 4; at < PACKED.length; at++) {
    for (const flip of [0x01, 0x80, 0xff]) {
      const bytes = PACKED.slice();
      bytes[at]! ^= flip;
      try {
        assertEquals(decodeLz4Legacy(bytes, 684).length, 684);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }
  }
});
