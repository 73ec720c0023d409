import { assertEquals, assertThrows } from "@std/assert";
import { DriverError } from "../../../core/errors.ts";
import { PackedQueue } from "../../../core/virtio/packed_queue.ts";
import { RamView } from "../../../core/virtio/ram_view.ts";
import { type FakeRam, fakeRam } from "../../support/fake_driver.ts";
import { FakePackedRing } from "../../support/fake_packed_ring.ts";

const NEXT = 0x1, WRITE = 0x2, INDIRECT = 0x4, AVAIL = 0x80, USED = 0x8000;
const TABLE = 0x4000;
const RAM = 0x10_0000;
const writable = { at: 0x9000, length: 5, write: true };

/** The driver does something to a ring of 8; the device refuses it, cites the section, and writes nothing. */
function refuses(
  what: string,
  attack: (ring: FakePackedRing) => void,
  section: string,
  options: { indirect?: boolean; size?: number } = {},
): void {
  const { indirect = true, size = 8 } = options;
  Deno.test(`PackedQueue.pop() refuses ${what}`, () => {
    const ram = fakeRam(RAM);
    const ring = new FakePackedRing(ram, size);
    const queue = new PackedQueue(new RamView(ram), ring.setup({ indirect }));
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

refuses("a chain that never ends", (ring) => {
  for (let i = 0; i < 8; i++) ring.descriptor(i, 0x8000, 1, NEXT | AVAIL, 0);
}, "2.8.17");
refuses("a chain of empty descriptors that never ends", (ring) => {
  for (let i = 0; i < 8; i++) ring.descriptor(i, 0x8000, 0, NEXT | AVAIL, 0);
}, "2.8.17");
refuses(
  "NEXT in a queue of one",
  (ring) => ring.descriptor(0, 0x8000, 1, NEXT | AVAIL, 0),
  "2.8.17",
  { size: 1 },
);
refuses(
  "an id at the queue size",
  (ring) => ring.add([writable], 8),
  "2.8.21.1",
);
refuses(
  "an id that is none of a queue that is no power of two",
  (ring) => ring.add([writable], 5),
  "2.8.21.1",
  { size: 5 },
);
refuses("an id of 0xffff", (ring) => ring.add([writable], 0xffff), "2.8.21.1");
refuses("an id that is available twice", (ring) => {
  ring.add([writable], 3);
  ring.add([writable], 3);
}, "2.8.21.1");
refuses(
  "an indirect table where it was not negotiated",
  (ring) => ring.addIndirect([writable]),
  "2.8.19",
  { indirect: false },
);
refuses("an indirect descriptor with NEXT", (ring) => {
  ring.descriptor(1, 0x8000, 1, AVAIL, 0);
  ring.descriptor(0, TABLE, 16, INDIRECT | NEXT | AVAIL, 0);
}, "2.8.19");
refuses("an indirect descriptor at the end of a list", (ring) => {
  ring.descriptor(1, TABLE, 16, INDIRECT | AVAIL, 0);
  ring.descriptor(0, 0x8000, 1, NEXT | AVAIL, 0);
}, "2.8.19");
for (
  const [length, section] of [
    [0, "2.8.7"],
    [8, "2.8.7"],
    [15, "2.8.7"],
    [17, "2.8.7"],
    [9 * 16, "2.8.19"],
    [0xffff_fff0, "2.8.19"],
  ] as const
) {
  refuses(
    `an indirect table of ${length} bytes`,
    (ring) => ring.descriptor(0, TABLE, length, INDIRECT | AVAIL, 0),
    section,
  );
}
for (
  const [what, at] of [
    ["past RAM", RAM - 8],
    ["in the device window", 0xd000_0000],
    ["at the end of 2^64", 0xffff_ffff_ffff_fff0n],
    ["misaligned", TABLE + 2],
  ] as const
) {
  refuses(
    `an indirect table ${what}`,
    (ring) => ring.descriptor(0, at, 16, INDIRECT | AVAIL, 0),
    "2.8.7",
  );
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
  refuses(
    `a buffer ${what}`,
    (ring) => ring.descriptor(0, at, length, WRITE | AVAIL, 0),
    "2.8.4",
  );
  refuses(`a buffer ${what}, in a table`, (ring) => {
    ring.descriptor(0, at, length, WRITE, 0, TABLE);
    ring.descriptor(0, TABLE, 16, INDIRECT | AVAIL, 0);
  }, "2.8.4");
}
refuses("a readable descriptor after a writable one", (ring) => {
  ring.add([writable, { at: 0x8000, length: 1 }]);
}, "2.8.17");

Deno.test("PackedQueue.pop() refuses a chain over descriptors of one that is under way", () => {
  for (const held of [3, 8]) {
    const ram = fakeRam(RAM);
    const ring = new FakePackedRing(ram, 8);
    const queue = new PackedQueue(new RamView(ram), ring.setup());
    ring.add(Array.from({ length: held }, () => writable), 0);
    assertEquals(queue.pop()!.slots, held);
    for (let i = held; i < 8; i++) {
      ring.descriptor(i, 0x8000, 1, NEXT | AVAIL, 1);
    }
    ring.descriptor(0, 0x8000, 1, USED, 1);
    assertThrows(() => queue.pop(), DriverError, "descriptors");
  }
});

Deno.test("PackedQueue.pop() refuses a chain of more than 2^32 bytes", () => {
  const ram = fakeRam(3 * 2 ** 30);
  const ring = new FakePackedRing(ram, 8);
  const queue = new PackedQueue(new RamView(ram), ring.setup());
  const half = { at: 0, length: 2 ** 31, write: true };
  ring.add([half, half]);
  assertThrows(() => queue.pop(), DriverError, "2^32");
});

Deno.test("PackedQueue.pop() sees nothing where the wrap counters say so", () => {
  for (const flags of [0, USED, AVAIL | USED, USED | WRITE | NEXT]) {
    const ram = fakeRam(RAM);
    const ring = new FakePackedRing(ram, 8);
    const queue = new PackedQueue(new RamView(ram), ring.setup());
    ring.descriptor(0, 0x8000, 1, flags, 0);
    assertEquals(queue.pop(), null, `flags ${flags}`);
  }
});

Deno.test("PackedQueue.pop() does not take last round's descriptors again after the wrap", () => {
  for (const size of [1, 2, 3, 8]) {
    const ram = fakeRam(RAM);
    const ring = new FakePackedRing(ram, size);
    const queue = new PackedQueue(new RamView(ram), ring.setup());
    for (let i = 0; i < size; i++) ring.add([writable]);
    const chains = Array.from({ length: size }, () => queue.pop()!);
    assertEquals(queue.pop(), null);
    for (const chain of chains) queue.addUsed(chain, 0);
    assertEquals(queue.pop(), null);
    // As in the first round, which is the wrong wrap counter now.
    ring.descriptor(0, 0x8000, 1, AVAIL, 0);
    assertEquals(queue.pop(), null);
    ring.descriptor(0, 0x8000, 1, USED, 0);
    assertEquals(queue.pop()!.head, 0);
  }
});

Deno.test("PackedQueue heeds no event that no descriptor has", () => {
  const ram = fakeRam(RAM);
  const ring = new FakePackedRing(ram, 3);
  const setup = ring.setup({ eventIdx: true });
  const queue = new PackedQueue(new RamView(ram), setup);
  for (const offset of [3, 4, 0x7fff]) {
    ring.wantInterrupt(2, offset, true);
    ring.add([writable]);
    queue.addUsed(queue.pop()!, 0);
    ring.takeUsed();
    queue.needsInterrupt();
  }
  // Nothing is stuck: the next event that is one comes.
  ring.wantInterrupt(2, 0, false);
  ring.add([writable]);
  queue.addUsed(queue.pop()!, 0);
  assertEquals(queue.needsInterrupt(), true);
});

/** Rings that may not be there. */
function refusesRings(
  what: string,
  change: (ring: FakePackedRing, ram: FakeRam) => Record<string, number>,
): void {
  Deno.test(`PackedQueue refuses ${what}`, () => {
    const ram = fakeRam(RAM);
    const ring = new FakePackedRing(ram, 8);
    const setup = { ...ring.setup(), ...change(ring, ram) };
    const error = assertThrows(
      () => new PackedQueue(new RamView(ram), setup),
      DriverError,
    );
    assertEquals(error.section, "2.8.10.1");
  });
}

for (const size of [0, 0x8001, 0x1_0000, -8]) {
  refusesRings(`a queue size of ${size}`, () => ({ size }));
}
refusesRings("a misaligned descriptor ring", () => ({ desc: 0x1008 }));
refusesRings("a misaligned driver event area", () => ({ driver: 0x2002 }));
refusesRings("a misaligned device event area", () => ({ device: 0x2002 }));
refusesRings("a descriptor ring past RAM", () => ({ desc: RAM - 0x70 }));
refusesRings("a driver event area past RAM", () => ({ driver: RAM }));
refusesRings("a device event area past RAM", () => ({ device: RAM }));
Deno.test("PackedQueue refuses a ring that reaches into the hole below 4 GiB", () => {
  const low = 3 * 2 ** 30;
  const ram = fakeRam(low + RAM);
  const setup = { ...new FakePackedRing(ram, 8).setup(), desc: low - 16 };
  assertThrows(() => new PackedQueue(new RamView(ram), setup), DriverError);
});
Deno.test("PackedQueue.pop() refuses a buffer across the hole below 4 GiB", () => {
  const low = 3 * 2 ** 30;
  const ram = fakeRam(low + RAM);
  const ring = new FakePackedRing(ram, 8);
  const queue = new PackedQueue(new RamView(ram), ring.setup());
  ring.descriptor(0, low - 16, 32, WRITE | AVAIL, 0);
  assertThrows(() => queue.pop(), DriverError, "not in RAM");
});
refusesRings("rings in the device window", () => ({ device: 0xd000_0000 }));
refusesRings("rings at 2^63", () => ({ desc: 2 ** 63 }));
refusesRings("a device event area over the descriptors", (ring) => ({
  device: ring.desc + 0x7c,
}));
refusesRings("a device event area over the driver's", (ring) => ({
  device: ring.driverEvent,
}));
refusesRings("a driver event area over the descriptors", (ring) => ({
  driver: ring.desc + 0x7c,
}));

Deno.test("PackedQueue takes rings that end with RAM", () => {
  const ram = fakeRam(RAM);
  const setup = new FakePackedRing(ram, 8).setup();
  new PackedQueue(new RamView(ram), { ...setup, desc: RAM - 0x80 });
  const areas = { driver: RAM - 4, device: RAM - 8 };
  new PackedQueue(new RamView(ram), { ...setup, ...areas });
});
