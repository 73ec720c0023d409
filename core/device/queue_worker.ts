// Thread: queue
// A device's thread: makes the device, posts its declaration, then obeys commands and serves kicks.
import { DriverError } from "../errors.ts";
import type { DeviceContext, DeviceFactory, VirtioDevice } from "../plugin.ts";
import { workerScope } from "../sys/worker_scope.ts";
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_MMIO_INT_CONFIG,
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
  DOORBELL,
  DRIVER_FEATURES,
  INTERRUPT_STATUS,
  KICKED,
  QUEUE_DESC,
  QUEUE_DEVICE,
  QUEUE_DRIVER,
  QUEUE_READY,
  QUEUE_SIZE,
  queueWord,
  RESET,
  REVOKE,
  WAITING,
  type Words,
  wordsOf,
  WRITE_CONFIG,
} from "../virtio/device_page.ts";
import { RamView } from "../virtio/ram_view.ts";
import { SplitQueue } from "../virtio/split_queue.ts";
import { requestInterrupt, type Words as IrqWords } from "./irq_page.ts";
import { LiveQueue } from "./live_queue.ts";
import type { FromWorker, QueueWorkerInit, ToWorker } from "./messages.ts";

// A kick often follows the last one closely: look this often at the doorbell before sleeping, and less where it is in vain.
const MAX_SPINS = 2000;
const MIN_SPINS = 50;

const scope = workerScope<ToWorker, FromWorker>();

/** One device in its worker. */
class Service {
  readonly #init: QueueWorkerInit;
  readonly #factory: DeviceFactory<never>;
  readonly #words: Words;
  readonly #irq: IrqWords;
  readonly #ram: RamView;
  readonly #holes = new Map<number, (ok: boolean) => void>();
  #device!: VirtioDevice;
  #queues: (LiveQueue | null)[] = [];
  #active = false;
  #done = 0;
  #nextHole = 0;
  #spins = MIN_SPINS;

  constructor(init: QueueWorkerInit, factory: DeviceFactory<never>) {
    this.#init = init;
    this.#factory = factory;
    this.#words = wordsOf(init.page);
    this.#irq = new Int32Array(init.irqPage);
    this.#ram = new RamView(init.ram);
    this.#done = Atomics.load(this.#words, COMMAND_SEQ);
  }

