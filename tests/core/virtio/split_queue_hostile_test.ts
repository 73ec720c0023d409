import { assertEquals, assertThrows } from "@std/assert";
import { DriverError } from "../../../core/errors.ts";
import { RamView } from "../../../core/virtio/ram_view.ts";
import { SplitQueue } from "../../../core/virtio/split_queue.ts";
import { type FakeRam, fakeRam, FakeRing } from "../../support/fake_driver.ts";

const WRITE = 0x2, NEXT = 0x1, INDIRECT = 0x4;
const TABLE = 0x4000;
const RAM = 0x10_0000;
const writable = { at: 0x9000, length: 5, write: true };

interface Attack {
  (ring: FakeRing): void;
}

/** The driver does something to a ring of 8; the device refuses it, cites the section, and writes nothing. */
function refuses(
  what: string,
  attack: Attack,
  section: string,
  indirect = true,
): void {
  Deno.test(`SplitQueue.pop() refuses ${what}`, () => {
    const ram = fakeRam(RAM);
    const ring = new FakeRing(ram, 8);
    const queue = new SplitQueue(new RamView(ram), ring.setup({ indirect }));
    attack(ring);
    const before = new Uint8Array(ram.buffer).slice();
    const error = assertThrows(() => {
      // The first chains may be fine.
      while (queue.pop() !== null);
    }, DriverError) as DriverError;
    assertEquals(error.section, section, error.message);
    assertEquals(new Uint8Array(ram.buffer), before);
  });
}

refuses("a chain that loops", (ring) => {
  ring.descriptor(0, 0x8000, 1, NEXT, 1);
  ring.descriptor(1, 0x8000, 1, NEXT, 0);
  ring.publish(0);
}, "2.7.5");
refuses("a descriptor that is its own next", (ring) => {
  ring.descriptor(3, 0x8000, 1, NEXT, 3);
  ring.publish(3);
}, "2.7.5");
refuses("a loop of empty descriptors", (ring) => {
  ring.descriptor(0, 0x8000, 0, NEXT, 0);
  ring.publish(0);
}, "2.7.5");
refuses("a chain that is longer than the queue, in a table", (ring) => {
  for (let i = 0; i < 9; i++) {
    ring.descriptor(i, 0x8000, 1, i < 8 ? NEXT : 0, i + 1, TABLE);
  }
  ring.descriptor(0, TABLE, 9 * 16, INDIRECT, 0);
  ring.publish(0);
}, "2.7.5.3.1");
refuses("a head at the queue size", (ring) => ring.publish(8), "2.7.6");
refuses("a head of 0xffff", (ring) => ring.publish(0xffff), "2.7.6");
refuses("a next at the queue size", (ring) => {
  ring.descriptor(0, 0x8000, 1, NEXT, 8);
  ring.publish(0);
}, "2.7.5");
refuses("a next past an indirect table", (ring) => {
  ring.descriptor(0, 0x8000, 1, NEXT, 2, TABLE);
  ring.descriptor(0, TABLE, 32, INDIRECT, 0);
  ring.publish(0);
}, "2.7.5");
refuses("an avail idx that is ahead by more than the queue", (ring) => {
  ring.availIdx = 9;
}, "2.7.13.3");
refuses("an avail idx that goes backwards", (ring) => {
  ring.availIdx = 0xffff;
}, "2.7.13.3");
refuses("a head that is available twice", (ring) => {
  const head = ring.add(writable);
  ring.publish(head);
}, "2.7.6");
refuses(
  "an indirect table where it was not negotiated",
  (ring) => {
    ring.addIndirect(writable);
  },
  "2.7.5.3.1",
  false,
);
refuses("an indirect table in an indirect table", (ring) => {
  ring.descriptor(0, TABLE, 16, INDIRECT, 0, TABLE);
  ring.descriptor(0, TABLE, 16, INDIRECT, 0);
  ring.publish(0);
}, "2.7.5.3.1");
refuses("an indirect descriptor with NEXT", (ring) => {
  ring.descriptor(0, TABLE, 16, INDIRECT | NEXT, 1);
  ring.publish(0);
}, "2.7.5.3.1");
refuses("an indirect table that loops", (ring) => {
  ring.descriptor(0, 0x8000, 1, NEXT, 0, TABLE);
  ring.descriptor(0, TABLE, 16, INDIRECT, 0);
  ring.publish(0);
}, "2.7.5");
for (
  const [length, section] of [
    [0, "2.7.5.3.1"],
    [8, "2.7.5.3.1"],
    [17, "2.7.5.3.1"],
    [0xffff_fff0, "2.7.5.3.1"],
  ] as const
) {
  refuses(`an indirect table of ${length} bytes`, (ring) => {
    ring.descriptor(0, TABLE, length, INDIRECT, 0);
    ring.publish(0);
  }, section);
}
for (
  const [what, at] of [
    ["past RAM", RAM - 8],
    ["in the device window", 0xd000_0000],
    ["at the end of 2^64", 0xffff_ffff_ffff_fff0n],
    ["misaligned", TABLE + 2],
  ] as const
) {
  refuses(`an indirect table ${what}`, (ring) => {
    ring.descriptor(0, at, 16, INDIRECT, 0);
    ring.publish(0);
  }, "2.7.5.3");
}
for (
  const [what, at, length] of [
    ["whose end wraps 2^64", 0xffff_ffff_ffff_f000n, 0x2000],
    ["whose length wraps 2^32", 0x8000, 0xffff_ffff],
    ["that starts at the end of RAM", RAM, 1],
    ["that ends past RAM", RAM - 1, 2],
    ["in the device window", 0xd000_0050, 4],
    ["at 4 GiB without RAM there", 0x1_0000_0000n, 16],
    ["that is empty and outside RAM", RAM + 0x1000, 0],
    ["at 2^53, where numbers lose bits", 2n ** 53n + 1n, 16],
  ] as const
) {
  refuses(`a buffer ${what}`, (ring) => {
    ring.descriptor(0, at, length, WRITE, 0);
    ring.publish(0);
  }, "2.7.5");
}
refuses("a readable descriptor after a writable one", (ring) => {
  ring.add(writable, { at: 0x8000, length: 1 });
}, "2.7.4.2");

