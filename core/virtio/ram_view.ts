// Thread: queue
// Guest RAM as a queue worker sees it: typed arrays, and the only translation of guest addresses.
import type { SharedRam } from "../memory/guest_memory.ts";
import { splitRam } from "../memory/ram_map.ts";
import { HIGH_RAM } from "../memory/layout.ts";

export class RamView {
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly u16: Uint16Array<SharedArrayBuffer>;
  readonly u32: Uint32Array<SharedArrayBuffer>;
  readonly #lowEnd: number;
  readonly #highEnd: number;
  readonly #hole: number;

  constructor(ram: SharedRam) {
    this.bytes = new Uint8Array(ram.buffer, ram.byteOffset, ram.size);
    this.u16 = new Uint16Array(ram.buffer, ram.byteOffset, ram.size / 2);
    this.u32 = new Uint32Array(ram.buffer, ram.byteOffset, ram.size / 4);
    const [low, high] = splitRam(ram.size);
    this.#lowEnd = low!.size;
    this.#highEnd = high === undefined ? 0 : high.gpa + high.size;
    this.#hole = high === undefined ? 0 : high.gpa - high.offset;
  }

  /**
   * The offset in `bytes` of `length` bytes at `gpa`, or -1 when they are not all in one stretch of RAM.
   * A `gpa` of 2^53 or more has lost its low bits, and is past all RAM anyway.
   */
  translate(gpa: number, length: number): number {
    const end = gpa + length;
    if (end <= this.#lowEnd) return gpa;
    if (gpa >= HIGH_RAM && end <= this.#highEnd) return gpa - this.#hole;
    return -1;
  }
}
