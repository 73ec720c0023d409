import { assertEquals } from "@std/assert";
import {
  BEGAN,
  FakeMachine,
  HELD,
  inlineModule,
} from "../../support/fake_machine.ts";
import type { FakeRing } from "../../support/fake_driver.ts";
import { FakePackedRing } from "../../support/fake_packed_ring.ts";

/** Writes the number of the request into each chain; `log` for what it was told. */
const COUNTER = inlineModule(`{
  id: 0x1234,
  features: { A: 3, B: 4 },
  queues: { q0: 16, q1: 4, never: 4 },
  create({ log, negotiated }) {
    let count = 0;
    return {
      queues: {
        q0: ({ writable }) => writable.write(new Uint8Array([++count])),
        q1: () => 0,
        never: null,
      },
      activate: () => log("activate " + negotiated("A") + negotiated("B")),
      reset: () => log("reset"),
      close: () => log("close"),
    };
  },
}`);

/** Answers each request \`ms\` later. */
const SLOW = inlineModule(`{
  id: 7,
  queues: { q: 16 },
  create: ({ options }) => ({ queues: { async q({ writable }) {
    await new Promise((go) => setTimeout(go, options.ms));
    return writable.write(new Uint8Array([0xee]));
  } } }),
}`);

const answer = { at: 0x8000, length: 16, write: true };

Deno.test("A device is brought up, serves, and is told of each step", async () => {
  const machine = await FakeMachine.start({ module: COUNTER });
  {
    await using _ = machine;
    await machine.negotiate(1 << 3);
    const ring = await machine.queue(0, 8);
    await machine.driverOk();
    assertEquals(machine.status, 0xf);
    ring.add(answer);
    machine.kick();
    assertEquals(await machine.used(ring, 1), [{ id: 0, length: 1 }]);
    await machine.until(() => machine.interrupts === 1);
    assertEquals(await machine.read(0x060), 1);
    await machine.write(0x064, 1);
    assertEquals(await machine.read(0x060), 0);
    await machine.reset();
    assertEquals(machine.status, 0);
  }
  assertEquals(machine.logged, [
    "activate truefalse",
    "reset",
    "reset",
    "close",
  ]);
  assertEquals(machine.driverErrors, []);
  assertEquals(machine.faults, []);
});

Deno.test("A kick before DRIVER_OK is not lost after it", async () => {
  await using machine = await FakeMachine.start({ module: COUNTER });
  await machine.negotiate();
  const ring = await machine.queue(0, 8);
  ring.add(answer);
  machine.kick();
  await new Promise((go) => setTimeout(go, 20));
  assertEquals(ring.usedIdx, 0);
  await machine.driverOk();
  assertEquals((await machine.used(ring, 1)).length, 1);
});

Deno.test("Chains that were there before DRIVER_OK need no kick", async () => {
  await using machine = await FakeMachine.start({ module: COUNTER });
  await machine.negotiate();
  const ring = await machine.queue(0, 8);
  ring.add(answer);
  await machine.driverOk();
  assertEquals((await machine.used(ring, 1)).length, 1);
});

Deno.test("A kick of a queue without a handler is ignored", async () => {
  await using machine = await FakeMachine.start({ module: COUNTER });
  await machine.negotiate();
  const ring = await machine.queue(0, 8);
  const idle = await machine.queue(2, 4);
  await machine.driverOk();
  idle.add(answer);
  machine.kick(2);
  machine.kick(1);
  ring.add(answer);
  machine.kick(0);
  await machine.used(ring, 1);
  assertEquals(idle.usedIdx, 0);
});

Deno.test("A full ring with EVENT_IDX and indirect chains goes round many times", async () => {
  await using machine = await FakeMachine.start({ module: COUNTER });
  const ring = await machine.bringUp(16, (1 << 28) | (1 << 29));
  let served = 0;
  for (let round = 0; round < 300; round++) {
    for (let i = 0; i < 16; i++) {
      if (i % 2) ring.add(answer);
      else ring.addIndirect(answer);
    }
    ring.usedEvent = (served + 15) & 0xffff;
    machine.kick();
    served += (await machine.used(ring, 16)).length;
    if (round % 20 === 0) ring.recycleTables();
  }
  assertEquals(served, 4800);
});

Deno.test("QueueReady = 0 takes the queue back before it is answered", async () => {
  await using machine = await FakeMachine.start({ module: COUNTER });
  const ring = await machine.bringUp();
  await machine.write(0x044, 0);
  assertEquals(await machine.read(0x044), 0);
  ring.add(answer);
  machine.kick();
  await new Promise((go) => setTimeout(go, 20));
  assertEquals(ring.usedIdx, 0);
  await machine.write(0x044, 1);
  assertEquals(await machine.read(0x044), 0, "not while the device is live");
});

/** Makes a request of HELD that is in flight. */
async function hold(machine: FakeMachine): Promise<FakeRing> {
  const ring = await machine.bringUp();
  machine.bytes[answer.at] = 0;
  ring.add(answer);
  machine.kick();
  await machine.until(() => machine.bytes[answer.at] === BEGAN);
  return ring;
}

