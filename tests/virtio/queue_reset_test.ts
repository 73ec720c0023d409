// Reset of one queue by QueueReset: virtio-v1.3 §2.6.1, §4.2.2.1.
import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  BEGAN,
  FakeMachine,
  HELD,
  inlineModule,
} from "../support/fake_machine.ts";
import {
  accept,
  bringUpPacked,
  ECHO,
  packedQueue,
  pause,
  taken,
} from "./driver.ts";

const VERSION_1_AND_RING_RESET = 0x101;
const answer = { at: 0x8000, length: 4, write: true };

function start(module = inlineModule(ECHO)) {
  const options = { ms: 0 };
  const virtio = { ring: "packed" } as const;
  return FakeMachine.start({ module, options, virtio });
}

/** Makes a request of HELD that is in flight. */
async function hold(machine: FakeMachine) {
  const ring = await bringUp(machine);
  ring.add(answer);
  machine.kick();
  await machine.until(() => machine.bytes[answer.at] === BEGAN);
  return ring;
}

async function bringUp(machine: FakeMachine) {
  await accept(machine, 0, VERSION_1_AND_RING_RESET);
  const ring = await machine.queue(0, 8);
  await machine.driverOk();
  return ring;
}

Deno.test("A queue that was reset executes nothing and notifies nobody", async () => {
  await using machine = await start();
  const ring = await bringUp(machine);
  await machine.write(0x0c0, 1);
  ring.add(answer);
  machine.kick();
  await pause(20);
  assertEquals([ring.usedIdx, machine.interrupts], [0, 0]);
  assertEquals(await machine.read(0x060), 0);
});

Deno.test("A request in flight is not answered after its queue was reset", async () => {
  await using machine = await start(HELD);
  const ring = await hold(machine);
  await machine.write(0x0c0, 1);
  const after = machine.bytes.slice();
  await pause(60);
  assertEquals(machine.bytes, after);
  assertEquals([ring.usedIdx, machine.interrupts], [0, 0]);
});

Deno.test("QueueReset reads 1 while the reset goes on, then 0 as does QueueReady", async () => {
  await using machine = await start(HELD);
  await hold(machine);
  const reset = machine.write(0x0c0, 1);
  // As another vCPU, whose accesses are served while the first one waits.
  const seen = [0x0c0, 0x044].map((each) => machine.transport.read(each, 4));
  assertEquals(seen, [1, 1]);
  await reset;
  assertEquals([await machine.read(0x0c0), await machine.read(0x044)], [0, 0]);
});

Deno.test("A queue starts from the beginning after its reset, with another size and place", async () => {
  await using machine = await start();
  const first = await bringUp(machine);
  for (let i = 0; i < 3; i++) first.add(answer);
  machine.kick();
  await machine.used(first, 3);
  await machine.write(0x0c0, 1);
  const second = await machine.queue(0, 4, 0x6000);
  assertEquals([await machine.read(0x0c0), await machine.read(0x044)], [0, 1]);
  for (let i = 0; i < 4; i++) second.add(answer);
  machine.kick();
  assertEquals((await machine.used(second, 4)).map((one) => one.id), [
    0,
    1,
    2,
    3,
  ]);
  assertEquals([first.usedIdx, second.usedIdx], [3, 4]);
  assertEquals(machine.driverErrors, []);
});

Deno.test("A packed queue starts from the beginning after its reset", async () => {
  await using machine = await start();
  const first = await bringUpPacked(machine, 4, 0x105);
  for (let i = 0; i < 3; i++) first.add([answer]);
  machine.kick();
  await taken(machine, first, 3);
  await machine.write(0x0c0, 1);
  const second = await packedQueue(machine, 5);
  for (let i = 0; i < 5; i++) second.add([answer]);
  machine.kick();
  assertEquals((await taken(machine, second, 5)).length, 5);
});

Deno.test("QueueReset does nothing where it was not negotiated", async () => {
  await using machine = await start();
  const ring = await machine.bringUp();
  await machine.write(0x0c0, 1);
  assertStringIncludes(machine.driverErrors.join(), "2.6.1");
  assertEquals([await machine.read(0x0c0), await machine.read(0x044)], [0, 1]);
  ring.add(answer);
  machine.kick();
  assertEquals((await machine.used(ring, 1)).length, 1);
});

Deno.test("A device reset leaves QueueReset and QueueReady of every queue 0", async () => {
  await using machine = await start();
  await bringUp(machine);
  await machine.write(0x0c0, 1);
  await machine.reset();
  assertEquals([await machine.read(0x0c0), await machine.read(0x044)], [0, 0]);
  const ring = await bringUp(machine);
  await machine.reset();
  assertEquals([await machine.read(0x0c0), await machine.read(0x044)], [0, 0]);
  assertEquals(ring.usedIdx, 0);
});
