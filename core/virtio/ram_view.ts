// Thread: queue
// Guest RAM as a queue worker sees it: typed arrays, and the only translation of guest addresses.
import type { SharedRam } from "../memory/guest_memory.ts";
import type { RamRegion } from "../memory/ram_map.ts";

/** What is in no region: no end of a buffer is below it. */
const NONE: RamRegion = { gpa: 0, size: -1, offset: 0 };

export class RamView {
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly u16: Uint16Array<SharedArrayBuffer>;
  readonly u32: Uint32Array<SharedArrayBuffer>;
  // Low RAM and the largest other region, which is all there is unless another VMM made it.
  readonly #lowEnd: number;
  readonly #highStart: number;
  readonly #highEnd: number;
  readonly #hole: number;
  readonly #others: readonly RamRegion[];

  constructor({ buffer, byteOffset, size, regions }: SharedRam) {
    this.bytes = new Uint8Array(buffer, byteOffset, size);
    this.u16 = new Uint16Array(buffer, byteOffset, size / 2);
    this.u32 = new Uint32Array(buffer, byteOffset, size / 4);
    const isLow = ({ gpa, offset }: RamRegion) => gpa === 0 && offset === 0;
    const low = regions.find(isLow) ?? NONE;
    const [high = NONE, ...others] = regions.filter((each) => !isLow(each))
      .sort((a, b) => b.size - a.size);
    this.#lowEnd = low.size;
    this.#highStart = high.gpa;
    this.#highEnd = high.gpa + high.size;
    this.#hole = high.gpa - high.offset;
    this.#others = others;
  }

  /**
   * The offset in `bytes` of `length` bytes at `gpa`, or -1 when they are not all in one stretch of RAM.
   * A `gpa` of 2^53 or more has lost its low bits, and is past all RAM anyway.
   */
  translate(gpa: number, length: number): number {
    const end = gpa + length;
    if (end <= this.#lowEnd) return gpa;
    if (gpa >= this.#highStart && end <= this.#highEnd) return gpa - this.#hole;
    return this.#search(gpa, end);
  }

  #search(gpa: number, end: number): number {
    for (const region of this.#others) {
      if (gpa >= region.gpa && end <= region.gpa + region.size) {
        return gpa - region.gpa + region.offset;
      }
    }
    return -1;
  }
}
