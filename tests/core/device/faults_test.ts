import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { QUEUE_COUNT } from "../../../core/virtio/device_page.ts";
import { FakeMachine, inlineModule } from "../../support/fake_machine.ts";

const answer = { at: 0x8000, length: 16, write: true };
/** Long enough for a worker that lives, short enough for a test. */
const BUDGET = 1000;

// A thread that does not come back within the budget. It does later, or it would slow down every test behind.
const STUCK =
  `for (const end = performance.now() + 1500; performance.now() < end;);`;

/** A device that does what the first byte of a request says; it outlives most of that. */
function device(evil: string, before = ""): string {
  return inlineModule(
    `{
      id: 7,
      features: { A: 3 },
      config: { byte: "u8", bytes: 3 },
      queues: { q: 8 },
      create: ({ queue, negotiated, updateConfig }) => ({
        queues: { q({ readable, writable, capacity }) {
          if (readable.u8() !== 0) {
            writable.write(new Uint8Array([0x55]));
            return (() => { ${evil} })();
          }
          return writable.write(new Uint8Array([0xaa]));
        } },
      }),
    }`,
    before,
  );
}

async function ask(machine: FakeMachine, evil: number) {
  const ring = await machine.bringUp();
  machine.bytes[0x9000] = evil;
  ring.add({ at: 0x9000, length: 1 }, answer);
  machine.kick();
  return ring;
}

/** Waits until the device is about to do what it was asked for: it writes into the chain first. */
function taken(machine: FakeMachine): Promise<void> {
  return machine.until(() => machine.bytes[0x8000] === 0x55);
}

async function servesAfterReset(machine: FakeMachine) {
  await machine.reset();
  assertEquals(machine.status, 0);
  const ring = await ask(machine, 0);
  assertEquals(await machine.used(ring, 1), [{ id: 0, length: 1 }]);
}

/** The device fails at a request, says why, and serves again after the driver's reset. */
function recovers(name: string, evil: string, says: string): void {
  Deno.test(`A device that ${name} needs a reset, and serves after it`, async () => {
    await using machine = await FakeMachine.start({ module: device(evil) });
    await ask(machine, 1);
    await machine.needsReset();
    assertEquals(machine.status, 0x4f);
    assertStringIncludes(machine.faults.join(), says);
    await servesAfterReset(machine);
  });
}

recovers("throws in a handler", `throw new Error("no disk")`, "no disk");
recovers("throws no error", `throw null`, "null");
recovers("rejects", `return Promise.reject(new Error("later"))`, "later");
recovers("returns nothing", ``, "undefined");
recovers("returns nothing", "", "undefined is not how many bytes were written");
recovers("says it wrote too much", `return capacity + 1`, "room for 16");
recovers("says it wrote NaN bytes", `return NaN`, "NaN");
recovers("says it wrote -1 bytes", `return -1`, "-1");
recovers(
  "says later that it wrote too much",
  `return Promise.resolve(17)`,
  "room for 16",
);
recovers(
  "throws out of all handlers",
  `setTimeout(() => { throw new Error("loose") }); return new Promise(() => {})`,
  "loose",
);
recovers(
  "forgets a rejection",
  `Promise.reject(new Error("forgotten")); return new Promise(() => {})`,
  "forgotten",
);
recovers(
  "changes configuration space that it does not have",
  `updateConfig({ more: 1 })`,
  "there is no config field more",
);
recovers(
  "changes configuration space to what a field cannot hold",
  `updateConfig({ byte: 256 })`,
  "config field byte takes a whole number from 0 to 255, not 256",
);
recovers(
  "asks for a feature that it does not declare",
  `negotiated("toString")`,
  "there is no feature toString",
);
recovers(
  "asks for a queue that it does not declare",
  `queue("toString")`,
  "there is no queue toString",
);

Deno.test("A refused updateConfig changes nothing, nor does it keep ConfigGeneration", async () => {
  await using machine = await FakeMachine.start({
    module: device(`updateConfig({ byte: 5, bytes: new Uint8Array(2) })`),
  });
  const before = machine.words[2]!;
  await ask(machine, 1);
  await machine.needsReset();
  assertStringIncludes(machine.faults.join(), "a Uint8Array of 3 bytes");
  assertEquals([machine.words[2]! & 1, machine.words[2]], [0, before]);
  assertEquals(await machine.read(0x100), 0);
});

