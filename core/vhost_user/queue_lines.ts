// Thread: main
// Kicks from and calls to a front end: its eventfds to the worker's doorbell, the worker's interrupt requests to its
// eventfds.
import { closeIrqWorker, createIrqPage } from "../device/irq_page.ts";
import type { IrqWorkerInit } from "../device/irq_worker.ts";
import { CLOSE_TAG, kickTag } from "../device/kick_tags.ts";
import type { KickWorkerInit } from "../device/kick_worker.ts";
import { Epoll } from "../sys/epoll.ts";
import { EventFd, type Fd, signalEventFd } from "../sys/fd.ts";
import { signalSharedEventFd } from "../sys/shared_event_fd.ts";
import { check, libc } from "../sys/libc.ts";
import { EFD_NONBLOCK, F_SETFL, O_CLOEXEC } from "../sys/linux.ts";

/** For the two threads to end. */
const END_MS = 1000;

export class QueueLines {
  /** Where the worker asks for calls. */
  readonly page: SharedArrayBuffer = createIrqPage();
  readonly #epoll = new Epoll();
  readonly #end = new EventFd();
  readonly #irqEnd = new SharedArrayBuffer(4);
  /** What a queue without a call descriptor calls. */
  readonly #nobody = new EventFd();
  /** Descriptors whose numbers stay while what they are changes: the irq worker has the numbers. */
  #calls: readonly EventFd[] = [];
  #workers: readonly { worker: Worker; ended: Promise<void> }[] = [];

  constructor() {
    this.#epoll.add(this.#end, CLOSE_TAG);
  }

  /** Starts the two threads for a device with this page. */
  start(devicePage: SharedArrayBuffer, queues: number): void {
    this.#calls = Array.from({ length: queues }, () => new EventFd());
    const kick: KickWorkerInit = {
      epollFd: this.#epoll.fd,
      devicePages: [devicePage],
    };
    const irq: IrqWorkerInit = {
      page: this.page,
      closed: this.#irqEnd,
      eventFds: this.#calls.map(({ fd }) => fd),
    };
    const kicks = new URL("../device/kick_worker.ts", import.meta.url);
    const irqs = new URL("../device/irq_worker.ts", import.meta.url);
    this.#workers = [run(kicks, "kick", kick), run(irqs, "irq", irq)];
  }

  /** A queue is called here from now on; null: nowhere. `fd` stays the caller's. */
  setCall(queue: number, fd: Fd | null): void {
    if (fd !== null) makeNonBlocking(fd);
    const target = this.#calls[queue]!;
    const source = fd ?? this.#nobody;
    check("dup3", libc.dup3(source.fd, target.fd, O_CLOEXEC));
    // A call of before may not have come through, such as that of a process that was killed.
    signalSharedEventFd(target);
  }

  /** A queue is kicked through `fd` until that is removed. */
  addKick(queue: number, fd: Fd): void {
    this.#epoll.add(fd, kickTag(0, queue));
  }

  /** To be called before `fd` is closed: the front end has it open too. */
  removeKick(fd: Fd): void {
    this.#epoll.remove(fd);
  }

  /** Call it when the worker asks for no calls any more. */
  async close(): Promise<void> {
    closeIrqWorker(new Int32Array(this.page), new Int32Array(this.#irqEnd));
    signalEventFd(this.#end.fd);
    // A front end may have made its eventfd blocking again, and full: a thread is not waited for without end.
    let late: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([
      Promise.all(this.#workers.map(({ ended }) => ended)),
      new Promise((resolve) => late = setTimeout(resolve, END_MS)),
    ]);
    clearTimeout(late);
    for (const { worker } of this.#workers) worker.terminate();
    for (const fd of [...this.#calls, this.#end, this.#nobody, this.#epoll]) {
      fd.close();
    }
  }
}

/** Signals an error to a front end. */
export function signalError(fd: Fd): void {
  signalSharedEventFd(fd);
}

/** What a front end calls an eventfd may be a pipe that is full: nobody here waits for that. */
export function makeNonBlocking(fd: Fd): void {
  check("fcntl", libc.fcntl(fd.fd, F_SETFL, EFD_NONBLOCK));
}

function run(
  entry: URL,
  name: string,
  init: KickWorkerInit | IrqWorkerInit,
): { worker: Worker; ended: Promise<void> } {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const worker = new Worker(entry, { type: "module", name });
  worker.onmessage = () => resolve();
  worker.onerror = () => resolve();
  worker.postMessage(init);
  return { worker, ended };
}
