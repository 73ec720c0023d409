import { assertEquals, assertThrows } from "@std/assert";
import { isElf, parseElf } from "../../../../core/arch/x86_64/elf.ts";
import { ManifestError } from "../../../../core/errors.ts";
import { makeElf, type Segment, xenNote } from "./kernel_fixtures.ts";

const load: Segment = {
  type: 1,
  offset: 0x800n,
  physAddr: 0x200000n,
  fileSize: 0x100n,
  memSize: 0x3000n,
};

function refuses(bytes: Uint8Array, problem: string): void {
  const error = assertThrows(
    () => parseElf(bytes, "boot.kernel"),
    ManifestError,
    problem,
  ) as ManifestError;
  assertEquals(error.path, "boot.kernel");
  assertEquals(error.message.includes("\n"), false);
}

function patched(offset: number, ...values: number[]): Uint8Array {
  const bytes = makeElf();
  bytes.set(values, offset);
  return bytes;
}

Deno.test("isElf() looks at the magic only", () => {
  assertEquals(isElf(makeElf()), true);
  assertEquals(isElf(Uint8Array.of(0x7f, 0x45, 0x4c)), false);
});

Deno.test("parseElf() gives the segments and the PVH entry", () => {
  assertEquals(parseElf(makeElf(), "k"), {
    segments: [{
      fileOffset: 0x800,
      fileSize: 0x100,
      memSize: 0x3000,
      physAddr: 0x200000,
    }],
    pvhEntry: 0x200010,
  });
});

Deno.test("parseElf() works on a view inside a larger buffer", () => {
  const buffer = new Uint8Array(0x2000);
  buffer.set(makeElf(), 0x123);
  const view = buffer.subarray(0x123, 0x1123);
  assertEquals(parseElf(view, "k").pvhEntry, 0x200010);
});

Deno.test("parseElf() finds the entry behind other notes, in 8 bytes too", () => {
  const note = new Uint8Array([
    // "GNU", type 3, a desc of 5 bytes that is padded to 8.
    ...[4, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0],
    ...[1, 2, 3, 4, 5, 0, 0, 0],
    ...xenNote(17, 0x8801n, 4),
    ...xenNote(18, 0x200020n, 8),
  ]);
  assertEquals(parseElf(makeElf({ note }), "k").pvhEntry, 0x200020);
});

Deno.test("parseElf() says null where there is no PVH entry", () => {
  const without = makeElf({ note: xenNote(17, 0x200010n, 4) });
  assertEquals(parseElf(without, "k").pvhEntry, null);
  const otherOwner = makeElf();
  otherOwner[0x400 + 12] = 0x59;
  assertEquals(parseElf(otherOwner, "k").pvhEntry, null);
  assertEquals(parseElf(makeElf({ segments: [load] }), "k").pvhEntry, null);
});

Deno.test("parseElf() leaves out segments without memory", () => {
  const empty = { ...load, fileSize: 0n, memSize: 0n };
  const elf = parseElf(makeElf({ segments: [empty, load] }), "k");
  assertEquals(elf.segments.length, 1);
});

Deno.test("parseElf() refuses files that are no x86-64 executable", () => {
  refuses(patched(4, 1), "32-bit");
  refuses(patched(5, 2), "another processor");
  refuses(patched(18, 0xb7), "another processor");
  refuses(patched(16, 1), "not an executable");
});

Deno.test("parseElf() refuses a file cut short anywhere", () => {
  const whole = makeElf({ size: 0x900 });
  for (let length = 4; length < whole.length; length += 7) {
    refuses(whole.subarray(0, length), "cut short");
  }
});

Deno.test("parseElf() refuses program headers that are missing or far away", () => {
  refuses(patched(56, 0, 0), "no program headers");
  refuses(patched(54, 32), "no program headers");
  refuses(patched(56, 0xff, 0xff), "cut short");
  refuses(patched(32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "cut short");
  refuses(patched(39, 0xff), "cut short");
});

Deno.test("parseElf() refuses segments that leave the file or wrap", () => {
  const all = 2n ** 64n - 1n;
  const cases: [Partial<Segment>, string][] = [
    [{ offset: 0x1000n }, "cut short"],
    [{ offset: all }, "cut short"],
    [{ offset: all - 0xffn, fileSize: 0x100n }, "cut short"],
    [{ fileSize: all, memSize: all }, "cut short"],
    [{ memSize: 0xffn }, "larger than its memory"],
    [{ memSize: all }, "between 1 MiB and 3 GiB"],
    [{ physAddr: 0xff000n }, "between 1 MiB and 3 GiB"],
    [{ physAddr: 0xbfff_e000n }, "between 1 MiB and 3 GiB"],
    [{ physAddr: all - 0xfffn, memSize: 0x1000n }, "between 1 MiB and 3 GiB"],
    [{ type: 2 }, "nothing to load"],
  ];
  for (const [change, problem] of cases) {
    refuses(makeElf({ segments: [{ ...load, ...change }] }), problem);
  }
});

Deno.test("parseElf() refuses notes that leave their segment", () => {
  const note = (nameSize: number, descSize: number) => {
    const bytes = xenNote(18, 0x200010n, 4);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, nameSize, true);
    view.setUint32(4, descSize, true);
    return makeElf({ note: bytes });
  };
  refuses(note(4, 5), "cut short");
  refuses(note(4, 0xffff_ffff), "cut short");
  refuses(note(0xffff_ffff, 4), "cut short");
});

Deno.test("parseElf() ends on a file full of empty notes", () => {
  const segments = [load, { type: 4, offset: 0x400n, fileSize: 0x400n }];
  const note = new Uint8Array(0x400);
  assertEquals(parseElf(makeElf({ segments, note }), "k").pvhEntry, null);
});

Deno.test("parseElf() refuses an entry outside the segments", () => {
  for (const entry of [0x1fffffn, 0x203000n, 2n ** 63n]) {
    refuses(makeElf({ note: xenNote(18, entry, 8) }), "is in no loaded");
  }
});
