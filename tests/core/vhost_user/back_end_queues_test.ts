// Queues of a back end: stopped, and gone on with where they were; disabled, moved to other memory, called.

import { assert, assertEquals } from "@std/assert";
import { EventFd } from "../../../core/sys/fd.ts";
import { BackSide } from "../../support/fake_back_side.ts";
import { FakeRing } from "../../support/fake_driver.ts";
import {
  FakeGuest,
  HIGH,
  PACKED,
  u32s,
  u64,
  VERSION_1,
} from "../../support/fake_front_end.ts";
import { inlineModule } from "../../support/fake_machine.ts";
import { FakePackedRing } from "../../support/fake_packed_ring.ts";
import { answer, rng, SLOW } from "./back_end_devices.ts";
import { until } from "../../support/wait.ts";

Deno.test("GET_VRING_BASE waits for what is in flight, and the queue goes on from there", async () => {
  await using side = await BackSide.start({
    module: SLOW,
    options: { ms: 1500 },
  });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const ring = new FakeRing(guest.ram, 8);
  await front.queue(0, ring);
  for (let i = 0; i < 3; i++) ring.add({ ...answer, at: 0x8000 + 16 * i });
  front.kick();
  await until(() => guest.bytes[0x8020] === 3);
  assertEquals(ring.usedIdx, 0);
  assertEquals(await front.stop(0), 3);
  assertEquals(ring.usedIdx, 3);
  ring.add({ ...answer, at: 0x8100 });
  front.kick();
  await new Promise((go) => setTimeout(go, 20));
  assertEquals(guest.bytes[0x8100], 0);
  assert(await front.queue(0, ring, 3));
  assertEquals((await front.used(ring, 4)).at(-1), { id: 3, length: 1 });
  assertEquals(guest.bytes[0x8100], 4);
  assertEquals(await front.stop(0), 4);
  // Nothing was reset in between: the driver only paused.
  await until(() => side.logged.length > 0);
  assertEquals(side.logged, ["activate"]);
});

/** Keeps the second chain that it pulls, and answers all others. */
const KEEPER = inlineModule(`{
  id: 7,
  queues: { q: 16 },
  create: () => {
    let count = 0;
    return { queues: { q: { available(queue) {
      for (let chain; (chain = queue.pop()) !== null;) {
        if (++count !== 2) queue.addUsed(chain, chain.writable.write(new Uint8Array([count])));
      }
      queue.flush();
    } } } };
  },
}`);

for (const recorded of [false, true]) {
  Deno.test(`A chain that a device keeps comes again when its queue goes on${recorded ? ", as its record says" : ""}`, async () => {
    await using side = await BackSide.start({ module: KEEPER });
    using guest = new FakeGuest();
    using front = await side.connect(guest);
    await front.introduce();
    if (recorded) await front.makeInflight(1, 8);
    const ring = new FakeRing(guest.ram, 8);
    await front.queue(0, ring);
    const chains = recorded ? 3 : 2;
    for (let i = 0; i < chains; i++) {
      ring.add({ ...answer, at: 0x8000 + 16 * i });
    }
    front.kick();
    assertEquals((await front.used(ring, chains - 1))[0]!.id, 0);
    // Without a record there is only the used ring to go on from, so that what is kept has to be the last.
    const base = await front.stop(0);
    assertEquals(base, chains - 1);
    await front.queue(0, ring, base);
    assertEquals(await front.used(ring, 1), [{ id: 1, length: 1 }]);
    assertEquals(guest.bytes[0x8010], chains + 1);
    ring.add({ ...answer, at: 0x9000 });
    front.kick();
    assertEquals((await front.used(ring, 1))[0]!.id, chains);
  });
}

Deno.test("A packed queue stops and goes on in the middle of its ring", async () => {
  await using side = await BackSide.start({
    module: SLOW,
    options: { ms: 1 },
    virtio: { ring: "packed" },
  });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce(VERSION_1 | PACKED);
  const ring = new FakePackedRing(guest.ram, 4);
  let base = 0x8000_8000;
  const bases: number[] = [];
  for (let round = 0; round < 6; round++) {
    assert(await front.packedQueue(0, ring, base));
    ring.add([answer, { ...answer, at: 0x9000 }, { ...answer, at: 0xa000 }]);
    front.kick();
    await front.used(ring, 1);
    bases.push(base = await front.stop(0));
  }
  assertEquals(bases.map((each) => each >>> 0), [
    0x8003_8003, // 3, wrap counter 1
    0x0002_0002,
    0x8001_8001,
    0x0000_0000,
    0x0003_0003,
    0x8002_8002,
  ]);
});

Deno.test("A queue is disabled and enabled without losing what came meanwhile", async () => {
  await using side = await BackSide.start({ module: SLOW, options: { ms: 0 } });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const ring = new FakeRing(guest.ram, 8);
  await front.queue(0, ring);
  ring.add(answer);
  front.kick();
  await front.used(ring, 1);
  assert(await front.do(18, u32s(0, 0)));
  ring.add(answer);
  front.kick();
  await new Promise((go) => setTimeout(go, 20));
  assertEquals(ring.usedIdx, 1);
  assert(await front.do(18, u32s(0, 1)));
  await front.used(ring, 1);
});

Deno.test("Queues that are live go on after a new memory table", async () => {
  await using side = await BackSide.start({ module: SLOW, options: { ms: 2 } });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const rings = [0, 1].map((i) =>
    new FakeRing(guest.ram, 16, 0x1000 + 0x2000 * i)
  );
  for (const [i, ring] of rings.entries()) await front.queue(i, ring);
  for (let round = 0; round < 30; round++) {
    for (const [i, ring] of rings.entries()) {
      ring.add(answer);
      ring.add({ ...answer, at: HIGH });
      front.kick(i);
    }
    assert(await front.setMemory());
    for (const ring of rings) await front.used(ring, 2);
  }
  assertEquals(rings.map(({ usedIdx }) => usedIdx), [60, 60]);
});

Deno.test("The call descriptor may change at any time, and may be none", async () => {
  await using side = await BackSide.start(rng);
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const ring = new FakeRing(guest.ram, 8);
  await front.queue(0, ring);
  const [first] = front.calls as [EventFd];
  // It is called at once: a call of before may have got lost.
  assertEquals(front.taken(first), 1);
  /** Calls of one request, where one is to come. */
  const once = async (call?: EventFd) => {
    ring.add(answer);
    front.kick();
    await front.used(ring, 1);
    let calls = 0;
    if (call) await until(() => (calls = front.taken(call)) > 0);
    await new Promise((go) => setTimeout(go, 20));
    return calls;
  };
  assertEquals(await once(first), 1);
  using other = new EventFd();
  await front.do(13, u64(0), [other]);
  assertEquals(front.taken(other), 1);
  assertEquals(await once(other), 1);
  assertEquals([front.taken(first), front.taken(other)], [0, 0]);
  await front.do(13, u64(0x100));
  await once();
  assertEquals([front.taken(first), front.taken(other)], [0, 0]);
});
