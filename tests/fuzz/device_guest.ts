// Level B: a driver that brings a device up and uses it as it should, and writes down what it does.
import type { Random } from "./random.ts";
import {
  type Area,
  HIGH_BUFFERS,
  HIGH_RINGS,
  LAST_RINGS,
  LOW_BUFFERS,
  LOW_RINGS,
  MIDDLE_BUFFERS,
  offsetOf,
  placeIn,
} from "./ram.ts";
import {
  type Piece,
  ValidDriver,
  validSetup,
  zeroRings,
} from "./ring_driver.ts";
import type { MemoryStep, RingSetup, RingStep } from "./ring_steps.ts";
import type { DeviceStep, Target, WriteStep } from "./device_steps.ts";

const WRITE = 2;
/** Where each queue's rings may be; the first has room for all of them. */
const HALF = LOW_RINGS[1] / 2;
const RING_AREAS: readonly (readonly Area[])[] = [
  [[0, HALF], LAST_RINGS],
  [[HALF, LOW_RINGS[1]], HIGH_RINGS],
];
/** A legacy driver's page size: rings may start at any area. */
const LEGACY_PAGE = 0x100;
/** Headers and statuses of block requests, and their data, are in different places. */
const HEADERS: readonly Area[] = [
  [LOW_BUFFERS[0], LOW_BUFFERS[0] + 0x800],
  MIDDLE_BUFFERS,
];
const DATA: readonly Area[] = [
  [LOW_BUFFERS[0] + 0x800, LOW_BUFFERS[1]],
  HIGH_BUFFERS,
];

export const write = (offset: number, value: number): WriteStep => ({
  op: "write",
  offset,
  size: 4,
  value: value >>> 0,
  aside: false,
});

/** A driver that does everything right. */
export class Guest {
  readonly #random: Random;
  readonly #target: Target;
  readonly #steps: DeviceStep[];
  #drivers: { driver: ValidDriver; made: RingStep[] }[] = [];

  constructor(random: Random, target: Target, steps: DeviceStep[]) {
    this.#random = random;
    this.#target = target;
    this.#steps = steps;
  }