Deno.test("SplitQueue.pop() refuses a buffer across the hole below 4 GiB", () => {
  const low = 3 * 2 ** 30;
  const ram = fakeRam(low + RAM);
  const ring = new FakeRing(ram, 8);
  const queue = new SplitQueue(new RamView(ram), ring.setup());
  ring.descriptor(0, low - 16, 32, WRITE, 0);
  ring.publish(0);
  assertThrows(() => queue.pop(), DriverError, "not in RAM");
});

Deno.test("SplitQueue.pop() refuses a chain of more than 2^32 bytes", () => {
  const ram = fakeRam(3 * 2 ** 30);
  const ring = new FakeRing(ram, 8);
  const queue = new SplitQueue(new RamView(ram), ring.setup());
  const half = { at: 0, length: 2 ** 31, write: true };
  ring.add(half, half);
  assertThrows(() => queue.pop(), DriverError, "2^32");
});

/** Rings that may not be there. */
function refusesRings(
  what: string,
  change: (ring: FakeRing, ram: FakeRam) => Record<string, number>,
  eventIdx = false,
): void {
  Deno.test(`SplitQueue refuses ${what}`, () => {
    const ram = fakeRam(RAM);
    const ring = new FakeRing(ram, 8);
    const setup = { ...ring.setup({ eventIdx }), ...change(ring, ram) };
    assertThrows(() => new SplitQueue(new RamView(ram), setup), DriverError);
  });
}

for (const size of [0, 3, 12, 0x10000, -8]) {
  refusesRings(`a queue size of ${size}`, () => ({ size }));
}
refusesRings("a misaligned descriptor table", () => ({ desc: 0x1008 }));
refusesRings("a misaligned avail ring", () => ({ driver: 0x2001 }));
refusesRings("a misaligned used ring", () => ({ device: 0x2002 }));
refusesRings("a descriptor table past RAM", () => ({ desc: RAM - 0x70 }));
refusesRings("an avail ring past RAM", () => ({ driver: RAM - 18 }));
refusesRings("a used ring past RAM", () => ({ device: RAM - 64 }));
for (const part of ["desc", "driver", "device"]) {
  Deno.test(`SplitQueue refuses a ring that reaches into the hole below 4 GiB: ${part}`, () => {
    const low = 3 * 2 ** 30;
    const ram = fakeRam(low + RAM);
    const setup = { ...new FakeRing(ram, 8).setup(), [part]: low - 16 };
    assertThrows(() => new SplitQueue(new RamView(ram), setup), DriverError);
  });
}
refusesRings("rings in the device window", () => ({ device: 0xd000_0000 }));
refusesRings("rings at 2^63", () => ({ driver: 2 ** 63 }));
refusesRings("a used ring over the descriptors", (ring) => ({
  device: ring.desc + 0x70,
}));
refusesRings("a used ring over the avail ring", (ring) => ({
  device: (ring.avail + 16) & ~3,
}));
refusesRings(
  "an avail ring whose event field is past RAM",
  () => ({ driver: RAM - 20 }),
  true,
);
refusesRings(
  "a used ring whose event field is past RAM",
  () => ({ device: RAM - 68 }),
  true,
);

Deno.test("SplitQueue takes rings that end with RAM", () => {
  const ram = fakeRam(RAM);
  const ring = new FakeRing(ram, 8);
  const setup = { ...ring.setup(), driver: RAM - 20, device: RAM - 0x100 };
  new SplitQueue(new RamView(ram), setup);
  new SplitQueue(new RamView(ram), {
    ...setup,
    driver: 0x4000,
    device: RAM - 68,
  });
});

Deno.test("SplitQueue never writes outside the used ring, whatever is in RAM", () => {
  const ram = fakeRam(0x4000);
  const bytes = new Uint8Array(ram.buffer);
  let seed = 0x2545_f491;
  const random = () => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return seed >>> 0;
  };
  for (let round = 0; round < 1000; round++) {
    const ring = new FakeRing(ram, 8);
    for (let i = 0; i < 8; i++) {
      const wild = random() % 4 === 0;
      const at = wild ? BigInt(random()) << 20n : random() % 0x3fff;
      const length = wild ? random() : random() % 64;
      ring.descriptor(i, at, length, random() & 0x7, random() % 9);
    }
    for (let i = 0; i < 8; i++) ring.publish(random() % 9);
    const queue = new SplitQueue(new RamView(ram), ring.setup());
    const before = bytes.slice();
    try {
      for (let chain; (chain = queue.pop()) !== null;) queue.addUsed(chain, 1);
    } catch (error) {
      if (!(error instanceof DriverError)) throw error;
    }
    before.set(bytes.subarray(ring.used, ring.used + 4 + 64), ring.used);
    if (before.some((byte, i) => byte !== bytes[i])) {
      throw new Error(`round ${round} wrote outside the used ring`);
    }
  }
});
