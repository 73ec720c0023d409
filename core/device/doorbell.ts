// Thread: queue
// How a queue worker waits for its doorbell: a look around first, then asleep; and now and then a turn for others.
import { nextTask } from "../sys/next_task.ts";
import { DOORBELL, WAITING, type Words } from "../virtio/device_page.ts";

// A kick often follows the last one closely: look this often at the doorbell before sleeping, and less where it is in vain.
const MAX_SPINS = 2000;
const MIN_SPINS = 50;
// A driver that never stops kicking would keep the thread in microtasks: nothing that the device awaits would come.
const MAX_BUSY_MS = 1;

export class Doorbell {
  readonly #words: Words;
  #spins = MIN_SPINS;
  #slept = 0;

  constructor(words: Words) {
    this.#words = words;
  }

  /** How often it was rung, for `wait`: look at this first, then at what there is to do. */
  get rings(): number {
    return Atomics.load(this.#words, DOORBELL);
  }

  /** Resolves when it was rung since `seen`. */
  async wait(seen: number): Promise<void> {
    for (let spins = 0; spins < this.#spins; spins++) {
      if (this.rings === seen) continue;
      this.#spins = MAX_SPINS;
      if (performance.now() - this.#slept < MAX_BUSY_MS) return;
      await nextTask();
      this.#slept = performance.now();
      return;
    }
    this.#spins = Math.max(this.#spins >> 1, MIN_SPINS);
    Atomics.store(this.#words, WAITING, 1);
    const bell = Atomics.waitAsync(this.#words, DOORBELL, seen);
    if (bell.async) await bell.value;
    Atomics.store(this.#words, WAITING, 0);
    this.#slept = performance.now();
  }
}
