import { everyAccess } from "../../support/every_access.ts";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { FakeMachine, inlineModule } from "../../support/fake_machine.ts";

const DEVICE = inlineModule(`{
  id: 0x2a,
  features: { A: 0, B: 5, C: 63 },
  config: {
    first: { type: "u16", writable: true },
    second: { type: "u16", writable: true },
    fixed: 4,
    last: { type: 2, writable: true },
  },
  queues: { a: 16, b: 4 },
  create({ config, log, port, updateConfig }) {
    port.onmessage = updateConfig;
    updateConfig({
      first: 0x0201, second: 0x0403,
      fixed: Uint8Array.of(5, 6, 7, 8), last: Uint8Array.of(9, 10),
    });
    return {
      queues: { a: ({ writable }) => writable.write(new Uint8Array([0xaa])), b: () => 0 },
      configWritten: (name) => log(name + " " + config[name].toString()),
    };
  },
}`);

const start = () => FakeMachine.start({ module: DEVICE });
const answer = { at: 0x8000, length: 16, write: true };

/** Still a device that can be brought up and that serves. */
async function serves(machine: FakeMachine): Promise<void> {
  await machine.reset();
  const ring = await machine.bringUp();
  ring.add(answer);
  machine.kick();
  assertEquals(await machine.used(ring, 1), [{ id: 0, length: 1 }]);
}

Deno.test("The register file says what the device is", async () => {
  await using machine = await start();
  assertEquals(await machine.read(0x000), 0x74726976);
  assertEquals(await machine.read(0x004), 2);
  assertEquals(await machine.read(0x008), 0x2a);
  assertEquals(await machine.read(0x00c), 0x4b434450);
  assertEquals(await machine.read(0x034), 16);
  await machine.write(0x030, 1);
  assertEquals(await machine.read(0x034), 4);
  await machine.write(0x030, 2);
  assertEquals(await machine.read(0x034), 0);
  for (const shm of [0xb0, 0xb4, 0xb8, 0xbc]) {
    assertEquals(await machine.read(shm), 0xffff_ffff);
  }
  assertEquals(machine.driverErrors, []);
});

Deno.test("Features are offered by word: the device's own, the rings', and none beyond 63", async () => {
  await using machine = await start();
  const words = [];
  for (const select of [0, 1, 2, 0xffff_ffff]) {
    await machine.write(0x014, select);
    words.push(await machine.read(0x010));
  }
  assertEquals((words[0]! & 0x3f) >>> 0, 0x21);
  assertEquals((words[0]! >>> 28) & 3, 3, "INDIRECT_DESC and EVENT_IDX");
  assertEquals(words[1]! & 1, 1, "VERSION_1");
  assertEquals(words[1]! >>> 31, 1, "the device's bit 63");
  assertEquals(words.slice(2), [0, 0]);
});

Deno.test("FEATURES_OK is refused for bits that are not offered", async () => {
  await using machine = await start();
  await machine.negotiate(1 << 1);
  assertEquals(machine.status, 0x3);
  assertStringIncludes(machine.driverErrors.join(), "2.2.1");
  await serves(machine);
});

Deno.test("FEATURES_OK is refused without VERSION_1", async () => {
  await using machine = await start();
  await machine.write(0x070, 0x3);
  await machine.write(0x070, 0xb);
  assertEquals(machine.status, 0x3);
});

Deno.test("Features cannot change after FEATURES_OK, nor exist beyond 63", async () => {
  await using machine = await start();
  await machine.write(0x024, 2);
  await machine.write(0x020, 1);
  assertStringIncludes(machine.driverErrors.join(), "beyond 63");
  await machine.negotiate(1);
  await machine.write(0x024, 0);
  await machine.write(0x020, 0x20);
  assertStringIncludes(machine.driverErrors.join(), "settled by FEATURES_OK");
  await serves(machine);
});

Deno.test("A QueueSize that is none is refused, and the queue cannot be made ready", async () => {
  await using machine = await start();
  for (const size of [0, 3, 32, 0x8000_0000, 0xffff_ffff]) {
    await machine.reset();
    await machine.negotiate();
    machine.driverErrors.length = 0;
    await machine.write(0x038, size);
    await machine.write(0x044, 1);
    assertEquals(await machine.read(0x044), 0);
    assertEquals(machine.driverErrors.length, 2);
  }
  await serves(machine);
});

