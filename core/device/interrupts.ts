// Thread: main
// Interrupt lines: an eventfd and irqfd each, and the irq worker that writes to them for workers without FFI.
import type { KvmVm } from "../kvm/vm_fd.ts";
import { COM1_GSI, VIRTIO_GSI_BASE } from "../memory/layout.ts";
import { EventFd, signalEventFd } from "../sys/fd.ts";
import { closeIrqWorker, createIrqPage } from "./irq_page.ts";
import type { IrqWorkerInit } from "./irq_worker.ts";

export class Interrupts {
  readonly page: SharedArrayBuffer = createIrqPage();
  readonly serial: EventFd;
  readonly #devices: readonly EventFd[];
  readonly #end = new SharedArrayBuffer(4);
  readonly #closed = Promise.withResolvers<void>();
  #worker: Worker | null = null;

  constructor(vm: KvmVm, devices: number) {
    using stack = new DisposableStack();
    const line = (gsi: number) => {
      const fd = stack.use(new EventFd());
      vm.assignIrqfd(fd, gsi);
      return fd;
    };
    this.serial = line(COM1_GSI);
    this.#devices = Array.from(
      { length: devices },
      (_, i) => line(VIRTIO_GSI_BASE + i),
    );
    stack.move();
  }

  /** Eventfd of each device's irqfd, by device index. */
  get eventFds(): readonly number[] {
    return this.#devices.map(({ fd }) => fd);
  }

  /** Starts the irq worker. Its thread blocks between requests. */
  start(): void {
    this.#worker = new Worker(new URL("./irq_worker.ts", import.meta.url), {
      type: "module",
      name: "irq",
    });
    this.#worker.onmessage = () => this.#closed.resolve();
    this.#worker.onerror = () => this.#closed.resolve();
    const init: IrqWorkerInit = {
      page: this.page,
      closed: this.#end,
      eventFds: this.eventFds,
    };
    this.#worker.postMessage(init);
  }

  /** An edge on a device's line, from main. */
  signal(device: number): void {
    const fd = this.#devices[device];
    if (fd !== undefined) signalEventFd(fd.fd);
  }

  /** Call it when no worker requests any more. */
  async close(): Promise<void> {
    if (this.#worker !== null) {
      closeIrqWorker(new Int32Array(this.page), new Int32Array(this.#end));
      await this.#closed.promise;
      this.#worker.terminate();
      this.#worker = null;
    }
    for (const fd of [this.serial, ...this.#devices]) fd.close();
  }
}
