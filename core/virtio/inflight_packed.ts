// Thread: queue
// A packed ring whose chains in flight are recorded (vhost-user "Inflight I/O tracking"), with their descriptors: the
// driver's are overwritten by what is given back meanwhile.
import type { DescriptorChain } from "./chain.ts";
import {
  INFLIGHT_VERSION,
  inflightProblem,
  type InflightRegion,
  PACKED_ENTRY,
  PACKED_HEADER,
} from "./inflight.ts";
import { PackedQueue } from "./packed_queue.ts";
import type { RamView } from "./ram_view.ts";
import type { QueueSetup, RingPosition, Virtqueue } from "./virtqueue.ts";

// Of struct QueueRegionPacked, in u16s; the wrap counters are two bytes.
const VERSION = 4;
const DESC_NUM = 5;
const FREE_HEAD = 6;
const OLD_FREE_HEAD = 7;
const USED_IDX = 8;
const OLD_USED_IDX = 9;
const USED_WRAP = 20;
const OLD_USED_WRAP = 21;
// Of struct DescStatePacked, in bytes. From ID on it is the descriptor, in another order.
const INFLIGHT = 0;
const NEXT = 2;
const LAST = 4;
const NUM = 6;
const COUNTER = 8;
const ID_FLAGS = 16;
const LENGTH = 20;
const ADDRESS = 24;
const DESC_BYTES = 16;
const AVAIL = 0x80;
const USED = 0x8000;

export class PackedInflightQueue implements Virtqueue {
  readonly #ring: PackedQueue;
  readonly #u8: Uint8Array<SharedArrayBuffer>;
  readonly #u16: Uint16Array<SharedArrayBuffer>;
  readonly #u32: Uint32Array<SharedArrayBuffer>;
  readonly #ram: RamView;
  /** Where the descriptor ring is in RAM. */
  readonly #desc: number;
  /** Chains to take again, the oldest first: the entry, and its descriptors. */
  readonly #again: { entry: number; descriptors: Uint32Array }[];
  /** Entry of each buffer id in flight, and the last of its list. */
  readonly #entries: Uint16Array;
  readonly #lasts: Uint16Array;
  #counter = 0;
  #avail: number;

