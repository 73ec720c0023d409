// A device with its real worker and register file, and this side plays the guest: no KVM, interrupts only counted.
import type { RegionOps } from "../../core/bus/address_space.ts";
import type { VirtioConfig } from "../../core/manifest/config.ts";
import { LegacyTransport } from "../../core/virtio/legacy_transport.ts";
import type { DeviceError } from "../../core/errors.ts";
import { WorkerHost } from "../../core/device/worker_host.ts";
import { createIrqPage } from "../../core/device/irq_page.ts";
import { kickQueue, wordsOf } from "../../core/virtio/device_page.ts";
import { MmioTransport } from "../../core/virtio/mmio_transport.ts";
import { type FakeRam, fakeRam, FakeRing, type Used } from "./fake_driver.ts";
import { FakePackedRing } from "./fake_packed_ring.ts";
import { PATIENCE_MS, within } from "./wait.ts";
import { NOTHING } from "./permissions.ts";

/** What a manifest gives a device by default. */
export const MODERN: VirtioConfig = {
  transport: "modern",
  ring: "split",
  inOrder: false,
  notificationData: false,
  kick: "exit",
};

export interface FakeMachineOptions {
  /** URL of the device's module. */
  readonly module: string;
  readonly options?: Record<string, unknown>;
  readonly grants?: Partial<Record<keyof typeof NOTHING, string[]>>;
  readonly punchHole?: (offset: number, length: number) => boolean;
  readonly ram?: FakeRam;
  readonly budgetMs?: number;
  readonly startMs?: number;
  readonly maxMessages?: number;
  /** Whether its imports are trusted; default true. */
  readonly builtIn?: boolean;
  /** How it speaks virtio, where not as by default. */
  readonly virtio?: Partial<VirtioConfig>;
}

/** A module whose default export is the given JavaScript expression. */
export function inlineModule(expression: string, before = ""): string {
  const code = `${before};\nexport default ${expression};`;
  return `data:text/javascript,${encodeURIComponent(code)}`;
}

/** What HELD writes when it has a request. */
export const BEGAN = 0xb5;
/** A device that marks the first byte of a request, and ends it when the driver wants it back. */
export const HELD = inlineModule(`{ id: 7, queues: { q: 8 }, create: () => ({
  queues: { q: ({ writable }, signal) => {
    writable.write(Uint8Array.of(${BEGAN}));
    return new Promise((done) => signal.addEventListener("abort",
      () => done(writable.write(new Uint8Array(4)) + 1)));
  } } }) }`);

/** URL of a built-in device's module. */
export function builtIn(name: string): string {
  return new URL(`../../devices/${name}/mod.ts`, import.meta.url).href;
}

export class FakeMachine implements AsyncDisposable {
  readonly ram: FakeRam;
  readonly bytes: Uint8Array;
  readonly host: WorkerHost;
  readonly transport: RegionOps;
  readonly words: Int32Array<SharedArrayBuffer>;
  /** What the driver was blamed for, the device was, and what it logged. */
  readonly driverErrors: string[] = [];
  readonly faults: string[] = [];
  readonly logged: string[] = [];
  readonly #irq: Int32Array<SharedArrayBuffer>;

  constructor(options: FakeMachineOptions) {
    this.ram = options.ram ?? fakeRam();
    this.bytes = new Uint8Array(this.ram.buffer);
    const irqPage = createIrqPage();
    this.#irq = new Int32Array(irqPage);
    this.#irq[1] = 1; // as if the irq worker slept: each request notifies
    this.host = new WorkerHost({
      name: "dev0",
      index: 3,
      module: options.module,
      builtIn: options.builtIn ?? true,
      options: options.options ?? {},
      grants: { ...NOTHING, ...options.grants },
      virtio: { ...MODERN, ...options.virtio },
      trace: [],
      onTrace: () => {},
      ram: this.ram,
      irqPage,
      punchHole: options.punchHole ?? (() => false),
      onDriverError: (section, text) =>
        this.driverErrors.push(`${section}: ${text}`),
      onFault: (error: DeviceError) => this.faults.push(error.message),
      needsReset: () => Atomics.or(this.words, 1, 0x40),
      onLog: (message) => this.logged.push(message),
      ...(options.budgetMs === undefined ? {} : { budgetMs: options.budgetMs }),
      ...(options.startMs === undefined ? {} : { startMs: options.startMs }),
      ...(options.maxMessages === undefined
        ? {}
        : { maxMessages: options.maxMessages }),
    });
    this.words = wordsOf(this.host.page);
    const Registers = options.virtio?.transport === "legacy"
      ? LegacyTransport
      : MmioTransport;
    this.transport = new Registers(
      this.host,
      (section, text) => this.driverErrors.push(`${section}: ${text}`),
    );
  }

  /** A machine whose device has declared itself. */
  static async start(options: FakeMachineOptions): Promise<FakeMachine> {
    const machine = new FakeMachine(options);
    machine.host.start();
    await within(machine.host.declared);
    return machine;
  }

