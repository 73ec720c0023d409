// Guest RAM as the fuzzer has it: little, so that all of it is compared after each case, in stretches with holes
// between them for the guest, and none in the buffer: what runs over an edge shows in the next one's bytes.
import type { RamRegion } from "../../core/memory/ram_map.ts";
import type { Random } from "./random.ts";

/** Bytes of RAM, which steps that write to it address by their place in the buffer. */
export const RAM_SIZE = 0x4000;

/** Low RAM, a stretch in the middle of 32 bits, as other VMMs have it, and RAM from 4 GiB on. */
export const REGIONS: RamRegion[] = [
  { gpa: 0, size: 0x3000, offset: 0 },
  { gpa: 0x8000_0000, size: 0x600, offset: 0x3000 },
  { gpa: 2 ** 32, size: 0xa00, offset: 0x3600 },
];
const [LOW, MIDDLE, HIGH] = REGIONS as [RamRegion, RamRegion, RamRegion];
const end = ({ gpa, size }: RamRegion) => gpa + size;

/** Where in the buffer `length` bytes at this guest address are, or -1 when they are not all in one stretch. */
export function offsetOf(gpa: number, length: number): number {
  for (const region of REGIONS) {
    if (gpa >= region.gpa && gpa + length <= end(region)) {
      return gpa - region.gpa + region.offset;
    }
  }
  return -1;
}

/** Guest addresses of something: the first, and the one after the last. */
export type Area = readonly [start: number, end: number];

/** Rings: in low RAM, at its end, and where high RAM starts. */
export const LOW_RINGS: Area = [0, 0x1000];
export const LAST_RINGS: Area = [end(LOW) - 0x400, end(LOW)];
export const HIGH_RINGS: Area = [HIGH.gpa, HIGH.gpa + 0x400];

/** Indirect tables have 12 descriptors at most. */
export const TABLE_SIZE = 16 * 12;
const LOW_TABLES: Area = [LOW_RINGS[1], 0x1c00];
/** Most in low RAM, and two at either end of the stretch in the middle. */
export const TABLES: readonly number[] = [
  ...Array.from(
    { length: Math.floor((LOW_TABLES[1] - LOW_TABLES[0]) / TABLE_SIZE) },
    (_, i) => LOW_TABLES[0] + TABLE_SIZE * i,
  ),
  MIDDLE.gpa,
  MIDDLE.gpa + TABLE_SIZE,
  end(MIDDLE) - 2 * TABLE_SIZE,
  end(MIDDLE) - TABLE_SIZE,
];

/** Buffers, in each of the stretches. */
export const LOW_BUFFERS: Area = [LOW_TABLES[1], LAST_RINGS[0]];
export const MIDDLE_BUFFERS: Area = [
  MIDDLE.gpa + 2 * TABLE_SIZE,
  end(MIDDLE) - 2 * TABLE_SIZE,
];
export const HIGH_BUFFERS: Area = [HIGH_RINGS[1], end(HIGH)];

/** A place for `length` bytes in one of the areas, often at an edge. */
export function placeIn(
  random: Random,
  areas: readonly Area[],
  length: number,
): number {
  const [start, end] = random.pick(areas);
  const last = end - length;
  if (random.chance(20)) return start;
  if (random.chance(25)) return last;
  return start + random.below(last - start + 1);
}

/** Guest addresses that have hurt others: the edges of RAM, of its holes, of 32 and of 64 bits, the rings themselves. */
export function hurtfulAddress(random: Random): number {
  const { gpa, size } = random.pick(REGIONS);
  return random.pick([
    0,
    4 * random.below(0x200),
    gpa + random.below(size),
    random.pick(TABLES) + 16 * random.below(4),
    gpa,
    gpa - random.between(1, 16),
    gpa + size - random.below(80),
    gpa + size,
    gpa + size + random.below(0x1000),
    0xd000_0050,
    2 ** 32 - random.below(32),
    2 ** 32 + random.below(RAM_SIZE),
    2 ** 53,
    2 ** 63,
    2 ** 64 - 2048 * random.between(1, 4),
  ]);
}

/** From `gpa` to the end of its stretch, or of all RAM where it is in none. */
export function lengthToEdge(gpa: number): number {
  const region = REGIONS.find((each) => gpa >= each.gpa && gpa <= end(each));
  return end(region ?? HIGH) - gpa;
}
