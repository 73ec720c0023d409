// The driver's side of a packed ring, in raw offsets (virtio-v1.3 §2.8), so that it checks the device's side.
import type { Buffer, FakeRam, Used } from "./fake_driver.ts";

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const AVAIL = 0x80;
const USED = 0x8000;

export class FakePackedRing {
  readonly size: number;
  readonly desc: number;
  readonly driverEvent: number;
  readonly deviceEvent: number;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  readonly #u16: Uint16Array;
  /** Descriptors of each id that is in use. */
  readonly #slots = new Map<number, number>();
  #nextAvail = 0;
  #availWrap = true;
  #nextUsed = 0;
  #usedWrap = true;
  readonly #tables: number;
  #nextTable: number;

  /** Lays a ring out from `at` on; the event areas and the indirect tables follow it. */
  constructor(ram: FakeRam, size: number, at = 0x1000) {
    this.view = new DataView(ram.buffer, ram.byteOffset);
    this.bytes = new Uint8Array(ram.buffer, ram.byteOffset);
    this.#u16 = new Uint16Array(ram.buffer, ram.byteOffset);
    this.size = size;
    this.desc = at;
    this.driverEvent = at + 16 * size;
    this.deviceEvent = this.driverEvent + 4;
    this.#tables = this.#nextTable = this.driverEvent + 16;
    this.bytes.fill(0, at, this.#tables);
  }

  /** What PackedQueue is given. */
  setup(options: { eventIdx?: boolean; indirect?: boolean } = {}) {
    const { eventIdx = false, indirect = true } = options;
    const { size, desc, driverEvent: driver, deviceEvent: device } = this;
    return { size, desc, driver, device, eventIdx, indirect };
  }

  /** The flags by which a descriptor that the driver adds now is available. */
  get available(): number {
    return this.#availWrap ? AVAIL : USED;
  }
  /** Where the next chain goes. */
  get nextAvail(): number {
    return this.#nextAvail;
  }

  /** Writes the 16 bytes of a descriptor, whatever they are; its flags last. */
  descriptor(
    index: number,
    at: number | bigint,
    length: number,
    flags: number,
    id: number,
    table = this.desc,
  ): void {
    this.view.setBigUint64(table + 16 * index, BigInt(at), true);
    this.view.setUint32(table + 16 * index + 8, length, true);
    this.view.setUint16(table + 16 * index + 12, id, true);
    Atomics.store(this.#u16, (table + 16 * index + 14) / 2, flags);
  }

  /** Adds a chain of buffers under the lowest free id, or the one given, and makes it available; returns the id. */
  add(buffers: readonly Buffer[], id = this.#freeId()): number {
    const first = this.#nextAvail;
    const flags = buffers.map(({ write }, i) => {
      const more = i + 1 < buffers.length ? NEXT : 0;
      const all = more | (write ? WRITE : 0) | this.available;
      this.#advance();
      return all;
    });
    // The first descriptor comes last: with it the device sees the whole list.
    for (let i = buffers.length - 1; i >= 0; i--) {
      const { at, length } = buffers[i]!;
      this.descriptor((first + i) % this.size, at, length, flags[i]!, id);
    }
    this.#slots.set(id, buffers.length);
    return id;
  }

  /** The same through an indirect table. */
  addIndirect(buffers: readonly Buffer[], id = this.#freeId()): number {
    const table = this.#nextTable;
    this.#nextTable += 16 * buffers.length;
    buffers.forEach(({ at, length, write }, i) =>
      this.descriptor(i, at, length, write ? WRITE : 0, 0, table)
    );
    const flags = INDIRECT | this.available;
    this.descriptor(this.#nextAvail, table, 16 * buffers.length, flags, id);
    this.#advance();
    this.#slots.set(id, 1);
    return id;
  }

  /** Indirect tables that were handed out may be used again. */
  recycleTables(): void {
    this.#nextTable = this.#tables;
  }

  #freeId(): number {
    for (let id = 0;; id++) if (!this.#slots.has(id)) return id;
  }

  #advance(): void {
    if (++this.#nextAvail < this.size) return;
    this.#nextAvail = 0;
    this.#availWrap = !this.#availWrap;
  }

  /** What the driver wants to be interrupted for: flags 0 always, 1 never, 2 when `offset` in the round `wrap` is used. */
  wantInterrupt(flags: number, offset = 0, wrap = true): void {
    this.view.setUint16(this.driverEvent, offset | (wrap ? 0x8000 : 0), true);
    this.view.setUint16(this.driverEvent + 2, flags, true);
  }
  /** The device's event area: where it wants to be kicked, and whether. */
  get kickEvent(): { offset: number; wrap: boolean; flags: number } {
    const event = this.view.getUint16(this.deviceEvent, true);
    const flags = this.view.getUint16(this.deviceEvent + 2, true);
    return { offset: event & 0x7fff, wrap: event > 0x7fff, flags };
  }

  /** Everything that was used since the last call. */
  takeUsed(): Used[] {
    const taken: Used[] = [];
    for (;;) {
      const at = this.desc + 16 * this.#nextUsed;
      const flags = Atomics.load(this.#u16, (at + 14) / 2);
      const wanted = this.#usedWrap ? AVAIL | USED : 0;
      const id = this.view.getUint16(at + 12, true);
      if ((flags & (AVAIL | USED)) !== wanted || !this.#slots.has(id)) break;
      taken.push({ id, length: this.view.getUint32(at + 8, true) });
      this.#nextUsed += this.#slots.get(id)!;
      this.#slots.delete(id);
      if (this.#nextUsed < this.size) continue;
      this.#nextUsed -= this.size;
      this.#usedWrap = !this.#usedWrap;
    }
    return taken;
  }
}