Deno.test("A queue's registers cannot change while it is ready", async () => {
  await using machine = await start();
  await machine.negotiate();
  const ring = await machine.queue(0, 8);
  await machine.write(0x038, 4);
  await machine.address(0x10, 0x20, 0x30);
  assertEquals(machine.driverErrors.length, 7);
  await machine.driverOk();
  ring.add(answer);
  machine.kick();
  assertEquals((await machine.used(ring, 1)).length, 1);
});

Deno.test("QueueReady is refused before FEATURES_OK", async () => {
  await using machine = await start();
  await machine.queue(0, 8);
  assertEquals(await machine.read(0x044), 0);
  await serves(machine);
});

Deno.test("QueueSel and QueueNotify out of range do nothing", async () => {
  await using machine = await start();
  await machine.negotiate();
  for (const queue of [2, 31, 32, 0xffff, 0xffff_ffff]) {
    await machine.write(0x030, queue);
    assertEquals(await machine.read(0x034), 0);
    assertEquals(await machine.read(0x044), 0);
    await machine.write(0x038, 4);
    await machine.write(0x080, 4);
    await machine.write(0x044, 1);
    await machine.write(0x050, queue);
  }
  assertEquals(machine.driverErrors.length, 20);
  await serves(machine);
});

Deno.test("DRIVER_OK with rings in the device window needs a reset", async () => {
  await using machine = await start();
  await machine.negotiate();
  await machine.write(0x038, 8);
  await machine.address(0xd000_0000, 0xd000_1000, 0xd000_2000);
  await machine.write(0x044, 1);
  await machine.driverOk();
  await machine.needsReset();
  assertEquals(machine.status, 0x4f);
  assertEquals((await machine.read(0x060)) & 2, 2, "a configuration interrupt");
  await serves(machine);
});

Deno.test("A chain that loops needs a reset, and costs nothing else", async () => {
  await using machine = await start();
  const ring = await machine.bringUp();
  ring.descriptor(0, 0x8000, 1, 0x1, 0);
  ring.publish(0);
  machine.kick();
  await machine.needsReset();
  assertStringIncludes(machine.driverErrors.join(), "loops");
  assertEquals(ring.usedIdx, 0);
  await serves(machine);
});

Deno.test("FAILED keeps the device from DRIVER_OK until a reset", async () => {
  await using machine = await start();
  await machine.negotiate();
  await machine.write(0x070, 0x8b);
  await machine.write(0x070, 0x8f);
  assertEquals(machine.status, 0x8b);
  await serves(machine);
});

Deno.test("A reset forgets selectors, features, queues and interrupts", async () => {
  await using machine = await start();
  const ring = await machine.bringUp();
  ring.add(answer);
  machine.kick();
  await machine.used(ring, 1);
  await machine.write(0x014, 1);
  await machine.write(0x030, 1);
  await machine.reset();
  assertEquals(await machine.read(0x060), 0);
  assertEquals(await machine.read(0x070), 0);
  assertEquals(await machine.read(0x034), 16);
  assertEquals(await machine.read(0x044), 0);
  assertEquals((await machine.read(0x010)) & 0x21, 0x21);
  ring.add(answer);
  machine.kick();
  await new Promise((go) => setTimeout(go, 20));
  assertEquals(ring.usedIdx, 1);
});

Deno.test("Another vCPU's writes wait until a reset is done", async () => {
  await using machine = await start();
  await machine.bringUp();
  const reset = machine.reset();
  const acknowledged = machine.write(0x070, 0x1);
  assertEquals(machine.status, 0xf);
  await reset;
  await acknowledged;
  assertEquals(machine.status, 0x1);
});

Deno.test("Configuration space is read with 1, 2 and 4 bytes, zeros past its end", async () => {
  await using machine = await start();
  await machine.negotiate();
  assertEquals(await machine.read(0x100, 1), 0x01);
  assertEquals(await machine.read(0x102, 2), 0x0403);
  assertEquals(await machine.read(0x104, 4), 0x08070605);
  assertEquals(machine.driverErrors, []);
  assertEquals(await machine.read(0x108, 4), 0x0a09);
  assertEquals(await machine.read(0x10a, 1), 0);
  assertEquals(await machine.read(0xffc, 4), 0);
  assertEquals(machine.driverErrors.length, 3);
});