  async run(): Promise<void> {
    this.#device = await this.#factory(this.#context() as DeviceContext<never>);
    const { id, features = [], queues, config = new Uint8Array(0) } =
      this.#device;
    const declared = queues.map(({ name, size }) => ({ name, size }));
    scope.postMessage({
      type: "declared",
      declaration: { id, features, queues: declared, config },
    });
    while (await this.#turn());
    this.#device.close?.();
    scope.postMessage({ type: "closed" });
    scope.close();
  }

  punched(id: number, ok: boolean): void {
    this.#holes.get(id)?.(ok);
    this.#holes.delete(id);
  }

  /** Commands first, then kicks, then sleep. False once the device is to close. */
  async #turn(): Promise<boolean> {
    const words = this.#words;
    const seen = Atomics.load(words, DOORBELL);
    const command = Atomics.load(words, COMMAND_SEQ);
    if (command !== this.#done) {
      const closing = Atomics.load(words, COMMAND) === CLOSE;
      await this.#obey(command);
      return !closing;
    }
    if (this.#active) this.#serve();
    for (let spins = 0; spins < this.#spins; spins++) {
      if (Atomics.load(words, DOORBELL) !== seen) {
        this.#spins = MAX_SPINS;
        return true;
      }
    }
    this.#spins = Math.max(this.#spins >> 1, MIN_SPINS);
    Atomics.store(words, WAITING, 1);
    const bell = Atomics.waitAsync(words, DOORBELL, seen);
    if (bell.async) await bell.value;
    Atomics.store(words, WAITING, 0);
    return true;
  }

  #serve(): void {
    let kicked = Atomics.exchange(this.#words, KICKED, 0);
    try {
      for (let index = 0; kicked !== 0; index++, kicked >>>= 1) {
        if (kicked & 1) this.#queues[index]?.serve();
      }
    } catch (error) {
      this.#fail(error);
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
        this.#queues = this.#device.queues.map((_queue, index) =>
          this.#openQueue(index)
        );
        this.#active = true;
        this.#device.activate?.();
        // Whatever was kicked before DRIVER_OK is served now.
        Atomics.or(words, KICKED, -1);
        Atomics.add(words, DOORBELL, 1);
        break;
      case RESET:
      case CLOSE:
        await this.#stop();
        break;
      case REVOKE:
        await this.#queues[words[ARGUMENT]!]?.stop();
        this.#queues[words[ARGUMENT]!] = null;
        break;
      case WRITE_CONFIG:
        this.#device.writeConfig?.(
          words[ARGUMENT]!,
          words[ARGUMENT + 1]!,
          words[ARGUMENT + 2]! >>> 0,
        );
        break;
    }
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
    const ring = new SplitQueue(this.#ram, {
      size: word(QUEUE_SIZE),
      desc: address(QUEUE_DESC),
      driver: address(QUEUE_DRIVER),
      device: address(QUEUE_DEVICE),
      eventIdx: this.#negotiated(VIRTIO_F_EVENT_IDX),
      indirect: this.#negotiated(VIRTIO_F_INDIRECT_DESC),
    });
    return new LiveQueue(ring, this.#device.queues[index]!, {
      interrupt: () => this.#interruptVring(),
      commandPending: () => Atomics.load(words, COMMAND_SEQ) !== this.#done,
      again: () => {
        Atomics.or(words, KICKED, 1 << index);
        Atomics.add(words, DOORBELL, 1);
        Atomics.notify(words, DOORBELL);
      },
      fail: (error) => this.#fail(error),
    });
  }

  #negotiated(bit: number): boolean {
    return ((this.#words[DRIVER_FEATURES + (bit >>> 5)]! >>> (bit & 31)) &
      1) === 1;
  }

  #interruptVring(): void {
    Atomics.or(this.#words, INTERRUPT_STATUS, 1);
    requestInterrupt(this.#irq, this.#init.index);
  }

  /** Stops serving. Main puts the device into DEVICE_NEEDS_RESET; the driver's reset starts it again. */
  #fail(error: unknown): void {
    this.#active = false;
    if (error instanceof DriverError) {
      scope.postMessage({
        type: "driver-error",
        section: error.section,
        message: error.message,
      });
    } else {
      scope.postMessage({ type: "failed", message: describe(error) });
    }
  }

  #updateConfig(offset: number, bytes: Uint8Array): void {
    const words = this.#words;
    Atomics.add(words, CONFIG_GENERATION, 1);
    configOf(this.#init.page).set(bytes, offset);
    Atomics.add(words, CONFIG_GENERATION, 1);
    if (!this.#active) return;
    Atomics.or(words, INTERRUPT_STATUS, VIRTIO_MMIO_INT_CONFIG);
    requestInterrupt(this.#irq, this.#init.index);
  }

  #context(): DeviceContext<unknown> {
    const { name, options, port } = this.#init;
    return {
      name,
      options,
      port,
      negotiated: (bit) => this.#negotiated(bit),
      queue: (index) => (this.#active ? this.#queues[index] : null) ?? null,
      updateConfig: (offset, bytes) => this.#updateConfig(offset, bytes),
      punchHole: (offset, length) =>
        new Promise((resolve) => {
          const id = this.#nextHole++;
          this.#holes.set(id, resolve);
          scope.postMessage({ type: "punch-hole", id, offset, length });
        }),
      log: (message) => scope.postMessage({ type: "log", message }),
    };
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const at = error.stack?.split("\n").find((line) => line.includes("file://"))
    ?.trim();
  return at === undefined ? error.message : `${error.message} ${at}`;
}

/** Called by the worker's bootstrap with the device module's default export. */
export function serve(factory: unknown): void {
  let service: Service | undefined;
  scope.onmessage = ({ data }) => {
    if (data.type === "punched") return service?.punched(data.id, data.ok);
    if (typeof factory !== "function") {
      return scope.postMessage({
        type: "failed",
        message: "the module's default export is not defineDevice(…)",
      });
    }
    service = new Service(data, factory as DeviceFactory<never>);
    service.run().catch((error) =>
      scope.postMessage({ type: "failed", message: describe(error) })
    );
  };
}
