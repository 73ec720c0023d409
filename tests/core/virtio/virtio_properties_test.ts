// What a manifest may ask of a device's virtio, through register file, worker and ring: packed, in order, queue reset,
// notification data.
import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  builtIn,
  FakeMachine,
  type FakeMachineOptions,
  inlineModule,
} from "../../support/fake_machine.ts";

const VERSION_1 = 1 << 0, PACKED = 1 << 2, IN_ORDER = 1 << 3;
const NOTIFICATION_DATA = 1 << 6, RING_RESET = 1 << 8;
const EVENT_IDX = 1 << 29, INDIRECT = 1 << 28;

/** Writes the number of the request; the first of every three takes longest. */
const DEVICE = inlineModule(`{
  id: 0x2a,
  queues: { a: 16, b: 16 },
  create({ options }) {
    let count = 0;
    const serve = async ({ writable }) => {
      const number = ++count;
      const ms = options.ms?.[number % 3] ?? 0;
      if (ms > 0) await new Promise((go) => setTimeout(go, ms));
      return writable.write(new Uint8Array([number]));
    };
    return { queues: { a: serve, b: serve } };
  },
}`);

const start = (
  virtio: FakeMachineOptions["virtio"] = {},
  options: Record<string, unknown> = {},
) => FakeMachine.start({ module: DEVICE, virtio, options });

const answer = { at: 0x8000, length: 16, write: true };
const pause = (ms: number) => new Promise((go) => setTimeout(go, ms));

Deno.test("Packed rings, in-order use and notification data are offered where they are asked for", async () => {
  for (
    const [virtio, bits] of [
      [{}, VERSION_1 | RING_RESET],
      [{ ring: "packed" }, VERSION_1 | RING_RESET | PACKED],
      [{ inOrder: true }, VERSION_1 | RING_RESET | IN_ORDER],
      [
        { notificationData: true },
        VERSION_1 | RING_RESET | NOTIFICATION_DATA,
      ],
    ] as const
  ) {
    await using machine = await start(virtio);
    await machine.write(0x014, 1);
    assertEquals(await machine.read(0x010), bits);
    await machine.negotiate(0, bits);
    assertEquals(machine.status, 0xb);
  }
});

Deno.test("A device serves packed rings of sizes that are no power of two", async () => {
  await using machine = await start({ ring: "packed" });
  for (const size of [1, 3, 7, 16]) {
    for (const low of [0, INDIRECT, EVENT_IDX | INDIRECT]) {
      await machine.negotiate(low, VERSION_1 | PACKED);
      const ring = await machine.packedQueue(0, size);
      await machine.driverOk();
      for (let round = 0; round < 20; round++) {
        const count = 1 + round % size;
        for (let i = 0; i < count; i++) {
          if (low === 0 || i % 2) ring.add([answer]);
          else ring.addIndirect([answer]);
        }
        machine.kick();
        assertEquals((await machine.used(ring, count)).length, count);
        ring.recycleTables();
      }
      await machine.reset();
    }
  }
  assertEquals([...machine.driverErrors, ...machine.faults], []);
});

Deno.test("A packed ring where the driver did not take PACKED needs a reset, not more", async () => {
  await using machine = await start({ ring: "packed" });
  // The size is fine while PACKED is in DriverFeatures, which is taken out again before FEATURES_OK.
  await machine.write(0x024, 1);
  await machine.write(0x020, VERSION_1 | PACKED);
  await machine.write(0x038, 7);
  await machine.negotiate(0, VERSION_1);
  await machine.address(0x1000, 0x2000, 0x3000);
  await machine.write(0x044, 1);
  await machine.driverOk();
  await machine.needsReset();
  assertStringIncludes(machine.driverErrors.join(), "power of two");
  assertEquals(machine.faults, []);
});

