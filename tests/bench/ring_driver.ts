// The driver's side of a ring for the benchmark: offers batches of chains and sums up what comes back.
// It does what the driver in c/ring_loop.c does, over the same layout.
import type { QueueSetup } from "../../core/virtio/virtqueue.ts";

const GIB = 2 ** 30;
export const RAM_SIZE = 4 * GIB;
/** Where RAM goes on: what the chains point to lies there, so that both stretches of RAM are looked at. */
const HIGH = 4 * GIB;
const SIZE = 256;
const DESC = 0x10_0000;
const DRIVER = 0x11_0000;
const DEVICE = 0x12_0000;
const TABLES = 0x20_0000;
const LENGTHS = [16, 512, 1];

export type Format = "split" | "packed";
export type Shape = "1" | "3" | "table";

export class RingDriver {
  readonly setup: QueueSetup = {
    size: SIZE,
    desc: DESC,
    driver: DRIVER,
    device: DEVICE,
    eventIdx: true,
    indirect: true,
  };
  readonly batch: number;
  sum = 0;
  readonly #packed: boolean;
  readonly #table: boolean;
  readonly #lengths: readonly number[];
  readonly #slots: number;
  readonly #u16: Uint16Array<SharedArrayBuffer>;
  readonly #u32: Uint32Array<SharedArrayBuffer>;
  #offered = 0;
  #seen = 0;
  #wrap = true;

  constructor(ram: SharedArrayBuffer, format: Format, shape: Shape) {
    this.#u16 = new Uint16Array(ram);
    this.#u32 = new Uint32Array(ram);
    this.#packed = format === "packed";
    this.#table = shape === "table";
    this.#lengths = shape === "1" ? [512] : LENGTHS;
    this.#slots = this.#table ? 1 : this.#lengths.length;
    this.batch = Math.floor(SIZE / this.#slots);
    for (let i = 0; i < this.batch; i++) this.#prepare(i);
  }

  /** What stays as it is: tables, and all descriptors of a split ring. */
  #prepare(i: number): void {
    if (this.#table) {
      this.#writeParts(TABLES + 64 * i, i, 0);
      if (!this.#packed) this.#writeTable(DESC + 16 * i, i, 4, 0);
    } else if (!this.#packed) {
      const head = i * this.#slots;
      this.#writeParts(DESC + 16 * head, i, head);
    }
  }

  #writeParts(at: number, i: number, base: number): void {
    for (let part = 0; part < this.#lengths.length; part++) {
      const flags = this.#flagsOf(part);
      if (this.#packed) this.#writePart(at + 16 * part, i, part, i, flags);
      else this.#writePart(at + 16 * part, i, part, flags, base + part + 1);
    }
  }

  /** NEXT but for the last, WRITE but for the first of several. */
  #flagsOf(part: number): number {
    const count = this.#lengths.length;
    return (part + 1 < count ? 1 : 0) | (part > 0 || count === 1 ? 2 : 0);
  }

  #writePart(at: number, i: number, part: number, a: number, b: number): void {
    this.#u32[at / 4] = (i * LENGTHS.length + part) * 4096;
    this.#u32[at / 4 + 1] = HIGH / 2 ** 32;
    this.#u32[at / 4 + 2] = this.#lengths[part]!;
    this.#u16[at / 2 + 6] = a;
    this.#u16[at / 2 + 7] = b;
  }

  #writeTable(at: number, i: number, a: number, b: number): void {
    this.#u32[at / 4] = TABLES + 64 * i;
    this.#u32[at / 4 + 1] = 0;
    this.#u32[at / 4 + 2] = 16 * this.#lengths.length;
    this.#u16[at / 2 + 6] = a;
    this.#u16[at / 2 + 7] = b;
  }

  offer(): void {
    if (this.#packed) return this.#offerPacked();
    for (let i = 0; i < this.batch; i++) {
      const slot = (this.#offered + i) % SIZE;
      this.#u16[DRIVER / 2 + 2 + slot] = i * this.#slots;
    }
    this.#offered = (this.#offered + this.batch) & 0xffff;
    Atomics.store(this.#u16, DRIVER / 2 + 1, this.#offered);
  }

  #offerPacked(): void {
    for (let i = 0; i < this.batch; i++) {
      for (let part = 0; part < this.#slots; part++) {
        const slot = this.#offered + part;
        const mine = slot < SIZE ? this.#wrap : !this.#wrap;
        const at = DESC + 16 * (slot % SIZE);
        const state = mine ? 0x80 : 0x8000;
        if (this.#table) this.#writeTable(at, i, i, 4 | state);
        else this.#writePart(at, i, part, i, this.#flagsOf(part) | state);
      }
      this.#offered += this.#slots;
      if (this.#offered < SIZE) continue;
      this.#offered -= SIZE;
      this.#wrap = !this.#wrap;
    }
    Atomics.store(this.#u16, DRIVER / 2, 0);
  }

  /** Takes the batch back. */
  collect(): void {
    for (let i = 0; i < this.batch; i++) {
      const at = this.#packed
        ? DESC + 16 * this.#seen
        : DEVICE + 4 + 8 * (this.#seen % SIZE);
      this.sum += this.#packed
        ? this.#u16[at / 2 + 6]! + this.#u32[at / 4 + 2]!
        : this.#u32[at / 4]! + this.#u32[at / 4 + 1]!;
      this.#seen += this.#packed ? this.#slots : 1;
      this.#seen = this.#packed ? this.#seen % SIZE : this.#seen & 0xffff;
    }
  }
}
