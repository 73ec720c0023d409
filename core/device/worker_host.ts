// Thread: main
// A device in a worker of this process: spawns it, checks what it declares, sends commands, supervises, closes.
import { DeviceError } from "../errors.ts";
import type { SharedRam } from "../memory/guest_memory.ts";
import type { DevicePort } from "../plugin.ts";
import type { TraceEvent, TraceKind } from "../virtio/trace.ts";
import type { VirtioConfig } from "../manifest/config.ts";
import { RateLimit } from "../sys/rate_limit.ts";
import { nextTask } from "../sys/next_task.ts";
import { lowerPriority, startMarked } from "../sys/thread_mark.ts";
import type { PermissionSet } from "../manifest/built_in.ts";
import {
  ACK_RESULT,
  ACK_SEQ,
  ARGUMENT,
  CLOSE,
  COMMAND,
  COMMAND_SEQ,
  createDevicePage,
  CUT_OFF,
  QUEUE_COUNT,
  ringDevice,
  type Words,
  wordsOf,
} from "../virtio/device_page.ts";
import type {
  Declaration,
  DeviceHost,
  DeviceKicks,
} from "../virtio/device_host.ts";
import { offeredFeatures, readDeclaration } from "./declaration.ts";
import { startDeviceWorker } from "./spawn.ts";
import { type DeviceMemory, isFromWorker, type ToWorker } from "./messages.ts";

/** How long a device may take to obey a command; it is cut off for good after that, so a busy host gets some time. */
const BUDGET_MS = 10_000;
/** How long it may take to declare itself: a new thread, which loads its modules. */
const START_MS = 30_000;
/** What is logged of one message of a device. */
const MAX_TEXT = 1000;

/** Messages and lines of log that a device may post in a second; more would keep main from everything else. */
const MAX_MESSAGES = 50_000;
const MAX_LINES = 100;

/** What the driver sees of a device that never declared itself: id 0, "no device" (virtio-v1.3 §4.2.2). */
const NO_DEVICE: Declaration = {
  id: 0,
  features: [],
  needs: [],
  queues: [],
  config: new Uint8Array(0),
};

export interface WorkerHostOptions {
  readonly name: string;
  readonly index: number;
  /** Absolute URL of the device's module. */
  readonly module: string;
  /** One of ours, whose imports are trusted. */
  readonly builtIn: boolean;
  readonly options: Readonly<Record<string, unknown>>;
  readonly grants: PermissionSet;
  readonly virtio: VirtioConfig;
  /** Where kicks come by ioeventfd: the switch, turned on at DRIVER_OK and off by the reset. */
  readonly kicks?: DeviceKicks;
  /** What the queue worker traces: rings, interrupts. */
  readonly trace: readonly TraceKind[];
  readonly onTrace: (event: TraceEvent) => void;
  /** Null where it comes by `share`, as it does for the driver of another VMM. */
  readonly ram: SharedRam | null;
  readonly irqPage: SharedArrayBuffer;
  /** Where each queue has an interrupt line: called when configuration space has changed. */
  readonly onConfigChange?: () => void;
  /** Punches a hole into the disk that the core holds open for this device. */
  readonly punchHole: (
    offset: number,
    length: number,
  ) => boolean | Promise<boolean>;
  /** The driver broke the specification; the worker has set DEVICE_NEEDS_RESET. */
  readonly onDriverError: (section: string, message: string) => void;
  /** The device failed. */
  readonly onFault: (error: DeviceError) => void;
  /** Sets DEVICE_NEEDS_RESET, for a worker that cannot do it any more. */
  readonly needsReset: () => void;
  readonly onLog: (message: string) => void;
  /** How long the device may take to obey a command before it is cut off, and to declare itself. */
  readonly budgetMs?: number;
  readonly startMs?: number;
  /** Messages that it may post in a second. */
  readonly maxMessages?: number;
}

