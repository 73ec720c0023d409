// Level A: a driver that does everything right, and writes down what it does.
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
  TABLES,
} from "./ram.ts";
import {
  type MemoryStep,
  type RingSetup,
  type RingStep,
  STYLES,
} from "./ring_steps.ts";

const NEXT = 1, WRITE = 2, INDIRECT = 4, AVAIL = 0x80, USED = 0x8000;
const MAX_PIECES = 12;

/** Rings that may be where they are, each part in one of the areas; the first has room for all. */
export function validSetup(
  random: Random,
  packed = random.chance(50),
  areas: readonly Area[] = [LOW_RINGS, LAST_RINGS, HIGH_RINGS],
  eventIdx = random.chance(50),
): RingSetup {
  const size = packed
    ? random.between(1, 20)
    : random.pick([1, 2, 4, 8, 16, 32]);
  const style = random.pick(STYLES);
  const [inOrder, indirect] = [random.chance(25), random.chance(60)];
  const parts = partsOf({ packed, size, eventIdx });
  const [desc, driver, device] = placeParts(random, areas, parts);
  const places = { size, desc: desc!, driver: driver!, device: device! };
  return { packed, style, inOrder, eventIdx, indirect, ...places };
}

/** Bytes and alignment of descriptors, driver's part and device's part (§2.7, §2.8). */
function partsOf(
  { packed, size, eventIdx }: Pick<RingSetup, "packed" | "size" | "eventIdx">,
): readonly (readonly [length: number, align: number])[] {
  const tail = eventIdx ? 2 : 0;
  return packed
    ? [[16 * size, 16], [4, 4], [4, 4]]
    : [[16 * size, 16], [4 + 2 * size + tail, 2], [4 + 8 * size + tail, 4]];
}

/** From either end of an area towards its middle, with a gap now and then. */
function placeParts(
  random: Random,
  areas: readonly Area[],
  parts: ReturnType<typeof partsOf>,
): number[] {
  const rooms = areas.map(([start, end]) => ({ start, end }));
  return parts.map(([length, align]) => {
    const gap = random.chance(50) ? 0 : align * random.below(16);
    const fitting = rooms.filter(({ start, end }) =>
      start + gap + length + align <= end
    );
    const room = random.chance(50) ? fitting[0]! : random.pick(fitting);
    if (random.chance(50)) {
      const at = Math.ceil(room.start / align) * align + gap;
      room.start = at + length;
      return at;
    }
    room.end = Math.floor((room.end - length) / align) * align - gap;
    return room.end;
  });
}

/** What the driver does before it gives rings to the device. */
export function zeroRings(setup: RingSetup): MemoryStep[] {
  const starts = [setup.desc, setup.driver, setup.device];
  return partsOf(setup).map(([length], i) => {
    return { op: "zero", at: offsetOf(starts[i]!, length), length };
  });
}

/** A buffer; the flags are WRITE or none. */
export type Piece = readonly [gpa: number, length: number, flags: number];

interface Offer {
  /** Descriptors of a split ring, or the id and how many there are. */
  readonly indices: readonly number[];
  readonly id: number;
}

/** Descriptors, ids and tables that are free, and the chains that the device has. */
export class ValidDriver {
  readonly #random: Random;
  readonly #setup: RingSetup;
  readonly #steps: RingStep[];
  readonly #freeIndices: number[];
  readonly #freeIds: number[];
  #freeSlots: number;
  /** Offered and not yet served; held by the device; given back too early for IN_ORDER. */
  #offered: Offer[] = [];
  #held: Offer[] = [];
  readonly #order: Offer[] = [];
  readonly #early = new Set<Offer>();
  #availIdx = 0;
  #next = 0;
  #wrap = true;
  #tables: number;
  /** Where its buffers may be: apart from rings and tables. */
  readonly #buffers: readonly Area[];

  constructor(random: Random, setup: RingSetup, steps: RingStep[]) {
    this.#random = random;
    this.#setup = setup;
    this.#steps = steps;
    const all = Array.from({ length: setup.size }, (_, i) => i);
    this.#freeIndices = all;
    this.#freeIds = [...all];
    this.#freeSlots = setup.size;
    this.#tables = random.below(TABLES.length);
    const places = [setup.desc, setup.driver, setup.device];
    const unused = [LAST_RINGS, HIGH_RINGS].filter(([start, end]) =>
      !places.some((gpa) => gpa >= start && gpa < end)
    );
    this.#buffers = [LOW_BUFFERS, MIDDLE_BUFFERS, HIGH_BUFFERS, ...unused];
    steps.push(...zeroRings(setup), { op: "open", setup });
  }

  /** Offers a chain of a few pieces, or of the ones given, if there is room. */
  offer(given?: readonly Piece[]): void {
    const random = this.#random;
    const { packed, indirect, size } = this.#setup;
    const room = packed ? this.#freeSlots : this.#freeIndices.length;
    const isTable = indirect && random.chance(40);
    const most = isTable ? size : room;
    if (room === 0 || (given !== undefined && given.length > most)) return;
    const wanted = random.between(1, random.chance(10) ? MAX_PIECES : 4);
    const count = Math.min(wanted, most);
    const pieces = given ?? this.#pieces(count);
    if (packed) this.#offerPacked(pieces, isTable);
    else this.#offerSplit(pieces, isTable);
  }

