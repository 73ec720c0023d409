// Thread: main
// Kicks by ioeventfd, for the devices that ask for it, from DRIVER_OK to the reset.
import type { KvmVm } from "../kvm/vm_fd.ts";
import { VIRTIO_MMIO_BASE, VIRTIO_MMIO_STRIDE } from "../memory/layout.ts";
import { Epoll } from "../sys/epoll.ts";
import { EventFd, signalEventFd } from "../sys/fd.ts";
import { VIRTIO_MMIO_QUEUE_NOTIFY } from "../virtio/constants.ts";
import type { DeviceKicks } from "../virtio/device_host.ts";
import { CLOSE_TAG, kickTag } from "./kick_tags.ts";
import type { KickWorkerInit } from "./kick_worker.ts";

export class KickPath {
  readonly #vm: KvmVm;
  readonly #epoll = new Epoll();
  readonly #end = new EventFd();
  readonly #closed = Promise.withResolvers<void>();
  readonly #switches: (() => void)[] = [];
  #worker: Worker | null = null;

  constructor(vm: KvmVm) {
    this.#vm = vm;
    this.#epoll.add(this.#end, CLOSE_TAG);
  }

  /** The switch of the device with this index. */
  switchOf(device: number): DeviceKicks {
    let live: { fd: EventFd; queue: number }[] = [];
    const address = VIRTIO_MMIO_BASE + device * VIRTIO_MMIO_STRIDE +
      VIRTIO_MMIO_QUEUE_NOTIFY;
    const disable = () => {
      for (const { fd, queue } of live) {
        this.#vm.deassignIoeventfd(fd, address, queue);
        fd.close();
      }
      live = [];
    };
    this.#switches.push(disable);
    return {
      disable,
      enable: (queues) => {
        disable();
        live = queues.map((queue) => {
          const fd = new EventFd();
          this.#epoll.add(fd, kickTag(device, queue));
          this.#vm.assignIoeventfd(fd, address, queue);
          return { fd, queue };
        });
      },
    };
  }

  /** Starts the worker that waits for the ioeventfds. */
  start(devicePages: readonly SharedArrayBuffer[]): void {
    this.#worker = new Worker(new URL("./kick_worker.ts", import.meta.url), {
      type: "module",
      name: "kick",
    });
    this.#worker.onmessage = () => this.#closed.resolve();
    this.#worker.onerror = () => this.#closed.resolve();
    const init: KickWorkerInit = { epollFd: this.#epoll.fd, devicePages };
    this.#worker.postMessage(init);
  }

  /** Call it when no vCPU runs any more. */
  async close(): Promise<void> {
    for (const disable of this.#switches) disable();
    if (this.#worker !== null) {
      signalEventFd(this.#end.fd);
      await this.#closed.promise;
      this.#worker.terminate();
      this.#worker = null;
    }
    this.#end.close();
    this.#epoll.close();
  }
}
