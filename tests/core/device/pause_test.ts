// PAUSE (7) and RESUME (8): what is in flight is finished first, nothing is served between them, and nothing is lost.
import { assertEquals, assertStringIncludes } from "@std/assert";
import { FakeMachine, inlineModule } from "../../support/fake_machine.ts";
import type { FakeRing } from "../../support/fake_driver.ts";

const answer = { at: 0x8000, length: 16, write: true };
const pause = (machine: FakeMachine) => machine.host.command(7);
const resume = (machine: FakeMachine) => machine.host.command(8);
const wait = (ms: number) => new Promise((go) => setTimeout(go, ms));

/** Serves `fast` at once, `slow` after 60 ms, and pulls from `pulled`, which it keeps; a message has it look there. */
const DEVICE = inlineModule(`{
  id: 7,
  queues: { fast: 8, slow: 8, pulled: 8 },
  create({ log, port, queue }) {
    let kept = null;
    const one = Uint8Array.of(1);
    function drain(from) {
      for (let chain; (chain = from.pop()) !== null;) {
        from.addUsed(chain, chain.writable.write(one));
      }
      from.flush();
    }
    port.onmessage = () => {
      log("looks: " + queue("fast") + " " + queue("pulled"));
      drain(kept);
    };
    return {
      queues: {
        fast: ({ writable }) => writable.write(one),
        async slow({ writable }) {
          port.postMessage("slow begins");
          await new Promise((go) => setTimeout(go, 60));
          log("slow is done");
          return writable.write(one);
        },
        pulled: { available(from) { drain(kept = from); } },
      },
      async pause() {
        log("pauses");
        await new Promise((go) => setTimeout(go, 20));
        log("paused");
      },
      async resume() {
        await new Promise((go) => setTimeout(go, 20));
        log("resumed");
      },
      reset: () => log("reset"),
    };
  },
}`);

async function start(): Promise<[FakeMachine, FakeRing[]]> {
  const machine = await FakeMachine.start({ module: DEVICE });
  await machine.negotiate();
  const rings: FakeRing[] = [];
  for (const index of [0, 1, 2]) rings.push(await machine.queue(index, 8));
  await machine.driverOk();
  return [machine, rings];
}

/** Log lines are messages, which may come after the answer to a command. */
async function logged(machine: FakeMachine, lines: string[]): Promise<void> {
  await machine.until(() => machine.logged.length >= lines.length);
  assertEquals(machine.logged, lines);
}

/** A chain in each ring, with a kick. */
function offer(machine: FakeMachine, rings: readonly FakeRing[]): void {
  for (const [index, ring] of rings.entries()) {
    ring.add(answer);
    machine.kick(index);
  }
}

const usedOf = (rings: readonly FakeRing[]) => rings.map((one) => one.usedIdx);

Deno.test("PAUSE is answered when what is in flight is finished and the device is paused", async () => {
  const [machine, rings] = await start();
  await using _ = machine;
  const begun = Promise.withResolvers<unknown>();
  machine.host.port.onmessage = begun.resolve;
  offer(machine, rings);
  await Promise.all([begun.promise, machine.used(rings[2]!, 1)]);
  assertEquals(await pause(machine), true);
  assertEquals(usedOf(rings), [1, 1, 1]);
  await logged(machine, ["slow is done", "pauses", "paused"]);
  assertEquals((await machine.read(0x060)) & 1, 1, "the driver is told");
});

Deno.test("Nothing is served between PAUSE and RESUME, and all that came meanwhile after it", async () => {
  const [machine, rings] = await start();
  await using _ = machine;
  await pause(machine);
  const { interrupts } = machine;
  for (let i = 0; i < 3; i++) offer(machine, rings);
  await wait(40);
  assertEquals([usedOf(rings), machine.interrupts], [[0, 0, 0], interrupts]);
  assertEquals(await resume(machine), true);
  for (const ring of rings) await machine.used(ring, 3);
  const slow = "slow is done";
  await logged(machine, ["pauses", "paused", "resumed", slow, slow, slow]);
  assertEquals(machine.faults, []);
});

Deno.test("Chains that came without a kick while a device was paused are served after RESUME", async () => {
  const [machine, rings] = await start();
  await using _ = machine;
  await pause(machine);
  for (const ring of rings) ring.add(answer);
  await resume(machine);
  for (const ring of rings) await machine.used(ring, 1);
});

