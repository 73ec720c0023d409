// Thread: main
// The driver's side of a packed virtqueue (virtio-v1.3 §2.8).
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

const AVAIL = 1 << 7;
const USED = 1 << 15;

export class PackedRing implements DriverRing {
  readonly size: number;
  readonly desc: number;
  readonly driver: number;
  readonly device: number;
  readonly #table: number;
  readonly #view: DataView;
  readonly #u16: Uint16Array<SharedArrayBuffer>;
  readonly #ids: number[];
  /** Descriptors in the ring of each chain that the device holds, by id. */
  readonly #held = new Map<number, number>();
  #free: number;
  #next = 0;
  #wrap = true;
  #nextUsed = 0;
  #usedWrap = true;

  constructor(area: Area, size: number) {
    this.size = this.#free = size;
    this.#view = new DataView(area.bytes.buffer);
    this.#u16 = new Uint16Array(area.bytes.buffer);
    const place = (length: number, align: number) => {
      const at = area.allocate(length, align);
      area.bytes.fill(0, at, at + length);
      return at;
    };
    this.desc = place(VIRTQ_DESC_SIZE * size, 16);
    this.driver = place(4, 4);
    this.device = place(4, 4);
    this.#table = place(VIRTQ_DESC_SIZE * size, 16);
    this.#ids = Array.from({ length: size }, (_, i) => size - 1 - i);
  }

  get free(): number {
    return this.#free;
  }

  add(buffers: readonly Buffer[]): number {
    return this.#publish(buffers.map(({ at, length, write }, i) => {
      const more = i + 1 < buffers.length ? VIRTQ_DESC_F_NEXT : 0;
      return [at, length, more | (write ? VIRTQ_DESC_F_WRITE : 0)];
    }));
  }

  addIndirect(buffers: readonly Buffer[]): number {
    buffers.forEach(({ at, length, write }, i) => {
      const flags = write ? VIRTQ_DESC_F_WRITE : 0;
      this.#describe(this.#table, i, at, length, flags, 0);
    });
    const length = VIRTQ_DESC_SIZE * buffers.length;
    return this.#publish([[this.#table, length, VIRTQ_DESC_F_INDIRECT]]);
  }

  addMalformed(malformation: Malformation): void {
    const next = VIRTQ_DESC_F_NEXT;
    const table = this.#table;
    switch (malformation) {
      case "never ends":
        this.#publish(
          Array.from({ length: this.size }, () => [table, 1, next]),
        );
        break;
      case "leads out of RAM":
        this.#publish([[NOWHERE, 64, VIRTQ_DESC_F_WRITE]]);
        break;
      case "has a buffer to read after one to write":
        this.#publish([[table, 1, VIRTQ_DESC_F_WRITE | next], [table, 1, 0]]);
        break;
      case "has an indirect table longer than the queue": {
        const length = VIRTQ_DESC_SIZE * (this.size + 1);
        this.#publish([[table, length, VIRTQ_DESC_F_INDIRECT]]);
        break;
      }
    }
  }

  #publish(
    descriptors: readonly (readonly [number, number, number])[],
  ): number {
    const id = this.#ids.pop()!;
    const first = this.#next;
    const marks = descriptors.map(() => this.#take());
    // The first descriptor's flags come last: with them the device sees the whole list (§2.8.21).
    for (let i = descriptors.length - 1; i >= 0; i--) {
      const [at, length, flags] = descriptors[i]!;
      const index = (first + i) % this.size;
      this.#describe(this.desc, index, at, length, flags | marks[i]!, id);
    }
    this.#held.set(id, descriptors.length);
    this.#free -= descriptors.length;
    return id;
  }

  /** The flags by which the next descriptor is available. */
  #take(): number {
    const mark = this.#wrap ? AVAIL : USED;
    if (++this.#next === this.size) {
      this.#next = 0;
      this.#wrap = !this.#wrap;
    }
    return mark;
  }

  #describe(
    table: number,
    index: number,
    at: number,
    length: number,
    flags: number,
    id: number,
  ): void {
    const entry = table + VIRTQ_DESC_SIZE * index;
    this.#view.setBigUint64(entry, BigInt(at), true);
    this.#view.setUint32(entry + 8, length, true);
    this.#view.setUint16(entry + 12, id, true);
    Atomics.store(this.#u16, (entry + 14) / 2, flags);
  }

  takeUsed(): Used[] {
    const taken: Used[] = [];
    for (;;) {
      const at = this.desc + VIRTQ_DESC_SIZE * this.#nextUsed;
      const flags = Atomics.load(this.#u16, (at + 14) / 2);
      // Used when both bits are the wrap counter (§2.8.1); a ring without chains in it has nothing to give.
      const wanted = this.#usedWrap ? AVAIL | USED : 0;
      const isUsed = (flags & (AVAIL | USED)) === wanted;
      if (this.#held.size === 0 || !isUsed) return taken;
      const id = this.#view.getUint16(at + 12, true);
      const slots = this.#held.get(id) ?? refuseUsed(id);
      taken.push({ id, length: this.#view.getUint32(at + 8, true) });
      this.#held.delete(id);
      this.#ids.push(id);
      this.#free += slots;
      this.#nextUsed += slots;
      if (this.#nextUsed < this.size) continue;
      this.#nextUsed -= this.size;
      this.#usedWrap = !this.#usedWrap;
    }
  }
}
