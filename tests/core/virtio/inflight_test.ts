// What is in flight, recorded where it outlives the device (vhost-user "Inflight I/O tracking"): layouts, crashes, hostile records.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { DriverError } from "../../../core/errors.ts";
import {
  inflightQueueBytes,
  inflightRegion,
} from "../../../core/virtio/inflight.ts";
import { PackedInflightQueue } from "../../../core/virtio/inflight_packed.ts";
import { SplitInflightQueue } from "../../../core/virtio/inflight_split.ts";
import { RamView } from "../../../core/virtio/ram_view.ts";
import type { DescriptorChain } from "../../../core/virtio/chain.ts";
import type { Virtqueue } from "../../../core/virtio/virtqueue.ts";
import { Random } from "../../fuzz/random.ts";
import { fakeRam, FakeRing } from "../../support/fake_driver.ts";
import { FakePackedRing } from "../../support/fake_packed_ring.ts";

const buffer = (i: number) => ({ at: 0x8000 + 0x40 * i, length: 64 });
const write = (i: number) => ({ ...buffer(i), write: true });

function splitSide(size = 8) {
  const ram = fakeRam();
  const ring = new FakeRing(ram, size);
  const bytes = new SharedArrayBuffer(inflightQueueBytes(size, false));
  const region = { buffer: bytes, byteOffset: 0, queueSize: size };
  return {
    ring,
    record: new DataView(bytes),
    /** As a process opens it that starts: the used ring says where it goes on. */
    open: (start = ring.usedIdx << 16 >>> 0) =>
      new SplitInflightQueue(
        new RamView(ram),
        { ...ring.setup(), start },
        region,
      ),
  };
}

function packedSide(size = 8) {
  const ram = fakeRam();
  const ring = new FakePackedRing(ram, size);
  const bytes = new SharedArrayBuffer(inflightQueueBytes(size, true));
  const region = { buffer: bytes, byteOffset: 0, queueSize: size };
  return {
    ring,
    record: new DataView(bytes),
    open: (start = 0) =>
      new PackedInflightQueue(
        new RamView(ram),
        { ...ring.setup(), start },
        region,
      ),
  };
}

Deno.test("The parts of queues follow one another, aligned to 64", () => {
  assertEquals(inflightQueueBytes(128, false), 2112); // 16 + 16 * 128 = 2064
  assertEquals(inflightQueueBytes(128, true), 4160); // 32 + 32 * 128 = 4128
  const shared = {
    buffer: new SharedArrayBuffer(8192),
    byteOffset: 64,
    queueSize: 128,
  };
  assertEquals(inflightRegion(shared, 2, false).byteOffset, 64 + 2 * 2112);
});

Deno.test("A split ring's record has the layout that others read", () => {
  const { ring, record, open } = splitSide();
  const queue = open();
  assertEquals(record.getBigUint64(0, true), 0n); // features
  assertEquals(record.getUint16(8, true), 1); // version
  assertEquals(record.getUint16(10, true), 8); // desc_num
  for (let i = 0; i < 3; i++) ring.add(buffer(i));
  const chains = [queue.pop()!, queue.pop()!, queue.pop()!];
  assertEquals([0, 1, 2, 3].map((i) => record.getUint8(16 + 16 * i)), [
    1,
    1,
    1,
    0,
  ]);
  assertEquals(record.getBigUint64(16 + 16 * 2 + 8, true), 2n); // counter
  queue.addUsed(chains[1]!, 0);
  assertEquals(record.getUint8(16 + 16), 0);
  assertEquals(record.getUint16(12, true), 1); // last_batch_head
  assertEquals(record.getUint16(14, true), 1); // used_idx
  queue.addUsed(chains[2]!, 0);
  assertEquals(record.getUint16(16 + 16 * 2 + 6, true), 1); // next
  assertEquals(record.getUint16(12, true), 2);
});

