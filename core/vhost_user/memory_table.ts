// Thread: main
// The front end's memory table, mapped here: guest RAM for the worker, and the front end's own addresses to guest ones.
import { SysError, VhostUserError } from "../errors.ts";
import { FileMapping } from "../memory/file_mapping.ts";
import type { SharedRam } from "../memory/guest_memory.ts";
import { MAX_MEMORY } from "../memory/layout.ts";
import type { Fd } from "../sys/fd.ts";
import type { MemoryRegion } from "./payload.ts";

const PAGE = 4096;
const HOST_PAGES_END = 2 ** 52;

export class MemoryTable implements Disposable {
  readonly ram: SharedRam;
  readonly #regions: readonly MemoryRegion[];
  readonly #mapping: FileMapping;

  /** Maps the regions; throws a VhostUserError for a table that cannot be. The files may be closed afterwards. */
  constructor(regions: readonly MemoryRegion[], fds: readonly Fd[]) {
    regions.forEach(checkRegion);
    checkOverlaps(regions);
    this.#regions = regions;
    this.#mapping = map(regions, fds);
    const { buffer, byteOffset, size, offsets } = this.#mapping;
    this.ram = {
      buffer,
      byteOffset,
      size,
      regions: regions.map((region, i) => ({
        gpa: region.guestAddress,
        size: region.size,
        offset: offsets[i]!,
      })),
    };
  }

  /** The guest address of one of the front end's own; throws a VhostUserError for one that is in no region. */
  toGuest(userAddress: number): number {
    const region = this.#regions.find((each) =>
      userAddress >= each.userAddress &&
      userAddress < each.userAddress + each.size
    );
    if (region !== undefined) {
      return userAddress - region.userAddress + region.guestAddress;
    }
    throw new VhostUserError(
      `put a ring at 0x${userAddress.toString(16)}, which is in no region`,
    );
  }

  /** A u16 at a guest address that the worker is yet to check; 0 where there is none. */
  readU16(guestAddress: number): number {
    const region = this.ram.regions.find(({ gpa, size }) =>
      guestAddress >= gpa && guestAddress + 2 <= gpa + size
    );
    if (region === undefined || guestAddress % 2 !== 0) return 0;
    const at = guestAddress - region.gpa + region.offset;
    const { buffer, byteOffset } = this.ram;
    return Atomics.load(new Uint16Array(buffer, byteOffset + at, 1), 0);
  }

  close(): void {
    this.#mapping.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function checkRegion(region: MemoryRegion): void {
  const { guestAddress, size, userAddress, mmapOffset } = region;
  const numbers = [guestAddress, size, userAddress, mmapOffset];
  const aligned = [guestAddress, size, mmapOffset].every((each) =>
    each % PAGE === 0
  );
  if (size > 0 && aligned && numbers.every((each) => each < HOST_PAGES_END)) {
    return;
  }
  throw new VhostUserError(
    `sent a region of ${size} bytes at 0x${
      guestAddress.toString(16)
    }, file offset ${mmapOffset}; regions are whole pages`,
  );
}

function checkOverlaps(regions: readonly MemoryRegion[]): void {
  const total = regions.reduce((sum, { size }) => sum + size, 0);
  if (total > MAX_MEMORY) {
    throw new VhostUserError(
      `sent ${total} bytes of memory; the most is ${MAX_MEMORY}`,
    );
  }
  for (const field of ["guestAddress", "userAddress"] as const) {
    const sorted = regions.toSorted((a, b) => a[field] - b[field]);
    for (const [i, { [field]: start }] of sorted.entries()) {
      const before = sorted[i - 1];
      if (before === undefined || before[field] + before.size <= start) {
        continue;
      }
      throw new VhostUserError(
        `sent two regions that overlap at 0x${start.toString(16)}`,
      );
    }
  }
}

function map(
  regions: readonly MemoryRegion[],
  fds: readonly Fd[],
): FileMapping {
  try {
    return new FileMapping(
      regions.map(({ mmapOffset, size }, i) => ({
        fd: fds[i]!,
        offset: mmapOffset,
        size,
      })),
    );
  } catch (cause) {
    if (!(cause instanceof SysError || cause instanceof RangeError)) {
      throw cause;
    }
    throw new VhostUserError(
      `sent memory that cannot be mapped: ${cause.message}`,
      { cause },
    );
  }
}
