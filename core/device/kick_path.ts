// Thread: main
// Kicks by ioeventfd, for the devices that ask for it, from DRIVER_OK to the reset; and the eventfds of back ends.
import type { KvmVm } from "../kvm/vm_fd.ts";
import { VIRTIO_MMIO_BASE, VIRTIO_MMIO_STRIDE } from "../memory/layout.ts";
import { Epoll } from "../sys/epoll.ts";
import { EventFd, type Fd, signalEventFd } from "../sys/fd.ts";
import { VIRTIO_MMIO_QUEUE_NOTIFY } from "../virtio/constants.ts";
import type { DeviceKicks } from "../virtio/device_host.ts";
import { CALL, CLOSE_TAG, ERROR, eventTag, kickTag } from "./kick_tags.ts";
import type { FromKickWorker, KickWorkerInit } from "./kick_worker.ts";

/** The eventfds between a queue's driver and its back end. `close` takes the back end's way to the driver away. */
export interface QueueEvents {
  /** The driver's kicks, which no vCPU stops for. */
  readonly kick: Fd;
  /** Where the back end asks for an interrupt. */
  readonly call: Fd;
  /** Where the back end says that it gave the queue up. */
  readonly error: Fd;
  close(): void;
}

/** Makes a device's eventfds; `onError` is called at most once for each. */
export type OpenQueueEvents = (
  queue: number,
  onError: () => void,
) => QueueEvents;

const notifyAddress = (device: number): number =>
  VIRTIO_MMIO_BASE + device * VIRTIO_MMIO_STRIDE + VIRTIO_MMIO_QUEUE_NOTIFY;

export class KickPath {
  readonly #vm: KvmVm;
  readonly #epoll = new Epoll();
  readonly #end = new EventFd();
  readonly #closed = Promise.withResolvers<void>();
  readonly #switches: (() => void)[] = [];
  /** By tag, of the queues that back ends serve. */
  readonly #onErrors = new Map<number, () => void>();
  #worker: Worker | null = null;

  constructor(vm: KvmVm) {
    this.#vm = vm;
    this.#epoll.add(this.#end, CLOSE_TAG);
  }

  /** The switch of the device with this index. */
  switchOf(device: number): DeviceKicks {
    let live = new DisposableStack();
    const address = notifyAddress(device);
    const disable = () => {
      live.dispose();
      live = new DisposableStack();
    };
    this.#switches.push(disable);
    return {
      disable,
      enable: (queues) => {
        disable();
        for (const queue of queues) {
          const fd = live.use(new EventFd());
          this.#epoll.add(fd, kickTag(device, queue));
          this.#vm.assignIoeventfd(fd, address, queue);
          live.defer(() => this.#vm.deassignIoeventfd(fd, address, queue));
        }
      },
    };
  }

  /** Makes the eventfds of a queue of this device, which a back end serves. */
  openQueue(device: number, queue: number, onError: () => void): QueueEvents {
    using stack = new DisposableStack();
    const [kick, call, error] = [0, 1, 2].map(() => stack.use(new EventFd()));
    const errorTag = eventTag(ERROR, device, queue);
    this.#epoll.add(call!, eventTag(CALL, device, queue));
    // The back end has it open too: closing it here would not end its events.
    stack.defer(() => this.#epoll.remove(call!));
    // A back end that goes on signalling it must not keep the worker from the others.
    this.#epoll.addOnce(error!, errorTag);
    stack.defer(() => this.#epoll.remove(error!));
    this.#onErrors.set(errorTag, onError);
    stack.defer(() => this.#onErrors.delete(errorTag));
    const address = notifyAddress(device);
    this.#vm.assignIoeventfd(kick!, address, queue);
    stack.defer(() => this.#vm.deassignIoeventfd(kick!, address, queue));
    const owned = stack.move();
    const close = () => owned.dispose();
    return { kick: kick!, call: call!, error: error!, close };
  }

  /** Starts the worker that waits for the eventfds. */
  start(
    devicePages: readonly SharedArrayBuffer[],
    irqEventFds: readonly number[],
  ): void {
    this.#worker = new Worker(new URL("./kick_worker.ts", import.meta.url), {
      type: "module",
      name: "kick",
    });
    this.#worker.onmessage = ({ data }: MessageEvent<FromKickWorker>) => {
      if (data === "closed") return this.#closed.resolve();
      this.#onErrors.get(eventTag(ERROR, data.device, data.queue))?.();
    };
    this.#worker.onerror = () => this.#closed.resolve();
    const init: KickWorkerInit = {
      epollFd: this.#epoll.fd,
      devicePages,
      irqEventFds,
    };
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
