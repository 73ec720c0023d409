// Thread: main
// The modern virtio-mmio register file, version 2 (virtio-v1.3 §4.2.2).
//
//   reset ─ACKNOWLEDGE─ DRIVER ─features─ FEATURES_OK ─queues─ DRIVER_OK ─ live
//     ▲                                                                     │
//     └──────────────── Status = 0 (withheld until the worker stopped) ◄────┘ DEVICE_NEEDS_RESET, FAILED
//
import type { Later } from "../bus/address_space.ts";
import {
  FEATURES_OK,
  VIRTIO_F_NOTIFICATION_DATA,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
  VIRTIO_MMIO_CONFIG_GENERATION,
  VIRTIO_MMIO_DRIVER_FEATURES,
  VIRTIO_MMIO_QUEUE_DESC_HIGH,
  VIRTIO_MMIO_QUEUE_DESC_LOW,
  VIRTIO_MMIO_QUEUE_DEVICE_HIGH,
  VIRTIO_MMIO_QUEUE_DEVICE_LOW,
  VIRTIO_MMIO_QUEUE_DRIVER_HIGH,
  VIRTIO_MMIO_QUEUE_DRIVER_LOW,
  VIRTIO_MMIO_QUEUE_READY,
  VIRTIO_MMIO_QUEUE_RESET,
  VIRTIO_MMIO_QUEUE_SIZE,
  VIRTIO_MMIO_SHM_BASE_HIGH,
  VIRTIO_MMIO_SHM_BASE_LOW,
  VIRTIO_MMIO_SHM_LEN_HIGH,
  VIRTIO_MMIO_SHM_LEN_LOW,
  VIRTIO_MMIO_SHM_SEL,
  VIRTIO_MMIO_STATUS,
} from "./constants.ts";
import {
  DRIVER_FEATURES,
  ENABLE,
  isNegotiated,
  NOTIFY_MASK,
  QUEUE_DESC,
  QUEUE_DEVICE,
  QUEUE_DRIVER,
  QUEUE_READY,
  QUEUE_SIZE,
  queueWord,
  REVOKE,
} from "./device_page.ts";
import { Transport } from "./transport.ts";

/** Queue registers that hold an address, and the word of the device page that each fills. */
const ADDRESS_WORD: Readonly<Record<number, number>> = {
  [VIRTIO_MMIO_QUEUE_DESC_LOW]: QUEUE_DESC,
  [VIRTIO_MMIO_QUEUE_DESC_HIGH]: QUEUE_DESC + 1,
  [VIRTIO_MMIO_QUEUE_DRIVER_LOW]: QUEUE_DRIVER,
  [VIRTIO_MMIO_QUEUE_DRIVER_HIGH]: QUEUE_DRIVER + 1,
  [VIRTIO_MMIO_QUEUE_DEVICE_LOW]: QUEUE_DEVICE,
  [VIRTIO_MMIO_QUEUE_DEVICE_HIGH]: QUEUE_DEVICE + 1,
};

export class MmioTransport extends Transport {
  protected override readonly version = 2;
  /** Queues that QueueReset took from the device; QueueReady gives them back while it is live (§2.6.1). */
  readonly #resetQueues = new Set<number>();
  /** Queues whose reset is under way, which another vCPU may ask for (§4.2.2.1). */
  readonly #queuesInReset = new Set<number>();

  protected override forget(): void {
    this.#resetQueues.clear();
  }

  protected override readRegister(offset: number): number {
    switch (offset) {
      case VIRTIO_MMIO_QUEUE_READY:
        return this.#queueExists() ? this.words[this.#word(QUEUE_READY)]! : 0;
      case VIRTIO_MMIO_QUEUE_RESET:
        return this.#queuesInReset.has(this.queueSel) ? 1 : 0;
      case VIRTIO_MMIO_CONFIG_GENERATION:
        return this.configGeneration;
      case VIRTIO_MMIO_SHM_LEN_LOW:
      case VIRTIO_MMIO_SHM_LEN_HIGH:
      case VIRTIO_MMIO_SHM_BASE_LOW:
      case VIRTIO_MMIO_SHM_BASE_HIGH:
        // No shared memory region exists: length and base are all ones (§4.2.2).
        return 0xffff_ffff;
      default:
        this.violation("4.2.2.2", "the register is write-only or not there");
        return 0;
    }
  }

  protected override writeRegister(offset: number, value: number): Later<void> {
    switch (offset) {
      case VIRTIO_MMIO_DRIVER_FEATURES:
        return this.#writeDriverFeatures(value);
      case VIRTIO_MMIO_QUEUE_SIZE:
        return this.#writeQueueSize(value);
      case VIRTIO_MMIO_QUEUE_READY:
        if (value === 1) return this.#enableQueue();
        if (value === 0) return this.#revokeQueue();
        return this.violation("4.2.2", "only 0 and 1 may be written");
      case VIRTIO_MMIO_QUEUE_RESET:
        return this.#resetQueue(value);
      case VIRTIO_MMIO_STATUS:
        return this.#writeStatus(value);
      case VIRTIO_MMIO_SHM_SEL:
        return;
      default:
        return this.#writeAddress(offset, value);
    }
  }

