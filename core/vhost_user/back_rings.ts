// Thread: main
// The queues of one front end: started and stopped in the device's worker as their state and their memory change.
import { VhostUserError } from "../errors.ts";
import type { WorkerHost } from "../device/worker_host.ts";
import type { Fd } from "../sys/fd.ts";
import {
  ACKNOWLEDGE,
  DEVICE_NEEDS_RESET,
  DRIVER,
  DRIVER_OK,
  FEATURES_OK,
  VIRTIO_F_RING_PACKED,
} from "../virtio/constants.ts";
import {
  ACTIVATE,
  DRAIN,
  DRIVER_FEATURES,
  ENABLE,
  KICKED,
  QUEUE_READY,
  queueWord,
  RESET,
  STATUS,
  type Words,
  wordsOf,
} from "../virtio/device_page.ts";
import type { InflightMemory } from "./inflight_memory.ts";
import type { MemoryTable } from "./memory_table.ts";
import type { QueueLines } from "./queue_lines.ts";
import type { VringAddress } from "./payload.ts";
import { BackRing } from "./back_ring.ts";

const PLACES = ["descriptor", "available", "used"] as const;
const LIVE = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;

export class BackRings {
  readonly #host: WorkerHost;
  readonly #lines: QueueLines;
  readonly #words: Words;
  readonly #rings: readonly BackRing[];
  #memory: MemoryTable | null = null;
  #inflight: InflightMemory | null = null;
  /** Whether the worker has both. */
  #shared = false;
  /** Between ACTIVATE and RESET. */
  #active = false;
  /** Whether queues begin disabled. */
  #needEnabling = false;

