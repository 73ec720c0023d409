// Level B: a driver that brings a device up and uses it as it should, and writes down what it does.
import type { Random } from "./random.ts";
import { type Piece, ValidDriver, validSetup } from "./ring_driver.ts";
import {
  BUFFERS,
  type MemoryStep,
  type RingSetup,
  type RingStep,
} from "./ring_steps.ts";
import type { DeviceStep, Target, WriteStep } from "./device_steps.ts";

const WRITE = 2;
/** Bytes of guest RAM for each queue's rings, and the legacy page size that puts them there. */
export const RING_SPACE = 0x800;
const LEGACY_PAGE = 0x100;

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
      const base = queue * RING_SPACE;
      const setup = { ...validSetup(random, packed, base), eventIdx };
      const placed = isLegacy ? asLegacy(setup, base) : setup;
      this.#open(queue, { ...placed, style: "handle", indirect: true });
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
    const [at, length] = [queue * RING_SPACE, RING_SPACE];
    this.#steps.push({ op: "zero", at, length });
    this.#write(0x030, queue);
    this.#write(0x038, size);
    if (this.#target.transport === "legacy") {
      this.#write(0x03c, 4);
      return this.#write(0x040, desc / LEGACY_PAGE);
    }
    const { driver: avail, device: used } = setup;
    for (const [register, at] of [[0x80, desc], [0x90, avail], [0xa0, used]]) {
      this.#write(register!, at!);
      this.#write(register! + 4, 0);
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
    const at = BUFFERS + this.#random.below(0x1000);
    return [[at, this.#random.below(200), queue === 0 ? WRITE : 0]];
  }

  /** A header, data and the status byte, as struct virtio_blk_req has them. */
  #blockRequest(): readonly Piece[] {
    const random = this.#random;
    const at = BUFFERS + 0x40 * random.below(32);
    const type = random.pick([0, 0, 1, 1, 4, 8, 11, 13, random.below(16)]);
    const sector = random.chance(90) ? random.below(64) : random.u32();
    this.#steps.push({
      op: "desc",
      at,
      gpa: type,
      length: sector,
      low: 0,
      high: 0,
    });
    const data = BUFFERS + 0x1000 + 0x200 * random.below(4);
    const status: Piece = [at + 16, 1, WRITE];
    const header: Piece = [at, 16, 0];
    switch (type) {
      case 0:
        return [header, [data, 0x200 * random.between(1, 3), WRITE], status];
      case 1:
        return [header, [data, 0x200 * random.between(1, 3), 0], status];
      case 8:
        return [header, [data, 20, WRITE], status];
      case 11:
      case 13:
        this.#range(at + 32);
        return [header, [at + 32, 16, 0], status];
      default:
        return [header, status];
    }
  }

  /** struct virtio_blk_discard_write_zeroes. */
  #range(at: number): void {
    const random = this.#random;
    const [gpa, length] = [random.below(64), random.below(16)];
    const low = random.chance(80) ? random.below(2) : random.below(0x10000);
    this.#steps.push({ op: "desc", at, gpa, length, low, high: 0 });
  }
}

/** Where a legacy device looks for the rings' parts. */
function asLegacy(setup: RingSetup, base: number): RingSetup {
  const driver = base + 16 * setup.size;
  const device = (driver + 6 + 2 * setup.size + 3) & ~3;
  return { ...setup, desc: base, driver, device };
}

function isMemory(step: RingStep): step is MemoryStep {
  return ["desc", "u16", "zero", "noise"].includes(step.op);
}
