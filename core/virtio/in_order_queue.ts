// Thread: queue
// VIRTIO_F_IN_ORDER (virtio-v1.3 §2.7.9, §2.8.8): chains go back in the order in which they came, whatever the device does.
import type { DescriptorChain } from "./chain.ts";
import type { RingPosition, Virtqueue } from "./virtqueue.ts";

const NOT_USED = -1;

/** Holds what is used too early until everything before it is used. */
export class InOrderQueue implements Virtqueue {
  readonly #ring: Virtqueue;
  readonly #order: DescriptorChain[] = [];
  /** Bytes written, by head; up to 2^32 - 1. */
  readonly #written: Float64Array;

  constructor(ring: Virtqueue) {
    this.#ring = ring;
    this.#written = new Float64Array(ring.size).fill(NOT_USED);
  }

  get size(): number {
    return this.#ring.size;
  }

  get position(): RingPosition {
    return this.#ring.position;
  }

  pop(): DescriptorChain | null {
    const chain = this.#ring.pop();
    if (chain !== null) this.#order.push(chain);
    return chain;
  }

  addUsed(chain: DescriptorChain, written: number): void {
    this.#written[chain.head] = written;
    for (;;) {
      const first = this.#order[0];
      const done = first === undefined ? NOT_USED : this.#written[first.head]!;
      if (first === undefined || done === NOT_USED) return;
      this.#order.shift();
      this.#written[first.head] = NOT_USED;
      this.#ring.addUsed(first, done);
    }
  }

  needsInterrupt(): boolean {
    return this.#ring.needsInterrupt();
  }

  disableNotifications(): void {
    this.#ring.disableNotifications();
  }

  enableNotifications(): boolean {
    return this.#ring.enableNotifications();
  }
}
