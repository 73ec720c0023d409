// Thread: main
// Main's end of a device's page: commands to its worker, one after the other, each acknowledged within a budget.
import { nextTask } from "../sys/next_task.ts";
import {
  ACK_RESULT,
  ACK_SEQ,
  ARGUMENT,
  COMMAND,
  COMMAND_SEQ,
  createDevicePage,
  CUT_OFF,
  QUEUE_COUNT,
  ringDevice,
  wordsOf,
} from "../virtio/device_page.ts";

/** How long a device may take to obey a command; it is cut off for good after that, so a busy host gets some time. */
const BUDGET_MS = 10_000;
/** Between two looks whether the worker has died. */
const LOOK_MS = 100;

export interface CommandWiring {
  readonly budgetMs: number | undefined;
  /** Whether there is a worker that can obey. */
  usable(): boolean;
  /** It did not do in time what `problem` says. */
  late(problem: string): void;
}

export class CommandChannel {
  readonly page = createDevicePage();
  readonly #words = wordsOf(this.page);
  readonly #wiring: CommandWiring;
  readonly #budgetMs: number;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(wiring: CommandWiring) {
    this.#wiring = wiring;
    this.#budgetMs = wiring.budgetMs ?? BUDGET_MS;
  }

  /** The last command's number; a worker that starts now is to obey what comes later. */
  get epoch(): number {
    return Atomics.load(this.#words, COMMAND_SEQ);
  }

  /** For the next worker, which has what was declared before: what the last one was cut off by is not for it. */
  reopen(queues: number): void {
    Atomics.compareExchange(this.#words, QUEUE_COUNT, CUT_OFF, queues);
  }

  /** The declaration is accepted: so many queues can be kicked. */
  open(queues: number): void {
    Atomics.store(this.#words, QUEUE_COUNT, queues);
  }

  /** No kick gets through from now on, and a worker that is only late ends. */
  cutOff(): void {
    Atomics.store(this.#words, QUEUE_COUNT, CUT_OFF);
    ringDevice(this.#words);
  }

  /** Does what may not overlap with commands. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn;
    return turn;
  }

  /** Waits for what the worker is to do; it is late if that takes longer than a command may. */
  async inTime<T>(done: Promise<T>, what: string): Promise<T> {
    const late = setTimeout(
      () => this.#wiring.late(`did not ${what} in ${this.#budget()}`),
      this.#budgetMs,
    );
    try {
      return await done;
    } finally {
      clearTimeout(late);
    }
  }

  /** Has the worker do a command. False when it could not, or was cut off. */
  send(command: number, args: readonly number[]): Promise<boolean> {
    return this.inTurn(() => this.#send(command, args));
  }

  async #send(command: number, args: readonly number[]): Promise<boolean> {
    if (!this.#wiring.usable()) return false;
    const words = this.#words;
    args.forEach((value, i) => words[ARGUMENT + i] = value);
    Atomics.store(words, COMMAND, command);
    const sequence = (Atomics.add(words, COMMAND_SEQ, 1) + 1) | 0;
    ringDevice(words);
    const deadline = performance.now() + this.#budgetMs;
    while (this.#wiring.usable()) {
      const acked = Atomics.load(words, ACK_SEQ);
      if (acked === sequence) return Atomics.load(words, ACK_RESULT) === 0;
      const left = deadline - performance.now();
      if (left <= 0) {
        this.#wiring.late(
          `did not answer in ${this.#budget()} and is cut off; start the VM again to have it back`,
        );
        break;
      }
      const answer = Atomics.waitAsync(
        words,
        ACK_SEQ,
        acked,
        Math.min(left, LOOK_MS),
      );
      // A worker that goes on changing the word must not keep main from everything else.
      await (answer.async ? answer.value : nextTask());
    }
    return false;
  }

  #budget(): string {
    return `${this.#budgetMs / 1000} s`;
  }
}