/** Takes a queue back in the middle of a request: nothing is written after it, and the device serves again. */
async function takeBackInFlight(
  takeBack: (machine: FakeMachine) => Promise<void>,
): Promise<void> {
  await using machine = await FakeMachine.start({ module: HELD });
  const ring = await hold(machine);
  await takeBack(machine);
  const after = machine.bytes.slice();
  await new Promise((go) => setTimeout(go, 80));
  assertEquals(machine.bytes, after);
  assertEquals([ring.usedIdx, machine.interrupts], [0, 0]);
  // It was there until the answer.
  assertEquals(machine.bytes[answer.at + 1], 0);
  await machine.reset();
  await hold(machine);
  assertEquals(machine.faults, []);
}

Deno.test("A reset tells requests in flight to end, waits for them, and drops them", () =>
  takeBackInFlight((machine) => machine.reset()));

Deno.test("QueueReady = 0 tells requests in flight to end, waits for them, and drops them", () =>
  takeBackInFlight((machine) => machine.write(0x044, 0)));

/** The three ways in which a driver takes its buffers back; the first two leave the device itself live. */
const TAKE_BACK: readonly ((machine: FakeMachine) => Promise<void>)[] = [
  (machine) => machine.write(0x0c0, 1), // QueueReset
  (machine) => machine.write(0x044, 0), // QueueReady
  () => Promise.resolve(),
];

/** Takes requests back in flight ten thousand times; nothing is written after the answer. */
async function takeBackAgainAndAgain(ring: "split" | "packed"): Promise<void> {
  const isPacked = ring === "packed";
  await using machine = await FakeMachine.start({
    module: SLOW,
    options: { ms: 0 },
    virtio: { ring },
  });
  const bringUp = async () => {
    // VERSION_1, RING_RESET, RING_PACKED
    await machine.negotiate(0, isPacked ? 0x105 : 0x101);
    const queue = isPacked
      ? await machine.packedQueue(0, 4)
      : await machine.queue(0, 4);
    await machine.driverOk();
    return queue;
  };
  const offer = (queue: FakeRing | FakePackedRing) => {
    if (queue instanceof FakePackedRing) queue.add([answer]);
    else queue.add(answer);
  };
  for (let i = 0; i < 10_000; i++) {
    const queue = await bringUp();
    for (let n = 0; n < 4; n++) offer(queue);
    machine.kick();
    await TAKE_BACK[i % 3]!(machine);
    if (i % 3 === 2) await machine.reset();
    if (i % 100 < 3) {
      const after = machine.bytes.slice();
      await new Promise((go) => setTimeout(go, 5));
      assertEquals(machine.bytes, after);
    }
    if (i % 3 !== 2) await machine.reset();
  }
  const queue = await bringUp();
  offer(queue);
  machine.kick();
  assertEquals(await machine.used(queue, 1), [{ id: 0, length: 1 }]);
  assertEquals([machine.driverErrors, machine.faults], [[], []]);
}

Deno.test("Ten thousand resets with requests in flight leave nothing behind", () =>
  takeBackAgainAndAgain("split"));

Deno.test("Ten thousand resets with requests in flight leave nothing behind in packed rings either", () =>
  takeBackAgainAndAgain("packed"));

Deno.test("A chain that a device pulled and kept is empty after the reset", async () => {
  await using machine = await FakeMachine.start({
    module: inlineModule(
      `{ id: 7, queues: { q: 4 }, create({ log, port, queue }) {
      let kept;
      port.onmessage = () => {
        log("left " + kept.writable.write(new Uint8Array([1, 2, 3])));
        queue("q").addUsed(kept, 3);
        queue("q").flush();
        log("given back");
      };
      return { queues: { q: {
        available(queue) {
          kept ??= queue.pop() ?? undefined;
          if (kept) log("kept");
        } } } };
    } }`,
    ),
  });
  const ring = await machine.bringUp(4);
  ring.add(answer);
  machine.kick();
  await machine.until(() => machine.logged.includes("kept"));
  await machine.reset();
  const again = await machine.bringUp(4);
  machine.logged.length = 0;
  machine.host.port.postMessage("write now");
  await machine.until(() => machine.logged.includes("given back"));
  assertEquals(machine.logged.filter((line) => line !== "kept"), [
    "left 0",
    "given back",
  ]);
  assertEquals(machine.faults, []);
  assertEquals([ring.usedIdx, again.usedIdx], [0, 0]);
});

Deno.test("Kicks without end do not keep a device from what it awaits", async () => {
  await using machine = await FakeMachine.start({
    module: SLOW,
    options: { ms: 1 },
  });
  const ring = await machine.bringUp();
  ring.add(answer);
  const deadline = performance.now() + 1000;
  // Main never comes up for air: only the worker's own turns can get the answer out.
  while (ring.usedIdx === 0 && performance.now() < deadline) machine.kick();
  assertEquals(ring.usedIdx, 1);
});
