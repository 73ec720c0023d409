// Thread: queue
// One device in its worker: makes the device, posts its declaration, then obeys commands and has its queues served.
import type { OptionsSchema } from "../manifest/options.ts";
import type { DeviceContext, DevicePort, VirtioDevice } from "../plugin.ts";
import type { Declaration } from "../virtio/device_host.ts";
import {
  ACK_RESULT,
  ACK_SEQ,
  ACTIVATE,
  ARGUMENT,
  CLOSE,
  COMMAND,
  COMMAND_SEQ,
  CONFIG_GENERATION,
  DRAIN,
  ENABLE,
  isCutOff,
  isNegotiated,
  PAUSE,
  QUEUE_COUNT,
  RESET,
  RESUME,
  REVOKE,
  type Words,
  wordsOf,
  WRITE_CONFIG,
} from "../virtio/device_page.ts";
import { RamView } from "../virtio/ram_view.ts";
import { limitTrace, type TraceKind } from "../virtio/trace.ts";
import { ConfigSpace } from "./config_space.ts";
import { Doorbell } from "./doorbell.ts";
import { LiveQueues } from "./live_queues.ts";
import { readDevice } from "./made_device.ts";
import type { DeviceMemory, Post, QueueWorkerInit } from "./messages.ts";
import { type DeviceModule, needsOf } from "./module_declaration.ts";
import { Notifier } from "./notifier.ts";

type Names = Readonly<Record<string, number>>;
/** What `create` gets, whatever the module's types are. */
type LooseContext = DeviceContext<Names, Names, Names, OptionsSchema>;

export class Service {
  readonly #init: QueueWorkerInit;
  readonly #module: DeviceModule;
  readonly #post: Post;
  readonly #words: Words;
  readonly #doorbell: Doorbell;
  readonly #config: ConfigSpace;
  readonly #notifier: Notifier;
  readonly #queues: LiveQueues;
  readonly #port: DevicePort = {
    onmessage: null,
    postMessage: (data, transfer) =>
      this.#post({ type: "port", data }, transfer),
  };
  readonly #holes = new Map<number, (ok: boolean) => void>();
  #device!: VirtioDevice;
  #made = false;
  readonly #early: unknown[] = [];
  #done = 0;
  #nextHole = 0;

  constructor(init: QueueWorkerInit, module: DeviceModule, post: Post) {
    this.#init = init;
    this.#module = module;
    this.#post = post;
    this.#words = wordsOf(init.page);
    this.#doorbell = new Doorbell(this.#words);
    this.#config = new ConfigSpace(init.page, module.config);
    const trace = limitTrace((event) => post({ type: "trace", event }));
    const traceOf = (kind: TraceKind) =>
      init.trace.includes(kind) ? trace : null;
    this.#notifier = new Notifier(init, post, traceOf("irq"));
    this.#queues = new LiveQueues({
      words: this.#words,
      names: Object.keys(module.queues),
      notifier: this.#notifier,
      trace: traceOf("ring"),
      handler: (name) => this.#device.queues[name]!,
      commandPending: () =>
        Atomics.load(this.#words, COMMAND_SEQ) !== this.#done,
    });
    if (init.ram !== null) {
      this.#queues.setMemory({ ram: new RamView(init.ram), inflight: null });
    }
    this.#done = init.commandsDone;
  }

  async run(): Promise<void> {
    // A device that starts again does not begin with what its last life left.
    this.#config.clear();
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
      config: this.#config.copy(),
    };
  }

  /** A message of whoever holds the VM; it waits until the device is made. */
  deliver(data: unknown): void {
    if (!this.#made) return void this.#early.push(data);
    try {
      this.#port.onmessage?.(data);
    } catch (error) {
      this.#queues.fail(error);
    }
  }

  /** While no queue is live. */
  setMemory({ ram, inflight }: DeviceMemory): void {
    this.#queues.setMemory({ ram: new RamView(ram), inflight });
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
    if (isCutOff(words)) {
      await this.#stop();
      return false;
    }
    const command = Atomics.load(words, COMMAND_SEQ);
    if (command !== this.#done) {
      const closing = Atomics.load(words, COMMAND) === CLOSE;
      await this.#obey(command);
      return !closing;
    }
    this.#queues.serve();
    await this.#doorbell.wait(seen);
    return true;
  }

  async #obey(command: number): Promise<void> {
    const words = this.#words;
    let failed = 0;
    try {
      await this.#execute(Atomics.load(words, COMMAND));
    } catch (error) {
      failed = 1;
      this.#queues.fail(error);
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
        this.#queues.activate();
        this.#device.activate?.();
        // Whatever was kicked before DRIVER_OK is served now.
        this.#queues.kickAll();
        break;
      case RESET:
      case CLOSE:
        await this.#stop();
        break;
      case REVOKE:
        await this.#queues.revoke(words[ARGUMENT]!);
        break;
      case DRAIN:
        await this.#queues.drain(words[ARGUMENT]!);
        break;
      case ENABLE:
        await this.#queues.enable(words[ARGUMENT]!);
        break;
      case WRITE_CONFIG:
        this.#config.write(
          words[ARGUMENT]!,
          words[ARGUMENT + 1]!,
          words[ARGUMENT + 2]! >>> 0,
          (field) => this.#device.configWritten?.(field),
        );
        break;
      case PAUSE:
        await this.#queues.pause();
        await this.#device.pause?.();
        break;
      case RESUME:
        await this.#device.resume?.();
        this.#queues.resume();
        break;
    }
  }

  async #stop(): Promise<void> {
    await this.#queues.stop();
    this.#device.reset?.();
  }

  #feature(name: string): number {
    const { features } = this.#module;
    if (Object.hasOwn(features, name)) return features[name]!;
    throw new TypeError(`there is no feature ${name}`);
  }

  #context(): LooseContext {
    const { name, options } = this.#init;
    return {
      name,
      options: options as LooseContext["options"],
      port: this.#port,
      config: this.#config.values() as LooseContext["config"],
      negotiated: (feature) =>
        isNegotiated(this.#words, this.#feature(feature)),
      queue: (name) => this.#queues.get(name),
      updateConfig: (values) => {
        this.#config.update(values);
        if (this.#queues.active) this.#notifier.configChanged();
      },
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