  constructor(host: WorkerHost, lines: QueueLines) {
    this.#host = host;
    this.#lines = lines;
    this.#words = wordsOf(host.page);
    this.#rings = host.declaration!.queues.map((_, index) =>
      new BackRing(index)
    );
  }

  get packed(): boolean {
    const word = this.#words[DRIVER_FEATURES + (VIRTIO_F_RING_PACKED >>> 5)]!;
    return (word >>> (VIRTIO_F_RING_PACKED & 31) & 1) === 1;
  }

  #running(): readonly BackRing[] {
    return this.#rings.filter(({ running }) => running);
  }

  /** Throws a VhostUserError for a queue that there is not. */
  at(index: number): BackRing {
    const ring = this.#rings[index];
    if (ring !== undefined) return ring;
    throw new VhostUserError(
      `named queue ${index}; the device has ${this.#rings.length}`,
    );
  }

  /** As `at`, for what may not change while the queue is live. */
  stopped(index: number, what: string): BackRing {
    const ring = this.at(index);
    if (!ring.running) return ring;
    throw new VhostUserError(
      `changed ${what} of queue ${index}, which is live`,
    );
  }

  /** Features of the driver, by words. Without protocol features queues need not be enabled. */
  setFeatures(low: number, high: number, needEnabling: boolean): void {
    const same = this.#words[DRIVER_FEATURES] === (low | 0) &&
      this.#words[DRIVER_FEATURES + 1] === (high | 0);
    if (!same && this.#running().length > 0) {
      throw new VhostUserError("changed features while queues are live");
    }
    this.#words[DRIVER_FEATURES] = low;
    this.#words[DRIVER_FEATURES + 1] = high;
    this.#needEnabling = needEnabling;
    if (needEnabling) return;
    for (const ring of this.#rings) ring.enabled = true;
  }

  /** A queue that is live goes on at its new place. */
  async setAddress(address: VringAddress): Promise<boolean> {
    const ring = this.at(address.index);
    const same = ring.address !== null &&
      PLACES.every((place) => ring.address![place] === address[place]);
    const running = ring.running && !same;
    if (running) await this.#stop(ring);
    ring.address = address;
    return !running || await this.#start(ring);
  }

  /** Queues that are live stop for it, and go on in the new memory. */
  async setMemory(map: () => MemoryTable): Promise<boolean> {
    const running = this.#running();
    for (const ring of running) await this.#stop(ring);
    this.#memory?.close();
    this.#memory = null;
    this.#memory = map();
    this.#shared = false;
    let ok = true;
    for (const ring of running) ok = await this.#start(ring) && ok;
    return ok;
  }

  setInflight(map: () => InflightMemory): void {
    if (this.#running().length > 0) {
      throw new VhostUserError(
        "sent memory for what is in flight while queues are live",
      );
    }
    this.#inflight?.close();
    this.#inflight = null;
    this.#inflight = map();
    this.#shared = false;
  }

  /** Starts or stops a queue after its state has changed. False when the device could not. */
  async update(ring: BackRing): Promise<boolean> {
    if (ring.complete === ring.running) return true;
    return await (ring.running ? this.#stop(ring) : this.#start(ring));
  }

  async #start(ring: BackRing): Promise<boolean> {
    const memory = this.#memory;
    if (memory === null) {
      throw new VhostUserError(
        `started queue ${ring.index} before it sent memory`,
      );
    }
    this.#inflight?.checkRoom(ring.index, this.packed);
    if (this.#isNewLife(ring)) await this.#resetDevice();
    if (!await this.#activate(memory)) return false;
    ring.describe(this.#words, memory, this.packed);
    ring.running = await this.#host.command(ENABLE, ring.index);
    // A kick that came before is in the descriptor, which is then readable.
    if (ring.running) this.#lines.addKick(ring.index, ring.kick!);
    return ring.running;
  }

  /** Whether the device is to forget what was before: a driver that makes its rings anew has reset it. */
  #isNewLife(ring: BackRing): boolean {
    if (!this.#active || this.#running().length > 0) return false;
    const failed = Atomics.load(this.#words, STATUS) & DEVICE_NEEDS_RESET;
    return failed !== 0 || ring.begins(this.packed);
  }

  async #activate(memory: MemoryTable): Promise<boolean> {
    if (!this.#shared) {
      const inflight = this.#inflight?.shared ?? null;
      this.#shared = await this.#host.share({ ram: memory.ram, inflight });
    }
    if (!this.#shared) return false;
    if (this.#active) return true;
    Atomics.store(this.#words, STATUS, LIVE);
    this.#active = true;
    return await this.#host.command(ACTIVATE);
  }

  /** What is in flight is given back first. */
  async #stop(ring: BackRing): Promise<boolean> {
    const { index } = ring;
    this.#lines.removeKick(ring.kick!);
    ring.running = false;
    const drained = await this.#host.command(DRAIN, index);
    if (drained) ring.readPosition(this.#words, this.packed);
    else if (!this.packed) ring.setBase(ring.usedIdx(this.#memory!), false);
    this.#words[queueWord(index, QUEUE_READY)] = 0;
    return drained;
  }

  /** The driver kicks through `fd` from now on; null: the queue stops. */
  async setKick(ring: BackRing, fd: Fd | null): Promise<boolean> {
    if (ring.running) await this.#stop(ring);
    ring.kick?.close();
    ring.kick = fd;
    return await this.update(ring);
  }

  /** The device's state is as at its start, and no queue is set up. */
  async reset(): Promise<void> {
    for (const ring of this.#rings) {
      if (ring.running) this.#lines.removeKick(ring.kick!);
      ring.close();
      ring.enabled = !this.#needEnabling;
      this.#lines.setCall(ring.index, null);
    }
    await this.#resetDevice();
  }

  async #resetDevice(): Promise<void> {
    await this.#host.reset(RESET);
    this.#active = false;
    this.#shared = false;
    this.#words.fill(0, queueWord(0, 0), queueWord(this.#rings.length, 0));
    Atomics.store(this.#words, KICKED, 0);
    Atomics.store(this.#words, STATUS, 0);
  }

  /** Descriptors on which the front end waits for errors. */
  get errors(): readonly Fd[] {
    return this.#rings.flatMap(({ error }) => error ?? []);
  }

  /** Nothing is written to the front end's memory after it. */
  async close(): Promise<void> {
    await this.reset();
    this.#words[DRIVER_FEATURES] = this.#words[DRIVER_FEATURES + 1] = 0;
    this.#memory?.close();
    this.#inflight?.close();
    this.#memory = this.#inflight = null;
  }
}
