// The VM's side of a device in another process, without KVM: its host and its register file; a test plays the guest.
import type { RegionOps } from "../../core/bus/address_space.ts";
import type { VirtioConfig } from "../../core/manifest/config.ts";
import { GuestMemory } from "../../core/memory/guest_memory.ts";
import { EventFd, type Fd, signalEventFd } from "../../core/sys/fd.ts";
import {
  type BackEndDevice,
  BackEndLink,
} from "../../core/vhost_user/back_end_link.ts";
import type { Connection } from "../../core/vhost_user/connection.ts";
import { VhostUserHost } from "../../core/vhost_user/front_end.ts";
import { wordsOf } from "../../core/virtio/device_page.ts";
import { MmioTransport } from "../../core/virtio/mmio_transport.ts";
import { FakeRing, type Used } from "./fake_driver.ts";
import { MODERN } from "./fake_machine.ts";
import type { FakePackedRing } from "./fake_packed_ring.ts";
import { until, within } from "./wait.ts";

const MiB = 1 << 20;

export interface FakeVmOptions {
  readonly connect: () => Connection | Promise<Connection>;
  readonly device?: Partial<BackEndDevice>;
  readonly virtio?: Partial<VirtioConfig>;
}

export class FakeVm implements AsyncDisposable {
  readonly memory = new GuestMemory(2 * MiB, true);
  readonly host: VhostUserHost;
  readonly transport: RegionOps;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly driverErrors: string[] = [];
  readonly faults: string[] = [];
  interrupts = 0;
  readonly #kicks = new Map<number, Fd>();

  private constructor({ connect, device, virtio }: FakeVmOptions) {
    const { memory } = this;
    this.host = new VhostUserHost({
      name: "dev0",
      index: 0,
      link: new BackEndLink({
        connect,
        device: {
          id: 7,
          queues: [{ name: "q", size: 16 }],
          config: 0,
          needs: [],
          withoutConfig: null,
          ordered: false,
          ...device,
        },
        virtio: { ...MODERN, ...virtio },
      }),
      memory: { ram: memory.shared, memfd: memory.memfd! },
      openQueue: (queue) => this.#openQueue(queue),
      onDriverError: (section, text) =>
        void this.driverErrors.push(`${section}: ${text}`),
      onFault: ({ message }) => void this.faults.push(message),
      needsReset: () => void Atomics.or(this.words, 1, 0x40),
      onLog: () => {},
      interrupt: () => this.interrupts++,
    });
    this.words = wordsOf(this.host.page);
    this.transport = new MmioTransport(
      this.host,
      (section, text) => void this.driverErrors.push(`${section}: ${text}`),
    );
  }

  static async start(options: FakeVmOptions): Promise<FakeVm> {
    const vm = new FakeVm(options);
    vm.host.start();
    await within(vm.host.declared);
    return vm;
  }

  #openQueue(queue: number) {
    const [kick, call, error] = [new EventFd(), new EventFd(), new EventFd()];
    this.#kicks.set(queue, kick);
    const close = () => {
      this.#kicks.delete(queue);
      for (const fd of [kick, call, error]) fd.close();
    };
    return { kick, call, error, close };
  }

  async write(offset: number, value: number): Promise<void> {
    await within(this.transport.write(offset, 4, value));
  }

  async read(offset: number, size = 4): Promise<number> {
    return await within(this.transport.read(offset, size));
  }

  /** ACKNOWLEDGE to FEATURES_OK. */
  async negotiate(high = 1): Promise<void> {
    for (const status of [1, 3]) await this.write(0x070, status);
    await this.write(0x024, 1);
    await this.write(0x020, high);
    await this.write(0x070, 0xb);
  }

  /** Makes queue 0 ready. */
  async queue(ring: FakeRing | FakePackedRing): Promise<void> {
    const places = ring instanceof FakeRing
      ? [ring.desc, ring.avail, ring.used]
      : [ring.desc, ring.driverEvent, ring.deviceEvent];
    await this.write(0x030, 0);
    await this.write(0x038, ring.size);
    for (const [i, place] of places.entries()) {
      await this.write(0x080 + 0x10 * i, place);
      await this.write(0x084 + 0x10 * i, 0);
    }
    await this.write(0x044, 1);
  }

  driverOk(): Promise<void> {
    return this.write(0x070, 0xf);
  }

  reset(): Promise<void> {
    return this.write(0x070, 0);
  }

  /** As the ioeventfd does it. */
  kick(): void {
    const kick = this.#kicks.get(0);
    if (kick !== undefined) signalEventFd(kick.fd);
  }

  async used(ring: { takeUsed(): Used[] }, count: number): Promise<Used[]> {
    const all: Used[] = [];
    await until(() => {
      all.push(...ring.takeUsed());
      return all.length >= count;
    });
    return all;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host.close();
    this.memory.close();
  }
}
