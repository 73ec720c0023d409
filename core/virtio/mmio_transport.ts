// Thread: main
// The modern virtio-mmio transport (virtio-v1.3 §4.2): the register file, the status state machine, activation, reset.
//
//   reset ─ACKNOWLEDGE─ DRIVER ─features─ FEATURES_OK ─queues─ DRIVER_OK ─ live
//     ▲                                                                     │
//     └──────────────── Status = 0 (withheld until the worker stopped) ◄────┘ DEVICE_NEEDS_RESET, FAILED
//
import type { Later, RegionOps } from "../bus/address_space.ts";
import type { DeviceHost } from "../device/host.ts";
import {
  DEVICE_NEEDS_RESET,
  DRIVER_OK,
  FEATURES_OK,
  PADDOCK_VENDOR_ID,
  VIRTIO_F_VERSION_1,
  VIRTIO_MMIO_CONFIG,
  VIRTIO_MMIO_CONFIG_GENERATION,
  VIRTIO_MMIO_DEVICE_FEATURES,
  VIRTIO_MMIO_DEVICE_FEATURES_SEL,
  VIRTIO_MMIO_DEVICE_ID,
  VIRTIO_MMIO_DRIVER_FEATURES,
  VIRTIO_MMIO_DRIVER_FEATURES_SEL,
  VIRTIO_MMIO_INTERRUPT_ACK,
  VIRTIO_MMIO_INTERRUPT_STATUS,
  VIRTIO_MMIO_MAGIC,
  VIRTIO_MMIO_MAGIC_VALUE,
  VIRTIO_MMIO_QUEUE_DESC_HIGH,
  VIRTIO_MMIO_QUEUE_DESC_LOW,
  VIRTIO_MMIO_QUEUE_DEVICE_HIGH,
  VIRTIO_MMIO_QUEUE_DEVICE_LOW,
  VIRTIO_MMIO_QUEUE_DRIVER_HIGH,
  VIRTIO_MMIO_QUEUE_DRIVER_LOW,
  VIRTIO_MMIO_QUEUE_NOTIFY,
  VIRTIO_MMIO_QUEUE_READY,
  VIRTIO_MMIO_QUEUE_SEL,
  VIRTIO_MMIO_QUEUE_SIZE,
  VIRTIO_MMIO_QUEUE_SIZE_MAX,
  VIRTIO_MMIO_SHM_BASE_HIGH,
  VIRTIO_MMIO_SHM_BASE_LOW,
  VIRTIO_MMIO_SHM_LEN_HIGH,
  VIRTIO_MMIO_SHM_LEN_LOW,
  VIRTIO_MMIO_SHM_SEL,
  VIRTIO_MMIO_STATUS,
  VIRTIO_MMIO_VENDOR_ID,
  VIRTIO_MMIO_VERSION,
} from "./constants.ts";
import {
  ACTIVATE,
  CONFIG_GENERATION,
  configOf,
  DRIVER_FEATURES,
  INTERRUPT_STATUS,
  KICKED,
  kickQueue,
  QUEUE_DESC,
  QUEUE_DEVICE,
  QUEUE_DRIVER,
  QUEUE_READY,
  QUEUE_SIZE,
  queueWord,
  RESET,
  REVOKE,
  STATUS,
  type Words,
  wordsOf,
  WRITE_CONFIG,
} from "./device_page.ts";
import { nextStatus } from "./status.ts";

/** Says that the driver broke the specification: what it did, and the section that forbids it. */
export type Violation = (section: string, message: string) => void;

/** Queue registers that hold an address, and the word of the device page that each fills. */
const ADDRESS_WORD: Readonly<Record<number, number>> = {
  [VIRTIO_MMIO_QUEUE_DESC_LOW]: QUEUE_DESC,
  [VIRTIO_MMIO_QUEUE_DESC_HIGH]: QUEUE_DESC + 1,
  [VIRTIO_MMIO_QUEUE_DRIVER_LOW]: QUEUE_DRIVER,
  [VIRTIO_MMIO_QUEUE_DRIVER_HIGH]: QUEUE_DRIVER + 1,
  [VIRTIO_MMIO_QUEUE_DEVICE_LOW]: QUEUE_DEVICE,
  [VIRTIO_MMIO_QUEUE_DEVICE_HIGH]: QUEUE_DEVICE + 1,
};

