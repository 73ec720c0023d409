// Thread: main
// A device as the core sees it: spawns its worker, checks what it declares, sends commands, supervises, closes.
import { DeviceError } from "../errors.ts";
import type { SharedRam } from "../memory/guest_memory.ts";
import { workerPermissions } from "../sandbox/grants.ts";
import type { PermissionSet } from "../manifest/built_in.ts";
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
} from "../virtio/constants.ts";
import {
  ACK_RESULT,
  ACK_SEQ,
  ARGUMENT,
  CLOSE,
  COMMAND,
  COMMAND_SEQ,
  configOf,
  createDevicePage,
  QUEUE_COUNT,
  ringDevice,
  type Words,
  wordsOf,
} from "../virtio/device_page.ts";
import { checkDeclaration } from "./declaration.ts";
import type { Declaration, FromWorker, ToWorker } from "./messages.ts";

/** How long a device may take to declare itself, or to obey a command, before it is cut off. */
const BUDGET_MS = 5000;

export interface DeviceHostOptions {
  readonly name: string;
  readonly index: number;
  /** Absolute URL of the device's module. */
  readonly module: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly grants: PermissionSet;
  readonly ram: SharedRam;
  readonly irqPage: SharedArrayBuffer;
  /** The device's end of the stream to the embedder, made anew at each start of the worker. */
  readonly openPort: () => MessagePort;
  /** Punches a hole into the disk that the core holds open for this device. */
  readonly punchHole: (offset: number, length: number) => boolean;
  /** The driver broke the specification: the device goes to DEVICE_NEEDS_RESET. */
  readonly onDriverError: (section: string, message: string) => void;
  /** The device failed: the device goes to DEVICE_NEEDS_RESET. */
  readonly onFault: (error: DeviceError) => void;
  readonly onLog: (message: string) => void;
}

