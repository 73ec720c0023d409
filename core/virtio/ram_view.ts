// Thread: queue
// Guest RAM as a queue worker sees it: typed arrays, and the only translation of guest addresses.
import type { SharedRam } from "../memory/guest_memory.ts";
import { splitRam } from "../memory/ram_map.ts";
import type { RamRegion } from "../memory/ram_map.ts";

export class RamView {
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly u16: Uint16Array<SharedArrayBuffer>;
  readonly u32: Uint32Array<SharedArrayBuffer>;
  readonly #regions: readonly RamRegion[];

  constructor(ram: SharedRam) {
    this.bytes = new Uint8Array(ram.buffer, ram.byteOffset, ram.size);
    this.u16 = new Uint16Array(ram.buffer, ram.byteOffset, ram.size / 2);
    this.u32 = new Uint32Array(ram.buffer, ram.byteOffset, ram.size / 4);
    this.#regions = splitRam(ram.size);
  }

  /**
   * The offset in `bytes` of `length` bytes at `gpa`, or -1 when they are not all in one stretch of RAM.
   * A `gpa` of 2^53 or more has lost its low bits, and is past all RAM anyway.
   */
  translate(gpa: number, length: number): number {
    for (let i = 0; i < this.#regions.length; i++) {
      const region = this.#regions[i]!;
      if (gpa >= region.gpa && gpa + length <= region.gpa + region.size) {
        return gpa - region.gpa + region.offset;
      }
    }
    return -1;
  }
}