  #word(word: number): number {
    return queueWord(this.queueSel, word);
  }

  #queueExists(): boolean {
    return this.queueSel < this.declaration.queues.length;
  }

  #writeDriverFeatures(value: number): void {
    if (this.status & FEATURES_OK) {
      return this.violation("3.1.1", "features are settled by FEATURES_OK");
    }
    if (this.driverFeaturesSel <= 1) {
      this.words[DRIVER_FEATURES + this.driverFeaturesSel] = value;
    } else if (value !== 0) {
      this.violation("2.2.1", "no feature bit beyond 63 is offered");
    }
  }

  /** Queue registers may be written while the queue exists and is not ready (§4.2.2.2). */
  #mayConfigure(): boolean {
    if (!this.#queueExists()) {
      this.violation("4.2.2.2", `there is no queue ${this.queueSel}`);
      return false;
    }
    if (this.words[this.#word(QUEUE_READY)] === 0) return true;
    this.violation("4.2.2.2", "QueueReady is 1; it must be 0 for this");
    return false;
  }

  #writeQueueSize(value: number): void {
    if (!this.#mayConfigure()) return;
    const max = this.declaration.queues[this.queueSel]?.size ?? 0;
    const packed = isNegotiated(this.words, VIRTIO_F_RING_PACKED);
    const wrong = value < 1 || value > max ||
      (!packed && (value & (value - 1)) !== 0);
    if (!wrong) {
      this.words[this.#word(QUEUE_SIZE)] = value;
      return;
    }
    const asked = packed ? "a number" : "a power of two";
    this.violation("4.2.2.2", `the size must be ${asked} from 1 to ${max}`);
  }

  #writeAddress(offset: number, value: number): void {
    const word = ADDRESS_WORD[offset];
    if (word === undefined) {
      return this.violation(
        "4.2.2.2",
        "the register is read-only or not there",
      );
    }
    if (this.#mayConfigure()) this.words[this.#word(word)] = value;
  }

  #enableQueue(): Later<void> {
    if (!this.#queueExists()) {
      return this.violation("4.2.2.2", `there is no queue ${this.queueSel}`);
    }
    if (!(this.status & FEATURES_OK)) {
      return this.violation("3.1.1", "queues come after FEATURES_OK");
    }
    if (this.words[this.#word(QUEUE_SIZE)] === 0) {
      return this.violation("4.2.3.2", "QueueSize must be written first");
    }
    const queue = this.queueSel;
    if (this.isLive && !this.#resetQueues.delete(queue)) {
      return this.violation("3.1.1", "queues come before DRIVER_OK");
    }
    this.words[this.#word(QUEUE_READY)] = 1;
    if (this.isLive) return this.host.command(ENABLE, queue).then(() => {});
  }

  /** QueueReady and the answer wait until the device has let go of the queue, so that its memory may be used again (§4.2.2.1). */
  #revokeQueue(): Later<void> {
    if (!this.#queueExists()) {
      return this.violation("4.2.2.2", `there is no queue ${this.queueSel}`);
    }
    const ready = this.#word(QUEUE_READY);
    const revoke = () => {
      this.words[ready] = 0;
    };
    if (this.words[ready] === 0 || !this.isLive) return revoke();
    return this.host.command(REVOKE, this.queueSel).then(revoke);
  }

  /** §2.6.1, §4.2.2.1 */
  #resetQueue(value: number): Later<void> {
    if (!isNegotiated(this.words, VIRTIO_F_RING_RESET)) {
      return this.violation("2.6.1", "VIRTIO_F_RING_RESET is not negotiated");
    }
    if (value !== 1) return this.violation("4.2.2.2", "only 1 may be written");
    if (!this.#queueExists()) {
      return this.violation("4.2.2.2", `there is no queue ${this.queueSel}`);
    }
    const queue = this.queueSel;
    const done = () => {
      this.#queuesInReset.delete(queue);
      this.words.fill(0, queueWord(queue, 0), queueWord(queue + 1, 0));
      if (this.isLive) this.#resetQueues.add(queue);
    };
    this.#queuesInReset.add(queue);
    const revoked = this.#revokeQueue();
    return revoked === undefined ? done() : revoked.then(done);
  }

  #writeStatus(value: number): Later<void> {
    const asks = value & FEATURES_OK && !(this.status & FEATURES_OK);
    const acceptable = asks ? this.#featuresAcceptable() : false;
    if (acceptable) {
      // QueueNotify may carry the queue in its low half, and where the driver is in the other (§4.2.3.3).
      const hasData = isNegotiated(this.words, VIRTIO_F_NOTIFICATION_DATA);
      Atomics.store(this.words, NOTIFY_MASK, hasData ? 0xffff : -1);
    }
    return this.writeStatus(value, acceptable);
  }

  /** A valid subset of what is offered; the driver reads FEATURES_OK back to learn of it (§3.1.1). */
  #featuresAcceptable(): boolean {
    const [low, high] = this.extraFeatures;
    if (low !== 0 || high !== 0) {
      const bits = `0x${high.toString(16)}_${
        low.toString(16).padStart(8, "0")
      }`;
      this.violation("2.2.1", `features ${bits} are not offered`);
      return false;
    }
    for (const [feature, needed] of this.declaration.needs) {
      if (
        !isNegotiated(this.words, feature) || isNegotiated(this.words, needed)
      ) continue;
      this.violation("2.2.1", `feature ${feature} needs feature ${needed}`);
      return false;
    }
    if (isNegotiated(this.words, VIRTIO_F_VERSION_1)) return true;
    this.violation("6.1", "VIRTIO_F_VERSION_1 must be accepted");
    return false;
  }
}