Deno.test("A packed ring's record has the layout that others read", () => {
  const { ring, record, open } = packedSide();
  const queue = open();
  assertEquals(record.getUint16(8, true), 1);
  assertEquals(record.getUint16(10, true), 8);
  assertEquals([20, 21].map((at) => record.getUint8(at)), [1, 1]); // wrap counters
  ring.add([buffer(0), write(1)], 5);
  ring.add([write(2)], 3);
  const [first, second] = [queue.pop()!, queue.pop()!];
  const head = 32;
  assertEquals(record.getUint8(head), 1); // inflight
  assertEquals(record.getUint16(head + 4, true), 1); // last
  assertEquals(record.getUint16(head + 6, true), 2); // num
  assertEquals(record.getUint16(head + 32 + 16, true), 5); // id, in the second
  assertEquals(record.getUint16(head + 32 + 18, true), 0x82); // WRITE, AVAIL
  assertEquals(record.getUint32(head + 32 + 20, true), 64);
  assertEquals(record.getBigUint64(head + 32 + 24, true), 0x8040n);
  assertEquals(record.getBigUint64(head + 64 + 8, true), 1n); // counter
  assertEquals([12, 14].map((at) => record.getUint16(at, true)), [3, 3]); // free heads
  queue.addUsed(second, 64);
  assertEquals(record.getUint8(head + 64), 0);
  assertEquals([12, 14, 16, 18].map((at) => record.getUint16(at, true)), [
    2,
    2,
    1,
    1,
  ]);
  queue.addUsed(first, 64);
  assertEquals([12, 14, 16, 18].map((at) => record.getUint16(at, true)), [
    0,
    0,
    3,
    3,
  ]);
});

for (
  const [format, makeSide] of [["split", splitSide], [
    "packed",
    packedSide,
  ]] as const
) {
  Deno.test(`After a crash a ${format} ring's chains come again in their order, and new ones after them`, () => {
    const { ring, open } = makeSide();
    const add = (i: number) =>
      format === "split"
        ? (ring as FakeRing).add(buffer(i), write(i + 1))
        : (ring as FakePackedRing).add([buffer(i), write(i + 1)]);
    const queue = open();
    const heads = [add(0), add(2), add(4)];
    const chains = [queue.pop()!, queue.pop()!, queue.pop()!];
    queue.addUsed(chains[1]!, 7);
    const late = add(6);
    const again = open();
    const seen: DescriptorChain[] = [];
    for (let chain; (chain = again.pop()) !== null;) seen.push(chain);
    assertEquals(seen.map(({ head }) => head), [heads[0]!, heads[2]!, late]);
    assertEquals(seen.map(({ capacity }) => capacity), [64, 64, 64]);
    for (const chain of seen) again.addUsed(chain, 1);
    assertEquals(ring.takeUsed(), [
      { id: heads[1]!, length: 7 },
      ...[heads[0]!, heads[2]!, late].map((id) => ({ id, length: 1 })),
    ]);
  });
}

/** A crash in front of a store that others see. */
class Crash extends Error {}

/** Runs what a device does, which is killed in front of one of its next stores. */
class Killer {
  left = 0;

  run<T>(work: () => T): T {
    const { store, xor } = Atomics;
    const counted =
      (call: (...args: never[]) => unknown) => (...args: never[]) => {
        if (this.left-- <= 0) throw new Crash();
        return call(...args);
      };
    Object.assign(Atomics, { store: counted(store), xor: counted(xor) });
    try {
      return work();
    } finally {
      Object.assign(Atomics, { store, xor });
    }
  }
}

/** A driver that offers chains in any order of its ids, and checks that each comes back once. */
class Driver {
  readonly #ring: FakeRing | FakePackedRing;
  readonly #random: Random;
  readonly #outstanding = new Map<number, number>();
  #free: number;
  offered = 0;

  constructor(ring: FakeRing | FakePackedRing, random: Random) {
    this.#ring = ring;
    this.#random = random;
    this.#free = ring.size;
  }

