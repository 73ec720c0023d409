// Thread: queue
// One device in its worker: makes the device, posts its declaration, then obeys commands and serves kicks.
import { describeError, DriverError } from "../errors.ts";
import type { DeviceContext, DevicePort, VirtioDevice } from "../plugin.ts";
import {
  configSize,
  encodeField,
  type PlacedField,
  placeFields,
  readField,
} from "../virtio/config_layout.ts";
import {
  DEVICE_NEEDS_RESET,
  DRIVER_OK,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_MMIO_INT_CONFIG,
  VIRTIO_MMIO_INT_VRING,
} from "../virtio/constants.ts";
import {
  ACK_RESULT,
  ACK_SEQ,
  ACTIVATE,
  ARGUMENT,
  CLOSE,
  COMMAND,
  COMMAND_SEQ,
  CONFIG_GENERATION,
  configOf,
  CUT_OFF,
  DOORBELL,
  DRAIN,
  DRIVER_FEATURES,
  ENABLE,
  INTERRUPT_STATUS,
  KICKED,
  PAUSE,
  QUEUE_COUNT,
  QUEUE_DESC,
  QUEUE_DEVICE,
  QUEUE_DRIVER,
  QUEUE_POSITION,
  QUEUE_READY,
  QUEUE_SIZE,
  queueWord,
  RESET,
  RESUME,
  REVOKE,
  STATUS,
  type Words,
  wordsOf,
  WRITE_CONFIG,
} from "../virtio/device_page.ts";
import type { Declaration } from "../virtio/device_host.ts";
import type { OptionsSchema } from "../manifest/options.ts";
import { RamView } from "../virtio/ram_view.ts";
import { limitTrace, traceQueue, type TraceSink } from "../virtio/trace.ts";
import type { QueueSetup, Virtqueue } from "../virtio/virtqueue.ts";
import { Doorbell } from "./doorbell.ts";
import { requestInterrupt, type Words as IrqWords } from "./irq_page.ts";
import { LiveQueue } from "./live_queue.ts";
import { hasUsedFlags, openRing, type RingMemory } from "./open_ring.ts";
import type { DeviceMemory, FromWorker, QueueWorkerInit } from "./messages.ts";
import { type DeviceModule, needsOf } from "./module_declaration.ts";
import { readDevice } from "./made_device.ts";

type Names = Readonly<Record<string, number>>;
/** What `create` gets, whatever the module's types are. */
type LooseContext = DeviceContext<Names, Names, Names, OptionsSchema>;

/** Posts to main. */
export type Post = (message: FromWorker, transfer?: Transferable[]) => void;

