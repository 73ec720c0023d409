import { everyAccess } from "../../support/every_access.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { FakeMachine, inlineModule } from "../../support/fake_machine.ts";

const DEVICE = inlineModule(`{
  id: 0x2a,
  features: { A: 0, UNOFFERED: 3, B: 5 },
  config: { fixed: "u16", changed: { type: "u16", writable: true }, rest: 2 },
  queues: { a: 16, b: 4 },
  create({ config, log, negotiated, options, updateConfig }) {
    updateConfig({ fixed: 0x0201, changed: 0x0403, rest: Uint8Array.of(5, 6) });
    return {
      offers: ["A", "B"],
      queues: {
        async a({ writable }) {
          if (options.ms) await new Promise((go) => setTimeout(go, options.ms));
          return writable.write(new Uint8Array([0xaa]));
        },
        b: () => 0,
      },
      configWritten: (name) => log(name + " " + config[name]),
      activate: () => log("features " + ["A", "UNOFFERED", "B"].filter(negotiated)),
    };
  },
}`);

const answer = { at: 0x8000, length: 16, write: true };

const start = (options = {}) =>
  FakeMachine.start({
    module: DEVICE,
    virtio: { transport: "legacy" },
    options,
  });

/** What Linux's virtio_mmio writes before it finds queues: GuestPageSize comes in front of the reset. */
async function probe(machine: FakeMachine, features = 0): Promise<void> {
  await machine.write(0x028, 0x1000);
  await machine.reset();
  await machine.write(0x070, 0x1);
  await machine.write(0x070, 0x3);
  for (const [select, bits] of [[1, 0], [0, features]] as const) {
    await machine.write(0x024, select);
    await machine.write(0x020, bits);
  }
}

/** Still a device that can be brought up and that serves. */
async function serves(machine: FakeMachine): Promise<void> {
  await probe(machine);
  const ring = await machine.legacyQueue(0, 16);
  await machine.write(0x070, 0x7);
  ring.add(answer);
  machine.kick();
  assertEquals(await machine.used(ring, 1), [{ id: 0, length: 1 }]);
}

Deno.test("legacy: the register file says what the device is", async () => {
  await using machine = await start();
  assertEquals(await machine.read(0x000), 0x74726976);
  assertEquals(await machine.read(0x004), 1);
  assertEquals(await machine.read(0x008), 0x2a);
  assertEquals(await machine.read(0x00c), 0x4b434450);
  assertEquals(await machine.read(0x034), 16);
  assertEquals(await machine.read(0x040), 0);
  await machine.write(0x030, 1);
  assertEquals(await machine.read(0x034), 4);
  await machine.write(0x030, 2);
  assertEquals(await machine.read(0x034), 0);
  assertEquals(await machine.read(0x040), 0);
  assertEquals(machine.driverErrors, []);
});

Deno.test("legacy: VERSION_1 is not offered, ANY_LAYOUT is", async () => {
  await using machine = await start();
  assertEquals(await machine.read(0x010), 0x3800_0021);
  await machine.write(0x014, 1);
  assertEquals(await machine.read(0x010), 0);
});

Deno.test("legacy: a device is brought up as Linux does it, and serves", async () => {
  await using machine = await start();
  await probe(machine, 0x21);
  const ring = await machine.legacyQueue(0, 16);
  assertEquals(await machine.read(0x040), 1);
  await machine.write(0x070, 0x7);
  assertEquals(machine.status, 0x7);
  assertEquals(ring.used, 0x2000, "the used ring is on a page of its own");
  for (let round = 1; round <= 40; round++) {
    ring.add(answer);
    await machine.write(0x050, 0);
    assertEquals((await machine.used(ring, 1))[0]!.length, 1);
    await machine.until(() => machine.interrupts === round);
    assertEquals(await machine.read(0x060), 1);
    await machine.write(0x064, 1);
    assertEquals(await machine.read(0x060), 0);
  }
  assertEquals(machine.logged, ["features A,B"]);
  assertEquals(machine.driverErrors, []);
});