export class WorkerHost implements DeviceHost {
  readonly name: string;
  readonly index: number;
  readonly page: SharedArrayBuffer;
  readonly declared: Promise<void>;
  declaration: Declaration | null = null;
  offered: readonly [number, number] = [0, 0];
  failed = false;
  readonly port: DevicePort = {
    onmessage: null,
    postMessage: (data, transfer = []) => {
      if (this.#closing) return;
      if (this.#worker === null) this.#early.push([data, transfer]);
      else this.#worker.postMessage({ type: "port", data }, transfer);
    },
  };
  readonly #options: WorkerHostOptions;
  readonly #budgetMs: number;
  /** What the device is made with; another one after a reload. */
  #given: Readonly<Record<string, unknown>>;
  readonly #words: Words;
  #worker: Worker | null = null;
  /** Of the worker's threads, which are there as long as they run, whatever becomes of it. */
  #mark = 0;
  /** For the device, from before its worker was there. */
  readonly #early: [unknown, Transferable[]][] = [];
  /** The worker's thread has ended, by an error or on command. */
  #dead = false;
  #closing = false;
  /** CLOSE was sent. */
  #leaving = false;
  /** The driver's next reset starts another worker. */
  #outdated = false;
  /** Of the worker that runs now. */
  #started = Promise.withResolvers<void>();
  #starting = false;
  #closed = Promise.withResolvers<void>();
  /** Whether the worker has the memory that it was given last. */
  #shared = Promise.withResolvers<boolean>();
  #turn: Promise<unknown> = Promise.resolve();
  readonly #messages: RateLimit;
  readonly #lines = new RateLimit(MAX_LINES);

  constructor(options: WorkerHostOptions) {
    this.#options = options;
    this.#budgetMs = options.budgetMs ?? BUDGET_MS;
    this.#messages = new RateLimit(options.maxMessages ?? MAX_MESSAGES);
    this.#given = options.options;
    this.name = options.name;
    this.index = options.index;
    this.page = createDevicePage();
    this.#words = wordsOf(this.page);
    this.declared = this.#started.promise;
  }

  get kicks(): DeviceKicks | undefined {
    return this.#options.kicks;
  }

  get usable(): boolean {
    return !this.failed && !this.#dead;
  }

  /** Starts the worker; blocks main for some 10 ms, so it is called when the vCPU already runs. */
  start(): void {
    this.#dead = false;
    this.#starting = true;
    // What the last life was cut off by is not the next one's.
    Atomics.compareExchange(
      this.#words,
      QUEUE_COUNT,
      CUT_OFF,
      this.declaration?.queues.length ?? 0,
    );
    this.#closed = Promise.withResolvers<void>();
    try {
      this.#spawn();
    } catch (error) {
      return this.#cutOff(`cannot be started: ${error}`);
    }
    const { startMs = START_MS } = this.#options;
    const late = setTimeout(
      () => this.#cutOff(`did not declare itself in ${startMs / 1000} s`),
      startMs,
    );
    Deno.unrefTimer(late);
    this.#started.promise.then(() => clearTimeout(late));
  }

  #spawn(): void {
    const { name, index, module, irqPage, ram, trace } = this.#options;
    const options = this.#given;
    this.#shared.resolve(false);
    this.#worker?.terminate();
    const { started: worker, mark } = startMarked(() =>
      startDeviceWorker(this.#options)
    );
    this.#worker = worker;
    this.#mark = mark;
    worker.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (worker === this.#worker) this.#receive(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (worker === this.#worker) this.#ended(event.message);
    };
    const init: ToWorker = {
      type: "init",
      name,
      index,
      module,
      options,
      page: this.page,
      commandsDone: Atomics.load(this.#words, COMMAND_SEQ),
      irqPage,
      linePerQueue: this.#options.onConfigChange !== undefined,
      ram,
      trace,
    };
    worker.postMessage(init);
    for (const early of this.#early.splice(0)) this.port.postMessage(...early);
  }

  #receive(message: unknown): void {
    if (!this.#messages.take()) {
      return this.#cutOff(
        `posted over ${this.#messages.perSecond} messages in a second`,
      );
    }
    if (!isFromWorker(message)) {
      return this.#cutOff("posted a message that is not one of the harness");
    }
    switch (message.type) {
      case "declared":
        return this.#accept(message.declaration);
      case "memory":
        return this.#shared.resolve(true);
      case "config-changed":
        return this.#options.onConfigChange?.();
      case "driver-error":
        return this.#options.onDriverError(
          message.section.slice(0, MAX_TEXT),
          message.message.slice(0, MAX_TEXT),
        );
      case "failed":
        if (!this.#lines.take()) return;
        return this.#report(message.message);
      case "port":
        return this.#deliver(message.data);
      case "trace":
        return this.#options.onTrace(message.event);
      case "log":
        if (!this.#lines.take()) return;
        return this.#options.onLog(message.message.slice(0, MAX_TEXT));
      case "punch-hole":
        return void this.#punch(message.id, message.offset, message.length);
      case "closed":
        if (message.error === null && this.#leaving) return this.#ended(null);
        return this.#ended(message.error ?? "ended by itself");
    }
  }

  async #punch(id: number, offset: number, length: number): Promise<void> {
    const ok = await this.#options.punchHole(offset, length);
    this.#post({ type: "punched", id, ok });
  }

  #deliver(data: unknown): void {
    try {
      this.port.onmessage?.(data);
    } catch (error) {
      this.#report(`a listener of its port failed: ${error}`);
    }
  }

  #post(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  #accept(declared: unknown): void {
    if (!this.#starting) return this.#cutOff("declared itself twice");
    const declaration = readDeclaration(declared);
    if (typeof declaration === "string") return this.#cutOff(declaration);
    this.declaration = declaration;
    this.offered = offeredFeatures(declaration, this.#options.virtio);
    Atomics.store(this.#words, QUEUE_COUNT, declaration.queues.length);
    this.#settle();
  }

  #settle(): void {
    this.#starting = false;
    this.#started.resolve();
  }

  #report(problem: string, absent = false): void {
    const line = problem.replace(/\s+/g, " ").slice(0, MAX_TEXT);
    const error = new DeviceError(this.name, line, { absent });
    this.#options.onFault(error);
  }

  /** The worker's thread is gone. One that never declared itself would not do so the next time either. */
  #ended(problem: string | null): void {
    this.#dead = true;
    this.#closed.resolve();
    this.#shared.resolve(false);
    if (problem === null) return;
    if (this.#starting) return this.#cutOff(problem);
    this.#options.needsReset();
    this.#report(problem);
  }

  /** A thread that does not answer cannot be killed: it gets no more kicks and little of the processor, and its device is gone. */
  #cutOff(problem: string): void {
    if (this.failed) return;
    this.failed = true;
    const absent = this.declaration === null;
    this.declaration ??= NO_DEVICE;
    Atomics.store(this.#words, QUEUE_COUNT, CUT_OFF);
    ringDevice(this.#words);
    this.#worker?.terminate();
    lowerPriority(this.#mark);
    this.#options.needsReset();
    this.#report(problem, absent);
    this.#settle();
    this.#closed.resolve();
    this.#shared.resolve(false);
  }

  #budget(): string {
    return `${this.#budgetMs / 1000} s`;
  }

  /** Has the worker do a command, one after the other. False when it could not, or was cut off. */
  command(command: number, ...args: readonly number[]): Promise<boolean> {
    const turn = this.#turn.then(() => this.#send(command, args));
    this.#turn = turn;
    return turn;
  }

  /** Gives the worker other memory, while no queue is live. False when it could not take it, or was cut off. */
  share(memory: DeviceMemory): Promise<boolean> {
    const turn = this.#turn.then(() => this.#share(memory));
    this.#turn = turn;
    return turn;
  }

  async #share(memory: DeviceMemory): Promise<boolean> {
    if (!this.usable) return false;
    this.#shared = Promise.withResolvers<boolean>();
    this.#post({ type: "memory", ...memory });
    const late = setTimeout(
      () => this.#cutOff(`did not take its memory in ${this.#budget()}`),
      this.#budgetMs,
    );
    try {
      return await this.#shared.promise;
    } finally {
      clearTimeout(late);
    }
  }

  async #send(command: number, args: readonly number[]): Promise<boolean> {
    if (!this.usable) return false;
    const words = this.#words;
    args.forEach((value, i) => words[ARGUMENT + i] = value);
    Atomics.store(words, COMMAND, command);
    const sequence = (Atomics.add(words, COMMAND_SEQ, 1) + 1) | 0;
    ringDevice(words);
    const deadline = performance.now() + this.#budgetMs;
    while (this.usable) {
      const acked = Atomics.load(words, ACK_SEQ);
      if (acked === sequence) return Atomics.load(words, ACK_RESULT) === 0;
      const left = deadline - performance.now();
      if (left <= 0) {
        this.#cutOff(
          `did not answer in ${this.#budget()} and is cut off; start the VM again to have it back`,
        );
        break;
      }
      // Bounded, so that the death of the worker is seen.
      const answer = Atomics.waitAsync(
        words,
        ACK_SEQ,
        acked,
        Math.min(left, 100),
      );
      // A worker that goes on changing the word must not keep main from everything else.
      await (answer.async ? answer.value : nextTask());
    }
    return false;
  }

