// Thread: any
// An address space as a flat view: regions with priorities and aliases, rendered to ranges that do not overlap,
// and the rules by which an access of 1, 2, 4 or 8 bytes becomes accesses that the device takes.

/** An answer now, or later: the vCPU's mailbox is held until then. */
export type Later<T> = T | Promise<T>;

/** A device's registers. Sizes are in bytes, values are unsigned 32-bit. */
export interface RegionOps {
  read(offset: number, size: number): Later<number>;
  write(offset: number, size: number, value: number): Later<void>;
  /** Accesses that the device takes; others are split or widened. */
  readonly sizes: { readonly min: 1 | 2 | 4; readonly max: 1 | 2 | 4 };
  /** Hears of an access wider than `sizes.max` before it comes, split. */
  tooWide?(offset: number, size: number, isWrite: boolean): void;
}

/** What the vCPU worker serves itself, without the core event loop. */
export type Inline =
  | { readonly kind: "virtio-mmio"; readonly device: number }
  | { readonly kind: "serial" };

export interface Region {
  readonly name: string;
  readonly base: number;
  readonly size: number;
  /** Where regions overlap the higher priority is seen; among equals the one added first. Default 0. */
  readonly priority?: number;
  /** Its own registers, or another region's from `offset` on. */
  readonly target: RegionOps | {
    readonly alias: Region;
    readonly offset: number;
  };
  readonly inline?: Inline;
}

/** A stretch [start, end) of the flat view; `offset` is where it starts inside its region's registers. */
export interface FlatRange {
  readonly start: number;
  readonly end: number;
  readonly offset: number;
  readonly name: string;
  readonly ops: RegionOps;
  readonly inline: Inline | null;
}

/** Renders regions to sorted ranges that do not overlap. */
export function renderFlatView(regions: readonly Region[]): FlatRange[] {
  const ordered = regions.toSorted((a, b) =>
    (b.priority ?? 0) - (a.priority ?? 0)
  );
  const edges = [
    ...new Set(
      ordered.flatMap((region) => [region.base, region.base + region.size]),
    ),
  ];
  edges.sort((a, b) => a - b);
  const ranges: FlatRange[] = [];
  for (let i = 0; i + 1 < edges.length; i++) {
    const start = edges[i]!;
    const end = edges[i + 1]!;
    const owner = ordered.find((region) =>
      region.base <= start && end <= region.base + region.size
    );
    if (owner === undefined) continue;
    const range = {
      start,
      end,
      name: owner.name,
      inline: owner.inline ?? null,
      ...resolve(owner, start - owner.base),
    };
    const last = ranges.at(-1);
    const continues = last !== undefined && last.end === start &&
      last.ops === range.ops && last.inline === range.inline &&
      last.offset + (start - last.start) === range.offset;
    if (continues) ranges[ranges.length - 1] = { ...last, end };
    else ranges.push(range);
  }
  return ranges;
}

function resolve(
  region: Region,
  offset: number,
  depth = 0,
): { ops: RegionOps; offset: number } {
  const { target } = region;
  if (!("alias" in target)) return { ops: target, offset };
  if (depth > 8) {
    throw new RangeError(`region ${region.name}: aliases form a cycle`);
  }
  return resolve(target.alias, offset + target.offset, depth + 1);
}

/** Finds the range that holds an address by halving; null where nothing is assigned. */
export function findRange<
  T extends { readonly start: number; readonly end: number },
>(
  ranges: readonly T[],
  address: number,
): T | null {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle]!;
    if (address < range.start) high = middle - 1;
    else if (address >= range.end) low = middle + 1;
    else return range;
  }
  return null;
}

/** A 64-bit value in two halves. */
export interface Halves {
  low: number;
  high: number;
}

/** Reads `length` bytes (1, 2, 4, 8) through the sizes that the device takes. Bytes past the range read as ones. */
export async function readRange(
  range: FlatRange,
  address: number,
  length: number,
  into: Halves,
): Promise<void> {
  const { min, max } = range.ops.sizes;
  const step = Math.min(Math.max(length, min), max);
  into.low = into.high = 0;
  hearTooWide(range, address, length, false);
  for (let done = 0; done < length; done += step) {
    const at = address + done;
    const aligned = step > length
      ? at - (at - range.start + range.offset) % step
      : at;
    const fits = aligned + step <= range.end;
    const got = fits
      ? await range.ops.read(aligned - range.start + range.offset, step)
      : 0xffff_ffff;
    place(into, done, got >>> (8 * (at - aligned)), Math.min(step, length));
  }
}

/** Writes `length` bytes through the sizes that the device takes; a narrow write is widened with zeros. */
export async function writeRange(
  range: FlatRange,
  address: number,
  length: number,
  from: Halves,
): Promise<void> {
  const { min, max } = range.ops.sizes;
  const step = Math.min(Math.max(length, min), max);
  hearTooWide(range, address, length, true);
  for (let done = 0; done < length; done += step) {
    if (address + done + step > range.end) return;
    const half = done < 4 ? from.low : from.high;
    const value = mask(half >>> (8 * (done & 3)), Math.min(step, length));
    await range.ops.write(
      address + done - range.start + range.offset,
      step,
      value,
    );
  }
}

function hearTooWide(
  { ops, start, offset }: FlatRange,
  address: number,
  length: number,
  isWrite: boolean,
): void {
  if (length <= ops.sizes.max) return;
  ops.tooWide?.(address - start + offset, length, isWrite);
}

function mask(value: number, size: number): number {
  return size === 4 ? value >>> 0 : value & ((1 << (8 * size)) - 1);
}

function place(into: Halves, at: number, value: number, size: number): void {
  const bits = mask(value, size);
  if (at < 4) into.low = (into.low | (bits << (8 * at))) >>> 0;
  else into.high = (into.high | (bits << (8 * (at - 4)))) >>> 0;
}
