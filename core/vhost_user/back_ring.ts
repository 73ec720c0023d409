// Thread: main
// One queue as the front end has set it up so far, and whether the device's worker has it.
import { VhostUserError } from "../errors.ts";
import type { Fd } from "../sys/fd.ts";
import {
  QUEUE_DESC,
  QUEUE_DEVICE,
  QUEUE_DRIVER,
  QUEUE_POSITION,
  QUEUE_READY,
  QUEUE_SIZE,
  queueWord,
  type Words,
} from "../virtio/device_page.ts";
import type { RingPosition } from "../virtio/virtqueue.ts";
import type { MemoryTable } from "./memory_table.ts";
import type { VringAddress } from "./payload.ts";

/** Wrap counters are inverted in a RingPosition, so that a ring begins at 0. */
const WRAP_COUNTERS = 0x8000_8000;
/** Of the used ring: flags, then idx. */
const USED_IDX = 2;

/**
 * ```
 * stopped ── SET_VRING_KICK, enabled, addresses known ──► running
 *    ▲                                                       │
 *    └── GET_VRING_BASE, SET_VRING_ENABLE 0, RESET_DEVICE ───┘
 * ```
 */
export class BackRing {
  readonly index: number;
  size = 0;
  address: VringAddress | null = null;
  kick: Fd | null = null;
  error: Fd | null = null;
  enabled = false;
  running = false;
  /** As the front end says it: an index, or for a packed ring two with their wrap counters. */
  #base = 0;
  #packedBase = WRAP_COUNTERS;

  constructor(index: number) {
    this.index = index;
  }

  /** Whether the front end has said all that it takes. */
  get complete(): boolean {
    return this.kick !== null && this.enabled && this.size > 0 &&
      this.address !== null;
  }

  setBase(base: number, packed: boolean): void {
    if (packed) this.#packedBase = base;
    else if (base <= 0xffff) this.#base = base;
    else throw new VhostUserError(`sent base ${base} for a split ring`);
  }

  base(packed: boolean): number {
    return packed ? this.#packedBase : this.#base;
  }

  /** Whether the driver has just made the ring. */
  begins(packed: boolean): boolean {
    return packed ? this.#packedBase === WRAP_COUNTERS : this.#base === 0;
  }

  /** Writes what the worker reads to open the ring; throws a VhostUserError for addresses that are in no region. */
  describe(words: Words, memory: MemoryTable, packed: boolean): void {
    const { descriptor, available, used } = this.address!;
    const set = (word: number, value: number) =>
      words[queueWord(this.index, word)] = value;
    const setAddress = (word: number, address: number) => {
      set(word, address);
      set(word + 1, Math.floor(address / 2 ** 32));
    };
    set(QUEUE_SIZE, this.size);
    setAddress(QUEUE_DESC, memory.toGuest(descriptor));
    setAddress(QUEUE_DRIVER, memory.toGuest(available));
    setAddress(QUEUE_DEVICE, memory.toGuest(used));
    // A split ring goes on giving back where its used ring says.
    const position = packed
      ? this.#packedBase ^ WRAP_COUNTERS
      : this.#base | this.usedIdx(memory) << 16;
    set(QUEUE_POSITION, position);
    set(QUEUE_READY, 1);
  }

  /** Of a split ring, as the device has it: what it has given back so far. */
  usedIdx(memory: MemoryTable): number {
    return memory.readU16(memory.toGuest(this.address!.used) + USED_IDX);
  }

  /** Takes over how far the worker came. */
  readPosition(words: Words, packed: boolean): void {
    const word = queueWord(this.index, QUEUE_POSITION);
    const position: RingPosition = words[word]! >>> 0;
    if (packed) this.#packedBase = (position ^ WRAP_COUNTERS) >>> 0;
    else this.#base = position & 0xffff;
  }

  /** Forgets everything; descriptors are closed. */
  close(): void {
    this.kick?.close();
    this.error?.close();
    this.kick = this.error = null;
    this.size = 0;
    this.address = null;
    this.enabled = this.running = false;
    this.#base = 0;
    this.#packedBase = WRAP_COUNTERS;
  }
}
