// Thread: queue
// What a device's worker tells beside the rings: interrupts to the driver, and to driver and main, who failed.
import { describeError, DriverError } from "../errors.ts";
import {
  DEVICE_NEEDS_RESET,
  DRIVER_OK,
  VIRTIO_MMIO_INT_CONFIG,
  VIRTIO_MMIO_INT_VRING,
} from "../virtio/constants.ts";
import {
  INTERRUPT_STATUS,
  STATUS,
  type Words,
  wordsOf,
} from "../virtio/device_page.ts";
import type { TraceSink } from "../virtio/trace.ts";
import { requestInterrupt, type Words as IrqWords } from "./irq_page.ts";
import type { Post, QueueWorkerInit } from "./messages.ts";

export class Notifier {
  readonly #init: QueueWorkerInit;
  readonly #post: Post;
  readonly #words: Words;
  readonly #irq: IrqWords;
  /** Null where interrupts are not traced. */
  readonly #trace: TraceSink | null;

  constructor(init: QueueWorkerInit, post: Post, trace: TraceSink | null) {
    this.#init = init;
    this.#post = post;
    this.#words = wordsOf(init.page);
    this.#irq = new Int32Array(init.irqPage);
    this.#trace = trace;
  }

  /** Buffers of this queue were used. */
  usedBuffers(queue: number): void {
    this.#trace?.({ kind: "irq", operation: "interrupt", queue });
    Atomics.or(this.#words, INTERRUPT_STATUS, VIRTIO_MMIO_INT_VRING);
    const { linePerQueue, index } = this.#init;
    requestInterrupt(this.#irq, linePerQueue ? queue : index);
  }

  configChanged(): void {
    this.#trace?.({ kind: "irq", operation: "interrupt", queue: null });
    if (this.#init.linePerQueue) return this.#post({ type: "config-changed" });
    Atomics.or(this.#words, INTERRUPT_STATUS, VIRTIO_MMIO_INT_CONFIG);
    requestInterrupt(this.#irq, this.#init.index);
  }

  /** DEVICE_NEEDS_RESET is set here and not by main, whom the message may reach after the driver's reset. */
  fault(error: unknown): void {
    const before = Atomics.or(this.#words, STATUS, DEVICE_NEEDS_RESET);
    if (before & DRIVER_OK) this.configChanged();
    if (error instanceof DriverError) {
      return this.driverError(error.section, error.message, error.queue);
    }
    this.#post({
      type: "failed",
      message: describeError(error, this.#init.module),
    });
  }

  /** Told to main only: the device goes on. */
  driverError(section: string, problem: string, queue?: string): void {
    // "Driver, requestq: head 9 is …"
    const message = queue === undefined
      ? problem
      : problem.replace(/^Driver: /, `Driver, ${queue}: `);
    this.#post({ type: "driver-error", section, message });
  }
}