  async reset(command: number | null): Promise<void> {
    if (command !== null) await this.command(command);
    if (this.#outdated && !this.#closing) await this.#retire();
    if (this.failed || this.#closing || !this.#dead) return;
    this.#started = Promise.withResolvers<void>();
    this.start();
    await this.#started.promise;
  }

  reload(options: Readonly<Record<string, unknown>>): void {
    this.#given = options;
    // Its thread has ended: what it failed at, the next one may do.
    if (this.#dead) this.failed = false;
    this.#outdated = true;
    this.#options.needsReset();
  }

  async #retire(): Promise<void> {
    this.#outdated = false;
    if (this.usable) await this.#leave();
    // The thread of one that was cut off may run yet, and must find itself cut off.
    if (!this.failed) this.#dead = true;
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.#worker === null) return;
    await this.#started.promise;
    if (this.usable) await this.#leave();
    this.#worker.terminate();
    this.#worker = null;
  }

  /** Ends the worker: in-flight requests first, then its files. */
  async #leave(): Promise<void> {
    this.#leaving = true;
    await this.command(CLOSE);
    const late = setTimeout(
      () => this.#cutOff(`did not close in ${this.#budget()}`),
      this.#budgetMs,
    );
    if (this.usable) await this.#closed.promise;
    clearTimeout(late);
    this.#leaving = false;
  }
}