  async read(offset: number, size = 4): Promise<number> {
    return await within(this.transport.read(offset, size));
  }

  async write(offset: number, value: number, size = 4): Promise<void> {
    await within(this.transport.write(offset, size, value));
  }

  get status(): number {
    return Atomics.load(this.words, 1);
  }

  /** Interrupts that were asked for. */
  get interrupts(): number {
    return Atomics.load(this.#irq, 0);
  }

  /** ACKNOWLEDGE to FEATURES_OK with `low` of the first 32 feature bits and `high` of the next, VERSION_1 alone if not given. */
  async negotiate(low = 0, high = 1): Promise<void> {
    await this.write(0x070, 0x1);
    await this.write(0x070, 0x3);
    for (const [select, bits] of [[0, low], [1, high]] as const) {
      await this.write(0x024, select);
      await this.write(0x020, bits);
    }
    await this.write(0x070, 0xb);
  }

  /** Makes a queue ready. */
  async queue(
    index: number,
    size: number,
    at = 0x1000 + index * 0x4000,
  ): Promise<FakeRing> {
    const ring = new FakeRing(this.ram, size, at);
    await this.#enable(index, size, ring.desc, ring.avail, ring.used);
    return ring;
  }

  /** Makes a packed queue ready. */
  async packedQueue(
    index: number,
    size: number,
    at = 0x1000 + index * 0x4000,
  ): Promise<FakePackedRing> {
    const ring = new FakePackedRing(this.ram, size, at);
    const { desc, driverEvent, deviceEvent } = ring;
    await this.#enable(index, size, desc, driverEvent, deviceEvent);
    return ring;
  }

  async #enable(
    index: number,
    size: number,
    desc: number,
    driver: number,
    device: number,
  ): Promise<void> {
    await this.write(0x030, index);
    await this.write(0x038, size);
    await this.address(desc, driver, device);
    await this.write(0x044, 1);
  }

  /** Makes a queue ready as Linux does with the legacy register file: pages of 4 KiB, QueuePFN last. */
  async legacyQueue(
    index: number,
    size: number,
    at = 0x1000 + index * 0x4000,
  ): Promise<FakeRing> {
    const ring = new FakeRing(this.ram, size, at, 0x1000);
    await this.write(0x030, index);
    await this.write(0x038, size);
    await this.write(0x03c, 0x1000);
    await this.write(0x040, at / 0x1000);
    return ring;
  }

  /** The selected queue's addresses. */
  async address(desc: number, avail: number, used: number): Promise<void> {
    for (const [register, at] of [[0x80, desc], [0x90, avail], [0xa0, used]]) {
      await this.write(register!, at! >>> 0);
      await this.write(register! + 4, Math.floor(at! / 2 ** 32));
    }
  }

  /** Features, one queue, DRIVER_OK. */
  async bringUp(size = 8, low = 0): Promise<FakeRing> {
    await this.negotiate(low);
    const ring = await this.queue(0, size);
    await this.driverOk();
    return ring;
  }

  driverOk(): Promise<void> {
    return this.write(0x070, 0xf);
  }

  reset(): Promise<void> {
    return this.write(0x070, 0);
  }

  /** As the vCPU worker does for a write to QueueNotify. */
  kick(queue = 0): void {
    kickQueue(this.words, queue);
  }

  /** Waits until the device has used `count` chains. */
  async used(
    ring: { takeUsed(): Used[] },
    count: number,
    ms = PATIENCE_MS,
  ): Promise<Used[]> {
    const all: Used[] = [];
    await this.until(
      () => {
        all.push(...ring.takeUsed());
        return all.length >= count;
      },
      () => `${all.length} of ${count} chains used in ${ms} ms`,
      ms,
    );
    return all;
  }

  /** Waits until DEVICE_NEEDS_RESET is set, and whoever is to blame was told of. */
  needsReset(ms = PATIENCE_MS): Promise<void> {
    return this.until(
      () =>
        (this.status & 0x40) !== 0 &&
        this.driverErrors.length + this.faults.length > 0,
      () => `no DEVICE_NEEDS_RESET, status 0x${this.status.toString(16)}`,
      ms,
    );
  }

  /** Waits for a condition, looking at each interrupt and now and then. */
  async until(
    condition: () => boolean,
    problem: () => string = () => "condition did not come",
    ms = PATIENCE_MS,
  ): Promise<void> {
    const deadline = performance.now() + ms;
    for (;;) {
      const seen = this.interrupts;
      if (condition()) return;
      if (performance.now() > deadline) {
        throw new Error(
          [problem(), ...this.driverErrors, ...this.faults].join("; "),
        );
      }
      const turn = Atomics.waitAsync(this.#irq, 0, seen, 100);
      // A timer, because a pending waitAsync does not keep the test alive.
      const look = Promise.withResolvers<void>();
      const timer = setTimeout(look.resolve, 5);
      if (turn.async) await Promise.race([turn.value, look.promise]);
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host.close();
  }
}
