// Thread: queue
// The packed virtqueue (virtio-v1.3 §2.8), the device's side. One ring of descriptors that both sides write.
import { DriverError } from "../errors.ts";
import { DescriptorChain } from "./chain.ts";
import {
  MAX_QUEUE_SIZE,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
} from "./constants.ts";
import { PACKED_PLACES, PackedEvents } from "./packed_events.ts";
import type { RamView } from "./ram_view.ts";
import {
  hex,
  placeRing,
  type QueueSetup,
  type RingPosition,
  type Virtqueue,
} from "./virtqueue.ts";

/** What the driver may put into a list: readable before writable, 2^32 bytes in all. */
const PACKED_CHAIN = { order: "2.8.17", length: "2.8.17" } as const;
const VIRTQ_DESC_F_AVAIL = 1 << 7;
const VIRTQ_DESC_F_USED = 1 << 15;
/** A descriptor is addr, len (u32), id and flags; its flags are at 7 of these. */
const DESC_U16S = VIRTQ_DESC_SIZE / 2;
const DESC_U32S = VIRTQ_DESC_SIZE / 4;

export class PackedQueue implements Virtqueue {
  readonly size: number;
  readonly #ram: RamView;
  readonly #u16: Uint16Array<SharedArrayBuffer>;
  readonly #u32: Uint32Array<SharedArrayBuffer>;
  readonly #indirect: boolean;
  /** Index into u16. */
  readonly #desc: number;
  readonly #events: PackedEvents;
  readonly #chains: (DescriptorChain | undefined)[];
  #nextAvail = 0;
  #availWrap = true;
  #nextUsed = 0;
  #usedWrap = true;
  /** Descriptors of the chains that the device holds. */
  #held = 0;
  /** Descriptors used since the driver was last asked whether it wants an interrupt. */
  #unsignalled = 0;

  /** Throws a DriverError when the rings are not where they may be. Any size is allowed, not only powers of two. */
  constructor(ram: RamView, setup: QueueSetup) {
    const { size } = setup;
    if (size < 1 || size > MAX_QUEUE_SIZE) {
      throw new DriverError(
        "2.8.10.1",
        `Driver: queue size ${size} is not 1 to ${MAX_QUEUE_SIZE}`,
      );
    }
    this.size = size;
    this.#ram = ram;
    this.#u16 = ram.u16;
    this.#u32 = ram.u32;
    this.#indirect = setup.indirect;
    const ringSize = VIRTQ_DESC_SIZE * size;
    const desc = placeRing(
      ram,
      PACKED_PLACES,
      "descriptor ring",
      setup.desc,
      ringSize,
      16,
    );
    this.#desc = desc / 2;
    this.#events = new PackedEvents(ram, setup, desc, ringSize);
    this.#chains = new Array(size);
    const { start = 0 } = setup;
    this.#nextAvail = checkedOffset(start, size);
    this.#availWrap = (start & 0x8000) === 0;
    this.#nextUsed = checkedOffset(start >>> 16, size);
    this.#usedWrap = (start >>> 31) === 0;
  }

  get position(): RingPosition {
    const used = this.#nextUsed | (this.#usedWrap ? 0 : 0x8000);
    return (used | used << 16) >>> 0;
  }

