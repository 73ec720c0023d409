// Thread: main
// What the two register layouts of virtio-mmio share: waiting, widths, configuration space, status, reset, diagnosis.
import type { Later, RegionOps } from "../bus/address_space.ts";
import {
  DEVICE_NEEDS_RESET,
  DRIVER,
  DRIVER_OK,
  FAILED,
  FEATURES_OK,
  PADDOCK_VENDOR_ID,
  VIRTIO_MMIO_CONFIG,
  VIRTIO_MMIO_DEVICE_FEATURES,
  VIRTIO_MMIO_DEVICE_FEATURES_SEL,
  VIRTIO_MMIO_DEVICE_ID,
  VIRTIO_MMIO_DRIVER_FEATURES_SEL,
  VIRTIO_MMIO_INTERRUPT_ACK,
  VIRTIO_MMIO_INTERRUPT_STATUS,
  VIRTIO_MMIO_MAGIC,
  VIRTIO_MMIO_MAGIC_VALUE,
  VIRTIO_MMIO_QUEUE_NOTIFY,
  VIRTIO_MMIO_QUEUE_SEL,
  VIRTIO_MMIO_QUEUE_SIZE_MAX,
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
  NOTIFY_MASK,
  QUEUE_READY,
  queueWord,
  RESET,
  STATUS,
  type Words,
  wordsOf,
  WRITE_CONFIG,
} from "./device_page.ts";
import type { Declaration, DeviceHost } from "./device_host.ts";
import { registerName } from "./registers.ts";
import { nextStatus } from "./status.ts";

/** Says that the driver broke the specification: what it did, and the section that forbids it. */
export type Violation = (section: string, message: string) => void;

// How often a torn configuration space is looked at again before the generation is given as it is.
const GENERATION_SPINS = 10_000;

/** A device's register file. Its methods run on main; hot registers are served by the vCPU workers before it. */
export abstract class Transport implements RegionOps {
  readonly sizes = { min: 1, max: 4 } as const;
  protected readonly host: DeviceHost;
  protected readonly words: Words;
  readonly #config: Uint8Array<SharedArrayBuffer>;
  readonly #report: Violation;
  protected driverFeaturesSel = 0;
  protected queueSel = 0;
  #deviceFeaturesSel = 0;
  #resetting: Promise<void> | null = null;
  /** The access that is being served, for diagnosis. */
  #access = "";

  constructor(host: DeviceHost, report: Violation) {
    this.host = host;
    this.words = wordsOf(host.page);
    this.#config = configOf(host.page);
    this.#report = report;
  }

  /** Aligned 32-bit accesses below the configuration space, of registers that the layouts do not share. */
  protected abstract readRegister(offset: number): number;
  protected abstract writeRegister(offset: number, value: number): Later<void>;
  protected abstract readonly version: 1 | 2;
  /** Forgets what the layout keeps of the driver. */
  protected abstract forget(): void;

  /** Until the device has declared itself every answer waits. */
  read(offset: number, size: number): Later<number> {
    if (this.host.declaration === null) {
      return this.host.declared.then(() => this.#read(offset, size));
    }
    return this.#read(offset, size);
  }

  /** Another vCPU's writes wait until a reset is done: what they set up would be swept away by it. */
  write(offset: number, size: number, value: number): Later<void> {
    const wait = this.host.declaration === null
      ? this.host.declared
      : this.#resetting;
    if (wait === null) return this.#write(offset, size, value);
    return wait.then(() => this.write(offset, size, value));
  }

  /** An access that is split into those that there are (§4.2.2.2). */
  tooWide(offset: number, size: number, isWrite: boolean): void {
    const what = isWrite ? "write to" : "read of";
    this.#access = `${what} ${describe(offset, size)}`;
    this.violation("4.2.2.2", "accesses have 32 bits at most");
  }

  #read(offset: number, size: number): number {
    this.#access = `read of ${describe(offset, size)}`;
    if (offset >= VIRTIO_MMIO_CONFIG) {
      return this.#readConfig(offset - VIRTIO_MMIO_CONFIG, size);
    }
    return this.#isControlAccess(offset, size) ? this.#readControl(offset) : 0;
  }