for (
  const [name, evil] of [
    ["never returns", STUCK],
    ["ends its process", `Deno.exit(3)`],
    ["closes its worker", `self.close()`],
    ["never answers a request", `return new Promise(() => {})`],
  ] as const
) {
  Deno.test(`A device that ${name} is cut off at the reset`, async () => {
    await using machine = await FakeMachine.start({
      module: device(evil),
      budgetMs: BUDGET,
    });
    await ask(machine, 1);
    await taken(machine);
    const started = performance.now();
    await machine.reset();
    assert(performance.now() - started < BUDGET + 10_000);
    assertEquals(machine.status, 0x40);
    assertEquals(machine.faults.length, 1);
    assertStringIncludes(machine.faults[0]!, "did not answer in 1 s");
    // The driver may try what it likes: the device stays where it is.
    await machine.reset();
    await machine.negotiate();
    await machine.driverOk();
    assertEquals(machine.status & 0x44, 0x40);
    assertEquals(machine.faults.length, 1);
  });
}

Deno.test("A device that answers after it was cut off writes nothing", async () => {
  await using machine = await FakeMachine.start({
    module: device(`
      const end = performance.now() + 6000; while (performance.now() < end);
      return 0;`),
    budgetMs: BUDGET,
  });
  const ring = await ask(machine, 1);
  await taken(machine);
  await machine.reset();
  const after = machine.bytes.slice();
  await new Promise((go) => setTimeout(go, 6000));
  assertEquals(machine.bytes, after);
  assertEquals(ring.usedIdx, 0);
});

Deno.test("A device that was cut off stays so while its thread runs, however often its module changes", async () => {
  await using machine = await FakeMachine.start({
    module: device(STUCK),
    budgetMs: BUDGET,
  });
  await ask(machine, 1);
  await taken(machine);
  await machine.reset();
  const cutOff = Atomics.load(machine.words, QUEUE_COUNT);
  for (let save = 0; save < 3; save++) {
    machine.host.reload({});
    await machine.reset();
    assertEquals(machine.status, 0x40);
    assertEquals(Atomics.load(machine.words, QUEUE_COUNT), cutOff);
  }
});

Deno.test("A device that dies again and again costs nobody else anything", async () => {
  await using machine = await FakeMachine.start({
    module: device(
      `setTimeout(() => { throw new Error("again") }); return new Promise(() => {})`,
    ),
  });
  for (let i = 0; i < 5; i++) {
    await ask(machine, 1);
    await machine.needsReset();
    await servesAfterReset(machine);
    await machine.reset();
  }
  assertEquals(machine.faults.length, 5);
});

Deno.test("A device whose reset() throws is reset all the same", async () => {
  await using machine = await FakeMachine.start({
    module: inlineModule(`{ id: 7, queues: { q: 8 }, create: () => ({
      queues: { q: ({ writable }) => writable.write(new Uint8Array(1)) },
      reset() { throw new Error("reset fails"); } }) }`),
  });
  await machine.bringUp();
  await machine.reset();
  assertEquals(machine.status, 0);
  const ring = await machine.bringUp();
  ring.add(answer);
  machine.kick();
  assertEquals((await machine.used(ring, 1)).length, 1);
});

for (
  const [name, close] of [
    ["throws", `throw new Error("close fails")`],
    ["never returns", STUCK],
  ] as const
) {
  Deno.test(`A device whose close() ${name} does not hold the VM`, async () => {
    const machine = await FakeMachine.start({
      module: inlineModule(
        `{ id: 7, queues: {}, create: () => ({ queues: {}, close() { ${close} } }) }`,
      ),
      budgetMs: BUDGET,
    });
    const started = performance.now();
    await machine.host.close();
    assert(performance.now() - started < BUDGET + 10_000);
    assertEquals(machine.faults.length, 1);
  });
}
