import { assertEquals, assertThrows } from "@std/assert";
import {
  LiveQueue,
  type LiveQueueWiring,
} from "../../../core/device/live_queue.ts";
import { RamView } from "../../../core/virtio/ram_view.ts";
import { SplitQueue } from "../../../core/virtio/split_queue.ts";
import { fakeRam, FakeRing } from "../../support/fake_driver.ts";

const buffer = { at: 0x8000, length: 8, write: true };

function pulled(wiring: Partial<LiveQueueWiring> = {}) {
  const ram = fakeRam();
  const ring = new FakeRing(ram, 8);
  const queue = new LiveQueue(
    new SplitQueue(new RamView(ram), ring.setup()),
    null,
    {
      interrupt: () => {},
      commandPending: () => false,
      cutOff: () => false,
      again: () => {},
      fail: (error) => {
        throw error;
      },
      fault: () => {},
      ...wiring,
    },
  );
  return { ring, queue };
}

Deno.test("LiveQueue.pop() gives way to main, and asks to be called again", () => {
  let isPending = true;
  let again = 0;
  const { ring, queue } = pulled({
    commandPending: () => isPending,
    again: () => again++,
  });
  ring.add(buffer);
  assertEquals([queue.pop(), again], [null, 1]);
  isPending = false;
  assertEquals([queue.pop()?.head, again], [0, 1]);
});

Deno.test("LiveQueue.addUsed() refuses a chain that is given back twice", () => {
  const { ring, queue } = pulled();
  ring.add(buffer);
  const chain = queue.pop()!;
  queue.addUsed(chain, 3);
  assertThrows(() => queue.addUsed(chain, 3), RangeError, "given back twice");
  assertEquals(ring.takeUsed(), [{ id: 0, length: 3 }]);
});

Deno.test("LiveQueue.addUsed() refuses a length that the chain has no room for", () => {
  for (const written of [9, -1, 0.5, NaN]) {
    const { ring, queue } = pulled();
    ring.add(buffer);
    const chain = queue.pop()!;
    assertThrows(() => queue.addUsed(chain, written), RangeError, "has room");
    assertEquals(ring.takeUsed(), []);
  }
});

Deno.test("A chain that was pulled before the queue's reset is nothing to the next queue", async () => {
  const before = pulled();
  before.ring.add(buffer);
  const chain = before.queue.pop()!;
  await before.queue.stop();
  const after = pulled();
  before.queue.addUsed(chain, 0);
  after.queue.addUsed(chain, 0);
  assertEquals(chain.writable.write(new Uint8Array(8)), 0);
  assertEquals(before.queue.pop(), null);
  assertEquals([before.ring.usedIdx, after.ring.usedIdx], [0, 0]);
});
