// Thread: main
// The driver's side of a virtqueue, as the kit's drivers use it, whatever its format.
import { Finding } from "./check.ts";
import type { Area, Piece } from "./guest_ram.ts";

/** A buffer of a chain; `write` for the device to write. */
export interface Buffer extends Piece {
  readonly write: boolean;
}

/** A chain that the device gave back, and how many bytes it says that it wrote. */
export interface Used {
  readonly id: number;
  readonly length: number;
}

/** What a driver may not do with a chain (virtio-v1.3 §2.7.4.2, §2.7.5, §2.7.5.3.1, §2.8). */
export const MALFORMATIONS = [
  "never ends",
  "leads out of RAM",
  "has a buffer to read after one to write",
  "has an indirect table longer than the queue",
] as const;
export type Malformation = (typeof MALFORMATIONS)[number];

export interface DriverRing {
  readonly size: number;
  /** GPAs for the queue's registers: descriptors, the driver's part, the device's. */
  readonly desc: number;
  readonly driver: number;
  readonly device: number;
  /** Descriptors that no chain holds. */
  readonly free: number;
  /** Makes a chain available, its descriptors in the ring; `free` has room for it. Returns its id. */
  add(buffers: readonly Buffer[]): number;
  /** The same with its descriptors in the indirect table, of which there is one a ring. */
  addIndirect(buffers: readonly Buffer[]): number;
  /** Makes available what no driver may. The ring is of no more use then. */
  addMalformed(malformation: Malformation): void;
  /** All that the device gave back since the last call. Throws a Finding for what it did not hold. */
  takeUsed(): Used[];
}

export type RingFormat = "split" | "packed";

/** Makes a ring of a power of two descriptors in an area, with nothing in it. */
export type CreateRing = (area: Area, size: number) => DriverRing;

/** An address past all RAM. */
export const NOWHERE = 2 ** 40;

export function refuseUsed(id: number): never {
  throw new Finding(
    `a chain with id ${id} came back, which the device does not hold`,
  );
}
