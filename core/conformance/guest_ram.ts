// Thread: main
// RAM of a guest that is not there, and areas of it whose every byte is known, so that a stray write is seen.
import type { SharedRam } from "../memory/guest_memory.ts";
import { splitRam } from "../memory/ram_map.ts";

const KiB = 1024;
/** Bytes of RAM. Nothing is resident until it is touched. */
const SIZE = 8192 * KiB;
/** Nobody has anything to do here: a view whose offset was forgotten ends here. */
const FORBIDDEN = 64 * KiB;
/** Where the areas are: one for single requests, and some in turn for a driver that resets again and again. */
const MAIN_END = 4096 * KiB;
const TURNS = 8;
const TURN_SIZE = (SIZE - MAIN_END) / TURNS;

/** Bytes between two buffers, and behind the last. */
const GUARD = 64;

/** Bytes that nobody writes by chance: those of a buffer before the device had it. A prime length, so that no two buffers begin alike. */
const PATTERN = createPattern(65521);

function createPattern(length: number): Uint8Array {
  const pattern = new Uint8Array(length);
  let state = 0x9e3779b9; // xorshift32
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    pattern[i] = state >>> 11;
  }
  return pattern;
}

/** A stretch of RAM: `length` bytes at guest address `at`. */
export interface Piece {
  readonly at: number;
  readonly length: number;
}

export class GuestRam {
  readonly shared: SharedRam;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly main: Area;
  readonly turns: readonly Area[];

  constructor() {
    const buffer = new SharedArrayBuffer(SIZE);
    this.shared = {
      buffer,
      byteOffset: 0,
      size: SIZE,
      regions: splitRam(SIZE),
    };
    this.bytes = new Uint8Array(buffer);
    this.main = new Area(this.bytes, FORBIDDEN, MAIN_END);
    this.turns = Array.from({ length: TURNS }, (_, turn) => {
      const start = MAIN_END + turn * TURN_SIZE;
      return new Area(this.bytes, start, start + TURN_SIZE);
    });
  }

  /** Where something was written that is in no area, or null. It is told once. */
  strayWrite(): number | null {
    const forbidden = this.bytes.subarray(0, FORBIDDEN);
    const at = forbidden.findIndex((byte) => byte !== 0);
    if (at < 0) return null;
    forbidden.fill(0);
    return at;
  }
}

/** Hands out buffers one behind the other, with guards between them. */
export class Area {
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly #start: number;
  readonly #end: number;
  #next: number;
  #frozen = new Uint8Array(0);
  #frozenAt = 0;

  constructor(
    bytes: Uint8Array<SharedArrayBuffer>,
    start: number,
    end: number,
  ) {
    this.bytes = bytes;
    this.#start = this.#next = start;
    this.#end = end;
  }

  /** Where the next buffer goes, at the earliest. */
  get mark(): number {
    return this.#next;
  }

  /** Takes back everything from `mark` on. */
  release(mark = this.#start): void {
    this.#next = mark;
    this.#frozen = this.#frozen.subarray(0, 0);
  }

  /** The address of `length` bytes that hold the pattern, between guards that do too. */
  allocate(length: number, align = 1): number {
    const guard = this.#next;
    const at = Math.ceil((guard + GUARD) / align) * align;
    this.#next = at + length + GUARD;
    if (this.#next > this.#end) throw new RangeError("The area is full");
    writePattern(this.bytes, guard, this.#next);
    return at;
  }

  /** Remembers all that was handed out from `mark` on, as it is now. */
  freeze(mark = this.#start): void {
    this.#frozen = this.bytes.slice(mark, this.#next);
    this.#frozenAt = mark;
  }

  /** The first address at which something is not as it was when frozen, but in `allowed`, in their order; null where all is. */
  changed(allowed: readonly Piece[] = []): number | null {
    const frozen = this.#frozen;
    let next = 0;
    for (let i = 0; i < frozen.length; i++) {
      const address = this.#frozenAt + i;
      if (frozen[i] === this.bytes[address]) continue;
      while (next < allowed.length && end(allowed[next]!) <= address) next++;
      if (next === allowed.length || address < allowed[next]!.at) {
        return address;
      }
    }
    return null;
  }
}

const end = ({ at, length }: Piece): number => at + length;

function writePattern(bytes: Uint8Array, from: number, to: number): void {
  for (let at = from; at < to;) {
    const start = at % PATTERN.length;
    const part = PATTERN.subarray(start, start + to - at);
    bytes.set(part, at);
    at += part.length;
  }
}

/** What is at an address of an area before anyone writes there. */
export function patternAt(address: number): number {
  return PATTERN[address % PATTERN.length]!;
}
