import { assertEquals, assertThrows } from "@std/assert";
import {
  findRange,
  readRange,
  type Region,
  type RegionOps,
  renderFlatView,
  writeRange,
} from "../../../core/bus/address_space.ts";

type Size = 1 | 2 | 4;

/** A device that answers a read with its offsets as bytes, and notes each access. */
function recorder(min: Size = 1, max: Size = 4) {
  const accesses: string[] = [];
  const ops: RegionOps = {
    sizes: { min, max },
    read(offset, size) {
      accesses.push(`r${size}@${offset}`);
      let value = 0;
      for (let i = size - 1; i >= 0; i--) value = value * 256 + offset + i;
      return size === 2 ? Promise.resolve(value) : value;
    },
    write(offset, size, value) {
      accesses.push(`w${size}@${offset}=${value.toString(16)}`);
    },
  };
  return { accesses, ops };
}

const region = (
  name: string,
  base: number,
  size: number,
  target: Region["target"],
  priority?: number,
): Region => ({
  name,
  base,
  size,
  target,
  ...(priority === undefined ? {} : { priority }),
});

const shown = (regions: Region[]) =>
  renderFlatView(regions).map(({ name, start, end, offset }) =>
    `${name} ${start.toString(16)}-${end.toString(16)} +${offset.toString(16)}`
  );

Deno.test("renderFlatView() sorts regions and leaves the gaps", () => {
  const { ops } = recorder();
  assertEquals(
    shown([region("b", 0x2000, 0x10, ops), region("a", 0x1000, 0x10, ops)]),
    ["a 1000-1010 +0", "b 2000-2010 +0"],
  );
  assertEquals(shown([]), []);
  assertEquals(shown([region("empty", 0x10, 0, ops)]), []);
});

Deno.test("renderFlatView() shows the higher priority where regions overlap", () => {
  const low = recorder().ops;
  const high = recorder().ops;
  assertEquals(
    shown([region("low", 0, 0x100, low), region("high", 0x40, 0x20, high, 1)]),
    ["low 0-40 +0", "high 40-60 +0", "low 60-100 +60"],
  );
  assertEquals(
    shown([region("high", 0x40, 0x20, high), region("low", 0, 0x100, low, -1)]),
    ["low 0-40 +0", "high 40-60 +0", "low 60-100 +60"],
  );
  assertEquals(
    shown([region("first", 0, 0x20, low), region("second", 0x10, 0x20, high)]),
    ["first 0-20 +0", "second 20-30 +10"],
  );
});

Deno.test("renderFlatView() follows aliases and merges what continues", () => {
  const { ops } = recorder();
  const device = region("device", 0x1000, 0x100, ops);
  assertEquals(
    shown([region("alias", 0x8000, 0x10, { alias: device, offset: 0x40 })]),
    ["alias 8000-8010 +40"],
  );
  const part = region("part", 0x1100, 0x10, { alias: device, offset: 0x100 });
  assertEquals(shown([device, part]), ["device 1000-1110 +0"]);
  const inline = { ...part, inline: { kind: "serial" } as const };
  assertEquals(shown([device, inline]).length, 2);
});

Deno.test("renderFlatView() refuses aliases that form a cycle", () => {
  const { ops } = recorder();
  const a = region("a", 0, 1, ops) as { target: Region["target"] } & Region;
  const b = region("b", 1, 1, { alias: a, offset: 0 });
  Object.assign(a, { target: { alias: b, offset: 0 } });
  assertThrows(() => renderFlatView([a]), RangeError, "cycle");
});

Deno.test("findRange() finds the range of an address, or none", () => {
  const ranges = [10, 20, 40].map((start) => ({ start, end: start + 10 }));
  const found = [9, 10, 19, 20, 29, 30, 39, 40, 49, 50].map((address) =>
    findRange(ranges, address)?.start ?? 0
  );
  assertEquals(found, [0, 10, 10, 20, 20, 0, 0, 40, 40, 0]);
});

const BASE = 0x1000;
async function read(min: Size, max: Size, at: number, length: number) {
  const { accesses, ops } = recorder(min, max);
  const [range] = renderFlatView([region("device", BASE, 0x10, ops)]);
  const into = { low: 1, high: 1 };
  await readRange(range!, BASE + at, length, into);
  return [into.low, into.high, accesses.join(" ")];
}

async function write(min: Size, max: Size, at: number, length: number) {
  const { accesses, ops } = recorder(min, max);
  const [range] = renderFlatView([region("device", BASE, 0x10, ops)]);
  await writeRange(range!, BASE + at, length, {
    low: 0x8765_4321,
    high: 0xfedc_ba98,
  });
  return accesses.join(" ");
}

Deno.test("Accesses that the device takes go through as they are", async () => {
  assertEquals(await read(1, 4, 1, 1), [0x01, 0, "r1@1"]);
  assertEquals(await read(1, 4, 2, 2), [0x0302, 0, "r2@2"]);
  assertEquals(await read(1, 4, 4, 4), [0x07060504, 0, "r4@4"]);
  assertEquals(await write(1, 4, 1, 1), "w1@1=21");
  assertEquals(await write(1, 4, 2, 2), "w2@2=4321");
  assertEquals(await write(1, 4, 4, 4), "w4@4=87654321");
});

Deno.test("Accesses that are too wide are split, low bytes first", async () => {
  assertEquals(await read(1, 4, 0, 8), [0x03020100, 0x07060504, "r4@0 r4@4"]);
  assertEquals(await read(1, 1, 4, 4), [
    0x07060504,
    0,
    "r1@4 r1@5 r1@6 r1@7",
  ]);
  assertEquals(await read(1, 2, 0, 4), [0x03020100, 0, "r2@0 r2@2"]);
  assertEquals(await write(1, 4, 0, 8), "w4@0=87654321 w4@4=fedcba98");
  assertEquals(await write(1, 1, 0, 2), "w1@0=21 w1@1=43");
  assertEquals(
    await write(1, 2, 0, 8),
    "w2@0=4321 w2@2=8765 w2@4=ba98 w2@6=fedc",
  );
});

Deno.test("Accesses that are too narrow are widened", async () => {
  assertEquals(await read(4, 4, 5, 1), [0x05, 0, "r4@4"]);
  assertEquals(await read(4, 4, 6, 2), [0x0706, 0, "r4@4"]);
  assertEquals(await read(2, 2, 3, 1), [0x03, 0, "r2@2"]);
  assertEquals(await write(4, 4, 4, 1), "w4@4=21");
});

Deno.test("Accesses past the range read as ones and are not written", async () => {
  assertEquals(await read(1, 1, 0xe, 4), [0xffff_0f0e, 0, "r1@14 r1@15"]);
  assertEquals(await read(1, 4, 0xe, 4), [0xffff_ffff, 0, ""]);
  assertEquals(await read(1, 4, 0xc, 8), [0x0f0e0d0c, 0xffff_ffff, "r4@12"]);
  assertEquals(await write(1, 1, 0xe, 4), "w1@14=21 w1@15=43");
  assertEquals(await write(1, 4, 0xc, 8), "w4@12=87654321");
});
