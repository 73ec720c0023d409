import { assertEquals } from "@std/assert";
import { parseSmaps } from "./memory.ts";
import {
  formatSection,
  inTurns,
  isReached,
  median,
  type Row,
} from "./report.ts";
import { firstInstruction, tinyGuest } from "./tiny_guest.ts";

const ROW: Row = {
  name: "first instruction / QEMU microvm",
  unit: "MiB",
  value: 1234.5,
  reference: 1122.3,
  goal: 1.1,
};

Deno.test("median() is the middle sample, or the mean of the two in the middle", () => {
  assertEquals(median([9, 1, 5]), 5);
  assertEquals(median([9, 1, 5, 7]), 6);
});

Deno.test("isReached() allows the goal itself, and says nothing without a goal or a reference", () => {
  assertEquals(isReached({ ...ROW, value: 11, reference: 10 }), true);
  assertEquals(isReached({ ...ROW, value: 11.1, reference: 10 }), false);
  assertEquals(isReached({ ...ROW, goal: null }), null);
  assertEquals(isReached({ ...ROW, reference: null }), null);
});

Deno.test("formatSection() fits 80 columns and shows value, reference, ratio, goal and verdict", () => {
  const text = formatSection({ title: "t", rows: [ROW], notes: ["note"] });
  const lines = text.split("\n");
  assertEquals(lines.every((line) => line.length <= 80), true, text);
  assertEquals(lines[2]!.trim().split(/ {2,}/), [
    "first instruction / QEMU microvm",
    "1235 MiB",
    "1122 MiB",
    "1.10",
    "1.1 reached",
  ]);
});

Deno.test("inTurns() leaves out the first round and goes from one to the next", async () => {
  const order: string[] = [];
  const contender = (name: string) => () =>
    Promise.resolve(order.push(name) - 1);
  const samples = await inTurns(2, { a: contender("a"), b: contender("b") });
  assertEquals(order.join(""), "ababab");
  assertEquals(samples, { a: [2, 4], b: [3, 5] });
});

Deno.test("parseSmaps() tells guest RAM from the rest", () => {
  const text = `7f0000000000-7f0000200000 rw-p 00000000 00:00 0
Rss:                2048 kB
Pss:                2048 kB
VmFlags: rd wr mr mw me nr dd hg
7f0000300000-7f0000301000 r--p 00000000 00:00 0 [vvar]
Rss:                   0 kB
Pss:                   0 kB
VmFlags: rd mr pf io de dd
7f0000400000-7f0000500000 r-xp 00000000 00:01 1 /usr/bin/deno
Rss:                1024 kB
Pss:                 512 kB
VmFlags: rd ex mr mw me
`;
  assertEquals(parseSmaps(text), { rss: 1, pss: 0.5, guest: 2 });
});

Deno.test("firstInstruction() adds wall clock, system time and the ticks since", () => {
  const view = new DataView(new ArrayBuffer(0x48));
  view.setUint32(0x04, 1_700_000_000, true); // seconds
  view.setUint32(0x08, 500_000_000, true); // nanoseconds
  view.setBigUint64(0x28, 5_000_000n, true); // TSC when KVM wrote the time
  view.setBigUint64(0x30, 20_000_000n, true); // ns since boot then
  view.setUint32(0x38, 0x8000_0000, true); // half a nanosecond a tick
  view.setInt8(0x3c, 1); // times two
  view.setBigUint64(0x40, 3_000_000n, true); // 2 ms before
  const at = firstInstruction(new Uint8Array(view.buffer));
  assertEquals(at, 1_700_000_000_500 + 18);
});

Deno.test("tinyGuest() is an ELF file with a note that names its PVH entry", () => {
  const file = tinyGuest();
  const view = new DataView(file.buffer);
  assertEquals(view.getUint32(0), 0x7f454c46);
  assertEquals(view.getUint32(0xb8, true), 18);
  const entry = view.getUint32(0xc0, true);
  assertEquals([file[entry - 0x10_0000], file[entry - 0x0f_ffff]], [
    0x0f,
    0x31,
  ]);
});