  offer(): void {
    const ring = this.#ring;
    const slots = ring instanceof FakeRing ? 1 : this.#random.between(1, 4);
    if (this.#free < slots) return;
    const ids = Array.from({ length: ring.size }, (_, id) => id)
      .filter((id) => !this.#outstanding.has(id));
    const id = this.#random.pick(ids);
    if (ring instanceof FakeRing) {
      ring.descriptor(id, 0x8000, 64, 2, 0);
      ring.publish(id);
    } else ring.add(Array.from({ length: slots }, (_, i) => write(i)), id);
    this.#outstanding.set(id, slots);
    this.#free -= slots;
    this.offered++;
  }

  collect(): void {
    for (const { id } of this.#ring.takeUsed()) {
      assert(this.#outstanding.has(id), `${id} is given back twice`);
      this.#free += this.#outstanding.get(id)!;
      this.#outstanding.delete(id);
    }
  }

  get lost(): number {
    return this.#outstanding.size;
  }
}

const LIVES = 12;

/** Lives of a device, each but the last cut short, over one ring. */
function liveAndDie(format: "split" | "packed", seed: number): void {
  const random = new Random(seed, 0);
  const { ring, open } = format === "split"
    ? splitSide()
    : packedSide(random.between(4, 9));
  const driver = new Driver(ring, random);
  const killer = new Killer();
  for (let life = 0; life < LIVES; life++) {
    killer.left = random.below(60);
    try {
      serve(killer.run(() => open()), driver, killer, random);
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    }
  }
  const last = open();
  driver.collect();
  for (let step = 0; step < 1000; step++) {
    const chain = last.pop();
    if (chain === null) break;
    last.addUsed(chain, 0);
  }
  driver.collect();
  assert(driver.offered > LIVES);
  assertEquals(driver.lost, 0);
}

function serve(
  queue: Virtqueue,
  driver: Driver,
  killer: Killer,
  random: Random,
): void {
  const held: DescriptorChain[] = [];
  for (let step = 0; step < 1000; step++) {
    driver.collect();
    if (random.chance(60)) driver.offer();
    const chain = killer.run(() => queue.pop());
    if (chain !== null) held.push(chain);
    if (held.length === 0 || random.chance(50)) continue;
    const [done] = held.splice(random.below(held.length), 1);
    killer.run(() => queue.addUsed(done!, 0));
  }
}

for (const format of ["split", "packed"] as const) {
  Deno.test(`Whenever a device with a ${format} ring is killed, each chain is given back once`, () => {
    for (let seed = 1; seed <= 1000; seed++) {
      try {
        liveAndDie(format, seed);
      } catch (cause) {
        throw new Error(`seed ${seed}`, { cause });
      }
    }
  });
}

Deno.test("A record that is none is refused", () => {
  for (
    const [offset, value, problem] of [
      [0, 1, "features"],
      [8, 2, "version 2"],
      [10, 4, "4 entries"],
    ] as const
  ) {
    for (const { record, open } of [splitSide(), packedSide()]) {
      open();
      record.setUint16(offset, value, true);
      assertThrows(() => open(), RangeError, problem);
    }
  }
  const ring = new FakeRing(fakeRam(), 16);
  const bytes = new SharedArrayBuffer(4096);
  assertThrows(
    () =>
      new SplitInflightQueue(new RamView(fakeRam()), ring.setup(), {
        buffer: bytes,
        byteOffset: 0,
        queueSize: 8,
      }),
    RangeError,
    "8 entries a queue, and the ring 16",
  );
});

Deno.test("A split ring's record cannot have a loop followed, nor a head that there is not", () => {
  const { ring, record, open } = splitSide();
  ring.add(write(0));
  open().pop();
  record.setUint16(12, 3, true);
  record.setUint16(16 + 16 * 3 + 6, 3, true); // 3 → 3
  record.setUint16(14, 1, true); // a batch of 65535
  assertEquals(open().pop()!.head, 0);
  record.setUint16(12, 0xffff, true);
  record.setUint16(14, 1, true);
  assertEquals(open().pop()!.head, 0);
});

Deno.test("A packed ring's record is checked as the driver's descriptors are", () => {
  const start = () => {
    const side = packedSide();
    side.ring.add([write(0), write(1)], 2);
    side.open().pop();
    return side;
  };
  const broken = (offset: number, value: number) => {
    const side = start();
    side.record.setUint16(offset, value, true);
    return side;
  };
  assertThrows(() => broken(32 + 6, 0).open(), RangeError, "chain of 0"); // num
  assertThrows(() => broken(32 + 6, 9).open(), RangeError, "chain of 9");
  assertThrows(() => broken(32 + 2, 8).open(), RangeError, "has 8"); // next
  const past = broken(16, 8); // used_idx
  past.record.setUint16(18, 8, true);
  assertThrows(() => past.open(), RangeError);
  const pop = (offset: number, value: number) => () =>
    broken(offset, value).open().pop();
  assertThrows(pop(64 + 16, 8), DriverError, "buffer id 8"); // id
  assertThrows(pop(64 + 30, 0x10), DriverError, "not in RAM"); // addr
  assertThrows(pop(32 + 18, 0x87), DriverError, "indirect"); // flags
  // A free list that loops is walked once.
  const side = start();
  side.record.setUint16(96 + 2, 2, true);
  assertEquals(side.open().pop()!.head, 2);
  // Two chains of one id.
  const two = packedSide();
  two.ring.add([write(0)], 1);
  two.ring.add([write(1)], 4);
  const queue = two.open();
  queue.pop();
  queue.pop();
  two.record.setUint16(64 + 16, 1, true);
  const again = two.open();
  again.pop();
  assertThrows(() => again.pop(), DriverError, "available twice");
});
