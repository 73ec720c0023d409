// What a device does with a packed ring: virtio-v1.3 §2.8.
import { assertEquals } from "@std/assert";
import { PackedQueue } from "../../core/virtio/packed_queue.ts";
import { RamView } from "../../core/virtio/ram_view.ts";
import { fakeRam } from "../support/fake_driver.ts";
import { FakeMachine, inlineModule } from "../support/fake_machine.ts";
import { FakePackedRing } from "../support/fake_packed_ring.ts";
import { bringUpPacked, taken, THINKER } from "./driver.ts";

const answer = { at: 0x9000, length: 4, write: true };

function rings(size = 8) {
  const ram = fakeRam();
  const ring = new FakePackedRing(ram, size);
  const queue = new PackedQueue(new RamView(ram), ring.setup());
  return { ring, queue, bytes: new Uint8Array(ram.buffer) };
}

const thinker = (inOrder = false) =>
  FakeMachine.start({
    module: inlineModule(THINKER),
    virtio: { ring: "packed", inOrder },
  });

Deno.test("A packed queue is started in order, and used in the order of completion", async () => {
  await using machine = await thinker();
  const ring = await bringUpPacked(machine);
  machine.bytes.set([90, 50, 10], 0x8000);
  const ids = [0, 1, 2].map((i) =>
    ring.add([{ at: 0x8000 + i, length: 1 }, { ...answer, at: 0x9000 + i }])
  );
  machine.kick();
  const used = await taken(machine, ring, 3);
  assertEquals(used.map(({ id }) => id), ids.toReversed());
  // Had they been started one after the other, the last one would not have been the first.
  assertEquals(
    machine.bytes.slice(0x9000, 0x9003),
    new Uint8Array([90, 50, 10]),
  );
});

Deno.test("With IN_ORDER the chains of a packed queue come back as they were made available", async () => {
  await using machine = await thinker(true);
  const ring = await bringUpPacked(machine, 8, 0xd);
  machine.bytes.set([90, 50, 10], 0x8000);
  const ids = [0, 1, 2].map((i) =>
    ring.add([{ at: 0x8000 + i, length: 1 }, answer])
  );
  machine.kick();
  const used = await taken(machine, ring, 3);
  assertEquals(used, ids.map((id) => ({ id, length: 1 })));
});

Deno.test("PackedQueue starts chains in the order of the ring, whatever their ids", () => {
  const { ring, queue } = rings();
  const ids = [5, 0, 7, 3];
  for (const id of ids) ring.add([answer], id);
  assertEquals(ids.map(() => queue.pop()!.head), ids);
});

Deno.test("PackedQueue reads a list in the order of its descriptors", () => {
  const { ring, queue, bytes } = rings();
  bytes.set([1, 2, 3, 4, 5, 6], 0x8000);
  ring.add([
    { at: 0x8004, length: 2 },
    { at: 0x8000, length: 1 },
    { at: 0x8001, length: 3 },
    { ...answer, at: 0x9004 },
    { ...answer, at: 0x9000 },
  ]);
  const chain = queue.pop()!;
  const read = new Uint8Array(6);
  chain.readable.read(read);
  assertEquals(read, new Uint8Array([5, 6, 1, 2, 3, 4]));
  chain.writable.write(new Uint8Array([1, 1, 1, 1, 2, 2]));
  assertEquals(
    bytes.slice(0x9000, 0x9008),
    new Uint8Array([2, 2, 0, 0, 1, 1, 1, 1]),
  );
});

Deno.test("PackedQueue leaves a used descriptor alone, and the driver's buffers too", () => {
  const { ring, queue, bytes } = rings();
  bytes.fill(0x5a, 0x8000, 0x8010);
  for (let i = 0; i < 4; i++) ring.add([{ at: 0x8000, length: 8 }, answer]);
  const chains = [0, 1, 2, 3].map(() => queue.pop()!);
  const slots: Uint8Array[] = [];
  for (const chain of chains) {
    chain.writable.write(new Uint8Array([1, 2]));
    queue.addUsed(chain, 2);
    slots.push(bytes.slice(ring.desc + 32 * slots.length).slice(0, 32));
    queue.enableNotifications();
    queue.disableNotifications();
    slots.forEach((slot, i) => {
      const at = ring.desc + 32 * i;
      assertEquals(bytes.slice(at, at + 32), slot);
    });
  }
  assertEquals(queue.pop(), null);
  assertEquals(bytes.slice(0x8000, 0x8010), new Uint8Array(16).fill(0x5a));
});

Deno.test("PackedQueue heeds WRITE only in an indirect table", () => {
  const { ring, queue } = rings();
  ring.descriptor(0, 0x8000, 3, 0x4 | 0x80 | 0x1, 0, 0x4000); // INDIRECT, AVAIL, NEXT
  ring.descriptor(1, 0x9000, 7, 0x2 | 0x4 | 0x8000, 9, 0x4000); // WRITE, INDIRECT, USED
  // WRITE on the table's own descriptor means nothing either.
  ring.descriptor(0, 0x4000, 32, 0x4 | 0x2 | ring.available, 0);
  const chain = queue.pop()!;
  assertEquals([chain.readable.remaining, chain.capacity], [3, 7]);
});

Deno.test("PackedQueue says by WRITE whether anything was written", () => {
  const { ring, queue } = rings();
  for (const written of [0, 4]) {
    ring.add([answer]);
    queue.addUsed(queue.pop()!, written);
  }
  const flags = [0, 1].map((i) =>
    ring.view.getUint16(ring.desc + 16 * i + 14, true)
  );
  assertEquals(flags, [0x8080, 0x8082]);
});
