// What devices offer and accept: virtio-v1.3 §2.1.2, §2.2.2, §5.2.5.2, §6.2.
import { assertEquals } from "@std/assert";
import { builtIn, FakeMachine, inlineModule } from "../support/fake_machine.ts";
import { accept, ECHO, offered, pause } from "./driver.ts";

/** INDIRECT_DESC, EVENT_IDX; VERSION_1, RING_RESET. */
const CORE_LOW = 0x3000_0000;
const CORE_HIGH = 0x101;

async function withDevice(
  name: string,
  options: Record<string, unknown>,
  virtio: Record<string, unknown>,
  look: (machine: FakeMachine) => Promise<void>,
): Promise<void> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.truncate(path, 4096);
    await using machine = await FakeMachine.start({
      module: builtIn(name),
      options: { path, readOnly: false, serial: "", maxBytes: 64, ...options },
      grants: { read: [path], write: [path] },
      virtio,
    });
    await look(machine);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("Devices offer the features that they have, and not one more", async () => {
  for (
    const [name, options, own] of [
      ["rng", {}, 0],
      ["console", {}, 0x1],
      ["block", {}, 0x6244], // SEG_MAX, BLK_SIZE, FLUSH, DISCARD, WRITE_ZEROES
      ["block", { readOnly: true }, 0x264], // SEG_MAX, RO, BLK_SIZE, FLUSH
    ] as const
  ) {
    await withDevice(name, options, {}, async (machine) => {
      const expected = [CORE_LOW + own, CORE_HIGH];
      assertEquals(await offered(machine), expected, name);
    });
  }
});

Deno.test("Ring and transport features are offered where the manifest says so", async () => {
  for (
    const [virtio, high] of [
      [{ ring: "packed" }, 0x4],
      [{ inOrder: true }, 0x8],
      [{ notificationData: true }, 0x40],
    ] as const
  ) {
    await withDevice("rng", {}, virtio, async (machine) => {
      assertEquals(await offered(machine), [CORE_LOW, CORE_HIGH + high]);
    });
  }
});

Deno.test("A legacy block device offers no ZONED, and nothing above bit 31", async () => {
  await withDevice("block", {}, { transport: "legacy" }, async (machine) => {
    // With ANY_LAYOUT.
    assertEquals(await offered(machine), [CORE_LOW + 0x0800_6244, 0]);
  });
});

Deno.test("Any one feature that is offered can be accepted alone, with VERSION_1", async () => {
  await withDevice("block", {}, { ring: "packed" }, async (machine) => {
    const [low, high] = await offered(machine);
    for (let bit = 0; bit < 64; bit++) {
      const [word, at] = bit < 32 ? [low, bit] : [high, bit - 32];
      if (((word >>> at) & 1) === 0) continue;
      const one = (1 << at) >>> 0;
      const status = bit < 32
        ? await accept(machine, one, 1)
        : await accept(machine, 0, (one | 1) >>> 0);
      assertEquals(status, 0xb, `bit ${bit}`);
      await machine.reset();
    }
    assertEquals(machine.driverErrors, []);
  });
});

Deno.test("Features that were negotiated once can be negotiated again after each reset", async () => {
  await withDevice("block", {}, {}, async (machine) => {
    const [low, high] = await offered(machine);
    for (let i = 0; i < 20; i++) {
      assertEquals(await accept(machine, low, high), 0xb);
      await machine.queue(0, 8);
      await machine.driverOk();
      await machine.reset();
    }
  });
});

Deno.test("Nothing is used, and nobody is notified, before DRIVER_OK", async () => {
  await using machine = await FakeMachine.start({ module: inlineModule(ECHO) });
  for (const status of [0x1, 0x3, 0xb]) {
    await machine.negotiate();
    const ring = await machine.queue(0, 8);
    ring.add({ at: 0x8000, length: 4, write: true });
    await machine.reset();
    await machine.write(0x070, status);
    machine.kick();
    await pause(10);
    assertEquals([ring.usedIdx, machine.interrupts], [0, 0]);
    assertEquals(await machine.read(0x060), 0);
    await machine.reset();
  }
  // With everything set up but DRIVER_OK.
  await machine.negotiate();
  const ring = await machine.queue(0, 8);
  ring.add({ at: 0x8000, length: 4, write: true });
  machine.kick();
  await pause(10);
  assertEquals([ring.usedIdx, machine.interrupts], [0, 0]);
  await machine.driverOk();
  assertEquals((await machine.used(ring, 1)).length, 1);
});

Deno.test("FEATURES_OK is refused for a feature without one that it needs", async () => {
  await using machine = await FakeMachine.start({
    module: inlineModule(`{ id: 7, queues: { q: 8 },
      features: { CSUM: 0, TSO4: 11, TSO6: 12 },
      featureNeeds: { TSO4: ["CSUM"], TSO6: ["CSUM"] },
      create: () => ({ queues: { q: () => 0 } }) }`),
  });
  for (
    const [low, status] of [
      [0, 0xb],
      [1, 0xb],
      [1 << 11, 0x3],
      [1 << 12, 0x3],
      [1 | 1 << 11 | 1 << 12, 0xb],
    ] as const
  ) {
    machine.driverErrors.length = 0;
    await machine.negotiate(low);
    assertEquals(machine.status, status, `${low}`);
    assertEquals(machine.driverErrors.length, status === 0xb ? 0 : 1);
    await machine.reset();
  }
  await machine.negotiate(1 << 12);
  assertEquals(
    machine.driverErrors.at(-1),
    "2.2.1: write of 0xb to Status (0x070, 4 bytes): feature 12 needs feature 0",
  );
});