Deno.test("A paused device gets no chain that a message has it look for, and gets it after RESUME", async () => {
  const [machine, rings] = await start();
  await using _ = machine;
  offer(machine, rings);
  for (const ring of rings) await machine.used(ring, 1);
  await pause(machine);
  rings[2]!.add(answer);
  machine.host.port.postMessage("look");
  await logged(machine, [
    "slow is done",
    "pauses",
    "paused",
    "looks: null null",
  ]);
  await wait(20);
  assertEquals(rings[2]!.usedIdx, 1);
  await resume(machine);
  assertEquals((await machine.used(rings[2]!, 1)).length, 1);
  assertEquals(machine.faults, []);
});

Deno.test("A device that is paused before DRIVER_OK serves after RESUME only", async () => {
  await using machine = await FakeMachine.start({ module: DEVICE });
  await pause(machine);
  const ring = await machine.bringUp();
  ring.add(answer);
  machine.kick();
  await wait(20);
  assertEquals(ring.usedIdx, 0);
  await resume(machine);
  assertEquals((await machine.used(ring, 1)).length, 1);
});

Deno.test("A paused device can be reset, and stays paused", async () => {
  const [machine, rings] = await start();
  await using _ = machine;
  await pause(machine);
  offer(machine, rings);
  await machine.reset();
  await logged(machine, ["pauses", "paused", "reset"]);
  const ring = await machine.bringUp();
  ring.add(answer);
  machine.kick();
  await wait(20);
  assertEquals(ring.usedIdx, 0);
  await resume(machine);
  assertEquals((await machine.used(ring, 1)).length, 1);
});

Deno.test("A device without pause() and resume() pauses too", async () => {
  const module = inlineModule(`{ id: 7, queues: { q: 8 }, create: () => ({
    queues: { q: () => 0 } }) }`);
  await using machine = await FakeMachine.start({ module });
  const ring = await machine.bringUp();
  await pause(machine);
  ring.add(answer);
  machine.kick();
  await wait(20);
  assertEquals(ring.usedIdx, 0);
  await resume(machine);
  assertEquals((await machine.used(ring, 1)).length, 1);
});

Deno.test("A device whose pause() throws is at fault, and serves after its reset", async () => {
  const module = inlineModule(`{ id: 7, queues: { q: 8 }, create: () => ({
    queues: { q: () => 0 },
    pause() { throw new Error("cannot pause"); } }) }`);
  await using machine = await FakeMachine.start({ module });
  await machine.bringUp();
  assertEquals(await pause(machine), false);
  await machine.needsReset();
  assertStringIncludes(machine.faults.join(), "cannot pause");
  assertEquals(await resume(machine), true);
  await machine.reset();
  const ring = await machine.bringUp();
  ring.add(answer);
  machine.kick();
  assertEquals((await machine.used(ring, 1)).length, 1);
});

Deno.test("A request that never ends is not waited for without end when the VM is paused", async () => {
  const module = inlineModule(`{ id: 7, queues: { q: 8 }, create: () => ({
    queues: { q({ writable }) {
      writable.write(Uint8Array.of(1));
      return new Promise(() => {});
    } } }) }`);
  await using machine = await FakeMachine.start({ module, budgetMs: 1000 });
  const ring = await machine.bringUp();
  ring.add(answer);
  machine.kick();
  await machine.until(() => machine.bytes[0x8000] === 1);
  assertEquals(await pause(machine), false);
  assertStringIncludes(machine.faults.join(), "did not answer in 1 s");
});

Deno.test("Hundreds of pauses under load lose no request", async () => {
  const module = inlineModule(`{ id: 7, queues: { q: 16 }, create: () => ({
    queues: { async q({ writable }) {
      await null;
      return writable.write(Uint8Array.of(1));
    } } }) }`);
  await using machine = await FakeMachine.start({ module });
  const ring = await machine.bringUp(16);
  for (let round = 0; round < 300; round++) {
    for (let i = 0; i < 16; i++) ring.add(answer);
    machine.kick();
    await pause(machine);
    const used = ring.usedIdx;
    if (round % 50 === 0) await wait(5);
    assertEquals(ring.usedIdx, used);
    await resume(machine);
    await machine.used(ring, 16);
  }
  assertEquals(machine.faults, []);
});