Deno.test("Configuration writes reach the device, but for those past its end", async () => {
  await using machine = await start();
  await machine.negotiate();
  await machine.write(0x100, 0xfedc_ba98, 4);
  await machine.write(0x109, 0x7f, 1);
  await machine.write(0x108, 1, 4);
  await machine.write(0xffc, 1, 4);
  await machine.until(() => machine.logged.length === 3);
  assertEquals(machine.logged, ["first 47768", "second 65244", "last 9,127"]);
  assertEquals(await machine.read(0x100, 4), 0xfedc_ba98);
  assertEquals(await machine.read(0x108, 2), 0x7f09);
  assertEquals(machine.driverErrors.length, 2);
});

Deno.test("A field that is not writable keeps its value, and the device hears of no write", async () => {
  await using machine = await start();
  await machine.negotiate();
  for (const size of [1, 2, 4]) await machine.write(0x104, 0xff, size);
  assertEquals(await machine.read(0x104, 4), 0x08070605);
  assertEquals([machine.logged, machine.driverErrors], [[], []]);
});

Deno.test("ConfigGeneration grows with each change, and a change interrupts a live driver", async () => {
  await using machine = await start();
  assertEquals(await machine.read(0x0fc), 0);
  machine.host.port.postMessage({ first: 0x0809 });
  await machine.until(() => machine.words[2] === 2);
  assertEquals(await machine.read(0x0fc), 1);
  assertEquals(await machine.read(0x100, 4), 0x04030809);
  assertEquals(machine.interrupts, 0);
  await machine.bringUp();
  machine.host.port.postMessage({ first: 7, last: Uint8Array.of(1, 1) });
  await machine.until(() => machine.interrupts === 1);
  assertEquals(await machine.read(0x060), 2);
  assertEquals(await machine.read(0x0fc), 2, "one for both fields");
});

Deno.test("A torn configuration space is not waited for without end", async () => {
  await using machine = await start();
  Atomics.add(machine.words, 2, 1);
  assertEquals(await machine.read(0x0fc), 0);
});

Deno.test("InterruptACK clears what it names only", async () => {
  await using machine = await start();
  Atomics.store(machine.words, 0, 3);
  await machine.write(0x064, 0xffff_fffe);
  assertEquals(await machine.read(0x060), 1);
  assertStringIncludes(machine.driverErrors.join(), "InterruptACK");
});

Deno.test("Every register, read and written with every width, leaves a device that serves", async () => {
  await using machine = await start();
  for (const status of [0, 0xb]) {
    if (status !== 0) await machine.negotiate();
    await everyAccess(machine.transport);
    await serves(machine);
  }
});

Deno.test("Registers of other transports read 0 and ignore writes", async () => {
  await using machine = await start();
  for (const offset of [0x028, 0x03c, 0x040, 0x074]) {
    machine.driverErrors.length = 0;
    assertEquals(await machine.read(offset), 0);
    await machine.write(offset, 0xffff_ffff);
    assertEquals(machine.driverErrors.length, 2);
  }
  await serves(machine);
});

Deno.test("What comes before its time is told, and no kick is lost", async () => {
  await using machine = await start();
  await machine.write(0x104, 0xff, 4);
  await machine.negotiate();
  await machine.write(0x050, 0);
  assertEquals(machine.driverErrors.map((each) => each.slice(0, 5)), [
    "3.1.1",
    "3.1.1",
  ]);
  assertEquals(machine.words[5]! & 1, 1, "it is remembered");
});

Deno.test("QueueReady takes 0 and 1 only, and nothing else revokes a queue", async () => {
  await using machine = await start();
  await machine.bringUp();
  for (const value of [2, 0x8000_0000, 0xffff_fffe]) {
    await machine.write(0x044, value);
    assertEquals(await machine.read(0x044), 1);
  }
  assertEquals(machine.driverErrors.length, 3);
});
