// Level A: the specification once more, written to be read and not to be fast. It has its own copy of RAM, in which
// it does what the device's side of a ring should do; the real one is compared with it call by call, and RAM at the end.
import { RAM_SIZE, type RingSetup } from "./ring_steps.ts";

const NEXT = 1, WRITE = 2, INDIRECT = 4, AVAIL = 0x80, USED = 0x8000;

/** What the driver did is forbidden. */
export const REFUSED = Symbol("refused");

export interface Piece {
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

interface Descriptor {
  readonly gpa: number;
  readonly length: number;
  readonly low: number;
  readonly high: number;
}

const isInRam = (gpa: number, length: number) => gpa + length <= RAM_SIZE;

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
  readonly memory: DataView;
  readonly setup: RingSetup;
  protected readonly inFlight = new Set<number>();
  readonly #order: ModelChain[] = [];
  readonly #early = new Map<ModelChain, number>();

  constructor(memory: DataView, setup: RingSetup) {
    this.memory = memory;
    this.setup = setup;
  }

  protected u16(at: number): number {
    return this.memory.getUint16(at, true);
  }
  protected setU16(at: number, value: number): void {
    this.memory.setUint16(at, value, true);
  }

  protected descriptor(table: number, index: number): Descriptor {
    const at = table + 16 * index;
    const [low, high] = [
      this.memory.getUint32(at, true),
      this.memory.getUint32(at + 4, true),
    ];
    return {
      gpa: high * 2 ** 32 + low,
      length: this.memory.getUint32(at + 8, true),
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
    if (!isInRam(gpa, length)) return null;
    return length === 0
      ? []
      : [{ at: gpa, length, write: (flags & WRITE) !== 0 }];
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

export class SplitModel extends RingModel {
  #lastAvail = 0;
  #nextUsed = 0;
  #used = 0;

  protected override next(): ModelChain | null | typeof REFUSED {
    const { driver, desc, size } = this.setup;
    const ahead = (this.u16(driver + 2) - this.#lastAvail) & 0xffff;
    if (ahead === 0) return null;
    if (ahead > size) return REFUSED;
    const id = this.u16(driver + 4 + 2 * (this.#lastAvail % size));
    if (id >= size || this.inFlight.has(id)) return REFUSED;
    this.#lastAvail = (this.#lastAvail + 1) & 0xffff;
    const pieces = this.#walk(desc, size, id, false);
    if (pieces === null || !this.isOrdered(pieces)) return REFUSED;
    return { id, slots: 1, pieces };
  }

  #walk(
    table: number,
    entries: number,
    index: number,
    nested: boolean,
  ): Piece[] | null {
    const pieces: Piece[] = [];
    for (let count = 0; count < entries; count++) {
      const entry = this.descriptor(table, index);
      const { low: flags, high: next } = entry;
      if (flags & INDIRECT) {
        if (nested || flags & NEXT || !this.isTable(entry)) return null;
        const rest = this.#walk(entry.gpa, entry.length / 16, 0, true);
        return rest === null ? null : [...pieces, ...rest];
      }
      const piece = this.piece(entry, flags);
      if (piece === null) return null;
      pieces.push(...piece);
      if (!(flags & NEXT)) return pieces;
      if (next >= entries) return null;
      index = next;
    }
    return null;
  }

  protected override use(chain: ModelChain, written: number): void {
    const { device, size } = this.setup;
    const at = device + 4 + 8 * (this.#nextUsed % size);
    this.memory.setUint32(at, chain.id, true);
    this.memory.setUint32(at + 4, written, true);
    this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
    this.setU16(device + 2, this.#nextUsed);
    this.#used++;
  }

  override needsInterrupt(): boolean {
    const { driver, size, eventIdx } = this.setup;
    const used = this.#used;
    this.#used = 0;
    if (used === 0) return false;
    if (!eventIdx) return (this.u16(driver) & 1) === 0;
    // The driver wants one when the element with this index is used.
    const event = this.u16(driver + 4 + 2 * size);
    for (let back = 1; back <= used; back++) {
      if (((this.#nextUsed - back) & 0xffff) === event) return true;
    }
    return false;
  }

  override disable(): void {
    if (!this.setup.eventIdx) this.setU16(this.setup.device, 1);
  }

  override enable(): boolean {
    const { device, driver, size, eventIdx } = this.setup;
    if (eventIdx) this.setU16(device + 4 + 8 * size, this.#lastAvail);
    else this.setU16(device, 0);
    return this.u16(driver + 2) !== this.#lastAvail;
  }
}

export class PackedModel extends RingModel {
  /** Descriptors that were ever taken and given back: position and wrap counter follow from them. */
  #taken = 0;
  #used = 0;
  #signalled = 0;

  #isFirstRound(count: number): boolean {
    return Math.floor(count / this.setup.size) % 2 === 0;
  }

  #flags(count: number): number {
    return this.descriptor(this.setup.desc, count % this.setup.size).high;
  }

  #isAvailable(): boolean {
    const flags = this.#flags(this.#taken) & (AVAIL | USED);
    return flags === (this.#isFirstRound(this.#taken) ? AVAIL : USED);
  }

  protected override next(): ModelChain | null | typeof REFUSED {
    const { desc, size } = this.setup;
    if (!this.#isAvailable()) return null;
    let slots = 1;
    while (this.#flags(this.#taken + slots - 1) & NEXT) {
      if (++slots > size) return REFUSED;
    }
    if (this.#taken + slots - this.#used > size) return REFUSED;
    const list = Array.from(
      { length: slots },
      (_, i) => this.descriptor(desc, (this.#taken + i) % size),
    );
    const id = list.at(-1)!.low;
    if (id >= size || this.inFlight.has(id)) return REFUSED;
    const pieces = this.#pieces(list);
    if (pieces === null || !this.isOrdered(pieces)) return REFUSED;
    this.#taken += slots;
    return { id, slots, pieces };
  }

  #pieces(list: readonly Descriptor[]): Piece[] | null {
    const [first] = list;
    if (list.some(({ high }) => high & INDIRECT)) {
      if (list.length > 1 || !this.isTable(first!)) return null;
      const { gpa, length } = first!;
      list = Array.from(
        { length: length / 16 },
        (_, i) => this.descriptor(gpa, i),
      );
    }
    const pieces = list.map((entry) => this.piece(entry, entry.high));
    return pieces.includes(null) ? null : pieces.flatMap((piece) => piece!);
  }

  protected override use(chain: ModelChain, written: number): void {
    const { desc, size } = this.setup;
    const at = desc + 16 * (this.#used % size);
    this.memory.setUint32(at + 8, written, true);
    this.setU16(at + 12, chain.id);
    const wrap = this.#isFirstRound(this.#used) ? AVAIL | USED : 0;
    this.setU16(at + 14, wrap | (written > 0 ? WRITE : 0));
    this.#used += chain.slots;
  }

  override needsInterrupt(): boolean | null {
    const { driver, size, eventIdx } = this.setup;
    const from = this.#signalled;
    this.#signalled = this.#used;
    if (from === this.#used) return false;
    const flags = this.u16(driver + 2) & 3;
    if (flags === 1) return false;
    if (flags !== 2 || !eventIdx) return true;
    const event = this.u16(driver);
    // No descriptor has that place, or a whole round passed at once.
    if ((event & 0x7fff) >= size || this.#used - from > size) return null;
    for (let count = from; count < this.#used; count++) {
      const place = count % size | (this.#isFirstRound(count) ? 0x8000 : 0);
      if (place === event) return true;
    }
    return false;
  }

  override disable(): void {
    this.setU16(this.setup.device + 2, 1);
  }

  override enable(): boolean {
    const { device, size, eventIdx } = this.setup;
    if (eventIdx) {
      const wrap = this.#isFirstRound(this.#taken) ? 0x8000 : 0;
      this.setU16(device, this.#taken % size | wrap);
    }
    this.setU16(device + 2, eventIdx ? 2 : 0);
    return this.#isAvailable();
  }
}
