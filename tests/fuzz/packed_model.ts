// Level A: what virtio-v1.3 §2.8 says of a packed ring.
import {
  type Descriptor,
  type ModelChain,
  type Piece,
  REFUSED,
  RingModel,
} from "./ring_model.ts";

const NEXT = 1, WRITE = 2, INDIRECT = 4, AVAIL = 0x80, USED = 0x8000;

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
    this.setU32(at + 8, written);
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