Deno.test("legacy: GuestPageSize survives the reset, the rest does not", async () => {
  await using machine = await start();
  await probe(machine);
  await machine.legacyQueue(1, 4);
  await machine.reset();
  assertEquals(await machine.read(0x034), 16, "QueueSel is 0 again");
  await machine.write(0x030, 1);
  assertEquals(await machine.read(0x040), 0);
  await machine.write(0x040, 5);
  assertStringIncludes(machine.driverErrors.join(), "must be written first");
  assertEquals(await machine.read(0x040), 0);
  machine.driverErrors.length = 0;
  await machine.legacyQueue(1, 4);
  assertEquals(await machine.read(0x040), 5);
  assertEquals(machine.driverErrors, []);
});

Deno.test("legacy: QueuePFN is refused until page size, size and alignment are there", async () => {
  for (const without of [0x028, 0x038, 0x03c]) {
    await using machine = await start();
    for (const [register, value] of [[0x028, 4096], [0x038, 8], [0x03c, 64]]) {
      if (register !== without) await machine.write(register!, value!);
    }
    await machine.write(0x040, 1);
    assertEquals(await machine.read(0x040), 0);
    assertEquals(machine.driverErrors.length, 1);
    await serves(machine);
  }
});

Deno.test("legacy: sizes that are no power of two, or above the maximum, are refused", async () => {
  await using machine = await start();
  for (
    const [register, values] of [
      [0x028, [0, 3, 4097, 0xffff_ffff]],
      [0x038, [0, 3, 12, 32, 0x8000_0000, 0xffff_ffff]],
      [0x03c, [0, 3, 4095, 0xffff_ffff]],
    ] as const
  ) {
    for (const value of values) {
      machine.driverErrors.length = 0;
      await machine.write(register, value);
      assertEquals(machine.driverErrors.length, 1, `${register} ${value}`);
    }
  }
  await serves(machine);
});

Deno.test("legacy: features that are not offered are dropped, and blamed", async () => {
  await using machine = await start();
  await probe(machine, 0xffff_ffff);
  await machine.write(0x024, 1);
  await machine.write(0x020, 1);
  await machine.write(0x024, 2);
  await machine.write(0x020, 1);
  assertEquals(machine.driverErrors.length, 3);
  await machine.legacyQueue(0, 16);
  await machine.write(0x070, 0x7);
  await machine.until(() => machine.logged.length === 1);
  assertEquals(machine.logged, ["features A,B"]);
  const [low, high] = machine.words.subarray(14);
  assertEquals([low! >>> 0, high], [0x3800_0021, 0]);
});

Deno.test("legacy: QueuePFN = 0 takes a live queue back, and a page number gives it again", async () => {
  await using machine = await start();
  await serves(machine);
  const { bytes } = machine;
  await machine.write(0x040, 0);
  assertEquals(await machine.read(0x040), 0);
  bytes.fill(0, 0x1000, 0x8000);
  machine.kick();
  await new Promise((go) => setTimeout(go, 20));
  assert(bytes.subarray(0x1000, 0x8000).every((byte) => byte === 0));
  const ring = await machine.legacyQueue(0, 8, 0x5000);
  ring.add(answer);
  machine.kick();
  assertEquals((await machine.used(ring, 1)).length, 1);
});

Deno.test("legacy: QueuePFN reads as it was until the device has let go of the queue", async () => {
  await using machine = await start({ ms: 1500 });
  await probe(machine);
  const ring = await machine.legacyQueue(0, 16);
  await machine.write(0x070, 0x7);
  ring.add(answer);
  machine.kick();
  // The device has the chain when it has taken the kick.
  await machine.until(() => machine.words[5] === 0);
  const taken = machine.write(0x040, 0);
  assertEquals(await machine.read(0x040), 1);
  await machine.write(0x040, 7);
  assertStringIncludes(machine.driverErrors.join(), "the queue is in use");
  assertEquals(await machine.read(0x040), 1);
  await taken;
  assertEquals(await machine.read(0x040), 0);
  await machine.write(0x030, 1);
  await machine.write(0x040, 0);
  assertEquals(await machine.read(0x040), 0, "nobody had that queue");
});