  #write(offset: number, value: number): void {
    this.#steps.push(write(offset, value));
  }

  bringUp(): void {
    const random = this.#random;
    const { transport, queues } = this.#target;
    const isLegacy = transport === "legacy";
    const packed = this.#target.packed && random.chance(60);
    if (isLegacy) this.#write(0x028, LEGACY_PAGE);
    for (const status of [0, 1, 3]) this.#write(0x070, status);
    const eventIdx = random.chance(50);
    this.#negotiate(packed, eventIdx);
    if (!isLegacy) this.#write(0x070, 0xb);
    this.#drivers = [];
    for (let queue = 0; queue < queues; queue++) {
      const areas = RING_AREAS[queue]!;
      const placed = validSetup(random, packed, areas, eventIdx);
      const setup = isLegacy ? asLegacy(placed, random.pick(areas)[0]) : placed;
      this.#open(queue, { ...setup, style: "handle", indirect: true });
    }
    this.#write(0x070, isLegacy ? 0x7 : 0xf);
  }

  #negotiate(packed: boolean, eventIdx: boolean): void {
    const random = this.#random;
    const own = this.#target.features & (random.chance(50) ? -1 : random.u32());
    const low = own | (1 << 28) | (eventIdx ? 1 << 29 : 0);
    // VERSION_1, PACKED, and some of IN_ORDER, NOTIFICATION_DATA and RING_RESET.
    const some = random.pick([0, 1 << 3, 1 << 6, 1 << 8, 0x148]);
    const high = this.#target.transport === "legacy"
      ? 0
      : 1 | (packed ? 1 << 2 : 0) | some;
    for (const [select, bits] of [[0, low], [1, high]] as const) {
      this.#write(0x024, select);
      this.#write(0x020, bits);
    }
  }

  #open(queue: number, setup: RingSetup): void {
    const made: RingStep[] = [];
    const driver = new ValidDriver(this.#random, setup, made);
    this.#drivers.push({ driver, made });
    const { size, desc } = setup;
    this.#steps.push(...zeroRings(setup));
    this.#write(0x030, queue);
    this.#write(0x038, size);
    if (this.#target.transport === "legacy") {
      this.#write(0x03c, 4);
      return this.#write(0x040, desc / LEGACY_PAGE);
    }
    const { driver: avail, device: used } = setup;
    for (const [register, at] of [[0x80, desc], [0x90, avail], [0xa0, used]]) {
      this.#write(register!, at!);
      this.#write(register! + 4, Math.floor(at! / 2 ** 32));
    }
    this.#write(0x044, 1);
  }

  /** Some requests and a kick. */
  use(): void {
    const random = this.#random;
    const queue = random.below(this.#drivers.length);
    const { driver, made } = this.#drivers[queue]!;
    const { device } = this.#target;
    made.length = 0;
    if (random.chance(30)) driver.suppress();
    const offers = random.between(1, 4);
    for (let i = 0; i < offers; i++) {
      driver.offer(
        device === "block" ? this.#blockRequest() : this.#buffer(queue),
      );
    }
    driver.serve();
    for (const step of made) if (isMemory(step)) this.#steps.push(step);
    this.#write(0x050, queue);
    if (device === "console" && random.chance(70)) {
      this.#steps.push({ op: "type", length: random.below(500) });
    }
    if (random.chance(60)) this.#steps.push({ op: "pause" });
    if (random.chance(40)) this.#write(0x064, 1);
  }

  /** A buffer for the device to write, or on a console's other queue to read. */
  #buffer(queue: number): readonly Piece[] {
    const length = this.#random.below(200);
    const areas = [LOW_BUFFERS, MIDDLE_BUFFERS, HIGH_BUFFERS];
    const gpa = placeIn(this.#random, areas, length);
    return [[gpa, length, queue === 0 ? WRITE : 0]];
  }

  /** A header, data and the status byte, as struct virtio_blk_req has them. */
  #blockRequest(): readonly Piece[] {
    const random = this.#random;
    const [start, end] = random.pick(HEADERS);
    const gpa = start + 0x40 * random.below((end - start) / 0x40);
    const type = random.pick([0, 0, 1, 1, 4, 8, 11, 13, random.below(16)]);
    const sector = random.chance(90) ? random.below(64) : random.u32();
    this.#record(gpa, type, sector, 0);
    const status: Piece = [gpa + 16, 1, WRITE];
    const header: Piece = [gpa, 16, 0];
    switch (type) {
      case 0:
        return [
          header,
          this.#data(0x200 * random.between(1, 3), WRITE),
          status,
        ];
      case 1:
        return [header, this.#data(0x200 * random.between(1, 3), 0), status];
      case 8:
        return [header, this.#data(20, WRITE), status];
      case 11:
      case 13:
        this.#range(gpa + 32);
        return [header, [gpa + 32, 16, 0], status];
      default:
        return [header, status];
    }
  }

  /** struct virtio_blk_discard_write_zeroes. */
  #range(gpa: number): void {
    const random = this.#random;
    const flags = random.chance(80) ? random.below(2) : random.below(0x10000);
    this.#record(gpa, random.below(64), random.below(16), flags);
  }

  #data(length: number, flags: number): Piece {
    return [placeIn(this.#random, DATA, length), length, flags];
  }

  /** Numbers of 64, 32 and 16 bits and two zeros, as a descriptor has them. */
  #record(place: number, gpa: number, length: number, low: number): void {
    const at = offsetOf(place, 16);
    this.#steps.push({ op: "desc", at, gpa, length, low, high: 0 });
  }
}

/** Where a legacy device looks for the rings' parts. */
function asLegacy(setup: RingSetup, base: number): RingSetup {
  const driver = base + 16 * setup.size;
  const device = Math.ceil((driver + 6 + 2 * setup.size) / 4) * 4;
  return { ...setup, desc: base, driver, device };
}

function isMemory(step: RingStep): step is MemoryStep {
  return ["desc", "u16", "zero", "noise"].includes(step.op);
}