Deno.test("IN_ORDER holds fast requests until the slow ones before them are done", async () => {
  for (const ring of ["split", "packed"] as const) {
    await using machine = await start({ ring, inOrder: true }, {
      ms: [0, 30, 5],
    });
    const packed = ring === "packed";
    const high = VERSION_1 | IN_ORDER | (packed ? PACKED : 0);
    await machine.negotiate(0, high);
    const queue = packed
      ? await machine.packedQueue(0, 16)
      : await machine.queue(0, 16);
    await machine.driverOk();
    const ids = Array.from({ length: 9 }, (_, i) => {
      const buffer = { at: 0x8000 + 16 * i, length: 1, write: true };
      return "driverEvent" in queue ? queue.add([buffer]) : queue.add(buffer);
    });
    machine.kick();
    const used = await machine.used(queue, 9);
    assertEquals(used.map(({ id }) => id), ids);
    assertEquals(machine.bytes[0x8000 + 16 * 8], 9);
  }
});

Deno.test("QueueReset takes one queue back, and QueueReady gives it again while the device is live", async () => {
  await using machine = await start({}, { ms: [0, 20, 20] });
  await machine.negotiate(0, VERSION_1 | RING_RESET);
  const ring = await machine.queue(0, 8);
  const other = await machine.queue(1, 8);
  await machine.driverOk();
  ring.add(answer);
  machine.kick(0);
  await pause(5);
  await machine.write(0x030, 0);
  await machine.write(0x0c0, 1);
  assertEquals(await machine.read(0x0c0), 0);
  assertEquals(await machine.read(0x044), 0);
  const after = machine.bytes.slice(0x1000, 0x5000);
  await pause(40);
  assertEquals(machine.bytes.slice(0x1000, 0x5000), after);
  other.add(answer);
  machine.kick(1);
  assertEquals((await machine.used(other, 1)).length, 1);
  const again = await machine.queue(0, 4, 0xc000);
  assertEquals(await machine.read(0x044), 1);
  again.add(answer);
  machine.kick(0);
  assertEquals((await machine.used(again, 1)).length, 1);
  assertEquals([...machine.driverErrors, ...machine.faults], []);
});

Deno.test("QueueReset is refused where it may not be", async () => {
  await using machine = await start();
  await machine.bringUp(8);
  await machine.write(0x0c0, 1);
  assertStringIncludes(machine.driverErrors.join(), "RING_RESET");
  await machine.reset();
  await machine.negotiate(0, VERSION_1 | RING_RESET);
  const ring = await machine.queue(0, 8);
  await machine.driverOk();
  for (const [queue, value] of [[0, 0], [0, 2], [2, 1], [0xffff_ffff, 1]]) {
    machine.driverErrors.length = 0;
    await machine.write(0x030, queue!);
    await machine.write(0x0c0, value!);
    assertEquals(machine.driverErrors.length, 1, `${queue} ${value}`);
  }
  ring.add(answer);
  machine.kick();
  assertEquals((await machine.used(ring, 1)).length, 1);
});

Deno.test("A queue comes back after QueueReset only, and only once", async () => {
  await using machine = await start();
  await machine.negotiate(0, VERSION_1 | RING_RESET);
  await machine.queue(0, 8);
  await machine.driverOk();
  await machine.write(0x0c0, 1);
  await machine.write(0x044, 1);
  assertEquals(await machine.read(0x044), 0, "its size is 0");
  await machine.queue(0, 8);
  machine.driverErrors.length = 0;
  await machine.write(0x044, 0);
  await machine.write(0x044, 1);
  assertEquals(await machine.read(0x044), 0);
  assertEquals(machine.driverErrors.length, 1);
});

Deno.test("A queue with bad rings after QueueReset needs a reset of the device, which then serves", async () => {
  await using machine = await start();
  await machine.negotiate(0, VERSION_1 | RING_RESET);
  await machine.queue(0, 8);
  await machine.driverOk();
  await machine.write(0x0c0, 1);
  await machine.write(0x038, 8);
  await machine.address(0xd000_0000, 0x2000, 0x3000);
  await machine.write(0x044, 1);
  await machine.needsReset();
  await machine.reset();
  const ring = await machine.bringUp();
  ring.add(answer);
  machine.kick();
  assertEquals((await machine.used(ring, 1)).length, 1);
  assertEquals(machine.faults, []);
});

