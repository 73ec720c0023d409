// Thread: queue
// What split and packed virtqueues have in common: the device's side of a ring, and where its parts may lie.
import { DriverError } from "../errors.ts";
import type { DescriptorChain } from "./chain.ts";
import type { RamView } from "./ram_view.ts";

/** Where the driver put a queue, and what it negotiated. Addresses are GPAs. */
export interface QueueSetup {
  readonly size: number;
  readonly desc: number;
  readonly driver: number;
  readonly device: number;
  readonly eventIdx: boolean;
  readonly indirect: boolean;
  /** Where a ring goes on that was served before; absent for one that begins. */
  readonly start?: RingPosition;
}

/**
 * How far the device is in a ring: what it takes next in the low 16 bits, where it gives back next in the high 16.
 * In a split ring the two indices; in a packed one offsets, each with its wrap counter inverted as bit 15, so that
 * every ring begins at 0.
 */
export type RingPosition = number;

/** The device's side of a virtqueue. Its methods throw a DriverError for what the specification forbids. */
export interface Virtqueue {
  readonly size: number;
  /** Where a ring would go on after this one: what was popped and not given back comes again. */
  readonly position: RingPosition;
  /** The next chain, or null. It is the driver's again after `addUsed`; until then its id stays taken. */
  pop(): DescriptorChain | null;
  /** Gives a chain back with the number of bytes that were written into it. */
  addUsed(chain: DescriptorChain, written: number): void;
  /** Whether the driver wants an interrupt for what was added since this was last asked. */
  needsInterrupt(): boolean;
  /** Asks the driver not to kick while the queue is being drained. */
  disableNotifications(): void;
  /** Asks for kicks again; true when chains came meanwhile, which no kick will announce. */
  enableNotifications(): boolean;
}

export const hex = (value: number): string => `0x${value.toString(16)}`;

/** The RAM offset of a part of a ring; throws where it may not be. `section` says where that is. */
export function placeRing(
  ram: RamView,
  section: string,
  what: string,
  gpa: number,
  length: number,
  align: number,
): number {
  if (gpa % align !== 0) {
    throw new DriverError(
      section,
      `Driver: ${what} at ${hex(gpa)} is not aligned to ${align}`,
    );
  }
  const offset = ram.translate(gpa, length);
  if (offset < 0) {
    throw new DriverError(
      section,
      `Driver: ${what} at ${hex(gpa)} is not in RAM`,
    );
  }
  return offset;
}

/** The device writes one of the two parts; over the driver's that would never end well. */
export function refuseOverlap(
  section: string,
  a: number,
  aLength: number,
  b: number,
  bLength: number,
): void {
  if (a < b + bLength && b < a + aLength) {
    throw new DriverError(
      section,
      "Driver: a part that the device writes overlaps another",
    );
  }
}
