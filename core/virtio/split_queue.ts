// Thread: queue
// The split virtqueue (virtio-v1.3 §2.7), the device's side. Each value the driver wrote is loaded once, checked, used.
import { DriverError } from "../errors.ts";
import { DescriptorChain } from "./chain.ts";
import {
  MAX_QUEUE_SIZE,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_SIZE,
  VIRTQ_USED_F_NO_NOTIFY,
} from "./constants.ts";
import type { RamView } from "./ram_view.ts";
import {
  hex,
  placeRing,
  type QueueSetup,
  refuseOverlap,
  type RingPosition,
  type Virtqueue,
} from "./virtqueue.ts";

/** Of alignment and place of the ring's parts. */
const SECTION = "2.7";
const VIRTQ_DESC_WORDS = VIRTQ_DESC_SIZE / 4;

export class SplitQueue implements Virtqueue {
  readonly size: number;
  readonly #ram: RamView;
  readonly #u16: Uint16Array<SharedArrayBuffer>;
  readonly #u32: Uint32Array<SharedArrayBuffer>;
  readonly #eventIdx: boolean;
  readonly #indirect: boolean;
  readonly #mask: number;
  // Indices into u32 or u16.
  readonly #desc: number;
  readonly #availFlags: number;
  readonly #availIdx: number;
  readonly #availRing: number;
  readonly #usedEvent: number;
  readonly #usedFlags: number;
  readonly #usedIdx: number;
  readonly #usedRing: number;
  readonly #availEvent: number;
  readonly #chains: (DescriptorChain | undefined)[];
  #lastAvail = 0;
  #seenAvail = 0;
  #nextUsed = 0;
  #signalledUsed = 0;

  /** Throws a DriverError when the rings are not where they may be. */
  constructor(ram: RamView, setup: QueueSetup) {
    const { size } = setup;
    if (size < 1 || size > MAX_QUEUE_SIZE || (size & (size - 1)) !== 0) {
      throw new DriverError(
        "2.7",
        `Driver: queue size ${size} is not a power of two up to ${MAX_QUEUE_SIZE}`,
      );
    }
    this.size = size;
    this.#ram = ram;
    this.#u16 = ram.u16;
    this.#u32 = ram.u32;
    this.#mask = size - 1;
    this.#eventIdx = setup.eventIdx;
    this.#indirect = setup.indirect;
    // The event fields at the rings' ends are there only where they are used (§2.7.6, §2.7.8).
    const tail = setup.eventIdx ? 2 : 0;
    const descSize = VIRTQ_DESC_SIZE * size;
    const availSize = 4 + 2 * size + tail;
    const usedSize = 4 + 8 * size + tail;
    const desc = placeRing(
      ram,
      SECTION,
      "descriptor table",
      setup.desc,
      descSize,
      16,
    );
    const avail = placeRing(
      ram,
      SECTION,
      "avail ring",
      setup.driver,
      availSize,
      2,
    );
    const used = placeRing(
      ram,
      SECTION,
      "used ring",
      setup.device,
      usedSize,
      4,
    );
    refuseOverlap(SECTION, desc, descSize, used, usedSize);
    refuseOverlap(SECTION, avail, availSize, used, usedSize);
    this.#desc = desc / 4;
    this.#availFlags = avail / 2;
    this.#availIdx = this.#availFlags + 1;
    this.#availRing = this.#availFlags + 2;
    this.#usedEvent = this.#availRing + size;
    this.#usedFlags = used / 2;
    this.#usedIdx = this.#usedFlags + 1;
    this.#usedRing = used / 4 + 1;
    this.#availEvent = this.#usedFlags + 2 + 4 * size;
    this.#chains = new Array(size);
    const { start = 0 } = setup;
    this.#lastAvail = this.#seenAvail = start & 0xffff;
    this.#nextUsed = this.#signalledUsed = start >>> 16;
  }

  get position(): RingPosition {
    return (this.#nextUsed | this.#nextUsed << 16) >>> 0;
  }

  pop(): DescriptorChain | null {
    if (this.#lastAvail === this.#seenAvail && !this.#look()) return null;
    const head = this.#u16[this.#availRing + (this.#lastAvail & this.#mask)]!;
    const chain = this.#free(head);
    this.#lastAvail = (this.#lastAvail + 1) & 0xffff;
    return this.#begin(chain, head);
  }

  /** The chain with this head: one that was popped before this ring began, and not given back. */
  retake(head: number): DescriptorChain {
    return this.#begin(this.#free(head), head);
  }

  #free(head: number): DescriptorChain {
    if (head >= this.size) {
      throw new DriverError(
        "2.7.6",
        `Driver: head ${head} is not below queue size ${this.size}`,
      );
    }
    const chain = this.#chains[head] ??= new DescriptorChain(this.#ram, head);
    if (chain.inFlight) {
      throw new DriverError("2.7.6", `Driver: head ${head} is available twice`);
    }
    return chain;
  }

  #begin(chain: DescriptorChain, head: number): DescriptorChain {
    chain.begin();
    this.#walk(chain, head);
    chain.finish();
    chain.inFlight = true;
    return chain;
  }

