// Thread: main
// The core event loop: takes accesses from the vCPUs' mailboxes, dispatches them on the flat views, answers.
import { nextTask } from "../sys/next_task.ts";
import {
  findRange,
  readRange,
  renderFlatView,
  writeRange,
} from "./address_space.ts";
import type { FlatRange, Halves, Region } from "./address_space.ts";
import {
  ADDRESS_HIGH,
  ADDRESS_LOW,
  DATA_HIGH,
  DATA_LOW,
  DOORBELL,
  IS_WRITE,
  LENGTH,
  MMIO,
  REQUESTED,
  SERVED,
  slotOf,
  SPACE,
  STATE,
  UNASSIGNED,
  type Words,
} from "./vm_page.ts";

export interface EventLoopOptions {
  readonly words: Words;
  readonly vcpus: number;
  readonly mmio: readonly Region[];
  readonly pio: readonly Region[];
  /** Called on every turn, for what else rings the doorbell (serial output). */
  readonly onTurn: () => void;
  /** A device of the core itself failed; the VM cannot go on. */
  readonly onFailure: (cause: unknown) => void;
}

const MAX_BUSY_MS = 1;

export class EventLoop {
  readonly views: readonly [
    mmio: readonly FlatRange[],
    pio: readonly FlatRange[],
  ];
  readonly #options: EventLoopOptions;
  /** vCPUs whose access is being served; its reply may be withheld for a while. */
  readonly #serving: boolean[];
  #closed = false;
  #idleAt = 0;

  constructor(options: EventLoopOptions) {
    this.#options = options;
    this.views = [renderFlatView(options.mmio), renderFlatView(options.pio)];
    this.#serving = Array.from({ length: options.vcpus }, () => false);
  }

  /** Runs until `close()`. Never blocks: an idle loop is a pending promise. */
  async run(): Promise<void> {
    const { words, vcpus, onTurn } = this.#options;
    while (!this.#closed) {
      const seen = Atomics.load(words, DOORBELL);
      for (let vcpu = 0; vcpu < vcpus; vcpu++) this.#look(vcpu);
      onTurn();
      const turn = Atomics.waitAsync(words, DOORBELL, seen);
      if (turn.async) {
        await turn.value;
        this.#idleAt = performance.now();
      } else if (performance.now() - this.#idleAt > MAX_BUSY_MS) {
        // A guest that never stops ringing must not keep timers and messages from main.
        await nextTask();
        this.#idleAt = performance.now();
      }
    }
  }

  close(): void {
    this.#closed = true;
    Atomics.add(this.#options.words, DOORBELL, 1);
    Atomics.notify(this.#options.words, DOORBELL);
  }

  #look(vcpu: number): void {
    const { words, onFailure } = this.#options;
    if (
      this.#serving[vcpu] ||
      Atomics.load(words, slotOf(vcpu) + STATE) !== REQUESTED
    ) return;
    this.#serving[vcpu] = true;
    this.#serve(slotOf(vcpu)).catch(onFailure).finally(() => {
      this.#serving[vcpu] = false;
      Atomics.store(words, slotOf(vcpu) + STATE, SERVED);
      Atomics.notify(words, slotOf(vcpu) + STATE);
    });
  }

  async #serve(slot: number): Promise<void> {
    const { words } = this.#options;
    const address = (words[slot + ADDRESS_LOW]! >>> 0) +
      (words[slot + ADDRESS_HIGH]! >>> 0) * 2 ** 32;
    const length = words[slot + LENGTH]!;
    const data: Halves = {
      low: words[slot + DATA_LOW]! >>> 0,
      high: words[slot + DATA_HIGH]! >>> 0,
    };
    const range = findRange(
      this.views[words[slot + SPACE]! === MMIO ? 0 : 1],
      address,
    );
    if (range === null) {
      data.low = data.high = 0xffff_ffff;
      words[slot + UNASSIGNED]! += 1;
    } else if (words[slot + IS_WRITE]) {
      await writeRange(range, address, length, data);
    } else {
      await readRange(range, address, length, data);
    }
    words[slot + DATA_LOW] = data.low;
    words[slot + DATA_HIGH] = data.high;
  }
}
