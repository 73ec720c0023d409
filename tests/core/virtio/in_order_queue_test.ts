import { assertEquals } from "@std/assert";
import { InOrderQueue } from "../../../core/virtio/in_order_queue.ts";
import { PackedQueue } from "../../../core/virtio/packed_queue.ts";
import { RamView } from "../../../core/virtio/ram_view.ts";
import { SplitQueue } from "../../../core/virtio/split_queue.ts";
import { fakeRam, FakeRing } from "../../support/fake_driver.ts";
import { FakePackedRing } from "../../support/fake_packed_ring.ts";

const writable = { at: 0x9000, length: 5, write: true };

function split(size: number) {
  const ram = fakeRam();
  const ring = new FakeRing(ram, size);
  const queue = new SplitQueue(new RamView(ram), ring.setup());
  return { ring, queue: new InOrderQueue(queue) };
}

Deno.test("InOrderQueue gives chains back in the order in which they came", () => {
  const { ring, queue } = split(8);
  assertEquals([queue.size, queue.pop()], [8, null]);
  for (let i = 0; i < 4; i++) ring.add(writable);
  const chains = Array.from({ length: 4 }, () => queue.pop()!);
  queue.addUsed(chains[2]!, 3);
  queue.addUsed(chains[1]!, 2);
  assertEquals(ring.takeUsed(), []);
  queue.addUsed(chains[0]!, 1);
  assertEquals(ring.takeUsed(), [
    { id: 0, length: 1 },
    { id: 1, length: 2 },
    { id: 2, length: 3 },
  ]);
  queue.addUsed(chains[3]!, 0);
  assertEquals(ring.takeUsed(), [{ id: 3, length: 0 }]);
});

Deno.test("InOrderQueue interrupts only for what the driver sees", () => {
  const { ring, queue } = split(8);
  ring.add(writable);
  ring.add(writable);
  const [first, second] = [queue.pop()!, queue.pop()!];
  queue.addUsed(second, 5);
  assertEquals(queue.needsInterrupt(), false);
  queue.addUsed(first, 5);
  assertEquals(queue.needsInterrupt(), true);
});

Deno.test("InOrderQueue passes the driver's kicks on", () => {
  const { ring, queue } = split(8);
  queue.disableNotifications();
  assertEquals(ring.usedFlags, 1);
  assertEquals(queue.enableNotifications(), false);
  assertEquals(ring.usedFlags, 0);
  ring.add(writable);
  assertEquals(queue.enableNotifications(), true);
});

Deno.test("InOrderQueue holds an early chain whose head was used before", () => {
  const { ring, queue } = split(4);
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < 4; i++) ring.add(writable);
    const chains = Array.from({ length: 4 }, () => queue.pop()!);
    for (const i of [3, 1, 2]) queue.addUsed(chains[i]!, i);
    assertEquals(ring.takeUsed(), []);
    queue.addUsed(chains[0]!, 0);
    assertEquals(ring.takeUsed().map(({ length }) => length), [0, 1, 2, 3]);
  }
});

Deno.test("InOrderQueue keeps lengths of 2 GiB and more", () => {
  for (const length of [2 ** 31, 2 ** 32 - 1]) {
    const { ring, queue } = split(2);
    ring.add(writable);
    queue.addUsed(queue.pop()!, length);
    assertEquals(ring.takeUsed(), [{ id: 0, length }]);
  }
});

Deno.test("InOrderQueue keeps the order of a packed ring, chains of any length", () => {
  const ram = fakeRam();
  const ring = new FakePackedRing(ram, 5);
  const queue = new InOrderQueue(
    new PackedQueue(new RamView(ram), ring.setup()),
  );
  for (let round = 0; round < 50; round++) {
    const ids = [
      ring.add([writable, writable]),
      ring.add([writable]),
      ring.addIndirect([writable, writable]),
    ];
    const chains = Array.from({ length: 3 }, () => queue.pop()!);
    queue.addUsed(chains[2]!, 2);
    queue.addUsed(chains[1]!, 1);
    assertEquals(ring.takeUsed(), []);
    queue.addUsed(chains[0]!, 0);
    assertEquals(ring.takeUsed(), ids.map((id, length) => ({ id, length })));
    ring.recycleTables();
  }
});
