import { assertEquals, assertThrows } from "@std/assert";
import { patchCpuid } from "../../../../core/arch/x86_64/cpuid.ts";

/** function, index, flags, eax, ebx, ecx, edx */
type Row = [number, number, number, number, number, number, number];

function makeTable(rows: Row[], room = 8): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8 + (rows.length + room) * 40).fill(0xee);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, rows.length, true);
  rows.forEach((row, i) =>
    row.forEach((word, j) => view.setUint32(8 + i * 40 + j * 4, word, true))
  );
  return bytes;
}

function rowsOf(bytes: Uint8Array<ArrayBuffer>): Row[] {
  const view = new DataView(bytes.buffer);
  return Array.from(
    { length: view.getUint32(0, true) },
    (_, i) =>
      Array.from(
        { length: 7 },
        (_, j) => view.getUint32(8 + i * 40 + j * 4, true),
      ) as Row,
  );
}

/** The registers of a leaf after patching. */
function patched(
  rows: Row[],
  apicId: number,
  cpus: number,
  leaf: number,
  index = 0,
): number[] | undefined {
  const table = makeTable(rows);
  patchCpuid(table, apicId, cpus);
  return rowsOf(table).find((row) => row[0] === leaf && row[1] === index)
    ?.slice(3);
}

Deno.test("patchCpuid() gives leaf 1 the APIC id and the processors", () => {
  const row: Row = [1, 0, 0, 0x800f12, 0x7705_0800, 0x0000_0001, 0x0000_0001];
  assertEquals(
    patched([row], 3, 4, 1),
    [0x800f12, 0x0304_0800, 0x8100_0001, 0x1000_0001],
  );
});

Deno.test("patchCpuid() clears HTT for one processor", () => {
  const row: Row = [1, 0, 0, 0, 0, 0, 0xffff_ffff];
  assertEquals(patched([row], 0, 1, 1), [
    0,
    0x0001_0000,
    0x8100_0000,
    0xefff_ffff,
  ]);
});

Deno.test("patchCpuid() shares the third-level cache only", () => {
  const rows: Row[] = [
    [4, 0, 1, 0xfc1f_c121, 1, 2, 3],
    [4, 3, 1, 0xfc1f_c163, 1, 2, 3],
    [4, 4, 1, 0, 0, 0, 0],
    [0x8000_001d, 0, 1, 0x0000_4121, 1, 2, 3],
    [0x8000_001d, 3, 1, 0x0001_c163, 1, 2, 3],
  ];
  const eax = (leaf: number, index: number) =>
    patched(rows, 1, 6, leaf, index)?.[0];
  assertEquals(eax(4, 0), 0x1c00_0121);
  assertEquals(eax(4, 3), 0x1c01_c163);
  assertEquals(eax(4, 4), 0);
  assertEquals(eax(0x8000_001d, 0), 0x0000_0121);
  assertEquals(eax(0x8000_001d, 3), 0x0001_c163);
  assertEquals(patched(rows, 1, 6, 4, 3)?.slice(1), [1, 2, 3]);
});

Deno.test("patchCpuid() makes the thread and core levels of leaf 0xb", () => {
  const rows: Row[] = [
    [0, 0, 0, 0xd, 0, 0, 0],
    [0xb, 0, 1, 7, 7, 7, 7],
    [0xb, 2, 1, 7, 7, 7, 7],
  ];
  assertEquals(patched(rows, 4, 5, 0xb, 0), [0, 1, 0x100, 4]);
  assertEquals(patched(rows, 4, 5, 0xb, 1), [3, 5, 0x201, 4]);
  assertEquals(patched(rows, 4, 5, 0xb, 2), [0, 0, 0x002, 4]);
  assertEquals(patched(rows, 4, 5, 0x1f, 0), undefined);
});

Deno.test("patchCpuid() adds leaves 0xb and 0x1f with their index flag", () => {
  const table = makeTable([[0, 0, 0, 0x1f, 0, 0, 0]]);
  patchCpuid(table, 63, 64);
  assertEquals(rowsOf(table).slice(1, 5), [
    [0xb, 0, 1, 0, 1, 0x100, 63],
    [0xb, 1, 1, 6, 64, 0x201, 63],
    [0x1f, 0, 1, 0, 1, 0x100, 63],
    [0x1f, 1, 1, 6, 64, 0x201, 63],
  ]);
});

Deno.test("patchCpuid() leaves out 0xb where the processor's leaves end before", () => {
  assertEquals(patched([[0, 0, 0, 0xa, 0, 0, 0]], 0, 2, 0xb), undefined);
});

Deno.test("patchCpuid() sets AMD's core count and ids", () => {
  const rows: Row[] = [
    [0x8000_0008, 0, 0, 0x3030, 0x10, 0x0001_707f, 5],
    [0x8000_001e, 0, 0, 9, 0x0109, 0x0303, 0],
  ];
  assertEquals(
    patched(rows, 2, 3, 0x8000_0008),
    [0x3030, 0x10, 0x0001_2002, 5],
  );
  assertEquals(patched(rows, 2, 3, 0x8000_001e), [2, 2, 0, 0]);
});

Deno.test("patchCpuid() keeps KVM's leaves and adds them where they are missing", () => {
  const kept: Row = [0x4000_0001, 0, 0, 0x0100_7efb, 0, 0, 1];
  const table = makeTable([kept]);
  patchCpuid(table, 0, 1);
  assertEquals(rowsOf(table), [
    kept,
    [
      ...[0x4000_0000, 0, 0],
      ...[0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x0000_004d],
    ] as Row,
  ]);
  assertEquals(patched([], 0, 1, 0x4000_0001), [0, 0, 0, 0]);
});

Deno.test("patchCpuid() can patch a table again for another vCPU", () => {
  const rows: Row[] = [
    [0, 0, 0, 0x1f, 0, 0, 0],
    [1, 0, 0, 0, 0, 0, 0],
    [4, 3, 1, 0x163, 0, 0, 0],
    [0x8000_0008, 0, 0, 0, 0, 0, 0],
    [0x8000_001e, 0, 0, 0, 0, 0, 0],
  ];
  const twice = makeTable(rows);
  patchCpuid(twice, 5, 8);
  patchCpuid(twice, 1, 2);
  const once = makeTable(rows);
  patchCpuid(once, 1, 2);
  assertEquals(rowsOf(twice), rowsOf(once));
});

Deno.test("patchCpuid() leaves other leaves and the rest of the table alone", () => {
  const other: Row = [7, 0, 1, 1, 2, 3, 4];
  const table = makeTable([other, [0x8000_0002, 0, 0, 5, 6, 7, 8]]);
  patchCpuid(table, 1, 2);
  assertEquals(rowsOf(table)[0], other);
  assertEquals(rowsOf(table)[1], [0x8000_0002, 0, 0, 5, 6, 7, 8]);
  assertEquals(new Set(table.subarray(8 + 4 * 40)), new Set([0xee]));
});

Deno.test("patchCpuid() throws where the table has no room", () => {
  assertThrows(() => patchCpuid(makeTable([], 1), 0, 1), RangeError);
});
