// A driver with as much in flight as its queue takes, which checks that each request is answered once, and by its answer.
import { assert, assertEquals } from "@std/assert";
import { Random } from "../fuzz/random.ts";
import type { FakePackedRing } from "./fake_packed_ring.ts";
import { FakeRing, type Used } from "./fake_driver.ts";
import { inlineModule } from "./fake_machine.ts";

/** Answers each request, at a time of its own, with what is in it. */
export const ECHO = inlineModule(`{
  id: 7,
  queues: { q: 16 },
  create: () => ({ queues: { async q({ readable, writable }) {
    const bytes = new Uint8Array(4);
    readable.read(bytes);
    if (bytes[0] % 3) await new Promise((go) => setTimeout(go, bytes[0] % 7));
    return writable.write(bytes);
  } } }),
}`);

/** Descriptors of the queue. */
export const SIZE = 16;

/** A driver with as much in flight as the queue takes: each request has its number in it. */
export class Load {
  readonly #ring: FakeRing | FakePackedRing;
  readonly #bytes: Uint8Array;
  readonly #outstanding = new Map<number, number>();
  readonly #seen = new Set<number>();
  readonly #random = new Random(1, 1);
  #free = SIZE;
  #next = 0;

  constructor(ring: FakeRing | FakePackedRing, bytes: Uint8Array) {
    this.#ring = ring;
    this.#bytes = bytes;
  }

  get done(): number {
    return this.#seen.size;
  }

  /** Takes what came back, and offers more. */
  turn(): void {
    for (const used of this.#ring.takeUsed()) this.#take(used);
    while (this.#free >= 2 && this.#offer());
  }

  #take({ id, length }: Used): void {
    const number = this.#outstanding.get(id);
    assert(number !== undefined, `${id} is given back twice`);
    this.#outstanding.delete(id);
    this.#free += 2;
    assertEquals(length, 4);
    const answer = this.#view(0x9000 + 16 * id).getUint32(0, true);
    assertEquals(answer, number);
    assert(!this.#seen.has(number!));
    this.#seen.add(number!);
  }

  #view(at: number): DataView {
    const { buffer, byteOffset } = this.#bytes;
    return new DataView(buffer, byteOffset + at, 4);
  }

  #offer(): boolean {
    const ids = Array.from({ length: SIZE / 2 }, (_, i) => 2 * i)
      .filter((id) => !this.#outstanding.has(id));
    if (ids.length === 0) return false;
    const id = this.#random.pick(ids);
    const number = this.#next++;
    this.#view(0x8000 + 16 * id).setUint32(0, number, true);
    this.#view(0x9000 + 16 * id).setUint32(0, 0xffff_ffff, true);
    const [out, into] = [0x8000 + 16 * id, 0x9000 + 16 * id];
    const ring = this.#ring;
    if (ring instanceof FakeRing) {
      ring.descriptor(id, out, 4, 1, id + 1);
      ring.descriptor(id + 1, into, 4, 2, 0);
      ring.publish(id);
    } else {
      const buffers = [{ at: out, length: 4 }, {
        at: into,
        length: 4,
        write: true,
      }];
      ring.add(buffers, id);
    }
    this.#outstanding.set(id, number);
    this.#free -= 2;
    return true;
  }
}
