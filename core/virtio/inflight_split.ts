// Thread: queue
// A split ring whose chains in flight are recorded (vhost-user "Inflight I/O tracking"): a device that was killed takes
// them again, in their order, and gives each back once.
import type { DescriptorChain } from "./chain.ts";
import {
  INFLIGHT_VERSION,
  inflightProblem,
  type InflightRegion,
  SPLIT_ENTRY,
  SPLIT_HEADER,
} from "./inflight.ts";
import type { RamView } from "./ram_view.ts";
import { SplitQueue } from "./split_queue.ts";
import type { QueueSetup, RingPosition, Virtqueue } from "./virtqueue.ts";

// Of struct QueueRegionSplit, in u16s.
const VERSION = 4;
const DESC_NUM = 5;
const LAST_BATCH_HEAD = 6;
const USED_IDX = 7;
/** Of struct DescStateSplit: a byte, a u16 and a u64. */
const INFLIGHT = 0;
const NEXT = 6;
const COUNTER = 8;

export class SplitInflightQueue implements Virtqueue {
  readonly #ring: SplitQueue;
  readonly #u8: Uint8Array<SharedArrayBuffer>;
  readonly #u16: Uint16Array<SharedArrayBuffer>;
  readonly #u32: Uint32Array<SharedArrayBuffer>;
  /** Heads to take again, the oldest first. */
  readonly #again: number[];
  #counter = 0;
  #usedIdx: number;

  /** Throws a RangeError where the region is not what it should be. */
  constructor(ram: RamView, setup: QueueSetup, region: InflightRegion) {
    const { buffer, byteOffset, queueSize } = region;
    const bytes = SPLIT_HEADER + SPLIT_ENTRY * queueSize;
    this.#u8 = new Uint8Array(buffer, byteOffset, bytes);
    this.#u16 = new Uint16Array(buffer, byteOffset, bytes / 2);
    this.#u32 = new Uint32Array(buffer, byteOffset, bytes / 4);
    const problem = inflightProblem(this.#u16, queueSize, setup.size);
    if (problem !== null) throw new RangeError(`inflight region ${problem}`);
    const used = this.#usedIdx = (setup.start ?? 0) >>> 16;
    if (this.#u16[VERSION] === 0) {
      this.#begin(queueSize);
      this.#again = [];
      this.#ring = new SplitQueue(ram, setup);
      return;
    }
    this.#finishBatch(queueSize);
    this.#again = this.#findInFlight(setup.size);
    // What was taken is what was given back and what is in flight.
    const avail = (used + this.#again.length) & 0xffff;
    this.#ring = new SplitQueue(ram, { ...setup, start: avail | used << 16 });
  }

  #begin(queueSize: number): void {
    this.#u16[DESC_NUM] = queueSize;
    this.#u16[USED_IDX] = this.#usedIdx;
    Atomics.store(this.#u16, VERSION, INFLIGHT_VERSION);
  }

  /** A crash after the used ring's idx was set, and before what it gave back was marked so. */
  #finishBatch(queueSize: number): void {
    const batch = (this.#usedIdx - this.#u16[USED_IDX]!) & 0xffff;
    let head = this.#u16[LAST_BATCH_HEAD]!;
    for (let i = 0; i < Math.min(batch, queueSize); i++) {
      if (head >= queueSize) break;
      this.#u8[entry(head) + INFLIGHT] = 0;
      head = this.#u16[(entry(head) + NEXT) / 2]!;
    }
    this.#u16[USED_IDX] = this.#usedIdx;
  }

  #findInFlight(size: number): number[] {
    const found: { head: number; counter: number }[] = [];
    for (let head = 0; head < size; head++) {
      if (this.#u8[entry(head) + INFLIGHT] === 0) continue;
      const at = (entry(head) + COUNTER) / 4;
      const counter = this.#u32[at]! + this.#u32[at + 1]! * 2 ** 32;
      found.push({ head, counter });
      this.#counter = Math.max(this.#counter, counter + 1);
    }
    return found.sort((a, b) => a.counter - b.counter).map(({ head }) => head);
  }

  get size(): number {
    return this.#ring.size;
  }

  get position(): RingPosition {
    return this.#ring.position;
  }

  pop(): DescriptorChain | null {
    const again = this.#again.shift();
    if (again !== undefined) return this.#ring.retake(again);
    const chain = this.#ring.pop();
    if (chain !== null) this.#record(chain.head);
    return chain;
  }

  #record(head: number): void {
    const at = (entry(head) + COUNTER) / 4;
    this.#u32[at] = this.#counter;
    this.#u32[at + 1] = Math.floor(this.#counter / 2 ** 32);
    this.#counter++;
    Atomics.store(this.#u8, entry(head) + INFLIGHT, 1);
  }

  addUsed(chain: DescriptorChain, written: number): void {
    const { head } = chain;
    this.#u16[(entry(head) + NEXT) / 2] = this.#u16[LAST_BATCH_HEAD]!;
    Atomics.store(this.#u16, LAST_BATCH_HEAD, head);
    this.#ring.addUsed(chain, written);
    Atomics.store(this.#u8, entry(head) + INFLIGHT, 0);
    this.#usedIdx = (this.#usedIdx + 1) & 0xffff;
    Atomics.store(this.#u16, USED_IDX, this.#usedIdx);
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

/** Byte of a head's DescStateSplit. */
function entry(head: number): number {
  return SPLIT_HEADER + SPLIT_ENTRY * head;
}
