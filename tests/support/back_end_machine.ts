// A machine whose one device a fake vhost-user back end serves, without KVM; this side plays the driver.
import type { RegionOps } from "../../core/bus/address_space.ts";
import type { VirtioConfig } from "../../core/manifest/config.ts";
import { GuestMemory } from "../../core/memory/guest_memory.ts";
import { EventFd, type Fd } from "../../core/sys/fd.ts";
import {
  type BackEndDevice,
  BackEndLink,
} from "../../core/vhost_user/back_end_link.ts";
import type { Connection } from "../../core/vhost_user/connection.ts";
import { VhostUserHost } from "../../core/vhost_user/front_end.ts";
import { wordsOf } from "../../core/virtio/device_page.ts";
import { LegacyTransport } from "../../core/virtio/legacy_transport.ts";
import { MmioTransport } from "../../core/virtio/mmio_transport.ts";
import { FakeBackEnd, type FakeBackEndOptions } from "./fake_back_end.ts";
import { MODERN } from "./fake_machine.ts";
import { until, within } from "./wait.ts";
import { connect, connectionPair } from "./connections.ts";

export interface BackEndMachineOptions extends FakeBackEndOptions {
  readonly virtio?: Partial<VirtioConfig>;
  readonly device?: Partial<BackEndDevice>;
  readonly memory?: GuestMemory;
  readonly budgetMs?: number;
  readonly lookMs?: number;
}

const MiB = 1 << 20;

/** A device whose back end is a fake; this side plays the driver. */
export class BackEndMachine implements AsyncDisposable {
  readonly memory: GuestMemory;
  readonly link: BackEndLink;
  /** Every back end that was connected to, the last one last; null for a connection that was refused. */
  readonly backEnds: FakeBackEnd[] = [];
  /** What the next back ends are like; the last one stays. False: nobody is there. */
  next: (FakeBackEndOptions | false)[];
  host!: VhostUserHost;
  transport!: RegionOps;
  words!: Int32Array<SharedArrayBuffer>;
  readonly driverErrors: string[] = [];
  readonly faults: string[] = [];
  interrupts = 0;
  /** Eventfds that are open, by queue, and how their errors are told. */
  readonly events = new Map<
    number,
    { kick: Fd; call: Fd; error: Fd; onError: () => void }
  >();
  readonly #options: BackEndMachineOptions;

  private constructor(options: BackEndMachineOptions) {
    this.#options = options;
    this.next = [options];
    this.memory = options.memory ?? new GuestMemory(MiB, true);
    this.link = new BackEndLink({
      connect: () => this.#connect(),
      device: {
        id: 2,
        queues: [{ name: "a", size: 64 }, { name: "b", size: 64 }],
        config: 8,
        needs: [],
        withoutConfig: null,
        ordered: false,
        ...options.device,
      },
      virtio: { ...MODERN, ...options.virtio },
      budgetMs: options.budgetMs ?? 10_000,
    });
  }

  #connect(): Connection {
    const options = this.next.length > 1 ? this.next.shift()! : this.next[0]!;
    if (options === false) return connect("/nowhere/s.sock");
    const [ours, theirs] = connectionPair();
    this.backEnds.push(new FakeBackEnd(theirs, options));
    return ours;
  }

  static async start(
    options: BackEndMachineOptions = {},
  ): Promise<BackEndMachine> {
    const machine = new BackEndMachine(options);
    try {
      await machine.#open();
    } catch (error) {
      machine.memory.close();
      for (const { ended } of machine.backEnds) await ended;
      throw error;
    }
    return machine;
  }

  async #open(): Promise<void> {
    const { memory, link } = this;
    const opened = await link.open();
    this.host = new VhostUserHost({
      name: "dev0",
      index: 3,
      link,
      opened,
      memory: { ram: memory.shared, memfd: memory.memfd! },
      openQueue: (queue, onError) => this.#openQueue(queue, onError),
      onDriverError: (section, text) =>
        void this.driverErrors.push(`${section}: ${text}`),
      onFault: ({ message }) => void this.faults.push(message),
      needsReset: () => void Atomics.or(this.words, 1, 0x40),
      onLog: () => {},
      interrupt: () => this.interrupts++,
      lookMs: this.#options.lookMs ?? 2000,
    });
    this.words = wordsOf(this.host.page);
    const Registers = this.#options.virtio?.transport === "legacy"
      ? LegacyTransport
      : MmioTransport;
    this.transport = new Registers(
      this.host,
      (section, text) => void this.driverErrors.push(`${section}: ${text}`),
    );
    this.host.start();
    await within(this.host.declared);
  }

  #openQueue(queue: number, onError: () => void) {
    const [kick, call, error] = [new EventFd(), new EventFd(), new EventFd()];
    this.events.set(queue, { kick, call, error, onError });
    const close = () => {
      this.events.delete(queue);
      for (const fd of [kick, call, error]) fd.close();
    };
    return { kick, call, error, close };
  }

  /** The back end that is connected now. */
  get backEnd(): FakeBackEnd {
    return this.backEnds.at(-1)!;
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

  /** ACKNOWLEDGE to FEATURES_OK. */
  async negotiate(low = 0, high = 1): Promise<void> {
    await this.write(0x070, 0x1);
    await this.write(0x070, 0x3);
    for (const [select, bits] of [[0, low], [1, high]] as const) {
      await this.write(0x024, select);
      await this.write(0x020, bits);
    }
    await this.write(0x070, 0xb);
  }

  /** Makes a queue ready: descriptors at `at`, the driver's part 0x1000 behind it, the device's 0x2000. */
  async queue(
    index: number,
    size = 16,
    at = 0x4000 * (index + 1),
  ): Promise<void> {
    await this.write(0x030, index);
    await this.write(0x038, size);
    const parts = [[0x80, at], [0x90, at + 0x1000], [0xa0, at + 0x2000]];
    for (const [register, address] of parts) {
      await this.write(register!, address! >>> 0);
      await this.write(register! + 4, Math.floor(address! / 2 ** 32));
    }
    await this.write(0x044, 1);
  }

  /** Features, both queues, DRIVER_OK. */
  async bringUp(low = 0, high = 1): Promise<void> {
    await this.negotiate(low, high);
    await this.queue(0);
    await this.queue(1);
    await this.write(0x070, 0xf);
  }

  reset(): Promise<void> {
    return this.write(0x070, 0);
  }

  /** Waits for a condition. */
  until(condition: () => boolean, what = "condition"): Promise<void> {
    return until(condition, () => [what, ...this.faults].join("; "));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host.close();
    for (const backEnd of this.backEnds) {
      backEnd.hangUp();
      await backEnd.ended;
    }
    this.memory.close();
  }
}
