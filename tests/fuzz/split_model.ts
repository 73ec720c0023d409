// Level A: what virtio-v1.3 §2.7 says of a split ring.
import {
  type ModelChain,
  type Piece,
  REFUSED,
  RingModel,
} from "./ring_model.ts";

const NEXT = 1, INDIRECT = 4;

export class SplitModel extends RingModel {
  #lastAvail = 0;
  /** The driver's index when it was last looked at: not before all up to there is taken. */
  #seen = 0;
  #nextUsed = 0;
  #used = 0;

  protected override next(): ModelChain | null | typeof REFUSED {
    const { driver, desc, size } = this.setup;
    if (this.#seen === this.#lastAvail) this.#seen = this.u16(driver + 2);
    const ahead = (this.#seen - this.#lastAvail) & 0xffff;
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
    this.setU32(at, chain.id);
    this.setU32(at + 4, written);
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