  /** Throws a RangeError where the region is not what it should be. */
  constructor(ram: RamView, setup: QueueSetup, region: InflightRegion) {
    const { buffer, byteOffset, queueSize } = region;
    const { size, start = 0 } = setup;
    const bytes = PACKED_HEADER + PACKED_ENTRY * queueSize;
    this.#u8 = new Uint8Array(buffer, byteOffset, bytes);
    this.#u16 = new Uint16Array(buffer, byteOffset, bytes / 2);
    this.#u32 = new Uint32Array(buffer, byteOffset, bytes / 4);
    this.#entries = new Uint16Array(size);
    this.#lasts = new Uint16Array(size);
    this.#ram = ram;
    this.#desc = ram.translate(setup.desc, DESC_BYTES * size);
    const problem = inflightProblem(this.#u16, queueSize, size);
    if (problem !== null) throw new RangeError(`inflight region ${problem}`);
    let position = start;
    if (this.#u16[VERSION] === 0) {
      this.#begin(queueSize, start >>> 16);
      this.#again = [];
    } else {
      this.#settle(queueSize, size);
      this.#again = this.#findInFlight(queueSize, size);
      position = this.#positionOf(size);
    }
    this.#ring = new PackedQueue(ram, { ...setup, start: position });
    this.#avail = position & 0x7fff;
  }

  #begin(queueSize: number, used: number): void {
    for (let i = 0; i < queueSize; i++) this.#u16[entryAt(i, NEXT)] = i + 1;
    this.#u16[DESC_NUM] = queueSize;
    this.#u16[FREE_HEAD] = this.#u16[OLD_FREE_HEAD] = 0;
    this.#u16[USED_IDX] = this.#u16[OLD_USED_IDX] = used & 0x7fff;
    this.#u8[USED_WRAP] = this.#u8[OLD_USED_WRAP] = used >>> 15 ^ 1;
    Atomics.store(this.#u16, VERSION, INFLIGHT_VERSION);
  }

  /** A crash while something was given back: it was, or it was not. Then the free entries are not in flight. */
  #settle(queueSize: number, size: number): void {
    const pending = this.#u16[USED_IDX] !== this.#u16[OLD_USED_IDX] ||
      this.#u8[USED_WRAP] !== this.#u8[OLD_USED_WRAP];
    // Where the free heads agree, the crash was in the middle of a commit.
    const committing = this.#u16[FREE_HEAD] === this.#u16[OLD_FREE_HEAD];
    if (pending && (committing || this.#wasGivenBack(size))) this.#commit();
    this.#u16[FREE_HEAD] = this.#u16[OLD_FREE_HEAD]!;
    this.#u16[USED_IDX] = this.#u16[OLD_USED_IDX]!;
    this.#u8[USED_WRAP] = this.#u8[OLD_USED_WRAP]!;
    let free = this.#u16[FREE_HEAD]!;
    for (let i = 0; i < queueSize && free < queueSize; i++) {
      this.#u8[entryByte(free) + INFLIGHT] = 0;
      free = this.#u16[entryAt(free, NEXT)]!;
    }
  }

  #wasGivenBack(size: number): boolean {
    const slot = this.#u16[OLD_USED_IDX]!;
    if (slot >= size || this.#desc < 0) return false;
    const at = (this.#desc + DESC_BYTES * slot + 14) / 2;
    const flags = Atomics.load(this.#ram.u16, at) & (AVAIL | USED);
    return flags !== (this.#u8[OLD_USED_WRAP] ? AVAIL : USED);
  }

  #commit(): void {
    Atomics.store(this.#u16, OLD_FREE_HEAD, this.#u16[FREE_HEAD]!);
    Atomics.store(this.#u16, OLD_USED_IDX, this.#u16[USED_IDX]!);
    Atomics.store(this.#u8, OLD_USED_WRAP, this.#u8[USED_WRAP]!);
  }

  #findInFlight(queueSize: number, size: number) {
    const found: { entry: number; counter: number }[] = [];
    for (let entry = 0; entry < queueSize; entry++) {
      if (this.#u8[entryByte(entry) + INFLIGHT] === 0) continue;
      const at = (entryByte(entry) + COUNTER) / 4;
      const counter = this.#u32[at]! + this.#u32[at + 1]! * 2 ** 32;
      found.push({ entry, counter });
      this.#counter = Math.max(this.#counter, counter + 1);
    }
    found.sort((a, b) => a.counter - b.counter);
    return found.map(({ entry }) => ({
      entry,
      descriptors: this.#readList(entry, queueSize, size),
    }));
  }

  /** A private copy, as descriptors of the ring. */
  #readList(entry: number, queueSize: number, size: number): Uint32Array {
    const count = this.#u16[entryAt(entry, NUM)]!;
    if (count < 1 || count > size) {
      throw new RangeError(`inflight region has a chain of ${count}`);
    }
    const descriptors = new Uint32Array(4 * count);
    for (let i = 0, at = entry; i < count; i++) {
      if (at >= queueSize) throw new RangeError(`inflight region has ${at}`);
      const word = entryByte(at) / 4;
      descriptors[4 * i] = this.#u32[word + ADDRESS / 4]!;
      descriptors[4 * i + 1] = this.#u32[word + ADDRESS / 4 + 1]!;
      descriptors[4 * i + 2] = this.#u32[word + LENGTH / 4]!;
      descriptors[4 * i + 3] = this.#u32[word + ID_FLAGS / 4]!;
      at = this.#u16[entryAt(at, NEXT)]!;
    }
    return descriptors;
  }

  /** What was taken is what was given back and what is in flight. */
  #positionOf(size: number): RingPosition {
    const used = this.#u16[USED_IDX]!;
    const wrap = this.#u8[USED_WRAP] ? 0 : 0x8000;
    const held = this.#again.reduce(
      (sum, { descriptors }) => sum + descriptors.length / 4,
      0,
    );
    if (used >= size || held > size) {
      throw new RangeError(`inflight region has ${held} descriptors`);
    }
    const avail = used + held < size
      ? used + held | wrap
      : used + held - size | wrap ^ 0x8000;
    return (avail | (used | wrap) << 16) >>> 0;
  }

  get size(): number {
    return this.#ring.size;
  }

  get position(): RingPosition {
    return this.#ring.position;
  }

  pop(): DescriptorChain | null {
    const again = this.#again.shift();
    if (again !== undefined) {
      const chain = this.#ring.retake(again.descriptors);
      this.#entries[chain.head] = again.entry;
      this.#lasts[chain.head] = this.#u16[entryAt(again.entry, LAST)]!;
      return chain;
    }
    const chain = this.#ring.pop();
    if (chain !== null) this.#record(chain);
    return chain;
  }

  #record({ head: id, slots }: DescriptorChain): void {
    const head = this.#u16[OLD_FREE_HEAD]!;
    this.#u16[entryAt(head, NUM)] = 0;
    const counter = (entryByte(head) + COUNTER) / 4;
    this.#u32[counter] = this.#counter;
    this.#u32[counter + 1] = Math.floor(this.#counter / 2 ** 32);
    this.#counter++;
    Atomics.store(this.#u8, entryByte(head) + INFLIGHT, 1);
    for (let left = slots; left > 0; left--) {
      const free = this.#u16[FREE_HEAD]!;
      if (left === 1) this.#lasts[id] = this.#u16[entryAt(head, LAST)] = free;
      this.#u16[entryAt(head, NUM)] = slots - left + 1;
      this.#copyDescriptor(entryByte(free) / 4);
      Atomics.store(this.#u16, FREE_HEAD, this.#u16[entryAt(free, NEXT)]!);
    }
    Atomics.store(this.#u16, OLD_FREE_HEAD, this.#u16[FREE_HEAD]!);
    this.#entries[id] = head;
  }

  /** The next descriptor that was taken, into the entry at this index into u32. */
  #copyDescriptor(entry: number): void {
    const from = (this.#desc + DESC_BYTES * this.#avail) / 4;
    const { u32 } = this.#ram;
    this.#u32[entry + ADDRESS / 4] = u32[from]!;
    this.#u32[entry + ADDRESS / 4 + 1] = u32[from + 1]!;
    this.#u32[entry + LENGTH / 4] = u32[from + 2]!;
    this.#u32[entry + ID_FLAGS / 4] = u32[from + 3]!;
    this.#avail = this.#avail + 1 < this.size ? this.#avail + 1 : 0;
  }

  addUsed(chain: DescriptorChain, written: number): void {
    const entry = this.#entries[chain.head]!;
    this.#u16[entryAt(this.#lasts[chain.head]!, NEXT)] = this.#u16[FREE_HEAD]!;
    Atomics.store(this.#u16, FREE_HEAD, entry);
    const used = this.#u16[USED_IDX]! + chain.slots;
    const wraps = used >= this.size;
    Atomics.store(this.#u16, USED_IDX, wraps ? used - this.size : used);
    if (wraps) Atomics.xor(this.#u8, USED_WRAP, 1);
    this.#ring.addUsed(chain, written);
    Atomics.store(this.#u8, entryByte(entry) + INFLIGHT, 0);
    this.#commit();
  }

  needsInterrupt(): boolean {
    return this.#ring.needsInterrupt();
  }

  disableNotifications(): void {
    this.#ring.disableNotifications();
  }

  enableNotifications(): boolean {
    return this.#ring.enableNotifications() || this.#again.length > 0;
  }
}

function entryByte(entry: number): number {
  return PACKED_HEADER + PACKED_ENTRY * entry;
}

/** Index into u16 of a field of an entry. */
function entryAt(entry: number, field: number): number {
  return (entryByte(entry) + field) / 2;
}
