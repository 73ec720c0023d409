// Thread: vcpu
// The vCPU's side of its mailbox: hands an access to the core event loop and waits for the answer.
import {
  ADDRESS_HIGH,
  ADDRESS_LOW,
  DATA_HIGH,
  DATA_LOW,
  FREE,
  IS_WRITE,
  LENGTH,
  MAILED,
  REQUESTED,
  ringDoorbell,
  RUN_STATE,
  SERVED,
  slotOf,
  SPACE,
  STATE,
  STOPPED,
  type Words,
} from "./vm_page.ts";

// A wake-up costs about 50 µs, so spin for a few µs first; the wait is bounded so that a stop is seen.
const SPINS = 2000;
const WAIT_MS = 100;

/** One a vCPU worker. Data goes through `low` and `high`, so that no access allocates. */
export class Mailbox {
  readonly #words: Words;
  readonly #slot: number;
  low = 0;
  high = 0;

  constructor(words: Words, vcpu: number) {
    this.#words = words;
    this.#slot = slotOf(vcpu);
  }

  /** Sends an access; for a read, `low` and `high` hold the answer after it. False when the VM stopped meanwhile. */
  access(
    space: number,
    addressLow: number,
    addressHigh: number,
    length: number,
    isWrite: number,
  ): boolean {
    const words = this.#words;
    const slot = this.#slot;
    words[slot + SPACE] = space;
    words[slot + IS_WRITE] = isWrite;
    words[slot + LENGTH] = length;
    words[slot + ADDRESS_LOW] = addressLow;
    words[slot + ADDRESS_HIGH] = addressHigh;
    words[slot + DATA_LOW] = this.low;
    words[slot + DATA_HIGH] = this.high;
    words[slot + MAILED]! += 1;
    Atomics.store(words, slot + STATE, REQUESTED);
    ringDoorbell(words);
    for (
      let i = 0;
      i < SPINS && Atomics.load(words, slot + STATE) !== SERVED;
      i++
    );
    while (Atomics.load(words, slot + STATE) !== SERVED) {
      if (Atomics.load(words, RUN_STATE) === STOPPED) return false;
      Atomics.wait(words, slot + STATE, REQUESTED, WAIT_MS);
    }
    this.low = words[slot + DATA_LOW]!;
    this.high = words[slot + DATA_HIGH]!;
    Atomics.store(words, slot + STATE, FREE);
    return true;
  }
}
