import { assertEquals } from "@std/assert";
import type { FakeRing } from "../../tests/support/fake_driver.ts";
import { FakeMachine } from "../../tests/support/fake_machine.ts";

const module = new URL("mod.ts", import.meta.url).href;

async function start() {
  const machine = await FakeMachine.start({ module, builtIn: false });
  return { machine, ring: await machine.bringUp() };
}

/** Takes a ride, and returns the total that the device answers with. */
async function ride(machine: FakeMachine, ring: FakeRing, metres: number) {
  ring.view.setUint32(0x8000, metres, true);
  ring.add({ at: 0x8000, length: 4 }, { at: 0x8004, length: 4, write: true });
  machine.kick();
  const [used] = await machine.used(ring, 1);
  assertEquals(used!.length, 4);
  return ring.view.getUint32(0x8004, true);
}

Deno.test("odometer adds rides up, and shows them in configuration space", async () => {
  const { machine, ring } = await start();
  await using _ = machine;
  assertEquals(await machine.read(0x008), 60);
  assertEquals(await ride(machine, ring, 1500), 1500);
  const generation = await machine.read(0x0fc);
  assertEquals(await ride(machine, ring, 42), 1542);
  assertEquals([await machine.read(0x100), await machine.read(0x104)], [
    1542,
    1542,
  ]);
  // The driver is told: another generation, and a configuration interrupt.
  assertEquals(await machine.read(0x0fc) === generation, false);
  assertEquals((await machine.read(0x060)) & 2, 2);
});

Deno.test("odometer begins a new trip when its field is written, and keeps its total, over a reset too", async () => {
  const { machine, ring } = await start();
  await using _ = machine;
  await ride(machine, ring, 100);
  await machine.write(0x104, 77);
  assertEquals(await machine.read(0x104), 0);
  await machine.write(0x100, 0); // read-only
  assertEquals(await machine.read(0x100), 100);
  await machine.reset();
  const again = await machine.bringUp();
  assertEquals(await ride(machine, again, 5), 105);
  assertEquals(await machine.read(0x104), 5);
});

Deno.test("odometer starts over after 2^32 metres", async () => {
  const { machine, ring } = await start();
  await using _ = machine;
  assertEquals(await ride(machine, ring, 0xffff_ffff), 0xffff_ffff);
  assertEquals(await ride(machine, ring, 3), 2);
});

Deno.test("odometer blames a driver whose ride has no metres", async () => {
  const { machine, ring } = await start();
  await using _ = machine;
  ring.add({ at: 0x8000, length: 3 }, { at: 0x8004, length: 4, write: true });
  machine.kick();
  await machine.needsReset();
  assertEquals(machine.driverErrors.length, 1);
  assertEquals(machine.faults, []);
});
