import { assertEquals, assertNotEquals } from "@std/assert";
import { RamView } from "../../../core/virtio/ram_view.ts";
import { SplitQueue } from "../../../core/virtio/split_queue.ts";
import { fakeRam, FakeRing } from "../../support/fake_driver.ts";

function rings(size: number, options: { eventIdx?: boolean } = {}) {
  const ram = fakeRam();
  const ring = new FakeRing(ram, size);
  const queue = new SplitQueue(new RamView(ram), ring.setup(options));
  return { ring, queue, bytes: new Uint8Array(ram.buffer) };
}

const readable = { at: 0x8000, length: 3 };
const writable = { at: 0x9000, length: 5, write: true };

Deno.test("SplitQueue.pop() gives what the driver added, in order, then null", () => {
  const { ring, queue, bytes } = rings(8);
  assertEquals(queue.pop(), null);
  bytes.set([1, 2, 3], 0x8000);
  ring.add(readable, writable);
  ring.add(writable);
  const chain = queue.pop()!;
  assertEquals([chain.head, chain.capacity], [0, 5]);
  assertEquals([chain.readable.remaining, chain.writable.remaining], [3, 5]);
  const into = new Uint8Array(3);
  chain.readable.read(into);
  assertEquals(into, new Uint8Array([1, 2, 3]));
  assertEquals(queue.pop()!.head, 2);
  assertEquals(queue.pop(), null);
});

Deno.test("SplitQueue.addUsed() gives chains back in any order", () => {
  const { ring, queue } = rings(8);
  ring.add(writable);
  ring.add(writable);
  const first = queue.pop()!;
  const second = queue.pop()!;
  queue.addUsed(second, 5);
  queue.addUsed(first, 2);
  assertEquals(ring.takeUsed(), [{ id: 1, length: 5 }, { id: 0, length: 2 }]);
});

Deno.test("SplitQueue works past the wrap of its 16-bit indices", () => {
  const { ring, queue } = rings(2);
  for (let i = 0; i < 70_000; i++) {
    ring.add(writable);
    const chain = queue.pop();
    assertNotEquals(chain, null);
    queue.addUsed(chain!, 1);
  }
  assertEquals(ring.usedIdx, 70_000 & 0xffff);
  assertEquals(queue.pop(), null);
});

Deno.test("SplitQueue follows an indirect table, alone or behind direct descriptors", () => {
  const { ring, queue } = rings(8);
  ring.addIndirect(readable, writable, writable);
  const chain = queue.pop()!;
  assertEquals([chain.readable.remaining, chain.capacity], [3, 10]);

  ring.descriptor(4, 0x8000, 3, 0x1, 5); // NEXT
  ring.descriptor(5, 0x4000, 32, 0x4, 0); // INDIRECT
  ring.descriptor(0, 0x8100, 4, 0x1, 1, 0x4000);
  ring.descriptor(1, 0x9000, 7, 0x2, 0, 0x4000);
  ring.publish(4);
  const mixed = queue.pop()!;
  assertEquals([mixed.readable.remaining, mixed.capacity], [7, 7]);
});

Deno.test("SplitQueue keeps a zero-length descriptor out of the chain", () => {
  const { ring, queue } = rings(8);
  ring.add(readable, { at: 0, length: 0 }, writable);
  const chain = queue.pop()!;
  assertEquals([chain.readable.remaining, chain.capacity], [3, 5]);
});

Deno.test("SplitQueue takes a queue of one descriptor", () => {
  const { ring, queue } = rings(1);
  for (let i = 0; i < 3; i++) {
    ring.add(writable);
    queue.addUsed(queue.pop()!, i);
    assertEquals(ring.takeUsed(), [{ id: 0, length: i }]);
  }
});

Deno.test("SplitQueue.needsInterrupt() heeds NO_INTERRUPT", () => {
  const { ring, queue } = rings(8);
  const use = () => {
    ring.add(writable);
    queue.addUsed(queue.pop()!, 0);
  };
  assertEquals(queue.needsInterrupt(), false, "nothing was used");
  use();
  assertEquals(queue.needsInterrupt(), true);
  assertEquals(queue.needsInterrupt(), false, "asked already");
  ring.availFlags = 1;
  use();
  assertEquals(queue.needsInterrupt(), false);
});

Deno.test("SplitQueue.needsInterrupt() heeds used_event, past its wrap too", () => {
  const { ring, queue } = rings(8, { eventIdx: true });
  const use = (count: number) => {
    for (let i = 0; i < count; i++) {
      ring.add(writable);
      queue.addUsed(queue.pop()!, 0);
    }
    return queue.needsInterrupt();
  };
  ring.usedEvent = 2;
  assertEquals([use(1), use(1), use(1), use(1)], [false, false, true, false]);
  ring.usedEvent = 6;
  assertEquals(use(8), true, "it was passed within the batch");
  // 12 are used; go on to one before the wrap.
  for (let used = 12; used < 0xffff; used++) use(1);
  ring.usedEvent = 0xffff;
  assertEquals([use(1), use(1)], [true, false]);
  ring.usedEvent = 1;
  assertEquals(use(1), true);
});

Deno.test("SplitQueue asks for kicks by NO_NOTIFY, and sees what came meanwhile", () => {
  const { ring, queue } = rings(8);
  queue.disableNotifications();
  assertEquals(ring.usedFlags, 1);
  assertEquals(queue.enableNotifications(), false);
  assertEquals(ring.usedFlags, 0);
  queue.disableNotifications();
  ring.add(writable);
  assertEquals(queue.enableNotifications(), true);
});

Deno.test("SplitQueue asks for kicks by avail_event, and sees what came meanwhile", () => {
  const { ring, queue } = rings(8, { eventIdx: true });
  ring.add(writable);
  queue.pop();
  queue.disableNotifications();
  assertEquals(ring.usedFlags, 0, "flags are not used with EVENT_IDX");
  assertEquals(queue.enableNotifications(), false);
  assertEquals(ring.availEvent, 1);
  ring.add(writable);
  assertEquals(queue.enableNotifications(), true);
  assertEquals(ring.availEvent, 1);
});

Deno.test("SplitQueue writes the event field only where it was negotiated", () => {
  const { ring, queue } = rings(8);
  ring.view.setUint16(ring.used + 4 + 8 * 8, 0x5a5a, true);
  queue.disableNotifications();
  queue.enableNotifications();
  assertEquals(ring.availEvent, 0x5a5a);
});

Deno.test("SplitQueue loads a descriptor once: what the driver changes later is not seen", () => {
  const { ring, queue } = rings(8);
  ring.add(readable, writable);
  const chain = queue.pop()!;
  ring.descriptor(0, 0xffff_ffff_0000n, 0xffff_ffff, 0x7, 0);
  ring.descriptor(1, 0xffff_ffff_0000n, 0xffff_ffff, 0x7, 0);
  assertEquals(chain.readable.views()[0]!.byteOffset, 0x8000);
  assertEquals(chain.writable.write(new Uint8Array(100)), 5);
});

Deno.test("SplitQueue finds RAM above the device hole at 4 GiB", () => {
  const size = 3 * 2 ** 30 + (1 << 20);
  const ram = fakeRam(size);
  const ring = new FakeRing(ram, 4);
  const queue = new SplitQueue(new RamView(ram), ring.setup());
  ring.descriptor(0, 2 ** 32 + 0x1000, 16, 0x2, 0);
  ring.publish(0);
  queue.pop()!.writable.write(new Uint8Array([0x77]));
  assertEquals(new Uint8Array(ram.buffer, 3 * 2 ** 30 + 0x1000, 1)[0], 0x77);
});
