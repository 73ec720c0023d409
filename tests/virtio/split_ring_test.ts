// What a device does with a split ring: virtio-v1.3 §2.7.
import { assertEquals } from "@std/assert";
import { RamView } from "../../core/virtio/ram_view.ts";
import { SplitQueue } from "../../core/virtio/split_queue.ts";
import { fakeRam, FakeRing } from "../support/fake_driver.ts";
import { FakeMachine, inlineModule } from "../support/fake_machine.ts";
import { accept, ECHO, pause, THINKER } from "./driver.ts";

const answer = { at: 0x9000, length: 4, write: true };

function rings(options: { eventIdx?: boolean } = {}) {
  const ram = fakeRam();
  const ring = new FakeRing(ram, 8);
  const queue = new SplitQueue(new RamView(ram), ring.setup(options));
  /** Uses one chain; returns whether the driver is to be interrupted. */
  const use = () => {
    ring.add(answer);
    queue.addUsed(queue.pop()!, 0);
    return queue.needsInterrupt();
  };
  return { ring, queue, use };
}

Deno.test("SplitQueue ignores WRITE in the descriptor of an indirect table", () => {
  const { ring, queue } = rings();
  ring.descriptor(0, 0x8000, 3, 0x1, 1, 0x4000);
  ring.descriptor(1, 0x9000, 7, 0x2, 0, 0x4000);
  for (const flags of [0x4, 0x6]) {
    ring.descriptor(0, 0x4000, 32, flags, 0);
    ring.publish(0);
    const chain = queue.pop()!;
    assertEquals([chain.readable.remaining, chain.capacity], [3, 7]);
    queue.addUsed(chain, 0);
  }
});

Deno.test("SplitQueue ignores used_event where EVENT_IDX was not negotiated", () => {
  const { ring, use } = rings();
  for (const event of [0, 1, 2, 0x7fff, 0xffff]) {
    ring.usedEvent = event;
    assertEquals(use(), true, `used_event ${event}`);
  }
});

Deno.test("SplitQueue ignores NO_INTERRUPT where EVENT_IDX was negotiated", () => {
  const { ring, use } = rings({ eventIdx: true });
  ring.availFlags = 1;
  ring.usedEvent = 0;
  assertEquals(use(), true);
  ring.availFlags = 0;
  assertEquals(use(), false);
});

Deno.test("A device leaves descriptors, the avail ring and readable buffers as they are", async () => {
  await using machine = await FakeMachine.start({ module: inlineModule(ECHO) });
  for (const low of [0, 0x3000_0000]) {
    const ring = await machine.bringUp(8, low);
    machine.bytes.fill(0x5a, 0x8000, 0x8010);
    ring.add({ at: 0x8000, length: 16 }, answer);
    ring.add(answer);
    if (low) ring.addIndirect({ at: 0x8000, length: 8 }, answer);
    const drivers = () => [
      machine.bytes.slice(ring.desc, ring.used),
      machine.bytes.slice(0x8000, 0x8010),
      machine.bytes.slice(ring.used + 6 + 8 * 8 + 2, 0x2000),
    ];
    const before = drivers();
    machine.kick();
    await machine.used(ring, low ? 3 : 2);
    assertEquals(drivers(), before);
    await machine.reset();
  }
});

Deno.test("What a used element says is there when the used index is", async () => {
  await using machine = await FakeMachine.start({
    module: inlineModule(`{ id: 0x2a, queues: { q: 16 }, create() {
      let count = 0;
      return { queues: { q({ writable }) {
        count = (count % 200) + 1;
        return writable.write(new Uint8Array(count).fill(count));
      } } };
    } }`),
  });
  const ring = await machine.bringUp(16);
  const buffer = { at: 0x9000, length: 256, write: true };
  for (let i = 0; i < 3000; i++) {
    const expected = (i % 200) + 1;
    machine.bytes.fill(0, 0x9000, 0x9100);
    const element = ring.used + 4 + 8 * (i % 16);
    ring.view.setUint32(element + 4, 0xdead_beef, true);
    ring.add(buffer);
    machine.kick();
    // This thread looks at the index without a pause, while the worker writes.
    const deadline = performance.now() + 3000;
    while (ring.usedIdx !== ((i + 1) & 0xffff)) {
      if (performance.now() > deadline) throw new Error("nothing was used");
    }
    assertEquals(ring.view.getUint32(element + 4, true), expected);
    assertEquals(machine.bytes[0x9000 + expected - 1], expected);
  }
});

Deno.test("Kicks for nothing do nothing", async () => {
  await using machine = await FakeMachine.start({ module: inlineModule(ECHO) });
  for (const low of [0, 1 << 29]) {
    const ring = await machine.bringUp(8, low);
    const before = machine.interrupts;
    for (let i = 0; i < 50; i++) {
      await machine.write(0x050, 0);
      if (i % 10 === 0) await pause(2);
    }
    assertEquals([ring.usedIdx, machine.interrupts], [0, before]);
    ring.add(answer);
    for (let i = 0; i < 5; i++) await machine.write(0x050, 0);
    await machine.used(ring, 1);
    await machine.until(() => machine.interrupts > before);
    await pause(5);
    assertEquals([ring.usedIdx, machine.interrupts], [1, before + 1]);
    await machine.reset();
  }
});

Deno.test("With IN_ORDER chains come back as they were made available", async () => {
  await using machine = await FakeMachine.start({
    module: inlineModule(THINKER),
    virtio: { inOrder: true },
  });
  for (const [high, order] of [[0x1, [2, 1, 0]], [0x9, [0, 1, 2]]] as const) {
    await accept(machine, 0, high);
    const ring = await machine.queue(0, 16);
    await machine.driverOk();
    machine.bytes.set([90, 50, 10], 0x8000);
    const heads = [0, 1, 2].map((i) =>
      ring.add({ at: 0x8000 + i, length: 1 }, answer)
    );
    machine.kick();
    const used = await machine.used(ring, 3);
    const expected = order.map((i) => ({ id: heads[i]!, length: 1 }));
    assertEquals(used, expected);
    await machine.reset();
  }
});
