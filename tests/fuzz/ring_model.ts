// Level A: the specification once more, written to be read and not to be fast. It has its own copy of RAM, in which
// it does what the device's side of a ring should do; the real one is compared with it call by call, and RAM at the end.
import { offsetOf } from "./ram.ts";
import type { RingSetup } from "./ring_steps.ts";

const WRITE = 2;

/** What the driver did is forbidden. */
export const REFUSED = Symbol("refused");

export interface Piece {
  /** Where it is in RAM's buffer. */
  readonly at: number;
  readonly length: number;
  readonly write: boolean;
}

/** A chain that the device has. */
export interface ModelChain {
  readonly id: number;
  readonly slots: number;
  readonly pieces: readonly Piece[];
}

export interface Descriptor {
  readonly gpa: number;
  readonly length: number;
  readonly low: number;
  readonly high: number;
}

const isInRam = (gpa: number, length: number) => offsetOf(gpa, length) >= 0;

/** Whether rings may be there. */
export function accepts(setup: RingSetup): boolean {
  const { packed, size, desc, driver, device, eventIdx } = setup;
  const isPowerOfTwo = Number.isInteger(Math.log2(size));
  if (size < 1 || size > 32768 || (!packed && !isPowerOfTwo)) return false;
  const tail = eventIdx ? 2 : 0;
  const parts = packed
    ? [[desc, 16 * size, 16], [driver, 4, 4], [device, 4, 4]]
    : [
      [desc, 16 * size, 16],
      [driver, 4 + 2 * size + tail, 2],
      [device, 4 + 8 * size + tail, 4],
    ];
  const isPlaced = parts.every(([at, length, align]) =>
    at! % align! === 0 && isInRam(at!, length!)
  );
  // What the device writes may overlap nothing: the used ring, or the packed descriptors and its event area.
  const apart = (a: number, b: number) =>
    parts[a]![0]! + parts[a]![1]! <= parts[b]![0]! ||
    parts[b]![0]! + parts[b]![1]! <= parts[a]![0]!;
  return isPlaced && apart(0, 2) && apart(1, 2) && (!packed || apart(0, 1));
}

export abstract class RingModel {
  readonly #memory: DataView;
  readonly setup: RingSetup;
  protected readonly inFlight = new Set<number>();
  readonly #order: ModelChain[] = [];
  readonly #early = new Map<ModelChain, number>();

  constructor(memory: DataView, setup: RingSetup) {
    this.#memory = memory;
    this.setup = setup;
  }

  protected u16(gpa: number): number {
    return this.#memory.getUint16(offsetOf(gpa, 2), true);
  }
  protected setU16(gpa: number, value: number): void {
    this.#memory.setUint16(offsetOf(gpa, 2), value, true);
  }
  protected u32(gpa: number): number {
    return this.#memory.getUint32(offsetOf(gpa, 4), true);
  }
  protected setU32(gpa: number, value: number): void {
    this.#memory.setUint32(offsetOf(gpa, 4), value, true);
  }

  protected descriptor(table: number, index: number): Descriptor {
    const at = table + 16 * index;
    return {
      gpa: this.u32(at + 4) * 2 ** 32 + this.u32(at),
      length: this.u32(at + 8),
      low: this.u16(at + 12),
      high: this.u16(at + 14),
    };
  }

  pop(): ModelChain | null | typeof REFUSED {
    const chain = this.next();
    if (chain === null || chain === REFUSED) return chain;
    this.inFlight.add(chain.id);
    if (this.setup.inOrder) this.#order.push(chain);
    return chain;
  }

  addUsed(chain: ModelChain, written: number): void {
    if (!this.setup.inOrder) return this.#put(chain, written);
    this.#early.set(chain, written);
    while (this.#order.length > 0 && this.#early.has(this.#order[0]!)) {
      const first = this.#order.shift()!;
      this.#put(first, this.#early.get(first)!);
      this.#early.delete(first);
    }
  }

  #put(chain: ModelChain, written: number): void {
    this.inFlight.delete(chain.id);
    this.use(chain, written);
  }

  /** A buffer of a list, or null where it may not be. Empty ones are left out. */
  protected piece({ gpa, length }: Descriptor, flags: number): Piece[] | null {
    const at = offsetOf(gpa, length);
    if (at < 0) return null;
    return length === 0 ? [] : [{ at, length, write: (flags & WRITE) !== 0 }];
  }

  /** What the device reads comes first. */
  protected isOrdered(pieces: readonly Piece[]): boolean {
    const first = pieces.findIndex(({ write }) => write);
    return first < 0 || pieces.slice(first).every(({ write }) => write);
  }

  protected isTable({ gpa, length }: Descriptor): boolean {
    return this.setup.indirect && length > 0 && length % 16 === 0 &&
      length / 16 <= this.setup.size && gpa % 4 === 0 && isInRam(gpa, length);
  }

  protected abstract next(): ModelChain | null | typeof REFUSED;
  protected abstract use(chain: ModelChain, written: number): void;
  /** Null where either answer will do. */
  abstract needsInterrupt(): boolean | null;
  abstract disable(): void;
  abstract enable(): boolean;
}