  /** What the device reads comes first. */
  #pieces(count: number): Piece[] {
    const random = this.#random;
    const readable = random.below(count + 1);
    return Array.from({ length: count }, (_, i): Piece => {
      const length = random.pick([0, 1, 3, 16, 64, random.below(300)]);
      const gpa = placeIn(random, this.#buffers, length);
      return [gpa, length, i < readable ? 0 : WRITE];
    });
  }

  #offerSplit(
    pieces: readonly Piece[],
    isTable: boolean,
  ): void {
    const { desc, driver, size } = this.#setup;
    const free = this.#freeIndices;
    const wanted = isTable ? 1 : pieces.length;
    const indices = Array.from(
      { length: wanted },
      () => free.splice(this.#random.below(free.length), 1)[0]!,
    );
    if (isTable) {
      const table = this.#table(pieces, (i) => [
        i + 1 < pieces.length ? NEXT : 0,
        i + 1,
      ]);
      const length = 16 * pieces.length;
      this.#descriptor(desc + 16 * indices[0]!, table, length, INDIRECT, 0);
    } else {
      pieces.forEach(([gpa, length, write], i) => {
        const next = indices[i + 1];
        const flags = write | (next === undefined ? 0 : NEXT);
        const place = desc + 16 * indices[i]!;
        this.#descriptor(place, gpa, length, flags, next ?? 0);
      });
    }
    const slot = driver + 4 + 2 * (this.#availIdx % size);
    this.#u16(slot, indices[0]!);
    this.#availIdx = (this.#availIdx + 1) & 0xffff;
    this.#u16(driver + 2, this.#availIdx);
    this.#offered.push({ indices, id: 0 });
  }

  #offerPacked(
    pieces: readonly Piece[],
    isTable: boolean,
  ): void {
    const ids = this.#freeIds;
    const id = ids.splice(this.#random.below(ids.length), 1)[0]!;
    const list: readonly Piece[] = isTable
      ? [[this.#table(pieces, () => [0, 0]), 16 * pieces.length, INDIRECT]]
      : pieces;
    const steps = list.map(([gpa, length, flags], i): RingStep => {
      const all = flags | (i + 1 < list.length ? NEXT : 0) |
        (this.#wrap ? AVAIL : USED);
      const at = offsetOf(this.#setup.desc + 16 * this.#next, 16);
      if (++this.#next === this.#setup.size) {
        this.#next = 0;
        this.#wrap = !this.#wrap;
      }
      return { op: "desc", at, gpa, length, low: id, high: all };
    });
    // The first one last: with it the device sees them all.
    this.#steps.push(...steps.reverse());
    this.#freeSlots -= list.length;
    this.#offered.push({ indices: list.map(() => 0), id });
  }

  /** Writes an indirect table; as there are more of them than chains, none is in use twice. */
  #table(
    pieces: readonly Piece[],
    tail: (index: number) => [flags: number, next: number],
  ): number {
    const table = TABLES[this.#tables++ % TABLES.length]!;
    pieces.forEach(([gpa, length, write], i) => {
      const [flags, next] = tail(i);
      const [low, high] = this.#setup.packed
        ? [0, flags | write]
        : [flags | write, next];
      this.#descriptor(table + 16 * i, gpa, length, low, high);
    });
    return table;
  }

  #descriptor(
    place: number,
    gpa: number,
    length: number,
    low: number,
    high: number,
  ): void {
    const at = offsetOf(place, 16);
    this.#steps.push({ op: "desc", at, gpa, length, low, high });
  }

  #u16(place: number, value: number): void {
    this.#steps.push({ op: "u16", at: offsetOf(place, 2), value });
  }

  /** Says when it wants interrupts. */
  suppress(): void {
    const random = this.#random;
    const { packed, driver, size, eventIdx } = this.#setup;
    if (packed) {
      this.#u16(driver, random.below(size) | (random.chance(50) ? 0x8000 : 0));
      this.#u16(driver + 2, random.below(eventIdx ? 3 : 2));
    } else if (eventIdx) {
      const event = this.#availIdx + random.between(-3, 3);
      this.#u16(driver + 4 + 2 * size, event & 0xffff);
    } else this.#u16(driver, random.below(2));
  }

  /** The device serves all that is offered. */
  serve(): void {
    this.#steps.push({ op: "serve" });
    if (this.#setup.style === "handle") this.#offered.forEach(this.#free);
    else {
      this.#held.push(...this.#offered);
      this.#order.push(...this.#offered);
    }
    this.#offered = [];
  }

  /** The device gives one of the chains back that it holds. */
  finish(): void {
    if (this.#held.length === 0) return;
    const which = this.#random.below(this.#held.length);
    this.#steps.push({ op: "finish", which });
    const [offer] = this.#held.splice(which, 1);
    if (!this.#setup.inOrder) return this.#free(offer!);
    this.#early.add(offer!);
    while (this.#order.length > 0 && this.#early.delete(this.#order[0]!)) {
      this.#free(this.#order.shift()!);
    }
  }

  readonly #free = ({ indices, id }: Offer): void => {
    if (this.#setup.packed) {
      this.#freeIds.push(id);
      this.#freeSlots += indices.length;
    } else this.#freeIndices.push(...indices);
  };
}