  #readControl(offset: number): number {
    switch (offset) {
      case VIRTIO_MMIO_MAGIC_VALUE:
        return VIRTIO_MMIO_MAGIC;
      case VIRTIO_MMIO_VERSION:
        return this.version;
      case VIRTIO_MMIO_DEVICE_ID:
        return this.declaration.id;
      case VIRTIO_MMIO_VENDOR_ID:
        return PADDOCK_VENDOR_ID;
      case VIRTIO_MMIO_DEVICE_FEATURES:
        this.#afterDriver("features are");
        return this.host.offered[this.#deviceFeaturesSel] ?? 0;
      case VIRTIO_MMIO_QUEUE_SIZE_MAX:
        return this.declaration.queues[this.queueSel]?.size ?? 0;
      case VIRTIO_MMIO_INTERRUPT_STATUS:
        return Atomics.load(this.words, INTERRUPT_STATUS);
      case VIRTIO_MMIO_STATUS:
        return this.status;
      default:
        return this.readRegister(offset);
    }
  }

  #write(offset: number, size: number, value: number): Later<void> {
    this.#access = `write of 0x${(value >>> 0).toString(16)} to ${
      describe(offset, size)
    }`;
    if (offset >= VIRTIO_MMIO_CONFIG) {
      return this.#writeConfig(offset - VIRTIO_MMIO_CONFIG, size, value);
    }
    if (this.#isControlAccess(offset, size)) {
      return this.#writeControl(offset, value);
    }
  }

  #writeControl(offset: number, value: number): Later<void> {
    const isForFailed = offset === VIRTIO_MMIO_STATUS ||
      offset === VIRTIO_MMIO_INTERRUPT_ACK;
    if (this.status & FAILED && !isForFailed) {
      this.violation("2.1.1", "after FAILED comes a reset, Status = 0");
    }
    switch (offset) {
      case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        this.#deviceFeaturesSel = value;
        return;
      case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        this.driverFeaturesSel = value;
        return;
      case VIRTIO_MMIO_QUEUE_SEL:
        this.queueSel = value;
        return;
      case VIRTIO_MMIO_QUEUE_NOTIFY:
        return this.#notify(value);
      case VIRTIO_MMIO_INTERRUPT_ACK:
        return this.#acknowledge(value);
      default:
        return this.writeRegister(offset, value);
    }
  }

  #isControlAccess(offset: number, size: number): boolean {
    if (size === 4 && offset % 4 === 0) return true;
    this.violation(
      "4.2.2.2",
      "control registers take aligned 32-bit accesses only",
    );
    return false;
  }

  /** The modern interface has the order of §3.1.1. */
  #afterDriver(what: string): void {
    if (this.version === 1 || this.status & DRIVER) return;
    this.violation("3.1.1", `${what} read after DRIVER`);
  }

  /** Tells what is wrong with the access that is being served. */
  protected violation(section: string, problem: string): void {
    this.#report(section, `${this.#access}: ${problem}`);
  }

  protected get declaration(): Declaration {
    return this.host.declaration!;
  }

  protected get status(): number {
    return Atomics.load(this.words, STATUS);
  }

  protected get isLive(): boolean {
    return (this.status & DRIVER_OK) !== 0;
  }

  /** The vCPU worker serves this one itself, unless something is wrong with it or accesses are traced. */
  #notify(value: number): void {
    const queue = (value & this.words[NOTIFY_MASK]!) >>> 0;
    if (queue < this.declaration.queues.length) {
      // It is remembered all the same, and served after DRIVER_OK.
      if (this.version === 2 && !this.isLive) {
        this.violation("3.1.1", "notifications come after DRIVER_OK");
      }
      return kickQueue(this.words, queue);
    }
    this.violation("4.2.2.2", `there is no queue ${queue}`);
  }

  #acknowledge(value: number): void {
    if (value & ~3) {
      this.violation("4.2.2.2", "only bits 0 and 1 are interrupt causes");
    }
    Atomics.and(this.words, INTERRUPT_STATUS, ~value);
  }

  /** `featuresAcceptable` is null where there is no FEATURES_OK: in the legacy interface. */
  protected writeStatus(
    value: number,
    featuresAcceptable: boolean | null,
  ): Later<void> {
    if (value === 0) {
      return this.#resetting = this.#reset().finally(() =>
        this.#resetting = null
      );
    }
    const old = this.status;
    const step = nextStatus(old, value, featuresAcceptable);
    if (step.violation !== null) {
      this.violation(step.violation.section, step.violation.message);
    }
    // The worker may set DEVICE_NEEDS_RESET meanwhile: only set bits are added.
    Atomics.or(this.words, STATUS, step.status);
    if (step.status & DRIVER_OK && !(old & DRIVER_OK)) {
      return this.#activate();
    }
  }

  async #activate(): Promise<void> {
    if (!await this.host.command(ACTIVATE)) return;
    // Another vCPU's reset has switched the kicks off meanwhile.
    if (this.#resetting !== null) return;
    const ready = this.declaration.queues.map((_queue, index) => index)
      .filter((index) => this.words[queueWord(index, QUEUE_READY)] === 1);
    this.host.kicks?.enable(ready);
  }

  /** Feature words that the driver accepted but that were not offered. */
  protected get extraFeatures(): readonly [number, number] {
    const extra = (i: number) =>
      (this.words[DRIVER_FEATURES + i]! & ~(this.host.offered[i] ?? 0)) >>> 0;
    return [extra(0), extra(1)];
  }

  /** §2.4, §4.2.3.1. The answer to the write is withheld until the worker has let go of the rings. */
  async #reset(): Promise<void> {
    this.host.kicks?.disable();
    await this.host.reset(this.status !== 0 ? RESET : null);
    const { words } = this;
    Atomics.store(words, INTERRUPT_STATUS, 0);
    Atomics.store(words, KICKED, 0);
    Atomics.store(words, NOTIFY_MASK, -1);
    words[DRIVER_FEATURES] = words[DRIVER_FEATURES + 1] = 0;
    const queues = this.declaration.queues.length;
    words.fill(0, queueWord(0, 0), queueWord(queues, 0));
    this.#deviceFeaturesSel = this.driverFeaturesSel = this.queueSel = 0;
    this.forget();
    Atomics.store(words, STATUS, this.host.usable ? 0 : DEVICE_NEEDS_RESET);
  }

  /** Even while nothing changes; a driver that reads it before and after sees the same configuration (§2.5). */
  protected get configGeneration(): number {
    for (let spin = 0; spin < GENERATION_SPINS; spin++) {
      const generation = Atomics.load(this.words, CONFIG_GENERATION);
      if ((generation & 1) === 0) return generation >>> 1;
    }
    return Atomics.load(this.words, CONFIG_GENERATION) >>> 1;
  }

  #isInConfig(offset: number, size: number): boolean {
    const { length } = this.declaration.config;
    if (offset + size <= length && offset % size === 0) return true;
    this.violation(
      "2.5.1",
      offset + size > length
        ? `configuration space has ${length} bytes`
        : "configuration space takes aligned accesses only",
    );
    return false;
  }

  /** A read that is wrong is answered all the same, with zeros for what is not there. */
  #readConfig(offset: number, size: number): number {
    this.#isInConfig(offset, size);
    this.#afterDriver("configuration is");
    const { length } = this.declaration.config;
    let value = 0;
    for (let i = 0; i < size && offset + i < length; i++) {
      value |= this.#config[offset + i]! << (8 * i);
    }
    return value >>> 0;
  }

  #writeConfig(offset: number, size: number, value: number): Later<void> {
    if (!this.#isInConfig(offset, size)) return;
    if (this.version === 2 && !(this.status & FEATURES_OK)) {
      this.violation("3.1.1", "configuration is written after FEATURES_OK");
    }
    return this.host.command(WRITE_CONFIG, offset, size, value).then(() => {});
  }
}

/** "QueueSize (0x038, 4 bytes)". */
function describe(offset: number, size: number): string {
  const at = `0x${offset.toString(16).padStart(3, "0")}`;
  return `${registerName(offset)} (${at}, ${size} byte${size > 1 ? "s" : ""})`;
}
