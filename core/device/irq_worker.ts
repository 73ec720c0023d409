// Thread: irq
// Turns interrupt requests of the queue workers into writes to their irqfds.
import { signalEventFd } from "../sys/fd.ts";
import { workerScope } from "../sys/worker_scope.ts";
import { DOORBELL, PENDING, WAITING, type Words } from "./irq_page.ts";

/** What main posts once. */
export interface IrqWorkerInit {
  readonly page: SharedArrayBuffer;
  /** One word, 1 when it is to end. */
  readonly closed: SharedArrayBuffer;
  /** Eventfd of each device's irqfd, by device index. */
  readonly eventFds: readonly number[];
}

const WAIT_MS = 1000;
// A burst of completions comes within microseconds: look a little longer before sleeping.
const SPINS = 300;

const scope = workerScope<IrqWorkerInit, "closed">();

function deliver(words: Words, eventFds: readonly number[]): boolean {
  const pending = Atomics.exchange(words, PENDING, 0);
  for (let device = 0; device < eventFds.length; device++) {
    if ((pending >>> device) & 1) signalEventFd(eventFds[device]!);
  }
  return pending !== 0;
}

function serve({ page, closed, eventFds }: IrqWorkerInit): void {
  const words: Words = new Int32Array(page);
  const end: Words = new Int32Array(closed);
  while (Atomics.load(end, 0) === 0) {
    let spins = SPINS;
    while (spins-- > 0) if (deliver(words, eventFds)) spins = SPINS;
    Atomics.store(words, WAITING, 1);
    const seen = Atomics.load(words, DOORBELL);
    const idle = Atomics.load(words, PENDING) === 0 &&
      Atomics.load(end, 0) === 0;
    if (idle) Atomics.wait(words, DOORBELL, seen, WAIT_MS);
    Atomics.store(words, WAITING, 0);
  }
  deliver(words, eventFds);
  scope.postMessage("closed");
  scope.close();
}

scope.onmessage = (event) => serve(event.data);
