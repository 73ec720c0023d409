// Thread: queue
// A device's queues between DRIVER_OK and the reset: opens their rings, serves those that are kicked, stops them.
import { DriverError } from "../errors.ts";
import type { QueueHandler } from "../plugin.ts";
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
} from "../virtio/constants.ts";
import {
  isCutOff,
  isNegotiated,
  KICKED,
  kickQueue,
  QUEUE_DESC,
  QUEUE_DEVICE,
  QUEUE_DRIVER,
  QUEUE_POSITION,
  QUEUE_READY,
  QUEUE_SIZE,
  queueWord,
  ringDevice,
  type Words,
} from "../virtio/device_page.ts";
import { traceQueue, type TraceSink } from "../virtio/trace.ts";
import type { QueueSetup, Virtqueue } from "../virtio/virtqueue.ts";
import { LiveQueue } from "./live_queue.ts";
import type { Notifier } from "./notifier.ts";
import { hasUsedFlags, openRing, type RingMemory } from "./open_ring.ts";

export interface LiveQueuesWiring {
  readonly words: Words;
  /** Of the queues, in the order of their numbers. */
  readonly names: readonly string[];
  readonly notifier: Notifier;
  /** Null where rings are not traced. */
  readonly trace: TraceSink | null;
  /** What the device gave for a queue. */
  handler(name: string): QueueHandler;
  /** Whether main waits for a command to be obeyed. */
  commandPending(): boolean;
}

export class LiveQueues {
  readonly #wiring: LiveQueuesWiring;
  readonly #words: Words;
  #memory: RingMemory | null = null;
  #queues: (LiveQueue | null)[] = [];
  #active = false;
  #paused = false;

  constructor(wiring: LiveQueuesWiring) {
    this.#wiring = wiring;
    this.#words = wiring.words;
  }

  /** From DRIVER_OK to the reset, or until the device fails. */
  get active(): boolean {
    return this.#active;
  }

  /** While no queue is live. */
  setMemory(memory: RingMemory): void {
    this.#memory = memory;
  }

  /** Null for one that is not to be used now. */
  get(name: string): LiveQueue | null {
    const index = this.#wiring.names.indexOf(name);
    if (index < 0) throw new TypeError(`there is no queue ${name}`);
    if (!this.#active || this.#paused) return null;
    return this.#queues[index] ?? null;
  }

  /** Has every queue served soon, as if it were kicked. */
  kickAll(): void {
    Atomics.or(this.#words, KICKED, -1);
    ringDevice(this.#words);
  }

  /** Serves what was kicked since the last call. */
  serve(): void {
    if (!this.#active || this.#paused) return;
    let kicked = Atomics.exchange(this.#words, KICKED, 0);
    let index = 0;
    try {
      for (; kicked !== 0; index++, kicked >>>= 1) {
        if (kicked & 1) this.#queues[index]?.serve();
      }
    } catch (error) {
      this.fail(this.#blamed(error, index));
    }
  }

  /** Opens the queues that are ready. */
  activate(): void {
    this.#queues = this.#wiring.names.map((_, index) => this.#open(index));
    this.#active = true;
  }

  /** After this nothing is written to guest RAM: what was in flight is dropped when it completes. */
  async stop(): Promise<void> {
    this.#active = false;
    await Promise.all(this.#queues.map((queue) => queue?.stop()));
    this.#queues = [];
  }

  /** Stops serving; the driver's reset starts it again. */
  fail(error: unknown): void {
    this.#active = false;
    this.#wiring.notifier.fault(error);
  }

  async enable(index: number): Promise<void> {
    await this.#queues[index]?.stop();
    this.#queues[index] = this.#open(index);
    kickQueue(this.#words, index);
  }

  async revoke(index: number): Promise<void> {
    await this.#queues[index]?.stop();
    this.#queues[index] = null;
  }

  async drain(index: number): Promise<void> {
    const queue = this.#queues[index];
    if (!queue) return;
    const position = await queue.drain();
    this.#words[queueWord(index, QUEUE_POSITION)] = position;
    this.#queues[index] = null;
  }

  /** Resolves when what was in flight is done. */
  async pause(): Promise<void> {
    this.#paused = true;
    await Promise.all(this.#queues.map((queue) => queue?.settle()));
  }

  resume(): void {
    this.#paused = false;
    this.kickAll();
  }

  #open(index: number): LiveQueue | null {
    const words = this.#words;
    const word = (at: number) => words[queueWord(index, at)]! >>> 0;
    if (word(QUEUE_READY) === 0) return null;
    const address = (at: number) => word(at) + word(at + 1) * 2 ** 32;
    const ring = this.#openRing(index, {
      size: word(QUEUE_SIZE),
      desc: address(QUEUE_DESC),
      driver: address(QUEUE_DRIVER),
      device: address(QUEUE_DEVICE),
      eventIdx: isNegotiated(words, VIRTIO_F_EVENT_IDX),
      indirect: isNegotiated(words, VIRTIO_F_INDIRECT_DESC),
      start: word(QUEUE_POSITION),
    });
    const wiring = this.#wiring;
    const { names, notifier } = wiring;
    return new LiveQueue(ring, wiring.handler(names[index]!), {
      interrupt: () => notifier.usedBuffers(index),
      commandPending: () => this.#paused || wiring.commandPending(),
      cutOff: () => isCutOff(words),
      again: () => kickQueue(words, index),
      fail: (error) => this.fail(this.#blamed(error, index)),
      fault: (error) => notifier.fault(this.#blamed(error, index)),
    });
  }

  #openRing(index: number, setup: QueueSetup): Virtqueue {
    if (this.#memory === null) {
      throw new TypeError("a queue is live without RAM");
    }
    const { names, notifier, trace } = this.#wiring;
    const negotiated = (bit: number) => isNegotiated(this.#words, bit);
    try {
      const ring = openRing(this.#memory, index, setup, negotiated);
      if (hasUsedFlags(this.#memory, setup, negotiated)) {
        // Told only: the ring works.
        notifier.driverError(
          "2.7.10.1",
          "Driver: the used ring's flags are not 0 as the queue begins",
          names[index],
        );
      }
      return trace === null ? ring : traceQueue(ring, index, trace);
    } catch (error) {
      throw this.#blamed(error, index);
    }
  }

  /** What went wrong, with the queue where the driver is to blame. */
  #blamed(error: unknown, index: number): unknown {
    if (error instanceof DriverError) error.queue = this.#wiring.names[index];
    return error;
  }
}
