// Thread: any
// Where RAM lies in the guest's address space: below the device hole, the rest above 4 GiB.
import { DEVICE_HOLE, HIGH_RAM } from "./layout.ts";

/** One stretch of RAM: `size` bytes at guest address `gpa`, at `offset` inside the RAM buffer. */
export interface RamRegion {
  readonly gpa: number;
  readonly size: number;
  readonly offset: number;
}

/**
 * Splits RAM around the 32-bit device hole.
 *
 * ```ts
 * splitRam(5 * 2 ** 30).map((region) => region.gpa); // [0, 2 ** 32]
 * ```
 */
export function splitRam(size: number): RamRegion[] {
  const low = Math.min(size, DEVICE_HOLE);
  const regions = [{ gpa: 0, size: low, offset: 0 }];
  if (size > low) {
    regions.push({ gpa: HIGH_RAM, size: size - low, offset: low });
  }
  return regions;
}
