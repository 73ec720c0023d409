// Thread: main
// The kit's driver: negotiates features, sets queues up, resets; and what it has learnt of the device's queues.
import {
  ACKNOWLEDGE,
  DRIVER,
  DRIVER_OK,
  FEATURES_OK,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
  VIRTIO_MMIO_DEVICE_FEATURES,
  VIRTIO_MMIO_DEVICE_FEATURES_SEL,
  VIRTIO_MMIO_DRIVER_FEATURES,
  VIRTIO_MMIO_DRIVER_FEATURES_SEL,
  VIRTIO_MMIO_QUEUE_DESC_LOW,
  VIRTIO_MMIO_QUEUE_DEVICE_LOW,
  VIRTIO_MMIO_QUEUE_DRIVER_LOW,
  VIRTIO_MMIO_QUEUE_NOTIFY,
  VIRTIO_MMIO_QUEUE_READY,
  VIRTIO_MMIO_QUEUE_SEL,
  VIRTIO_MMIO_QUEUE_SIZE,
  VIRTIO_MMIO_STATUS,
} from "../virtio/constants.ts";
import type { ModuleDeclaration } from "../device/module_declaration.ts";
import { Finding } from "./check.ts";
import type { Area } from "./guest_ram.ts";
import { BUDGET_MS, Machine, type MachineOptions } from "./machine.ts";
import { PackedRing } from "./packed_ring.ts";
import type { CreateRing, DriverRing, RingFormat } from "./ring.ts";
import { SplitRing } from "./split_ring.ts";

const CREATE_RING: Readonly<Record<RingFormat, CreateRing>> = {
  split: (area, size) => new SplitRing(area, size),
  packed: (area, size) => new PackedRing(area, size),
};
/** Those of ring and transport that the kit's driver knows. */
const DRIVER_FEATURES = [VIRTIO_F_INDIRECT_DESC, VIRTIO_F_RING_RESET];

/** A queue of the device, and what its chains have come to so far. */
export interface TestedQueue {
  readonly index: number;
  readonly name: string;
  /** The largest that the driver may choose. */
  readonly size: number;
  /** It answered a chain, or refused one: it takes them without being asked to by anyone else. */
  takes: boolean;
  /** It answered a small request, as load.ts makes them. */
  answers: boolean;
  /** It kept a chain, as a queue for the device's own news does. */
  keeps: boolean;
  /** It gave a chain back without an interrupt. */
  silent: boolean;
}

/** How a driver brings the device up. */
export interface Plan {
  readonly format: RingFormat;
  /** Features of the device itself; default: all that are offered. Without them there is VERSION_1 alone. */
  readonly features?: "all" | "none";
  /** Queues that get a ring; default: all. */
  readonly queues?: readonly TestedQueue[];
  /** The most descriptors of a ring; default: as many as the device allows. */
  readonly maxSize?: number;
  /** Where rings and buffers go. */
  readonly area?: Area;
}

/** A device that is live, with its driver. */
export interface Live {
  readonly area: Area;
  /** By queue index; a queue that is not in the plan has none. */
  readonly rings: ReadonlyMap<number, DriverRing>;
}

export class Bench {
  readonly machine: Machine;
  readonly declaration: ModuleDeclaration;
  readonly queues: readonly TestedQueue[];

  constructor(options: MachineOptions, declaration: ModuleDeclaration) {
    this.machine = new Machine(options);
    this.declaration = declaration;
    this.queues = Object.entries(declaration.queues).map((
      [name, size],
      index,
    ) => ({
      index,
      name,
      size,
      takes: false,
      answers: false,
      keeps: false,
      silent: false,
    }));
  }

  /** The feature words that are offered, as the registers say. */
  async offered(): Promise<[number, number]> {
    await this.begin();
    const words: number[] = [];
    for (const select of [0, 1]) {
      await this.machine.write(VIRTIO_MMIO_DEVICE_FEATURES_SEL, select);
      words.push(await this.machine.read(VIRTIO_MMIO_DEVICE_FEATURES));
    }
    return [words[0]!, words[1]!];
  }

  /** ACKNOWLEDGE and DRIVER, where they are not set: nothing of the device is read before (§3.1.1). */
  async begin(): Promise<void> {
    const { machine } = this;
    if (await machine.read(VIRTIO_MMIO_STATUS) & DRIVER) return;
    await machine.write(VIRTIO_MMIO_STATUS, ACKNOWLEDGE);
    await machine.write(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER);
  }

