// Level A: runs a case on the real rings and the real queue loop, in this thread, beside the model.
import { DriverError } from "../../core/errors.ts";
import { LiveQueue } from "../../core/device/live_queue.ts";
import type { PulledQueue, QueueHandler } from "../../core/plugin.ts";
import type { DescriptorChain } from "../../core/virtio/chain.ts";
import { InOrderQueue } from "../../core/virtio/in_order_queue.ts";
import { PackedQueue } from "../../core/virtio/packed_queue.ts";
import { SplitQueue } from "../../core/virtio/split_queue.ts";
import type { Virtqueue } from "../../core/virtio/virtqueue.ts";
import { CheckedQueue, CountedRam } from "./checked_queue.ts";
import { Finding } from "./finding.ts";
import { PackedModel } from "./packed_model.ts";
import { accepts } from "./ring_model.ts";
import { SplitModel } from "./split_model.ts";
import { TwinMemory } from "./twin_memory.ts";
import { LOW_BUFFERS, RAM_SIZE } from "./ram.ts";
import type { RingCase, RingSetup, RingStep } from "./ring_steps.ts";

/** What a device reads and writes of a chain at most. */
const MAX_BYTES = 64;
/** How often a queue loop may ask to be called again when nobody adds chains. */
const MAX_AGAIN = 40;

/** A chain that the device has not given back. */
interface Held {
  readonly chain: DescriptorChain;
  /** Completes the promise of a device that answers later. */
  readonly resolve: ((written: number) => void) | null;
}

/** One queue, the model's and the real one. It is used for one case after the other. */
export class RingRun {
  readonly #memory = new TwinMemory();
  readonly #ram = new CountedRam(this.#memory.shared);
  #live: LiveQueue | null = null;
  #checked: CheckedQueue | null = null;
  #setup: RingSetup | null = null;
  /** The driver broke the queue: nothing is served until the next one. */
  #dead = false;
  #held: Held[] = [];
  #failed: unknown = null;
  #again = false;
  #served = 0;
  #count = 0;

  /** What is wrong, or null. */
  async run({ steps, valid }: RingCase): Promise<string | null> {
    this.#memory.zero(0, RAM_SIZE);
    this.#count = 0;
    try {
      for (const step of steps) {
        const later = this.#step(step);
        if (later !== undefined) await later;
        this.#judge(valid);
      }
      await this.#stop();
      this.#memory.compare();
      await this.#serveValid();
      return null;
    } catch (error) {
      this.#live = null;
      this.#held = [];
      if (error instanceof Finding) return error.message;
      return `throws: ${error instanceof Error ? error.stack : error}`;
    }
  }