// How often a torn configuration space is looked at again before the generation is given as it is.
const GENERATION_SPINS = 10_000;

export class MmioTransport implements RegionOps {
  readonly sizes = { min: 1, max: 4 } as const;
  readonly #host: DeviceHost;
  readonly #words: Words;
  readonly #config: Uint8Array<SharedArrayBuffer>;
  readonly #violation: Violation;
  #deviceFeaturesSel = 0;
  #driverFeaturesSel = 0;
  #queueSel = 0;
  #resetting: Promise<void> | null = null;

  constructor(host: DeviceHost, violation: Violation) {
    this.#host = host;
    this.#words = wordsOf(host.page);
    this.#config = configOf(host.page);
    this.#violation = violation;
  }

  /** Until the device has declared itself every answer waits. */
  read(offset: number, size: number): Later<number> {
    if (this.#host.declaration === null) {
      return this.#host.declared.then(() => this.#read(offset, size));
    }
    return this.#read(offset, size);
  }

  /** Another vCPU's writes wait until a reset is done: what they set up would be swept away by it. */
  write(offset: number, size: number, value: number): Later<void> {
    const wait = this.#host.declaration === null
      ? this.#host.declared
      : this.#resetting;
    if (wait === null) return this.#write(offset, size, value);
    return wait.then(() => this.write(offset, size, value));
  }

