// Thread: queue
// The one queue loop of all devices: disable notifications, drain, add used, interrupt, enable, look again.
import type { PulledQueue, QueueHandler } from "../plugin.ts";
import type { DescriptorChain } from "../virtio/chain.ts";
import type { RingPosition, Virtqueue } from "../virtio/virtqueue.ts";

export interface LiveQueueWiring {
  /** Interrupts the driver for this queue. */
  interrupt(): void;
  /** Whether main waits for something: the loop leaves the rest for later. */
  commandPending(): boolean;
  /** Whether main gave the device up: the rings are the driver's, however late this thread sees it. */
  cutOff(): boolean;
  /** Have `serve` called again soon. */
  again(): void;
  /** The queue stops: the driver broke it, or the device cannot go on. */
  fail(error: unknown): void;
  /** The device failed, but goes on to answer with errors. */
  fault(error: unknown): void;
}

/** What a device gave for a queue, in one form. */
interface Handlers {
  handle?(
    chain: DescriptorChain,
    signal: AbortSignal,
  ): number | Promise<number>;
  refuse?(chain: DescriptorChain): number;
  available?(queue: PulledQueue): void;
}

function handlersOf(handler: QueueHandler): Handlers {
  return typeof handler === "function" ? { handle: handler } : handler ?? {};
}

/** How long a request that is to be finished may take until its handler is told that somebody waits; half of a command's budget. */
const DRAIN_MS = 5000;

/** A queue between DRIVER_OK and the reset. */
export class LiveQueue implements PulledQueue {
  readonly #ring: Virtqueue;
  readonly #handlers: Handlers;
  readonly #wiring: LiveQueueWiring;
  readonly #inFlight = new Set<Promise<void>>();
  /** Chains that the device pulled and has not given back. */
  readonly #pulled = new Set<DescriptorChain>();
  /** Tells handlers that the driver waits for its buffers. */
  readonly #ending = new AbortController();
  #stopped = false;
  #refusing = false;

  constructor(
    ring: Virtqueue,
    handler: QueueHandler,
    wiring: LiveQueueWiring,
  ) {
    this.#ring = ring;
    this.#handlers = handlersOf(handler);
    this.#wiring = wiring;
  }

  /** Serves what is available, for one round of the ring at most, so that other queues and commands get their turn. */
  serve(): void {
    if (this.#stopped) return;
    const { handle, available } = this.#handlers;
    if (handle === undefined) {
      available?.call(this.#handlers, this);
      this.flush();
      if (available !== undefined) this.#ring.enableNotifications();
      return;
    }
    this.#ring.disableNotifications();
    for (let round = 0; round < this.#ring.size; round++) {
      if (this.#wiring.commandPending()) break;
      const chain = this.#ring.pop();
      if (chain === null) {
        this.flush();
        if (!this.#ring.enableNotifications()) return;
        this.#ring.disableNotifications();
        continue;
      }
      const written = this.#handle(chain);
      if (typeof written === "number") this.#complete(chain, written);
      else this.#later(chain, written);
    }
    this.flush();
    this.#wiring.again();
  }

  #handle(chain: DescriptorChain): number | Promise<number> {
    try {
      if (!this.#refusing) {
        return this.#handlers.handle!(chain, this.#ending.signal);
      }
    } catch (error) {
      this.#refuseFrom(error);
    }
    return this.#refuse(chain);
  }

  /** From now on every chain is answered with an error, if the device can do that. */
  #refuseFrom(error: unknown): void {
    if (this.#handlers.refuse === undefined) throw error;
    this.#refusing = true;
    this.#wiring.fault(error);
  }

  #refuse(chain: DescriptorChain): number {
    chain.rewind();
    return this.#handlers.refuse!(chain);
  }

  #complete(chain: DescriptorChain, written: number): void {
    if (this.#stopped || this.#wiring.cutOff()) return;
    this.#ring.addUsed(chain, this.#cap(chain, written));
  }

  // A device that says it wrote more than there was room for would have the driver read what it did not write.
  #cap(chain: DescriptorChain, written: number): number {
    if (
      written >= 0 && written <= chain.capacity && Number.isInteger(written)
    ) return written;
    throw new RangeError(
      `${written} is not how many bytes were written; the chain has room for ${chain.capacity}`,
    );
  }

  #later(chain: DescriptorChain, written: Promise<number>): void {
    // What is no promise, as nothing, is told by #cap.
    const done = Promise.resolve(written).catch((error) => {
      // One that was told to end has not failed.
      if (!this.#ending.signal.aborted) this.#refuseFrom(error);
      else if (this.#handlers.refuse === undefined) return 0;
      return this.#refuse(chain);
    }).then((count) => {
      this.#complete(chain, count);
      this.flush();
    }).catch((error) => {
      if (!this.#stopped) this.#wiring.fail(error);
    }).finally(() => this.#inFlight.delete(done));
    this.#inFlight.add(done);
  }

  pop(): DescriptorChain | null {
    if (this.#stopped) return null;
    // A driver that adds chains without end must not keep the device from main.
    if (this.#wiring.commandPending()) {
      this.#wiring.again();
      return null;
    }
    try {
      let chain = this.#ring.pop();
      if (chain === null && this.#ring.enableNotifications()) {
        chain = this.#ring.pop();
      }
      if (chain !== null) this.#pulled.add(chain);
      return chain;
    } catch (error) {
      // The device may have been called by a message, where nobody else would catch it.
      this.#wiring.fail(error);
      return null;
    }
  }

  addUsed(chain: DescriptorChain, written: number): void {
    // After a reset of the queue its chains are no one's: the device may not have heard of it yet.
    if (this.#stopped || chain.revoked) return;
    if (!this.#pulled.delete(chain)) {
      throw new RangeError(
        `chain ${chain.head} is given back twice, or to a queue that it is not from`,
      );
    }
    this.#complete(chain, written);
  }

  flush(): void {
    if (!this.#stopped && this.#ring.needsInterrupt()) this.#wiring.interrupt();
  }

  /** Resolves when what was in flight is done. */
  async settle(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  /** As `stop`, but what is in flight is given back first. Resolves to where the ring goes on. */
  async drain(): Promise<RingPosition> {
    const late = setTimeout(() => this.#ending.abort(), DRAIN_MS);
    await this.settle();
    clearTimeout(late);
    await this.stop();
    return this.#ring.position;
  }

  /** Resolves when nothing is in flight; nothing is written to the rings after the call. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#ending.abort();
    await Promise.all(this.#inFlight);
    for (const chain of this.#pulled) chain.revoke();
  }
}