  /** Whatever the queue was told to fail with: the driver's mistakes end a queue and no more. */
  #judge(valid: boolean): void {
    const error = this.#failed;
    if (error === null) return;
    this.#failed = null;
    if (!(error instanceof DriverError)) throw error;
    if (valid) throw new Finding(`valid driver: ${error.message}`);
    this.#dead = true;
  }

  #step(step: RingStep): void | Promise<void> {
    switch (step.op) {
      case "open":
        return this.#live === null
          ? this.#open(step.setup)
          : this.#stop().then(() => this.#open(step.setup));
      case "serve":
        return this.#serve();
      case "finish":
        return this.#finish(step.which);
      case "stop":
        return this.#stop();
      default:
        return this.#memory.write(step);
    }
  }

  #open(setup: RingSetup): void {
    const allowed = accepts(setup);
    this.#dead = false;
    let ring: Virtqueue;
    this.#ram.left = 3;
    try {
      const Ring = setup.packed ? PackedQueue : SplitQueue;
      ring = new Ring(this.#ram, setup);
    } catch (error) {
      if (error instanceof DriverError && !allowed) return this.#fail(error);
      throw new Finding(`rings: refused where they may be: ${error}`);
    }
    if (!allowed) throw new Finding("rings: accepted where they may not be");
    const Model = setup.packed ? PackedModel : SplitModel;
    const device = setup.inOrder ? new InOrderQueue(ring) : ring;
    const model = new Model(this.#memory.model, setup);
    this.#setup = setup;
    this.#checked = new CheckedQueue(device, model, this.#ram);
    this.#live = new LiveQueue(this.#checked, this.#handler(setup), {
      interrupt: () => {},
      commandPending: () => false,
      cutOff: () => false,
      again: () => this.#again = true,
      fail: (error) => this.#fail(error),
      fault: (error) => this.#fail(error),
    });
  }

  #fail(error: unknown): void {
    this.#failed ??= error;
  }

  #handler({ style }: RingSetup): QueueHandler {
    switch (style) {
      case "handle":
        return (chain) => this.#answer(this.#take(chain));
      case "later":
        return (chain) =>
          new Promise((resolve) =>
            this.#held.push({ chain: this.#take(chain), resolve })
          );
      case "pull":
        return { available: (queue) => this.#pull(queue) };
    }
  }

  #pull(queue: PulledQueue): void {
    for (let chain; (chain = queue.pop()) !== null;) {
      this.#held.push({ chain: this.#take(chain), resolve: null });
    }
  }

  /** Reads what the driver has in a chain. */
  #take(chain: DescriptorChain): DescriptorChain {
    if (++this.#served > this.#setup!.size) {
      throw new Finding("unbounded: more chains in one turn than the ring has");
    }
    const { readable } = chain;
    const model = this.#memory.modelBytes;
    const bytes = new Uint8Array(Math.min(readable.remaining, MAX_BYTES));
    readable.read(bytes);
    let at = 0;
    for (const piece of this.#checked!.modelOf(chain).pieces) {
      for (let i = 0; i < piece.length && at < bytes.length; i++, at++) {
        if (piece.write || model[piece.at + i] !== bytes[at]) {
          throw new Finding("content: other bytes than the driver's were read");
        }
      }
    }
    return chain;
  }

  /** Writes an answer into a chain, and into the model's RAM; returns its length. */
  #answer(chain: DescriptorChain): number {
    const { writable, capacity } = chain;
    const count = this.#count++;
    const room = Math.min(capacity, MAX_BYTES);
    const length = [room, 0, room >> 1, Math.min(room, 1)][count % 4]!;
    if (length === 0) return 0;
    const bytes = new Uint8Array(length).fill(0x80 | count);
    if (writable.write(bytes) !== length) {
      throw new Finding("content: not all of the answer was written");
    }
    let left = length;
    for (const { at, length, write } of this.#checked!.modelOf(chain).pieces) {
      if (!write || left === 0) continue;
      const size = Math.min(length, left);
      this.#memory.modelBytes.fill(0x80 | count, at, at + size);
      left -= size;
    }
    return length;
  }

  #serve(): void {
    if (this.#live === null || this.#dead) return;
    let turns = 0;
    do {
      this.#again = false;
      this.#served = 0;
      try {
        this.#live.serve();
      } catch (error) {
        return this.#fail(error);
      }
      if (turns++ > MAX_AGAIN) throw new Finding("unbounded: serve() again");
    } while (this.#again && this.#failed === null);
  }

  #finish(which: number): void | Promise<void> {
    if (this.#held.length === 0 || this.#dead) return;
    const [held] = this.#held.splice(which % this.#held.length, 1);
    const { chain, resolve } = held!;
    const written = this.#answer(chain);
    if (resolve !== null) {
      resolve(written);
      return settle();
    }
    this.#live!.addUsed(chain, written);
    this.#live!.flush();
  }

  /** As the driver's reset: afterwards a device that has not heard of it can change nothing. */
  async #stop(): Promise<void> {
    const live = this.#live;
    if (live === null) return;
    const stopped = live.stop();
    this.#checked?.revoke();
    for (const { resolve } of this.#held) resolve?.(0);
    await stopped;
    for (const { chain, resolve } of this.#held) {
      if (resolve !== null) continue;
      chain.writable.write(new Uint8Array(8).fill(0xdd));
      live.addUsed(chain, 0);
    }
    live.flush();
    live.serve();
    if (live.pop() !== null) {
      throw new Finding("revoked: pop() after the reset");
    }
    if (this.#checked!.misuse !== null) throw this.#checked!.misuse;
    this.#held = [];
    this.#live = null;
  }

  /** Whatever was before, valid rings and a valid request work. */
  async #serveValid(): Promise<void> {
    const packed = this.#setup?.packed ?? false;
    const [desc, driver, device] = [0x400, 0x600, 0x700];
    this.#memory.zero(desc, device + 0x100 - desc);
    this.#open({
      packed,
      inOrder: false,
      style: "handle",
      size: 4,
      desc,
      driver,
      device,
      eventIdx: false,
      indirect: false,
    });
    const tail = packed ? { low: 3, high: 0x82 } : { low: 2, high: 0 };
    const buffer = { gpa: LOW_BUFFERS[0], length: 4, ...tail };
    this.#step({ op: "desc", at: desc, ...buffer });
    if (!packed) this.#step({ op: "u16", at: driver + 2, value: 1 });
    this.#serve();
    this.#judge(true);
    const { bytes } = this.#memory;
    const used = packed
      ? bytes[desc + 12] === 3 && bytes[desc + 15] === 0x80
      : bytes[device + 2] === 1 && bytes[device + 4] === 0;
    if (!used) throw new Finding("recovery: a valid request is not served");
    await this.#stop();
    this.#memory.compare();
  }
}

/** Until what follows a resolved promise is done. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 6; turn++) await undefined;
}