  /** Bits of the device's own that are offered. */
  async offers(bit: number): Promise<boolean> {
    return hasBit(await this.offered(), bit);
  }

  /** ACKNOWLEDGE to FEATURES_OK with these words; whether the device took them. */
  async negotiate(words: readonly [number, number]): Promise<boolean> {
    const { machine } = this;
    await this.reset();
    await this.begin();
    for (const select of [0, 1] as const) {
      await machine.write(VIRTIO_MMIO_DRIVER_FEATURES_SEL, select);
      await machine.write(VIRTIO_MMIO_DRIVER_FEATURES, words[select]);
    }
    const wanted = ACKNOWLEDGE | DRIVER | FEATURES_OK;
    await machine.write(VIRTIO_MMIO_STATUS, wanted);
    return await machine.read(VIRTIO_MMIO_STATUS) === wanted;
  }

  /** From reset to DRIVER_OK. Throws a Finding where the device does not come along. */
  async bringUp(plan: Plan): Promise<Live> {
    const { area = this.machine.ram.main, queues = this.queues } = plan;
    if (!await this.negotiate(await this.#features(plan))) {
      throw new Finding("FEATURES_OK did not stay set");
    }
    area.release();
    const rings = new Map<number, DriverRing>();
    for (const queue of queues) {
      rings.set(queue.index, await this.enable(queue, plan, area));
    }
    await this.machine.write(
      VIRTIO_MMIO_STATUS,
      ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK,
    );
    if (this.machine.needsReset || this.machine.host.failed) {
      throw new Finding("the device did not survive DRIVER_OK");
    }
    return { area, rings };
  }

  async #features({ format, features = "all" }: Plan): Promise<
    [number, number]
  > {
    const offered = await this.offered();
    const own = Object.values(this.declaration.features);
    const bits = features === "all" ? [...own, ...DRIVER_FEATURES] : [];
    const words: [number, number] = [0, 0];
    for (const bit of bits) if (hasBit(offered, bit)) setBit(words, bit);
    setBit(words, VIRTIO_F_VERSION_1);
    if (format === "packed") setBit(words, VIRTIO_F_RING_PACKED);
    return words;
  }

  /** Puts a new ring where there is none, and makes the queue ready. */
  async enable(
    { index, size }: TestedQueue,
    { format, maxSize = size }: Plan,
    area: Area,
  ): Promise<DriverRing> {
    const { machine } = this;
    const ring = CREATE_RING[format](area, Math.min(size, maxSize));
    await machine.write(VIRTIO_MMIO_QUEUE_SEL, index);
    await machine.write(VIRTIO_MMIO_QUEUE_SIZE, ring.size);
    // The high halves are zero since the reset.
    await machine.write(VIRTIO_MMIO_QUEUE_DESC_LOW, ring.desc);
    await machine.write(VIRTIO_MMIO_QUEUE_DRIVER_LOW, ring.driver);
    await machine.write(VIRTIO_MMIO_QUEUE_DEVICE_LOW, ring.device);
    await machine.write(VIRTIO_MMIO_QUEUE_READY, 1);
    return ring;
  }

  kick(queue: TestedQueue): Promise<void> {
    return this.machine.write(VIRTIO_MMIO_QUEUE_NOTIFY, queue.index);
  }

  /** Status = 0, and the device has let go of everything. Throws a Finding where it does not. */
  async reset(): Promise<void> {
    const { machine } = this;
    await machine.write(VIRTIO_MMIO_STATUS, 0);
    if (machine.host.failed) {
      throw new Finding(
        `the device did not obey a reset in ${BUDGET_MS / 1000} s`,
      );
    }
    const status = await machine.read(VIRTIO_MMIO_STATUS);
    if (status === 0) return;
    throw new Finding(`after the reset Status is 0x${status.toString(16)}`);
  }
}

export function hasBit(words: readonly number[], bit: number): boolean {
  return ((words[bit >>> 5]! >>> (bit & 31)) & 1) === 1;
}

function setBit(words: number[], bit: number): void {
  words[bit >>> 5] = (words[bit >>> 5]! | 1 << (bit & 31)) >>> 0;
}