  /** Index into u16 of the flags of the descriptor `slot`, which may be past the ring's end once. */
  #flagsIndex(slot: number): number {
    const index = slot < this.size ? slot : slot - this.size;
    return this.#desc + index * DESC_U16S + 7;
  }

  /** A descriptor is available when AVAIL is the driver's wrap counter and USED is not (§2.8.1). */
  #isAvailable(flags: number): boolean {
    return ((flags & VIRTQ_DESC_F_AVAIL) !== 0) === this.#availWrap &&
      ((flags & VIRTQ_DESC_F_USED) !== 0) !== this.#availWrap;
  }

  pop(): DescriptorChain | null {
    const first = Atomics.load(this.#u16, this.#flagsIndex(this.#nextAvail));
    if (!this.#isAvailable(first)) return null;
    const count = this.#count(first);
    // The id of a chain is in its last descriptor (§2.8.6).
    const id = this.#u16[this.#flagsIndex(this.#nextAvail + count - 1) - 1]!;
    const chain = this.#claim(id, count);
    let flags = first;
    for (let i = 0; i < count; i++) {
      const index = this.#flagsIndex(this.#nextAvail + i);
      if (i > 0) flags = this.#u16[index]!;
      this.#collect(chain, this.#u32, (index - 7) / 2, flags);
    }
    this.#nextAvail += count;
    if (this.#nextAvail >= this.size) {
      this.#nextAvail -= this.size;
      this.#availWrap = !this.#availWrap;
    }
    return this.#hold(chain);
  }

  /** The chain of these descriptors: one that was popped before this ring began, and not given back. */
  retake(descriptors: Uint32Array): DescriptorChain {
    const count = descriptors.length / DESC_U32S;
    const chain = this.#claim(descriptors.at(-1)! & 0xffff, count);
    for (let at = 0; at < descriptors.length; at += DESC_U32S) {
      this.#collect(chain, descriptors, at, descriptors[at + 3]! >>> 16);
    }
    return this.#hold(chain);
  }

  /** The chain object of an id that is free, for a list of `count` descriptors. */
  #claim(id: number, count: number): DescriptorChain {
    if (this.#held + count > this.size) {
      throw new DriverError(
        "2.8.17",
        `Driver: chain of ${count} descriptors, of which the device holds some already`,
      );
    }
    if (id >= this.size) {
      throw new DriverError(
        "2.8.21.1",
        `Driver: buffer id ${id} is not below queue size ${this.size}`,
      );
    }
    const chain = this.#chains[id] ??= new DescriptorChain(
      this.#ram,
      id,
      PACKED_CHAIN,
    );
    if (chain.inFlight) {
      throw new DriverError(
        "2.8.21.1",
        `Driver: buffer id ${id} is available twice`,
      );
    }
    chain.begin();
    chain.slots = count;
    return chain;
  }

  #hold(chain: DescriptorChain): DescriptorChain {
    chain.finish();
    chain.inFlight = true;
    this.#held += chain.slots;
    return chain;
  }

  /**
   * How many descriptors the list has; its flags may change meanwhile, which `#collect` does not care about. The
   * driver makes the first available last (§2.8.21), so that plain loads find the rest.
   */
  #count(first: number): number {
    let flags = first;
    for (let count = 1; count <= this.size; count++) {
      if (!(flags & VIRTQ_DESC_F_NEXT)) return count;
      flags = this.#u16[this.#flagsIndex(this.#nextAvail + count)]!;
    }
    throw new DriverError(
      "2.8.17",
      `Driver: chain does not end within ${this.size} descriptors`,
    );
  }

  /** Adds what the descriptor at this index into `words` leads to. */
  #collect(
    chain: DescriptorChain,
    words: Uint32Array,
    at: number,
    flags: number,
  ): void {
    const gpa = words[at]! + words[at + 1]! * 2 ** 32;
    const length = words[at + 2]!;
    if (!(flags & VIRTQ_DESC_F_INDIRECT)) {
      return this.#add(chain, gpa, length, flags);
    }
    if (!this.#indirect) {
      throw new DriverError(
        "2.8.19",
        "Driver: indirect descriptor, which was not negotiated",
      );
    }
    if (chain.slots > 1) {
      throw new DriverError("2.8.19", "Driver: indirect descriptor in a list");
    }
    this.#collectIndirect(chain, gpa, length);
  }

  #collectIndirect(chain: DescriptorChain, gpa: number, length: number): void {
    if (length === 0 || length % VIRTQ_DESC_SIZE !== 0) {
      throw new DriverError(
        "2.8.7",
        `Driver: indirect table of ${length} bytes is no multiple of 16`,
      );
    }
    const entries = length / VIRTQ_DESC_SIZE;
    if (entries > this.size) {
      throw new DriverError(
        "2.8.19",
        `Driver: indirect table of ${entries} is longer than the queue, ${this.size}`,
      );
    }
    const table = this.#ram.translate(gpa, length);
    if (table < 0 || (table & 3) !== 0) {
      throw new DriverError(
        "2.8.7",
        `Driver: indirect table at ${hex(gpa)} is misaligned or not in RAM`,
      );
    }
    for (let i = 0; i < entries; i++) {
      const entry = table / 4 + i * 4;
      const at = this.#u32[entry]! + this.#u32[entry + 1]! * 2 ** 32;
      // In a table the device heeds WRITE only: INDIRECT there does not nest (§2.8.7).
      const flags = this.#u32[entry + 3]! >>> 16;
      this.#add(chain, at, this.#u32[entry + 2]!, flags);
    }
  }

  #add(
    chain: DescriptorChain,
    gpa: number,
    length: number,
    flags: number,
  ): void {
    const offset = this.#ram.translate(gpa, length);
    if (offset < 0) {
      throw new DriverError(
        "2.8.4",
        `Driver: buffer of ${length} bytes at ${hex(gpa)} is not in RAM`,
      );
    }
    if (length > 0) {
      chain.add(offset, length, (flags & VIRTQ_DESC_F_WRITE) !== 0);
    }
  }

  addUsed(chain: DescriptorChain, written: number): void {
    const flags = this.#flagsIndex(this.#nextUsed);
    this.#u32[(flags - 3) / 2] = written;
    this.#u16[flags - 1] = chain.head;
    const wrap = this.#usedWrap ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;
    chain.inFlight = false;
    this.#held -= chain.slots;
    // Sequentially consistent: id and length are seen before the flags (§2.8.22).
    Atomics.store(
      this.#u16,
      flags,
      wrap | (written > 0 ? VIRTQ_DESC_F_WRITE : 0),
    );
    this.#unsignalled += chain.slots;
    this.#nextUsed += chain.slots;
    if (this.#nextUsed >= this.size) {
      this.#nextUsed -= this.size;
      this.#usedWrap = !this.#usedWrap;
    }
  }

  needsInterrupt(): boolean {
    const added = this.#unsignalled;
    if (added === 0) return false;
    this.#unsignalled = 0;
    return this.#events.wantsInterrupt(
      added,
      this.#nextUsed,
      this.#usedWrap,
      this.size,
    );
  }

  disableNotifications(): void {
    this.#events.disableKicks();
  }

  enableNotifications(): boolean {
    this.#events.enableKicks(this.#nextAvail, this.#availWrap);
    return this.#isAvailable(
      Atomics.load(this.#u16, this.#flagsIndex(this.#nextAvail)),
    );
  }
}

/** A position comes from a front end or from what an earlier process left: neither is believed. */
function checkedOffset(position: number, size: number): number {
  const offset = position & 0x7fff;
  if (offset < size) return offset;
  throw new RangeError(
    `ring begins at ${offset}, past its ${size} descriptors`,
  );
}