Deno.test("1000 queue resets with requests in flight leave nothing behind", async () => {
  await using machine = await start();
  await machine.negotiate(0, VERSION_1 | RING_RESET);
  let ring = await machine.queue(0, 4);
  await machine.driverOk();
  for (let round = 0; round < 1000; round++) {
    for (let i = 0; i < 4; i++) ring.add(answer);
    machine.kick();
    await machine.write(0x0c0, 1);
    const { usedIdx } = ring;
    if (round % 50 === 0) await pause(2);
    assertEquals(ring.usedIdx, usedIdx);
    ring = await machine.queue(0, 4);
  }
  ring.add(answer);
  machine.kick();
  assertEquals((await machine.used(ring, 1)).length, 1);
  assertEquals([...machine.driverErrors, ...machine.faults], []);
});

Deno.test("NOTIFICATION_DATA leaves the queue's number in the low half of QueueNotify", async () => {
  await using machine = await start({ notificationData: true });
  await machine.negotiate(0, VERSION_1 | NOTIFICATION_DATA);
  await machine.queue(0, 8);
  const second = await machine.queue(1, 8);
  await machine.driverOk();
  await pause(10);
  second.add(answer);
  await machine.write(0x050, 0x8001_0001);
  assertEquals((await machine.used(second, 1)).length, 1);
  assertEquals(machine.driverErrors, []);
  await machine.write(0x050, 0x0001_0002);
  assertStringIncludes(machine.driverErrors.join(), "there is no queue 2");
});

Deno.test("Without NOTIFICATION_DATA the whole of QueueNotify is the queue's number", async () => {
  await using machine = await start({ notificationData: true });
  await machine.negotiate(0, VERSION_1 | NOTIFICATION_DATA);
  await machine.reset();
  // Asked for, but not in what is settled.
  await machine.write(0x024, 1);
  await machine.write(0x020, VERSION_1 | NOTIFICATION_DATA);
  await machine.write(0x070, 0x8);
  assertEquals(machine.status & 0x8, 0, "FEATURES_OK is too early");
  await machine.negotiate(0, VERSION_1);
  assertEquals(machine.status, 0xb);
  const ring = await machine.queue(0, 8);
  await machine.driverOk();
  await pause(10);
  ring.add(answer);
  machine.driverErrors.length = 0;
  await machine.write(0x050, 0x0001_0000);
  await pause(20);
  assertEquals([ring.usedIdx, machine.driverErrors.length], [0, 1]);
});

Deno.test("A console whose transmit queue is reset with output pending goes on", async () => {
  await using machine = await FakeMachine.start({ module: builtIn("console") });
  let output = 0;
  machine.host.port.onmessage = (data) => {
    const message = data as { type: string; bytes: Uint8Array };
    if (message.type === "output") output += message.bytes.length;
  };
  await machine.negotiate(0, VERSION_1 | RING_RESET);
  const ring = await machine.queue(1, 8);
  await machine.driverOk();
  // More than the host's window, which stays shut: a chain is held half sent.
  for (let i = 0; i < 8; i++) ring.add({ at: 0x20000, length: 0x18000 });
  machine.kick(1);
  await machine.until(() => output >= 0x40000);
  await machine.write(0x0c0, 1);
  const again = await machine.queue(1, 8, 0xc000);
  again.add({ at: 0x20000, length: 5 });
  machine.host.port.postMessage({ type: "taken", length: output });
  machine.kick(1);
  assertEquals((await machine.used(again, 1)).length, 1);
  await machine.until(() => output === 0x40005);
  assertEquals([...machine.driverErrors, ...machine.faults], []);
});
