import { assert, assertEquals } from "@std/assert";
import { PackedQueue } from "../../../core/virtio/packed_queue.ts";
import { RamView } from "../../../core/virtio/ram_view.ts";
import { fakeRam } from "../../support/fake_driver.ts";
import { FakePackedRing } from "../../support/fake_packed_ring.ts";

function rings(size: number, options: { eventIdx?: boolean } = {}) {
  const ram = fakeRam();
  const ring = new FakePackedRing(ram, size);
  const queue = new PackedQueue(new RamView(ram), ring.setup(options));
  return { ring, queue, bytes: new Uint8Array(ram.buffer) };
}

/** Adds `count` chains of one descriptor each, and has the device use them. */
function goRound(
  { ring, queue }: ReturnType<typeof rings>,
  count: number,
): void {
  for (let i = 0; i < count; i++) {
    ring.add([writable]);
    queue.addUsed(queue.pop()!, 1);
    assertEquals(ring.takeUsed().length, 1);
  }
}

const readable = { at: 0x8000, length: 3 };
const writable = { at: 0x9000, length: 5, write: true };

Deno.test("PackedQueue.pop() gives what the driver added, in order, then null", () => {
  const { ring, queue, bytes } = rings(8);
  assertEquals(queue.pop(), null);
  bytes.set([1, 2, 3], 0x8000);
  ring.add([readable, writable]);
  ring.add([writable]);
  const chain = queue.pop()!;
  assertEquals([chain.head, chain.capacity], [0, 5]);
  const into = new Uint8Array(3);
  chain.readable.read(into);
  assertEquals(into, new Uint8Array([1, 2, 3]));
  assertEquals(queue.pop()!.head, 1);
  assertEquals(queue.pop(), null);
});

Deno.test("PackedQueue takes a chain's id from its last descriptor", () => {
  const { ring, queue } = rings(8);
  const flags = ring.available;
  ring.descriptor(1, 0x9000, 5, 0x2 | flags, 6);
  ring.descriptor(0, 0x8000, 3, 0x1 | flags, 2);
  assertEquals(queue.pop()!.head, 6);
});

Deno.test("PackedQueue.addUsed() gives chains back in any order, each where the last one ended", () => {
  const { ring, queue, bytes } = rings(8);
  ring.add([readable, writable], 5);
  ring.add([writable], 2);
  ring.add([readable], 7);
  const [first, second, third] = [queue.pop()!, queue.pop()!, queue.pop()!];
  queue.addUsed(second, 4);
  queue.addUsed(third, 0);
  queue.addUsed(first, 5);
  const slot = (index: number) => [
    ring.view.getUint16(ring.desc + 16 * index + 12, true),
    ring.view.getUint32(ring.desc + 16 * index + 8, true),
    bytes[ring.desc + 16 * index + 14],
    bytes[ring.desc + 16 * index + 15],
  ];
  // AVAIL and USED as the wrap counter, WRITE where something was written.
  assertEquals(slot(0), [2, 4, 0x82, 0x80]);
  assertEquals(slot(1), [7, 0, 0x80, 0x80]);
  assertEquals(slot(2), [5, 5, 0x82, 0x80]);
  assertEquals(ring.takeUsed(), [
    { id: 2, length: 4 },
    { id: 7, length: 0 },
    { id: 5, length: 5 },
  ]);
});

for (const size of [1, 2, 3, 7, 8, 13, 256]) {
  Deno.test(`PackedQueue of ${size} goes round many times with chains of every length`, () => {
    const { ring, queue } = rings(size);
    let served = 0;
    for (let round = 0; round < 500; round++) {
      const pieces = round % size + 1;
      const buffers = Array.from({ length: Math.min(pieces, 20) }, () => ({
        at: 0x8000,
        length: 2,
        write: true,
      }));
      const id = round % 3 === 0
        ? ring.addIndirect(buffers)
        : ring.add(buffers);
      const chain = queue.pop()!;
      assertEquals([chain.head, chain.capacity], [id, 2 * buffers.length]);
      assertEquals(queue.pop(), null);
      queue.addUsed(chain, 1);
      served += ring.takeUsed().length;
      ring.recycleTables();
    }
    assertEquals(served, 500);
  });
}

Deno.test("PackedQueue follows a chain across the end of the ring", () => {
  const all = rings(5);
  goRound(all, 4);
  const { ring, queue } = all;
  ring.add([readable, writable, writable]);
  const chain = queue.pop()!;
  assertEquals([chain.readable.remaining, chain.capacity], [3, 10]);
  queue.addUsed(chain, 9);
  assertEquals(ring.takeUsed(), [{ id: 0, length: 9 }]);
  assertEquals(ring.nextAvail, 2);
  goRound(all, 11);
});

Deno.test("PackedQueue is full with as many chains as it has descriptors", () => {
  const { ring, queue } = rings(3);
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 3; i++) ring.add([writable]);
    const chains = [queue.pop()!, queue.pop()!, queue.pop()!];
    assertEquals(queue.pop(), null);
    for (const chain of chains.reverse()) queue.addUsed(chain, 0);
    assertEquals(ring.takeUsed().length, 3);
  }
});

Deno.test("PackedQueue reads an indirect table to its end, whatever NEXT says in it", () => {
  const { ring, queue } = rings(4);
  const table = 0x4000;
  ring.descriptor(0, 0x8000, 3, 0x0, 9, table);
  ring.descriptor(1, 0x9000, 5, 0x3, 9, table);
  ring.descriptor(2, 0x9100, 0, 0x2, 9, table);
  ring.descriptor(0, table, 48, 0x4 | ring.available, 3);
  const chain = queue.pop()!;
  assertEquals([chain.head, chain.slots], [3, 1]);
  assertEquals([chain.readable.remaining, chain.capacity], [3, 5]);
});