export class DeviceHost {
  readonly name: string;
  readonly index: number;
  readonly page: SharedArrayBuffer;
  /** Resolves once, when the device has declared itself or failed to. */
  readonly declared: Promise<void>;
  /** Null until then. A device that failed to has id 0, "no device" (virtio-v1.3 §4.2.2). */
  declaration: Declaration | null = null;
  /** Feature words that the driver is offered: the device's own and the core's. */
  offered: readonly [number, number] = [0, 0];
  /** Failed for good: it did not answer, and a thread cannot be killed. */
  failed = false;
  readonly #options: DeviceHostOptions;
  readonly #words: Words;
  readonly #settle: () => void;
  #worker: Worker | null = null;
  /** The worker's thread has ended, by an error or on command. */
  #dead = false;
  #closed = Promise.withResolvers<void>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: DeviceHostOptions) {
    this.#options = options;
    this.name = options.name;
    this.index = options.index;
    this.page = createDevicePage();
    this.#words = wordsOf(this.page);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.declared = promise;
    this.#settle = resolve;
  }

  /** Starts the worker; blocks main for some 10 ms, so it is called when the vCPU already runs. */
  start(): void {
    this.#spawn();
    const late = setTimeout(() => {
      if (this.declaration === null) {
        this.#fault(`did not declare itself in ${BUDGET_MS / 1000} s`);
      }
    }, BUDGET_MS);
    Deno.unrefTimer(late);
    this.declared.then(() => clearTimeout(late));
  }

  #spawn(): void {
    const { module, name, index, options, grants, irqPage, ram, openPort } =
      this.#options;
    const harness = new URL("./queue_worker.ts", import.meta.url).href;
    // A blob may import statically what the worker itself may not read: the harness and the device's module.
    const bootstrap = `import { serve } from ${JSON.stringify(harness)};
import device from ${JSON.stringify(module)};
serve(device);`;
    const url = URL.createObjectURL(
      new Blob([bootstrap], { type: "text/javascript" }),
    );
    this.#dead = false;
    this.#worker = new Worker(url, {
      type: "module",
      name,
      deno: { permissions: workerPermissions(grants) },
    });
    this.#worker.onmessage = (event: MessageEvent<FromWorker>) =>
      this.#receive(event.data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#dead = true;
      this.#closed.resolve();
      this.#fault(event.message);
    };
    const port = openPort();
    const init: ToWorker = {
      type: "init",
      name,
      index,
      options,
      page: this.page,
      irqPage,
      ram,
      port,
    };
    this.#worker.postMessage(init, [port]);
    URL.revokeObjectURL(url);
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case "declared":
        return this.#accept(message.declaration);
      case "driver-error":
        return this.#options.onDriverError(message.section, message.message);
      case "failed":
        return this.#fault(message.message);
      case "log":
        return this.#options.onLog(String(message.message).slice(0, 1000));
      case "punch-hole": {
        const ok = this.#options.punchHole(
          Number(message.offset),
          Number(message.length),
        );
        this.#post({ type: "punched", id: message.id, ok });
        return;
      }
      case "closed":
        this.#dead = true;
        this.#closed.resolve();
        return;
      default:
        this.#fault("posted a message that is not one of the harness");
    }
  }

  #post(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  #accept(declaration: Declaration): void {
    const problem = checkDeclaration(declaration);
    if (problem !== null) return this.#fault(problem);
    const first = this.declaration === null;
    this.declaration = declaration;
    const bits = [
      ...declaration.features,
      VIRTIO_F_VERSION_1,
      VIRTIO_F_EVENT_IDX,
      VIRTIO_F_INDIRECT_DESC,
    ];
    const word = (at: number) =>
      bits.filter((bit) => bit >> 5 === at).reduce(
        (all, bit) => all | (1 << (bit & 31)),
        0,
      );
    this.offered = [word(0) >>> 0, word(1) >>> 0];
    configOf(this.page).set(declaration.config);
    Atomics.store(this.#words, QUEUE_COUNT, declaration.queues.length);
    if (first) this.#settle();
  }

  #fault(message: string): void {
    if (this.declaration === null) {
      this.declaration = {
        id: 0,
        features: [],
        queues: [],
        config: new Uint8Array(0),
      };
      this.failed = true;
      this.#settle();
    }
    this.#options.onFault(new DeviceError(this.name, message));
  }

  /** Has the worker do a command, one after the other. False when it could not, or was cut off. */
  command(command: number, ...args: readonly number[]): Promise<boolean> {
    const turn = this.#turn.then(() => this.#send(command, args));
    this.#turn = turn;
    return turn;
  }

  async #send(command: number, args: readonly number[]): Promise<boolean> {
    if (this.failed || this.#dead) return false;
    const words = this.#words;
    args.forEach((value, i) => words[ARGUMENT + i] = value);
    Atomics.store(words, COMMAND, command);
    const sequence = (Atomics.add(words, COMMAND_SEQ, 1) + 1) | 0;
    ringDevice(words);
    const deadline = performance.now() + BUDGET_MS;
    for (;;) {
      const acked = Atomics.load(words, ACK_SEQ);
      if (acked === sequence) return Atomics.load(words, ACK_RESULT) === 0;
      const left = deadline - performance.now();
      if (left <= 0) break;
      const answer = Atomics.waitAsync(
        words,
        ACK_SEQ,
        acked,
        Math.min(left, 100),
      );
      if (answer.async) await answer.value;
      if (this.#dead) return false;
    }
    this.#cutOff();
    return false;
  }

  /** A thread that does not answer cannot be killed: it gets no more kicks, and its device is gone. */
  #cutOff(): void {
    this.failed = true;
    Atomics.store(this.#words, QUEUE_COUNT, 0);
    this.#fault(
      `did not answer in ${
        BUDGET_MS / 1000
      } s and is cut off; start the VM again to have it back`,
    );
  }

  /** The driver's reset: stops the device (`command`), or starts a worker that died anew. */
  async reset(command: number | null): Promise<void> {
    if (this.#dead && !this.failed) this.#spawn();
    else if (command !== null) await this.command(command);
  }

  /** Ends the worker: in-flight requests first, then its files. */
  async close(): Promise<void> {
    if (this.#worker === null) return;
    if (this.declaration === null) await this.declared;
    if (!this.#dead && !this.failed) {
      await this.command(CLOSE);
      if (!this.failed) await this.#closed.promise;
    }
    this.#worker.terminate();
    this.#worker = null;
  }
}
