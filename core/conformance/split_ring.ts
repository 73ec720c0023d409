// Thread: main
// The driver's side of a split virtqueue (virtio-v1.3 §2.7).
import {
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
} from "../virtio/constants.ts";
import type { Area } from "./guest_ram.ts";
import {
  type Buffer,
  type DriverRing,
  type Malformation,
  NOWHERE,
  refuseUsed,
  type Used,
} from "./ring.ts";

export class SplitRing implements DriverRing {
  readonly size: number;
  readonly desc: number;
  readonly driver: number;
  readonly device: number;
  readonly #table: number;
  readonly #view: DataView;
  readonly #u16: Uint16Array<SharedArrayBuffer>;
  readonly #free: number[];
  /** Descriptors of each chain that the device holds, by head. */
  readonly #held = new Map<number, readonly number[]>();
  #availIdx = 0;
  #usedIdx = 0;

  constructor(area: Area, size: number) {
    this.size = size;
    this.#view = new DataView(area.bytes.buffer);
    this.#u16 = new Uint16Array(area.bytes.buffer);
    const place = (length: number, align: number) => {
      const at = area.allocate(length, align);
      area.bytes.fill(0, at, at + length);
      return at;
    };
    this.desc = place(VIRTQ_DESC_SIZE * size, 16);
    this.driver = place(6 + 2 * size, 2);
    this.device = place(6 + 8 * size, 4);
    this.#table = place(VIRTQ_DESC_SIZE * size, 16);
    this.#free = Array.from({ length: size }, (_, i) => size - 1 - i);
  }

  get free(): number {
    return this.#free.length;
  }

  add(buffers: readonly Buffer[]): number {
    const indices = buffers.map(() => this.#free.pop()!);
    this.#list(this.desc, indices, buffers);
    return this.#publish(indices);
  }

  addIndirect(buffers: readonly Buffer[]): number {
    this.#list(this.#table, buffers.map((_, i) => i), buffers);
    const index = this.#free.pop()!;
    const length = VIRTQ_DESC_SIZE * buffers.length;
    this.#describe(
      this.desc,
      index,
      this.#table,
      length,
      VIRTQ_DESC_F_INDIRECT,
    );
    return this.#publish([index]);
  }

  addMalformed(malformation: Malformation): void {
    const [first, second] = [0, this.size - 1];
    const next = VIRTQ_DESC_F_NEXT;
    switch (malformation) {
      case "never ends":
        this.#describe(this.desc, first, this.#table, 1, next, second);
        this.#describe(this.desc, second, this.#table, 1, next, first);
        break;
      case "leads out of RAM":
        this.#describe(this.desc, first, NOWHERE, 64, VIRTQ_DESC_F_WRITE);
        break;
      case "has a buffer to read after one to write": {
        const flags = VIRTQ_DESC_F_WRITE | next;
        this.#describe(this.desc, first, this.#table, 1, flags, second);
        this.#describe(this.desc, second, this.#table, 1, 0);
        break;
      }
      case "has an indirect table longer than the queue": {
        const length = VIRTQ_DESC_SIZE * (this.size + 1);
        const flags = VIRTQ_DESC_F_INDIRECT;
        this.#describe(this.desc, first, this.#table, length, flags);
        break;
      }
    }
    this.#publish([first]);
  }

  #list(
    table: number,
    indices: readonly number[],
    buffers: readonly Buffer[],
  ): void {
    buffers.forEach(({ at, length, write }, i) => {
      const next = indices[i + 1];
      const flags = (write ? VIRTQ_DESC_F_WRITE : 0) |
        (next === undefined ? 0 : VIRTQ_DESC_F_NEXT);
      this.#describe(table, indices[i]!, at, length, flags, next);
    });
  }

  #describe(
    table: number,
    index: number,
    at: number,
    length: number,
    flags: number,
    next = 0,
  ): void {
    const entry = table + VIRTQ_DESC_SIZE * index;
    this.#view.setBigUint64(entry, BigInt(at), true);
    this.#view.setUint32(entry + 8, length, true);
    this.#view.setUint16(entry + 12, flags, true);
    this.#view.setUint16(entry + 14, next, true);
  }

  #publish(indices: readonly number[]): number {
    const head = indices[0]!;
    this.#held.set(head, indices);
    const slot = this.driver + 4 + 2 * (this.#availIdx % this.size);
    this.#view.setUint16(slot, head, true);
    this.#availIdx = (this.#availIdx + 1) & 0xffff;
    // The device sees the entry before the index (§2.7.13.3.1).
    Atomics.store(this.#u16, (this.driver + 2) / 2, this.#availIdx);
    return head;
  }

  takeUsed(): Used[] {
    const taken: Used[] = [];
    const end = Atomics.load(this.#u16, (this.device + 2) / 2);
    for (
      ;
      this.#usedIdx !== end;
      this.#usedIdx = (this.#usedIdx + 1) & 0xffff
    ) {
      const at = this.device + 4 + 8 * (this.#usedIdx % this.size);
      const id = this.#view.getUint32(at, true);
      this.#free.push(...this.#held.get(id) ?? refuseUsed(id));
      this.#held.delete(id);
      taken.push({ id, length: this.#view.getUint32(at + 4, true) });
    }
    return taken;
  }
}
