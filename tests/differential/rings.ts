// The driver's side of both ring formats (virtio-v1.3 §2.7, §2.8), by reads and writes of guest memory only.
import type { Side } from "./side.ts";

const PATIENCE_MS = 5000;

export interface Buffer {
  readonly at: number;
  readonly length: number;
  readonly write?: boolean;
}

/** What a request that did not come back, or under another id, has for a length. */
export const LOST = 0xdead;

/** Descriptor 0 of a ring, and what is made available. */
export interface Attack {
  readonly at: number;
  readonly length: number;
  readonly flags: number;
  readonly next?: number;
  readonly head?: number;
  readonly idx?: number;
}

export interface Ring {
  readonly addresses: readonly [desc: number, driver: number, device: number];
  readonly size: number;
  /** Makes a chain available, kicks, and waits for it; returns the used length. */
  request(...buffers: Buffer[]): Promise<number>;
}

function le(...fields: readonly (readonly [bytes: number, value: number])[]) {
  const total = fields.reduce((sum, [bytes]) => sum + bytes, 0);
  const out = new Uint8Array(total);
  let at = 0;
  for (const [bytes, value] of fields) {
    for (let i = 0; i < bytes; i++) {
      out[at++] = Math.floor(value / 2 ** (8 * i)) & 0xff;
    }
  }
  return out;
}

const number = (bytes: Uint8Array) =>
  bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);

async function until(look: () => Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!await look()) {
    if (performance.now() > deadline) return false;
    await new Promise((go) => setTimeout(go, 1));
  }
  return true;
}

/** The bit for used buffers in InterruptStatus and InterruptACK. */
const USED_BUFFER = 1;

/**
 * Kicks queue 0 and waits until `isUsed`, and for the interrupt that follows it: without that, one of an earlier
 * request would come at any later time. False when they do not come.
 */
async function kick(
  side: Side,
  isUsed: () => Promise<boolean>,
): Promise<boolean> {
  await side.write(0x064, USED_BUFFER);
  await side.write(0x050, 0);
  return await until(async () =>
    await isUsed() && (await side.read(0x060) & USED_BUFFER) !== 0
  );
}

export class SplitRing implements Ring {
  readonly addresses: readonly [number, number, number];
  readonly size: number;
  readonly #side: Side;
  #count = 0;

  /** The used ring is at the next multiple of `align`. */
  constructor(side: Side, size: number, at: number, align = 4096) {
    this.#side = side;
    this.size = size;
    const avail = at + 16 * size;
    const used = Math.ceil((avail + 6 + 2 * size) / align) * align;
    this.addresses = [at, avail, used];
  }

  async clear(): Promise<void> {
    const [desc, , used] = this.addresses;
    const end = used + 6 + 8 * this.size;
    await this.#side.poke(desc, new Uint8Array(end - desc));
  }

  async request(...buffers: Buffer[]): Promise<number> {
    const [desc, avail, used] = this.addresses;
    for (const [i, { at, length, write }] of buffers.entries()) {
      const flags = (i + 1 < buffers.length ? 1 : 0) | (write ? 2 : 0);
      await this.#side.poke(
        desc + 16 * i,
        le([8, at], [4, length], [2, flags], [2, i + 1]),
      );
    }
    const slot = this.#count % this.size;
    await this.#side.poke(avail + 4 + 2 * slot, le([2, 0]));
    // used_event: with EVENT_IDX too, each request interrupts.
    await this.#side.poke(avail + 4 + 2 * this.size, le([2, this.#count]));
    this.#count++;
    await this.#side.poke(avail + 2, le([2, this.#count & 0xffff]));
    const isUsed = await kick(
      this.#side,
      async () => await this.usedIndex() === this.#count,
    );
    if (!isUsed) return LOST;
    const element = await this.#side.peek(used + 4 + 8 * slot, 8);
    return number(element.slice(0, 4)) === 0 ? number(element.slice(4)) : LOST;
  }

  /** Makes descriptor 0 available as it is told, kicks, and waits until the device says that it took it or gave up. */
  async attack(attack: Attack): Promise<void> {
    const [desc, avail] = this.addresses;
    const { at, length, flags, next = 0, head = 0, idx = 1 } = attack;
    await this.#side.poke(
      desc,
      le([8, at], [4, length], [2, flags], [2, next]),
    );
    await this.#side.poke(avail + 2, le([2, idx], [2, head]));
    await this.#side.write(0x050, 0);
    // The interrupt comes last: that of DEVICE_NEEDS_RESET, or of the used buffer.
    await until(async () => await this.#side.read(0x060) !== 0);
  }

  async usedIndex(): Promise<number> {
    return number(await this.#side.peek(this.addresses[2] + 2, 2));
  }

  /** Flags of the used ring, and avail_event. */
  async suppression(): Promise<readonly [number, number]> {
    const used = this.addresses[2];
    const flags = number(await this.#side.peek(used, 2));
    const event = await this.#side.peek(used + 4 + 8 * this.size, 2);
    return [flags, number(event)];
  }
}

/** A packed ring; each request starts where the last one ended. */
export class PackedRing implements Ring {
  readonly addresses: readonly [number, number, number];
  readonly size: number;
  readonly #side: Side;
  #next = 0;
  #wrap = true;

  constructor(side: Side, size: number, at: number) {
    this.#side = side;
    this.size = size;
    this.addresses = [at, at + 16 * size, at + 16 * size + 4];
  }

  async clear(): Promise<void> {
    const bytes = new Uint8Array(16 * this.size + 8);
    await this.#side.poke(this.addresses[0], bytes);
  }

  async request(...buffers: Buffer[]): Promise<number> {
    const desc = this.addresses[0];
    const first = this.#next;
    const wrap = this.#wrap;
    const id = 3;
    const descriptors = buffers.map(({ at, length, write }, i) => {
      const flags = (i + 1 < buffers.length ? 1 : 0) | (write ? 2 : 0) |
        (this.#wrap ? 0x80 : 0x8000);
      const index = this.#next;
      this.#advance();
      const bytes = le([8, at], [4, length], [2, id], [2, flags]);
      return { index, bytes };
    });
    for (const { index, bytes } of descriptors.toReversed()) {
      await this.#side.poke(desc + 16 * index, bytes);
    }
    const wanted = wrap ? 0x8080 : 0;
    const isUsed = await kick(this.#side, async () => {
      const flags = await this.#side.peek(desc + 16 * first + 14, 2);
      return (number(flags) & 0x8080) === wanted;
    });
    if (!isUsed) return LOST;
    const used = await this.#side.peek(desc + 16 * first + 8, 6);
    return number(used.slice(4)) === id ? number(used.slice(0, 4)) : LOST;
  }

  #advance(): void {
    if (++this.#next < this.size) return;
    this.#next = 0;
    this.#wrap = !this.#wrap;
  }
}
