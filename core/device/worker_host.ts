// Thread: main
// A device in a worker of this process: spawns it, checks what it declares, supervises, closes.
import type { SharedRam } from "../memory/guest_memory.ts";
import type { DevicePort } from "../plugin.ts";
import type { TraceKind } from "../virtio/trace.ts";
import type { VirtioConfig } from "../manifest/config.ts";
import { lowerPriority, startMarked } from "../sys/thread_mark.ts";
import type { PermissionSet } from "../manifest/built_in.ts";
import { CLOSE } from "../virtio/device_page.ts";
import type {
  Declaration,
  DeviceHost,
  DeviceKicks,
} from "../virtio/device_host.ts";
import { CommandChannel } from "./command_channel.ts";
import { offeredFeatures, readDeclaration } from "./declaration.ts";
import { startDeviceWorker } from "./spawn.ts";
import type { DeviceMemory, ToWorker } from "./messages.ts";
import { type WorkerEvents, WorkerListener } from "./worker_listener.ts";

/** How long a device may take to declare itself: a new thread, which loads its modules. */
const START_MS = 30_000;

/** What the driver sees of a device that never declared itself: id 0, "no device" (virtio-v1.3 §4.2.2). */
const NO_DEVICE: Declaration = {
  id: 0,
  features: [],
  needs: [],
  queues: [],
  config: new Uint8Array(0),
};

export interface WorkerHostOptions extends WorkerEvents {
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
  /** Null where it comes by `share`, as it does for the driver of another VMM. */
  readonly ram: SharedRam | null;
  readonly irqPage: SharedArrayBuffer;
  /** Sets DEVICE_NEEDS_RESET, for a worker that cannot do it any more. */
  readonly needsReset: () => void;
  /** How long the device may take to obey a command before it is cut off, and to declare itself. */
  readonly budgetMs?: number;
  readonly startMs?: number;
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
  readonly #channel: CommandChannel;
  readonly #listener: WorkerListener;
  /** What the device is made with; another one after a reload. */
  #given: Readonly<Record<string, unknown>>;
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

  constructor(options: WorkerHostOptions) {
    this.#options = options;
    this.#given = options.options;
    this.name = options.name;
    this.index = options.index;
    this.#channel = new CommandChannel({
      budgetMs: options.budgetMs,
      usable: () => this.usable,
      late: (problem) => this.#cutOff(problem),
    });
    this.page = this.#channel.page;
    this.#listener = new WorkerListener(options, this.port, {
      declared: (declaration) => this.#accept(declaration),
      hasMemory: () => this.#shared.resolve(true),
      closed: (error) =>
        this.#ended(this.#leaving ? error : error ?? "ended by itself"),
      misbehaved: (problem) => this.#cutOff(problem),
      post: (message) => this.#worker?.postMessage(message),
    });
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
    this.#channel.reopen(this.declaration?.queues.length ?? 0);
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
      if (worker === this.#worker) this.#listener.receive(data);
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
      commandsDone: this.#channel.epoch,
      irqPage,
      linePerQueue: this.#options.onConfigChange !== undefined,
      ram,
      trace,
    };
    worker.postMessage(init);
    for (const early of this.#early.splice(0)) this.port.postMessage(...early);
  }

  #accept(declared: unknown): void {
    if (!this.#starting) return this.#cutOff("declared itself twice");
    const declaration = readDeclaration(declared);
    if (typeof declaration === "string") return this.#cutOff(declaration);
    this.declaration = declaration;
    this.offered = offeredFeatures(declaration, this.#options.virtio);
    this.#channel.open(declaration.queues.length);
    this.#settle();
  }

  #settle(): void {
    this.#starting = false;
    this.#started.resolve();
  }

  /** The worker's thread is gone. One that never declared itself would not do so the next time either. */
  #ended(problem: string | null): void {
    this.#dead = true;
    this.#closed.resolve();
    this.#shared.resolve(false);
    if (problem === null) return;
    if (this.#starting) return this.#cutOff(problem);
    this.#options.needsReset();
    this.#listener.report(problem);
  }

  /** A thread that does not answer cannot be killed: it gets no more kicks and little of the processor, and its device is gone. */
  #cutOff(problem: string): void {
    if (this.failed) return;
    this.failed = true;
    const absent = this.declaration === null;
    this.declaration ??= NO_DEVICE;
    this.#channel.cutOff();
    this.#worker?.terminate();
    lowerPriority(this.#mark);
    this.#options.needsReset();
    this.#listener.report(problem, absent);
    this.#settle();
    this.#closed.resolve();
    this.#shared.resolve(false);
  }

  /** Has the worker do a command, one after the other. False when it could not, or was cut off. */
  command(command: number, ...args: readonly number[]): Promise<boolean> {
    return this.#channel.send(command, args);
  }

  /** Gives the worker other memory, while no queue is live. False when it could not take it, or was cut off. */
  share(memory: DeviceMemory): Promise<boolean> {
    return this.#channel.inTurn(() => this.#share(memory));
  }

  async #share(memory: DeviceMemory): Promise<boolean> {
    if (!this.usable) return false;
    this.#shared = Promise.withResolvers<boolean>();
    this.#worker?.postMessage(
      { type: "memory", ...memory } satisfies ToWorker,
    );
    return await this.#channel.inTime(this.#shared.promise, "take its memory");
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
    if (this.usable) await this.#channel.inTime(this.#closed.promise, "close");
    this.#leaving = false;
  }
}
