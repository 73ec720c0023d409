// The driver's side of a split ring, in raw offsets (virtio-v1.3 §2.7), so that it checks the device's side.
import type { SharedRam } from "../../core/memory/guest_memory.ts";
import { splitRam } from "../../core/memory/ram_map.ts";

/** RAM of a small guest, without KVM: addresses are offsets. */
export function fakeRam(size = 1 << 20): FakeRam {
  const buffer = new SharedArrayBuffer(size);
  return { buffer, byteOffset: 0, size, regions: splitRam(size) };
}
export type FakeRam = SharedRam;

/** A buffer that the driver offers; `write` for the device to write. */
export interface Buffer {
  readonly at: number;
  readonly length: number;
  readonly write?: boolean;
}

export interface Used {
  readonly id: number;
  readonly length: number;
}

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

export class FakeRing {
  readonly size: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  #u16: Uint16Array;
  #nextFree = 0;
  readonly #tables: number;
  #nextTable: number;
  #seenUsed = 0;

  /** Lays a ring out from `at` on, its used part aligned to `align`; the indirect tables follow it. */
  constructor(ram: FakeRam, size: number, at = 0x1000, align = 4) {
    this.view = new DataView(ram.buffer, ram.byteOffset);
    this.bytes = new Uint8Array(ram.buffer, ram.byteOffset);
    this.#u16 = new Uint16Array(ram.buffer, ram.byteOffset);
    this.size = size;
    this.desc = at;
    this.avail = at + 16 * size;
    this.used = (this.avail + 6 + 2 * size + align - 1) & -align;
    this.#tables = this.#nextTable = (this.used + 6 + 8 * size + 15) & ~15;
    this.bytes.fill(0, at, this.#nextTable);
  }

  /** What SplitQueue is given. */
  setup(options: { eventIdx?: boolean; indirect?: boolean } = {}) {
    const { eventIdx = false, indirect = true } = options;
    const { size, desc, avail, used } = this;
    return { size, desc, driver: avail, device: used, eventIdx, indirect };
  }

  /** Writes the 16 bytes of a descriptor, whatever they are. */
  descriptor(
    index: number,
    at: number | bigint,
    length: number,
    flags: number,
    next: number,
    table = this.desc,
  ): void {
    const { view } = this;
    view.setBigUint64(table + 16 * index, BigInt(at), true);
    view.setUint32(table + 16 * index + 8, length, true);
    view.setUint16(table + 16 * index + 12, flags, true);
    view.setUint16(table + 16 * index + 14, next, true);
  }

  /** Adds a chain of buffers and makes it available; returns its head. */
  add(...buffers: Buffer[]): number {
    const head = this.#nextFree;
    buffers.forEach(({ at, length, write }, i) => {
      const index = (head + i) % this.size;
      const more = i + 1 < buffers.length ? NEXT : 0;
      this.descriptor(
        index,
        at,
        length,
        more | (write ? WRITE : 0),
        (index + 1) % this.size,
      );
    });
    this.#nextFree = (head + buffers.length) % this.size;
    this.publish(head);
    return head;
  }

  /** The same through an indirect table. */
  addIndirect(...buffers: Buffer[]): number {
    const table = this.#nextTable;
    this.#nextTable += 16 * buffers.length;
    buffers.forEach(({ at, length, write }, i) => {
      const more = i + 1 < buffers.length ? NEXT : 0;
      this.descriptor(
        i,
        at,
        length,
        more | (write ? WRITE : 0),
        i + 1,
        table,
      );
    });
    const head = this.#nextFree;
    this.#nextFree = (head + 1) % this.size;
    this.descriptor(head, table, 16 * buffers.length, INDIRECT, 0);
    this.publish(head);
    return head;
  }

  /** Indirect tables that were handed out may be used again. */
  recycleTables(): void {
    this.#nextTable = this.#tables;
  }

  get availIdx(): number {
    return this.view.getUint16(this.avail + 2, true);
  }
  set availIdx(value: number) {
    Atomics.store(this.#u16, (this.avail + 2) / 2, value);
  }

  /** Makes a head available, whatever it is. */
  publish(head: number): void {
    const slot = this.availIdx % this.size;
    this.view.setUint16(this.avail + 4 + 2 * slot, head, true);
    this.availIdx = (this.availIdx + 1) & 0xffff;
  }

  set availFlags(value: number) {
    this.view.setUint16(this.avail, value, true);
  }
  /** Interrupt me when the used index passes this (EVENT_IDX). */
  set usedEvent(value: number) {
    this.view.setUint16(this.avail + 4 + 2 * this.size, value, true);
  }
  get usedFlags(): number {
    return this.view.getUint16(this.used, true);
  }
  get usedIdx(): number {
    return Atomics.load(this.#u16, (this.used + 2) / 2);
  }
  /** Where the device wants to be kicked (EVENT_IDX). */
  get availEvent(): number {
    return this.view.getUint16(this.used + 4 + 8 * this.size, true);
  }

  /** Everything that was used since the last call. */
  takeUsed(): Used[] {
    const taken: Used[] = [];
    for (
      const end = this.usedIdx;
      this.#seenUsed !== end;
      this.#seenUsed = (this.#seenUsed + 1) & 0xffff
    ) {
      const at = this.used + 4 + 8 * (this.#seenUsed % this.size);
      taken.push({
        id: this.view.getUint32(at, true),
        length: this.view.getUint32(at + 4, true),
      });
    }
    return taken;
  }
}