export class Service {
  readonly #init: QueueWorkerInit;
  readonly #module: DeviceModule;
  readonly #fields: readonly PlacedField[];
  readonly #queueNames: readonly string[];
  readonly #post: Post;
  readonly #words: Words;
  readonly #doorbell: Doorbell;
  readonly #irq: IrqWords;
  readonly #trace: TraceSink;
  #memory: RingMemory | null = null;
  readonly #port: DevicePort = {
    onmessage: null,
    postMessage: (data, transfer) =>
      this.#post({ type: "port", data }, transfer),
  };
  readonly #holes = new Map<number, (ok: boolean) => void>();
  #device!: VirtioDevice;
  #made = false;
  readonly #early: unknown[] = [];
  #queues: (LiveQueue | null)[] = [];
  #active = false;
  #paused = false;
  #done = 0;
  #nextHole = 0;

  constructor(init: QueueWorkerInit, module: DeviceModule, post: Post) {
    this.#init = init;
    this.#module = module;
    this.#fields = placeFields(module.config);
    this.#queueNames = Object.keys(module.queues);
    this.#post = post;
    this.#words = wordsOf(init.page);
    this.#doorbell = new Doorbell(this.#words);
    this.#irq = new Int32Array(init.irqPage);
    this.#trace = limitTrace((event) => post({ type: "trace", event }));
    if (init.ram !== null) {
      this.#memory = { ram: new RamView(init.ram), inflight: null };
    }
    this.#done = init.commandsDone;
  }

  async run(): Promise<void> {
    // A device that starts again does not begin with what its last life left.
    this.#changeConfig(() => this.#space().fill(0));
    const made = await this.#module.create(this.#context());
    this.#device = readDevice(this.#module, made);
    this.#made = true;
    for (const data of this.#early.splice(0)) this.deliver(data);
    // Nobody has seen anything before the first declaration.
    if (Atomics.load(this.#words, QUEUE_COUNT) === 0) {
      Atomics.store(this.#words, CONFIG_GENERATION, 0);
    }
    this.#post({ type: "declared", declaration: this.#declaration() });
    while (await this.#turn());
    this.#device.close?.();
  }

  #declaration(): Declaration {
    const { id, features, queues } = this.#module;
    const { offers = Object.keys(features) } = this.#device;
    return {
      id,
      features: offers.map((name) => features[name]!),
      needs: needsOf(this.#module),
      queues: Object.entries(queues).map(([name, size]) => ({ name, size })),
      config: this.#space().slice(),
    };
  }

  #space(): Uint8Array<SharedArrayBuffer> {
    return configOf(this.#init.page).subarray(0, configSize(this.#fields));
  }

  /** A message of whoever holds the VM; it waits until the device is made. */
  deliver(data: unknown): void {
    if (!this.#made) return void this.#early.push(data);
    try {
      this.#port.onmessage?.(data);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** While no queue is live. */
  setMemory({ ram, inflight }: DeviceMemory): void {
    this.#memory = { ram: new RamView(ram), inflight };
    this.#post({ type: "memory" });
  }

  punched(id: number, ok: boolean): void {
    this.#holes.get(id)?.(ok);
    this.#holes.delete(id);
  }

  /** Commands first, then kicks, then sleep. False once the device is to close. */
  async #turn(): Promise<boolean> {
    const words = this.#words;
    const seen = this.#doorbell.rings;
    if (this.#isCutOff()) {
      await this.#stop();
      return false;
    }
    const command = Atomics.load(words, COMMAND_SEQ);
    if (command !== this.#done) {
      const closing = Atomics.load(words, COMMAND) === CLOSE;
      await this.#obey(command);
      return !closing;
    }
    if (this.#active && !this.#paused) this.#serve();
    await this.#doorbell.wait(seen);
    return true;
  }

  #isCutOff(): boolean {
    return Atomics.load(this.#words, QUEUE_COUNT) === CUT_OFF;
  }

  #serve(): void {
    let kicked = Atomics.exchange(this.#words, KICKED, 0);
    let index = 0;
    try {
      for (; kicked !== 0; index++, kicked >>>= 1) {
        if (kicked & 1) this.#queues[index]?.serve();
      }
    } catch (error) {
      this.#fail(this.#blamed(error, index));
    }
  }

  async #obey(command: number): Promise<void> {
    const words = this.#words;
    let failed = 0;
    try {
      await this.#execute(Atomics.load(words, COMMAND));
    } catch (error) {
      failed = 1;
      this.#fail(error);
    }
    this.#done = command;
    Atomics.store(words, ACK_RESULT, failed);
    Atomics.store(words, ACK_SEQ, command);
    Atomics.notify(words, ACK_SEQ);
  }

  async #execute(command: number): Promise<void> {
    const words = this.#words;
    switch (command) {
      case ACTIVATE:
        this.#queues = this.#queueNames.map((_, index) =>
          this.#openQueue(index)
        );
        this.#active = true;
        this.#device.activate?.();
        // Whatever was kicked before DRIVER_OK is served now.
        this.#kickAll();
        break;
      case RESET:
      case CLOSE:
        await this.#stop();
        break;
      case REVOKE:
        await this.#queues[words[ARGUMENT]!]?.stop();
        this.#queues[words[ARGUMENT]!] = null;
        break;
      case DRAIN:
        await this.#drain(words[ARGUMENT]!);
        break;
      case ENABLE:
        await this.#queues[words[ARGUMENT]!]?.stop();
        this.#queues[words[ARGUMENT]!] = this.#openQueue(words[ARGUMENT]!);
        Atomics.or(words, KICKED, 1 << words[ARGUMENT]!);
        Atomics.add(words, DOORBELL, 1);
        break;
      case WRITE_CONFIG:
        this.#writeConfig(
          words[ARGUMENT]!,
          words[ARGUMENT + 1]!,
          words[ARGUMENT + 2]! >>> 0,
        );
        break;
      case PAUSE:
        this.#paused = true;
        await Promise.all(this.#queues.map((queue) => queue?.settle()));
        await this.#device.pause?.();
        break;
      case RESUME:
        await this.#device.resume?.();
        this.#paused = false;
        this.#kickAll();
        break;
    }
  }

  #kickAll(): void {
    Atomics.or(this.#words, KICKED, -1);
    Atomics.add(this.#words, DOORBELL, 1);
  }

  async #drain(index: number): Promise<void> {
    const queue = this.#queues[index];
    if (!queue) return;
    const position = await queue.drain();
    this.#words[queueWord(index, QUEUE_POSITION)] = position;
    this.#queues[index] = null;
  }

  /** After this nothing is written to guest RAM: what was in flight is dropped when it completes. */
  async #stop(): Promise<void> {
    this.#active = false;
    await Promise.all(this.#queues.map((queue) => queue?.stop()));
    this.#queues = [];
    this.#device.reset?.();
  }

  #openQueue(index: number): LiveQueue | null {
    const words = this.#words;
    const word = (at: number) => words[queueWord(index, at)]! >>> 0;
    if (word(QUEUE_READY) === 0) return null;
    const address = (at: number) => word(at) + word(at + 1) * 2 ** 32;
    const ring = this.#openRing(index, {
      size: word(QUEUE_SIZE),
      desc: address(QUEUE_DESC),
      driver: address(QUEUE_DRIVER),
      device: address(QUEUE_DEVICE),
      eventIdx: this.#negotiated(VIRTIO_F_EVENT_IDX),
      indirect: this.#negotiated(VIRTIO_F_INDIRECT_DESC),
      start: word(QUEUE_POSITION),
    });
    const handler = this.#device.queues[this.#queueNames[index]!]!;
    return new LiveQueue(ring, handler, {
      interrupt: () => this.#interruptVring(index),
      commandPending: () =>
        this.#paused || Atomics.load(words, COMMAND_SEQ) !== this.#done,
      cutOff: () => this.#isCutOff(),
      again: () => {
        Atomics.or(words, KICKED, 1 << index);
        Atomics.add(words, DOORBELL, 1);
        Atomics.notify(words, DOORBELL);
      },
      fail: (error) => this.#fail(this.#blamed(error, index)),
      fault: (error) => this.#fault(this.#blamed(error, index)),
    });
  }

  #openRing(index: number, setup: QueueSetup): Virtqueue {
    if (this.#memory === null) {
      throw new TypeError("a queue is live without RAM");
    }
    const negotiated = (bit: number) => this.#negotiated(bit);
    try {
      const ring = openRing(this.#memory, index, setup, negotiated);
      if (hasUsedFlags(this.#memory, setup, negotiated)) {
        this.#tellUsedFlags(index);
      }
      if (!this.#init.trace.includes("ring")) return ring;
      return traceQueue(ring, index, this.#trace);
    } catch (error) {
      throw this.#blamed(error, index);
    }
  }

  /** Told only: the ring works. */
  #tellUsedFlags(index: number): void {
    const message =
      "Driver: the used ring's flags are not 0 as the queue begins";
    this.#post({
      type: "driver-error",
      section: "2.7.10.1",
      message: inQueue(message, this.#queueNames[index]),
    });
  }

  /** What went wrong, with the queue where the driver is to blame. */
  #blamed(error: unknown, index: number): unknown {
    if (error instanceof DriverError) error.queue = this.#queueNames[index];
    return error;
  }

  #negotiated(bit: number): boolean {
    return ((this.#words[DRIVER_FEATURES + (bit >>> 5)]! >>> (bit & 31)) &
      1) === 1;
  }

  #traceInterrupt(queue: number | null): void {
    if (!this.#init.trace.includes("irq")) return;
    this.#trace({ kind: "irq", operation: "interrupt", queue });
  }

  #interruptConfig(): void {
    this.#traceInterrupt(null);
    if (this.#init.linePerQueue) return this.#post({ type: "config-changed" });
    Atomics.or(this.#words, INTERRUPT_STATUS, VIRTIO_MMIO_INT_CONFIG);
    requestInterrupt(this.#irq, this.#init.index);
  }

  #interruptVring(queue: number): void {
    this.#traceInterrupt(queue);
    Atomics.or(this.#words, INTERRUPT_STATUS, VIRTIO_MMIO_INT_VRING);
    const { linePerQueue, index } = this.#init;
    requestInterrupt(this.#irq, linePerQueue ? queue : index);
  }

  /** Stops serving; the driver's reset starts it again. */
  #fail(error: unknown): void {
    this.#active = false;
    this.#fault(error);
  }

  /** DEVICE_NEEDS_RESET is set here and not by main, whom the message may reach after the driver's reset. */
  #fault(error: unknown): void {
    const before = Atomics.or(this.#words, STATUS, DEVICE_NEEDS_RESET);
    if (before & DRIVER_OK) this.#interruptConfig();
    if (error instanceof DriverError) {
      this.#post({
        type: "driver-error",
        section: error.section,
        message: inQueue(error.message, error.queue),
      });
    } else {
      this.#post({
        type: "failed",
        message: describeError(error, this.#init.module),
      });
    }
  }

  #updateConfig(values: Readonly<Record<string, unknown>>): void {
    const space = this.#space();
    const updates = Object.entries(values).map(([name, value]) => {
      const field = this.#field(name);
      return [field.offset, encodeField(field, value)] as const;
    });
    this.#changeConfig(() => {
      for (const [offset, bytes] of updates) space.set(bytes, offset);
    });
    if (this.#active) this.#interruptConfig();
  }

  #changeConfig(change: () => void): void {
    Atomics.add(this.#words, CONFIG_GENERATION, 1);
    change();
    Atomics.add(this.#words, CONFIG_GENERATION, 1);
  }

  #field(name: string): PlacedField {
    const field = this.#fields.find((field) => field.name === name);
    if (field !== undefined) return field;
    throw new TypeError(`there is no config field ${name}`);
  }

  /** The driver's write; it takes effect in fields that are writable (§2.5.1). */
  #writeConfig(offset: number, size: number, value: number): void {
    const space = this.#space();
    for (const field of this.#fields) {
      const from = Math.max(offset, field.offset);
      const to = Math.min(offset + size, field.offset + field.size);
      if (!field.writable || from >= to) continue;
      for (let at = from; at < to; at++) {
        space[at] = value >>> (8 * (at - offset));
      }
      this.#device.configWritten?.(field.name);
    }
  }

  #queue(name: string): LiveQueue | null {
    const index = this.#queueNames.indexOf(name);
    if (index < 0) throw new TypeError(`there is no queue ${name}`);
    if (!this.#active || this.#paused) return null;
    return this.#queues[index] ?? null;
  }

  #feature(name: string): number {
    const { features } = this.#module;
    if (Object.hasOwn(features, name)) return features[name]!;
    throw new TypeError(`there is no feature ${name}`);
  }

  #context(): LooseContext {
    const { name, options } = this.#init;
    const config = {};
    for (const field of this.#fields) {
      const get = () => readField(this.#space(), field);
      Object.defineProperty(config, field.name, { get, enumerable: true });
    }
    return {
      name,
      options: options as LooseContext["options"],
      port: this.#port,
      config,
      negotiated: (feature) => this.#negotiated(this.#feature(feature)),
      queue: (name) => this.#queue(name),
      updateConfig: (values) => this.#updateConfig(values),
      punchHole: (offset, length) =>
        new Promise((resolve) => {
          const id = this.#nextHole++;
          this.#holes.set(id, resolve);
          this.#post({ type: "punch-hole", id, offset, length });
        }),
      log: (message) => this.#post({ type: "log", message }),
    };
  }
}

/** "Driver, requestq: head 9 is …" */
function inQueue(message: string, queue: string | undefined): string {
  return queue === undefined
    ? message
    : message.replace(/^Driver: /, `Driver, ${queue}: `);
}