Deno.test("legacy: a queue in use stays where it is until QueuePFN is 0", async () => {
  await using machine = await start({ ms: 30 });
  await probe(machine);
  const ring = await machine.legacyQueue(0, 16);
  await machine.write(0x070, 0x7);
  ring.add(answer);
  machine.kick();
  await new Promise((go) => setTimeout(go, 5));
  machine.driverErrors.length = 0;
  await machine.write(0x038, 8);
  await machine.write(0x03c, 64);
  await machine.write(0x040, 5);
  assertEquals(machine.driverErrors.length, 3);
  assertEquals(await machine.read(0x040), 1);
  assertEquals((await machine.used(ring, 1)).length, 1);
  ring.add(answer);
  machine.kick();
  await new Promise((go) => setTimeout(go, 5));
  await machine.reset();
  const { usedIdx } = ring;
  await new Promise((go) => setTimeout(go, 50));
  assertEquals(ring.usedIdx, usedIdx, "a request in flight when it was reset");
});

Deno.test("legacy: pages past all RAM need a reset, and the device serves after it", async () => {
  for (
    const [pageSize, pfn] of [
      [0x1000, 0x100],
      [0x1000, 0xd_0000],
      [0x1000, 0xffff_ffff],
      [0x8000_0000, 0xffff_ffff],
    ] as const
  ) {
    await using machine = await start();
    await machine.write(0x028, pageSize);
    await machine.write(0x070, 0x3);
    await machine.write(0x038, 16);
    await machine.write(0x03c, 0x8000_0000);
    await machine.write(0x040, pfn);
    await machine.write(0x070, 0x7);
    await machine.needsReset();
    assertEquals(machine.faults, []);
    await serves(machine);
  }
});

Deno.test("legacy: DRIVER_OK needs no FEATURES_OK, and FEATURES_OK is never set", async () => {
  await using machine = await start();
  await machine.write(0x070, 0x3);
  await machine.write(0x070, 0xb);
  assertEquals(machine.status, 0x3);
  await serves(machine);
});

Deno.test("legacy: registers of the modern layout read 0 and ignore writes", async () => {
  await using machine = await start();
  for (
    const offset of [0x044, 0x080, 0x084, 0x090, 0x094, 0x0a0, 0x0a4, 0x0c0]
  ) {
    machine.driverErrors.length = 0;
    assertEquals(await machine.read(offset), 0);
    await machine.write(offset, 0xffff_ffff);
    assertEquals(machine.driverErrors.length, 2);
  }
  await serves(machine);
});

Deno.test("legacy: queues out of range do nothing", async () => {
  await using machine = await start();
  for (const queue of [2, 31, 0xffff_ffff]) {
    machine.driverErrors.length = 0;
    await machine.write(0x030, queue);
    for (const register of [0x038, 0x03c, 0x040]) {
      await machine.write(register, 4);
    }
    await machine.write(0x050, queue);
    assertEquals(machine.driverErrors.length, 4);
  }
  await serves(machine);
});

Deno.test("legacy: every register, read and written with every width, leaves a device that serves", async () => {
  await using machine = await start();
  for (const live of [false, true]) {
    if (live) await serves(machine);
    await everyAccess(machine.transport);
    assertEquals(machine.faults, []);
    await serves(machine);
  }
});

Deno.test("legacy: configuration space is read and written", async () => {
  await using machine = await start();
  assertEquals(await machine.read(0x100, 4), 0x0403_0201);
  assertEquals(await machine.read(0x105, 1), 6);
  await machine.write(0x102, 0xbeef, 2);
  await machine.until(() => machine.logged.length === 1);
  assertEquals(machine.logged, ["changed 48879"]);
  assertEquals(await machine.read(0x100, 4), 0xbeef_0201);
});