  #read(offset: number, size: number): number {
    if (offset >= VIRTIO_MMIO_CONFIG) {
      return this.#readConfig(offset - VIRTIO_MMIO_CONFIG, size);
    }
    if (size !== 4 || offset % 4 !== 0) {
      this.#violation(
        "4.2.2.2",
        `${size}-byte read at 0x${
          offset.toString(16)
        }; control registers take aligned 32-bit ones`,
      );
      return 0;
    }
    return this.#readRegister(offset);
  }

  #readRegister(offset: number): number {
    const declaration = this.#host.declaration;
    switch (offset) {
      case VIRTIO_MMIO_MAGIC_VALUE:
        return VIRTIO_MMIO_MAGIC;
      case VIRTIO_MMIO_VERSION:
        return 2;
      case VIRTIO_MMIO_DEVICE_ID:
        return declaration?.id ?? 0;
      case VIRTIO_MMIO_VENDOR_ID:
        return PADDOCK_VENDOR_ID;
      case VIRTIO_MMIO_DEVICE_FEATURES:
        return this.#host.offered[this.#deviceFeaturesSel] ?? 0;
      case VIRTIO_MMIO_QUEUE_SIZE_MAX:
        return declaration?.queues[this.#queueSel]?.size ?? 0;
      case VIRTIO_MMIO_QUEUE_READY:
        return this.#queueExists()
          ? this.#words[queueWord(this.#queueSel, QUEUE_READY)]!
          : 0;
      case VIRTIO_MMIO_INTERRUPT_STATUS:
        return Atomics.load(this.#words, INTERRUPT_STATUS);
      case VIRTIO_MMIO_STATUS:
        return Atomics.load(this.#words, STATUS);
      case VIRTIO_MMIO_CONFIG_GENERATION:
        return this.#generation();
      case VIRTIO_MMIO_SHM_LEN_LOW:
      case VIRTIO_MMIO_SHM_LEN_HIGH:
      case VIRTIO_MMIO_SHM_BASE_LOW:
      case VIRTIO_MMIO_SHM_BASE_HIGH:
        // No shared memory region exists: length and base are all ones (§4.2.2).
        return 0xffff_ffff;
      default:
        this.#violation(
          "4.2.2.2",
          `read of register 0x${
            offset.toString(16)
          }, which is write-only or not there`,
        );
        return 0;
    }
  }

  #write(offset: number, size: number, value: number): Later<void> {
    if (offset >= VIRTIO_MMIO_CONFIG) {
      return this.#writeConfig(offset - VIRTIO_MMIO_CONFIG, size, value);
    }
    if (size !== 4 || offset % 4 !== 0) {
      this.#violation(
        "4.2.2.2",
        `${size}-byte write at 0x${
          offset.toString(16)
        }; control registers take aligned 32-bit ones`,
      );
      return;
    }
    return this.#writeRegister(offset, value);
  }

  #writeRegister(offset: number, value: number): Later<void> {
    switch (offset) {
      case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        this.#deviceFeaturesSel = value;
        return;
      case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        this.#driverFeaturesSel = value;
        return;
      case VIRTIO_MMIO_DRIVER_FEATURES:
        return this.#writeDriverFeatures(value);
      case VIRTIO_MMIO_QUEUE_SEL:
        this.#queueSel = value;
        return;
      case VIRTIO_MMIO_QUEUE_SIZE:
        return this.#writeQueueSize(value);
      case VIRTIO_MMIO_QUEUE_READY:
        return this.#writeQueueReady(value);
      case VIRTIO_MMIO_QUEUE_NOTIFY:
        return this.#notify(value);
      case VIRTIO_MMIO_INTERRUPT_ACK:
        if (value & ~3) {
          this.#violation(
            "4.2.2.2",
            `InterruptACK with unknown bits 0x${value.toString(16)}`,
          );
        }
        Atomics.and(this.#words, INTERRUPT_STATUS, ~value);
        return;
      case VIRTIO_MMIO_STATUS:
        return this.#writeStatus(value);
      case VIRTIO_MMIO_SHM_SEL:
        return;
      default:
        return this.#writeAddress(offset, value);
    }
  }

  #status(): number {
    return Atomics.load(this.#words, STATUS);
  }

  #queueExists(): boolean {
    return this.#queueSel < (this.#host.declaration?.queues.length ?? 0);
  }

  #writeDriverFeatures(value: number): void {
    if (this.#status() & FEATURES_OK) {
      return this.#violation(
        "3.1.1",
        "DriverFeatures written after FEATURES_OK",
      );
    }
    if (this.#driverFeaturesSel > 1) {
      if (value !== 0) {
        this.#violation(
          "4.2.2.2",
          `feature bits beyond 63 accepted, none are offered`,
        );
      }
      return;
    }
    this.#words[DRIVER_FEATURES + this.#driverFeaturesSel] = value;
  }

  /** Queue registers may be written while the queue is not ready and the device not live (§4.2.2.2). */
  #mayConfigure(register: string): boolean {
    if (!this.#queueExists()) {
      this.#violation(
        "4.2.2.2",
        `${register} written for queue ${this.#queueSel}, which does not exist`,
      );
    } else if (this.#words[queueWord(this.#queueSel, QUEUE_READY)] !== 0) {
      this.#violation("4.2.2.2", `${register} written while QueueReady is 1`);
    } else {
      return true;
    }
    return false;
  }

  #writeQueueSize(value: number): void {
    if (!this.#mayConfigure("QueueSize")) return;
    const max = this.#host.declaration?.queues[this.#queueSel]?.size ?? 0;
    if (value < 1 || value > max || (value & (value - 1)) !== 0) {
      return this.#violation(
        "4.2.2.2",
        `QueueSize ${value} is not a power of two up to ${max}`,
      );
    }
    this.#words[queueWord(this.#queueSel, QUEUE_SIZE)] = value;
  }

  #writeAddress(offset: number, value: number): void {
    const word = ADDRESS_WORD[offset];
    if (word === undefined) {
      return this.#violation(
        "4.2.2.2",
        `write of register 0x${
          offset.toString(16)
        }, which is read-only or not there`,
      );
    }
    if (this.#mayConfigure("a queue address")) {
      this.#words[queueWord(this.#queueSel, word)] = value;
    }
  }

  #writeQueueReady(value: number): Later<void> {
    if (!this.#queueExists()) {
      return this.#violation(
        "4.2.2.2",
        `QueueReady written for queue ${this.#queueSel}, which does not exist`,
      );
    }
    const queue = this.#queueSel;
    const ready = queueWord(queue, QUEUE_READY);
    if (value & 1) {
      if (!(this.#status() & FEATURES_OK)) {
        return this.#violation("3.1.1", "QueueReady set before FEATURES_OK");
      }
      if (this.#words[queueWord(queue, QUEUE_SIZE)] === 0) {
        return this.#violation(
          "4.2.3.2",
          `QueueReady set for queue ${queue} before its QueueSize`,
        );
      }
      if (this.#status() & DRIVER_OK) {
        return this.#violation("3.1.1", "QueueReady set after DRIVER_OK");
      }
      this.#words[ready] = 1;
      return;
    }
    const wasReady = this.#words[ready] === 1;
    this.#words[ready] = 0;
    if (wasReady && this.#live()) {
      return this.#host.command(REVOKE, queue).then(() => {});
    }
  }

  /** Only what the vCPU worker would not take comes here: a queue that is not there. */
  #notify(value: number): void {
    if (value < (this.#host.declaration?.queues.length ?? 0)) {
      return kickQueue(this.#words, value);
    }
    this.#violation(
      "4.2.2.2",
      `QueueNotify of queue ${value}, which does not exist`,
    );
  }

  #live(): boolean {
    return (this.#status() & DRIVER_OK) !== 0;
  }

  #writeStatus(value: number): Later<void> {
    if (value === 0) {
      return this.#resetting = this.#reset().finally(() =>
        this.#resetting = null
      );
    }
    const old = this.#status();
    const step = nextStatus(old, value, this.#featuresAcceptable());
    if (step.violation !== null) {
      this.#violation(step.violation.section, step.violation.message);
    }
    // The worker may set DEVICE_NEEDS_RESET meanwhile: only set bits are added.
    Atomics.or(this.#words, STATUS, step.status);
    if (step.status & DRIVER_OK && !(old & DRIVER_OK)) return this.#activate();
  }

  #featuresAcceptable(): boolean {
    const offered = this.#host.offered;
    const extra = (i: number) =>
      (this.#words[DRIVER_FEATURES + i]! & ~(offered[i] ?? 0)) >>> 0;
    if (extra(0) !== 0 || extra(1) !== 0) {
      this.#violation(
        "2.2.1",
        `features accepted that are not offered: 0x${extra(1).toString(16)}_${
          extra(0).toString(16)
        }`,
      );
      return false;
    }
    return ((this.#words[DRIVER_FEATURES + 1]! >>> (VIRTIO_F_VERSION_1 - 32)) &
      1) === 1;
  }

  async #activate(): Promise<void> {
    await this.#host.command(ACTIVATE);
  }

  /** §2.4, §4.2.3.1. The answer to the write is withheld until the worker has let go of the rings. */
  async #reset(): Promise<void> {
    await this.#host.reset(this.#status() !== 0 ? RESET : null);
    const words = this.#words;
    Atomics.store(words, INTERRUPT_STATUS, 0);
    Atomics.store(words, KICKED, 0);
    words[DRIVER_FEATURES] = words[DRIVER_FEATURES + 1] = 0;
    this.#deviceFeaturesSel = this.#driverFeaturesSel = this.#queueSel = 0;
    const queues = this.#host.declaration?.queues.length ?? 0;
    for (let queue = 0; queue < queues; queue++) {
      words.fill(0, queueWord(queue, 0), queueWord(queue + 1, 0));
    }
    Atomics.store(words, STATUS, this.#host.usable ? 0 : DEVICE_NEEDS_RESET);
  }

  #generation(): number {
    for (let spin = 0; spin < GENERATION_SPINS; spin++) {
      const generation = Atomics.load(this.#words, CONFIG_GENERATION);
      if ((generation & 1) === 0) return generation >>> 1;
    }
    return Atomics.load(this.#words, CONFIG_GENERATION) >>> 1;
  }

  #readConfig(offset: number, size: number): number {
    const length = this.#host.declaration?.config.length ?? 0;
    if (offset + size > length || offset % size !== 0) {
      this.#violation(
        "2.5.1",
        `${size}-byte read at ${offset} of configuration space, which has ${length} bytes`,
      );
    }
    let value = 0;
    for (let i = 0; i < size && offset + i < length; i++) {
      value |= this.#config[offset + i]! << (8 * i);
    }
    return value >>> 0;
  }

  #writeConfig(offset: number, size: number, value: number): Later<void> {
    const length = this.#host.declaration?.config.length ?? 0;
    if (offset + size > length || offset % size !== 0) {
      return this.#violation(
        "2.5.1",
        `${size}-byte write at ${offset} of configuration space, which has ${length} bytes`,
      );
    }
    return this.#host.command(WRITE_CONFIG, offset, size, value).then(() => {});
  }
}