  /** Loads the driver's index; false when it is where it was. */
  #look(): boolean {
    const index = Atomics.load(this.#u16, this.#availIdx);
    const available = (index - this.#lastAvail) & 0xffff;
    if (available > this.size) {
      throw new DriverError(
        "2.7.13.3",
        `Driver: avail idx is ${available} ahead, the queue has ${this.size}`,
      );
    }
    this.#seenAvail = index;
    return available !== 0;
  }

  /** Collects the list from `head` on, in the descriptor table or in the indirect table that it leads to. */
  #walk(chain: DescriptorChain, head: number): void {
    const u32 = this.#u32;
    const ram = this.#ram;
    let table = this.#desc;
    let entries = this.size;
    let index = head;
    let mayBeIndirect = this.#indirect;
    for (let steps = 0;; steps++) {
      if (steps === entries) refuseLoop(entries);
      const at = table + index * VIRTQ_DESC_WORDS;
      const gpa = u32[at]! + u32[at + 1]! * 2 ** 32;
      const length = u32[at + 2]!;
      const word = u32[at + 3]!;
      const offset = ram.translate(gpa, length);
      if (word & VIRTQ_DESC_F_INDIRECT) {
        entries = countEntries(length, word, mayBeIndirect, this.size);
        // The table is read by words, so that a misaligned one would be read elsewhere.
        if (offset < 0 || (offset & 3) !== 0) refuseTable(gpa);
        table = offset / 4;
        index = 0;
        steps = -1;
        mayBeIndirect = false;
        continue;
      }
      if (offset < 0) refuseBuffer(gpa, length);
      if (length > 0) {
        chain.add(offset, length, (word & VIRTQ_DESC_F_WRITE) !== 0);
      }
      if (!(word & VIRTQ_DESC_F_NEXT)) return;
      index = word >>> 16;
      if (index >= entries) refuseNext(index, entries);
    }
  }

  addUsed(chain: DescriptorChain, written: number): void {
    const at = this.#usedRing + 2 * (this.#nextUsed & this.#mask);
    this.#u32[at] = chain.head;
    this.#u32[at + 1] = written;
    chain.inFlight = false;
    this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
    // Sequentially consistent: the element is seen before the index (§2.7.8.2).
    Atomics.store(this.#u16, this.#usedIdx, this.#nextUsed);
  }

  /** §2.7.7.2 */
  needsInterrupt(): boolean {
    const old = this.#signalledUsed;
    const now = this.#nextUsed;
    if (old === now) return false;
    this.#signalledUsed = now;
    if (!this.#eventIdx) {
      return (Atomics.load(this.#u16, this.#availFlags) &
        VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
    }
    const event = Atomics.load(this.#u16, this.#usedEvent);
    return ((now - event - 1) & 0xffff) < ((now - old) & 0xffff);
  }

  disableNotifications(): void {
    if (!this.#eventIdx) {
      Atomics.store(this.#u16, this.#usedFlags, VIRTQ_USED_F_NO_NOTIFY);
    }
  }

  /** §2.7.10 */
  enableNotifications(): boolean {
    if (this.#eventIdx) {
      Atomics.store(this.#u16, this.#availEvent, this.#lastAvail);
    } else Atomics.store(this.#u16, this.#usedFlags, 0);
    return Atomics.load(this.#u16, this.#availIdx) !== this.#lastAvail;
  }
}

/** Entries of an indirect table; throws for what §2.7.5.3.1 forbids. */
function countEntries(
  length: number,
  flags: number,
  allowed: boolean,
  size: number,
): number {
  if (!allowed) {
    throw new DriverError(
      "2.7.5.3.1",
      "Driver: indirect descriptor in an indirect table, or not negotiated",
    );
  }
  if (flags & VIRTQ_DESC_F_NEXT) {
    throw new DriverError(
      "2.7.5.3.1",
      "Driver: indirect descriptor has NEXT too",
    );
  }
  if (length === 0 || length % VIRTQ_DESC_SIZE !== 0) {
    throw new DriverError(
      "2.7.5.3.1",
      `Driver: indirect table of ${length} bytes is no multiple of 16`,
    );
  }
  const entries = length / VIRTQ_DESC_SIZE;
  if (entries > size) {
    throw new DriverError(
      "2.7.5.3.1",
      `Driver: indirect table of ${entries} is longer than the queue, ${size}`,
    );
  }
  return entries;
}

function refuseTable(gpa: number): never {
  throw new DriverError(
    "2.7.5.3",
    `Driver: indirect table at ${hex(gpa)} is misaligned or not in RAM`,
  );
}

function refuseLoop(entries: number): never {
  throw new DriverError(
    "2.7.5",
    `Driver: chain loops or is longer than ${entries}`,
  );
}

function refuseBuffer(gpa: number, length: number): never {
  throw new DriverError(
    "2.7.5",
    `Driver: buffer of ${length} bytes at ${hex(gpa)} is not in RAM`,
  );
}

function refuseNext(next: number, entries: number): never {
  throw new DriverError(
    "2.7.5",
    `Driver: next ${next} is not below ${entries}`,
  );
}
