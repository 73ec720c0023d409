// Thread: main
// The legacy virtio-mmio register file, version 1 (virtio-v1.3 §4.2.4): page numbers instead of addresses, no FEATURES_OK.
import type { Later } from "../bus/address_space.ts";
import {
  VIRTIO_MMIO_DRIVER_FEATURES,
  VIRTIO_MMIO_GUEST_PAGE_SIZE,
  VIRTIO_MMIO_QUEUE_ALIGN,
  VIRTIO_MMIO_QUEUE_PFN,
  VIRTIO_MMIO_QUEUE_SIZE,
  VIRTIO_MMIO_STATUS,
} from "./constants.ts";
import {
  DRIVER_FEATURES,
  ENABLE,
  QUEUE_DESC,
  QUEUE_DEVICE,
  QUEUE_DRIVER,
  QUEUE_READY,
  QUEUE_SIZE,
  queueWord,
  REVOKE,
} from "./device_page.ts";
import { Transport } from "./transport.ts";

const isPowerOfTwo = (value: number) =>
  value > 0 && (value & (value - 1)) === 0;

export class LegacyTransport extends Transport {
  protected override readonly version = 1;
  #pageSize = 0;
  #align: number[] = [];
  #pfn: number[] = [];

  protected override forget(): void {
    // The page size stays: Linux writes it once, in front of the first reset.
    this.#align = [];
    this.#pfn = [];
  }

  protected override readRegister(offset: number): number {
    switch (offset) {
      case VIRTIO_MMIO_QUEUE_PFN:
        return this.#pfn[this.queueSel] ?? 0;
      default:
        this.violation("4.2.4", "the register is write-only or not there");
        return 0;
    }
  }

  protected override writeRegister(offset: number, value: number): Later<void> {
    switch (offset) {
      case VIRTIO_MMIO_DRIVER_FEATURES:
        return this.#writeDriverFeatures(value);
      case VIRTIO_MMIO_GUEST_PAGE_SIZE:
        return this.#writePageSize(value);
      case VIRTIO_MMIO_QUEUE_SIZE:
        return this.#writeQueueNum(value);
      case VIRTIO_MMIO_QUEUE_ALIGN:
        return this.#writeAlign(value);
      case VIRTIO_MMIO_QUEUE_PFN:
        return this.#writePfn(value);
      case VIRTIO_MMIO_STATUS:
        return this.writeStatus(value, null);
      default:
        this.violation("4.2.4", "the register is read-only or not there");
    }
  }

  /** There is no FEATURES_OK to refuse them by, so bits that are not offered are dropped. */
  #writeDriverFeatures(value: number): void {
    if (this.driverFeaturesSel > 1) {
      if (value !== 0) this.violation("2.2.1", "no such bits are offered");
      return;
    }
    const word = this.driverFeaturesSel;
    const offered = this.host.offered[word] ?? 0;
    if (value & ~offered) {
      this.violation("2.2.1", "features that are not offered are dropped");
    }
    this.words[DRIVER_FEATURES + word] = value & offered;
  }

  #writePageSize(value: number): void {
    if (isPowerOfTwo(value)) this.#pageSize = value;
    else this.violation("4.2.4", "the page size must be a power of two");
  }

  #queueExists(): boolean {
    if (this.queueSel < this.declaration.queues.length) return true;
    this.violation("4.2.4", `there is no queue ${this.queueSel}`);
    return false;
  }

  /** A queue in use stays as it is: its worker would go on with the rings where they were. */
  #mayConfigure(): boolean {
    if (!this.#queueExists()) return false;
    if (this.words[queueWord(this.queueSel, QUEUE_READY)] === 0) return true;
    this.violation("4.2.4", "the queue is in use; QueuePFN must be 0 for this");
    return false;
  }

  #writeQueueNum(value: number): void {
    if (!this.#mayConfigure()) return;
    const max = this.declaration.queues[this.queueSel]?.size ?? 0;
    if (!isPowerOfTwo(value) || value > max) {
      return this.violation(
        "4.2.4",
        `the size must be a power of two from 1 to ${max}`,
      );
    }
    this.words[queueWord(this.queueSel, QUEUE_SIZE)] = value;
  }

  #writeAlign(value: number): void {
    if (!this.#mayConfigure()) return;
    if (isPowerOfTwo(value)) this.#align[this.queueSel] = value;
    else this.violation("4.2.4", "the alignment must be a power of two");
  }

  /** A page number puts the queue there and makes it ready; 0 takes it away (§4.2.4). */
  #writePfn(value: number): Later<void> {
    if (value === 0) return this.#queueExists() ? this.#revoke() : undefined;
    if (!this.#mayConfigure()) return;
    const queue = this.queueSel;
    const size = this.words[queueWord(queue, QUEUE_SIZE)]!;
    const align = this.#align[queue] ?? 0;
    if (this.#pageSize === 0 || size === 0 || align === 0) {
      return this.violation(
        "4.2.4",
        "GuestPageSize, QueueNum and QueueAlign must be written first",
      );
    }
    // §2.7.2: descriptor table, avail ring behind it, used ring at the next aligned address.
    const desc = value * this.#pageSize;
    const avail = desc + 16 * size;
    const used = Math.ceil((avail + 6 + 2 * size) / align) * align;
    this.#store(queue, QUEUE_DESC, desc);
    this.#store(queue, QUEUE_DRIVER, avail);
    this.#store(queue, QUEUE_DEVICE, used);
    this.#pfn[queue] = value;
    this.words[queueWord(queue, QUEUE_READY)] = 1;
    if (this.isLive) return this.host.command(ENABLE, queue).then(() => {});
  }

  /** QueuePFN and the answer wait until the device has let go of the queue, so that its memory may be used again. */
  #revoke(): Later<void> {
    const queue = this.queueSel;
    const revoke = () => {
      this.words.fill(0, queueWord(queue, 0), queueWord(queue + 1, 0));
      this.#pfn[queue] = this.#align[queue] = 0;
    };
    const isReady = this.words[queueWord(queue, QUEUE_READY)] === 1;
    if (!isReady || !this.isLive) return revoke();
    return this.host.command(REVOKE, queue).then(revoke);
  }

  #store(queue: number, word: number, gpa: number): void {
    this.words[queueWord(queue, word)] = gpa >>> 0;
    this.words[queueWord(queue, word) + 1] = Math.floor(gpa / 2 ** 32);
  }
}