Deno.test("PackedQueue.needsInterrupt() is asked once for what was added", () => {
  const { ring, queue } = rings(4);
  assertEquals(queue.needsInterrupt(), false);
  ring.add([writable]);
  queue.addUsed(queue.pop()!, 0);
  assertEquals(queue.needsInterrupt(), true);
  assertEquals(queue.needsInterrupt(), false);
});

Deno.test("PackedQueue.needsInterrupt() heeds DISABLE, and takes what it does not know for ENABLE", () => {
  for (
    const [flags, eventIdx, wanted] of [
      [0, false, true],
      [1, false, false],
      [1, true, false],
      [2, false, true],
      [3, false, true],
      [3, true, true],
      [0xfffc, true, true],
      [0xfffd, true, false],
    ] as const
  ) {
    const { ring, queue } = rings(4, { eventIdx });
    ring.wantInterrupt(flags, 3, false);
    ring.add([writable]);
    queue.addUsed(queue.pop()!, 0);
    assertEquals(queue.needsInterrupt(), wanted, `flags ${flags}`);
  }
});

Deno.test("PackedQueue.needsInterrupt() in DESC mode waits for the descriptor, in every round", () => {
  for (const size of [1, 3, 8]) {
    const { ring, queue } = rings(size, { eventIdx: true });
    for (let step = 0; step < 6 * size; step++) {
      // Wants the next but one: the first of the two is silent.
      const target = step + 1;
      const wrap = Math.floor(target / size) % 2 === 0;
      ring.wantInterrupt(2, target % size, wrap);
      ring.add([writable]);
      queue.addUsed(queue.pop()!, 0);
      assertEquals(queue.needsInterrupt(), false, `size ${size} step ${step}`);
      ring.takeUsed();
      ring.wantInterrupt(2, step % size, Math.floor(step / size) % 2 === 0);
      // That one has passed: nothing is wanted until it comes round again.
      assertEquals(queue.needsInterrupt(), false);
    }
  }
});

Deno.test("PackedQueue.needsInterrupt() in DESC mode sees an event inside a batch, across the wrap", () => {
  for (let start = 0; start < 10; start++) {
    for (let event = start; event < start + 4; event++) {
      const all = rings(5, { eventIdx: true });
      goRound(all, start);
      all.queue.needsInterrupt();
      for (let i = 0; i < 3; i++) all.ring.add([writable]);
      all.ring.wantInterrupt(2, event % 5, Math.floor(event / 5) % 2 === 0);
      for (let i = 0; i < 3; i++) all.queue.addUsed(all.queue.pop()!, 0);
      const wanted = event < start + 3;
      assertEquals(all.queue.needsInterrupt(), wanted, `${start} ${event}`);
    }
  }
});

Deno.test("PackedQueue.needsInterrupt() counts all descriptors of a chain", () => {
  for (const [event, wanted] of [[3, true], [4, false]] as const) {
    const { ring, queue } = rings(8, { eventIdx: true });
    ring.add([readable, readable, writable, writable]);
    ring.wantInterrupt(2, event);
    queue.addUsed(queue.pop()!, 0);
    assertEquals(queue.needsInterrupt(), wanted);
  }
});

Deno.test("PackedQueue asks for kicks by flags without EVENT_IDX", () => {
  const { ring, queue } = rings(4);
  queue.disableNotifications();
  assertEquals(ring.kickEvent.flags, 1);
  assertEquals(queue.enableNotifications(), false);
  assertEquals(ring.kickEvent.flags, 0);
  ring.add([writable]);
  assertEquals(queue.enableNotifications(), true);
});

Deno.test("PackedQueue asks for kicks by descriptor and round with EVENT_IDX", () => {
  const all = rings(3, { eventIdx: true });
  for (let step = 0; step < 9; step++) {
    all.queue.disableNotifications();
    assertEquals(all.ring.kickEvent.flags, 1);
    assertEquals(all.queue.enableNotifications(), false);
    const wrap = Math.floor(step / 3) % 2 === 0;
    assertEquals(all.ring.kickEvent, { offset: step % 3, wrap, flags: 2 });
    goRound(all, 1);
  }
  all.ring.add([writable]);
  assert(all.queue.enableNotifications());
});

Deno.test("PackedQueue keeps a zero-length descriptor out of the chain", () => {
  const { ring, queue } = rings(8);
  ring.add([
    { at: 0, length: 0 },
    readable,
    { at: 0x9000, length: 0, write: true },
    writable,
  ]);
  const chain = queue.pop()!;
  assertEquals([chain.readable.remaining, chain.capacity], [3, 5]);
  assertEquals(chain.readable.views().length, 1);
  assertEquals(chain.writable.views().length, 1);
});

Deno.test("PackedQueue loads a descriptor once: what the driver changes later is not seen", () => {
  const { ring, queue } = rings(8);
  ring.add([readable, writable]);
  const chain = queue.pop()!;
  for (const i of [0, 1]) {
    ring.descriptor(i, 0xffff_ffff_0000, 0xffff_ffff, 0xffff, 0xffff);
  }
  assertEquals(chain.readable.views()[0]!.byteOffset, 0x8000);
  assertEquals(chain.writable.write(new Uint8Array(100)), 5);
  // Its place and its id are those that it was popped with.
  queue.addUsed(chain, 5);
  assertEquals(ring.takeUsed().map(({ id }) => id), [chain.head]);
});
