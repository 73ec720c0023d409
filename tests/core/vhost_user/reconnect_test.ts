// Back ends that hang up: with a record of what is in flight they are looked for, without it the driver must reset.

import { assert, assertEquals } from "@std/assert";
import { Fd } from "../../../core/sys/fd.ts";
import { withFolder } from "../../support/folder.ts";
import { BackEndMachine } from "../../support/back_end_machine.ts";
import { drain, FEATURES, u32, u64At } from "../../support/fake_back_end.ts";

/** All but INFLIGHT_SHMFD. */
const NO_RECORD = 0x2229n;

/** The used index of queue 1, as the last back end left it. */
function setUsedIndex(machine: BackEndMachine, value: number): void {
  const { buffer, byteOffset } = machine.memory.shared;
  new DataView(buffer, byteOffset).setUint16(0xa002, value, true);
}

Deno.test("A back end without a record is not looked for; the driver's reset connects anew", async () => {
  await using machine = await BackEndMachine.start({
    protocolFeatures: NO_RECORD,
  });
  await machine.bringUp();
  machine.backEnd.hangUp();
  await machine.until(() => machine.status === 0x4f, "DEVICE_NEEDS_RESET");
  assertEquals(machine.faults, ["device dev0: its back end hung up"]);
  assertEquals([machine.backEnds.length, machine.host.usable], [1, false]);
  await machine.reset();
  assertEquals([machine.status, machine.backEnds.length], [0, 2]);
  await machine.bringUp();
  assertEquals([machine.status, machine.events.size], [0xf, 2]);
});

Deno.test("A back end that hangs up before DRIVER_OK is connected to at the reset", async () => {
  await using machine = await BackEndMachine.start();
  machine.backEnd.hangUp();
  await machine.until(() => machine.status === 0x40);
  await machine.reset();
  await machine.bringUp();
  assertEquals([machine.status, machine.backEnds.length], [0xf, 2]);
});

Deno.test("A driver that resets a device whose back end is away gets DEVICE_NEEDS_RESET, and is told of it once", async () => {
  await using machine = await BackEndMachine.start({
    protocolFeatures: NO_RECORD,
  });
  await machine.bringUp();
  machine.next = [false];
  machine.backEnd.hangUp();
  await machine.until(() => machine.status === 0x4f);
  for (let i = 0; i < 5; i++) {
    await machine.reset();
    assertEquals(machine.status, 0x40);
  }
  assertEquals(machine.faults, [
    "device dev0: its back end hung up",
    "device dev0: its back end is not there: connect /nowhere/s.sock failed: ENOENT, no such file",
  ]);
  machine.next = [{}];
  await machine.bringUp();
  // It has no back end, and says so.
  assertEquals(machine.status & 0x4, 0);
  await machine.reset();
  await machine.bringUp();
  assertEquals(machine.status, 0xf);
});

Deno.test("A back end with a record is found again: same rings, from the used index on", async () => {
  await using machine = await BackEndMachine.start();
  await machine.bringUp();
  const [first] = machine.backEnds;
  const { call } = machine.events.get(1)!;
  setUsedIndex(machine, 0xfffe);
  const interrupts = machine.interrupts;
  first!.hangUp();
  await machine.until(() => machine.interrupts > interrupts, "interrupt");
  const second = machine.backEnd;
  assert(second !== first);
  const start = [8, 10, 9, 13, 14, 12, 18];
  assertEquals(second.requests(), [
    ...[1, 15, 16, 17, 21, 3, 24],
    ...[2, 5, 32],
    ...start,
    ...start,
  ]);
  assertEquals(u64At(second.last(2).payload, 0), 0x1_4000_0000n);
  assertEquals(u64At(second.last(32).payload, 0), 8192n);
  assertEquals(second.last(32).fds.length, 1);
  const bases = second.told.filter(({ request }) => request === 10);
  assertEquals(bases.map(({ payload }) => u32(payload, 4)), [0, 0xfffe]);
  // Kicked for what came meanwhile, by eventfds that the one before has not.
  assertEquals(drain(second.last(12).fds[0]!), 1);
  assert(machine.events.get(1)!.call !== call);
  // The driver looks at its rings again: a call may have been lost.
  assertEquals(await machine.read(0x060) & 1, 1);
  assertEquals([machine.status, machine.faults.length], [0xf, 1]);
});

for (
  const [name, options, high] of [
    ["says that it is ordered", { device: { ordered: true } }, 0x1],
    ["offers IN_ORDER", { virtio: { inOrder: true } }, 0x9],
  ] as const
) {
  Deno.test(`A back end that ${name} needs no record to be found again`, async () => {
    await using machine = await BackEndMachine.start({
      ...options,
      features: FEATURES | 1n << 35n,
      protocolFeatures: NO_RECORD,
    });
    await machine.bringUp(0, high);
    setUsedIndex(machine, 77);
    machine.backEnd.hangUp();
    await machine.until(() => machine.interrupts > 0);
    assertEquals(machine.backEnd.requests().includes(32), false);
    assertEquals(u32(machine.backEnd.last(10).payload, 4), 77);
    assertEquals(machine.status, 0xf);
  });
}

Deno.test("A packed ring without a record is not gone on with: nothing tells where", async () => {
  await using machine = await BackEndMachine.start({
    device: { ordered: true },
    virtio: { ring: "packed" },
    features: FEATURES | 1n << 34n,
    protocolFeatures: NO_RECORD,
  });
  await machine.bringUp(0, 0x5);
  machine.backEnd.hangUp();
  await machine.until(() => machine.status === 0x4f);
  assertEquals(machine.backEnds.length, 1);
});

Deno.test("A back end that does not come back puts the device into DEVICE_NEEDS_RESET", async () => {
  await using machine = await BackEndMachine.start({ lookMs: 100 });
  await machine.bringUp();
  machine.next = [false];
  machine.backEnd.hangUp();
  await machine.until(() => (machine.status & 0x40) !== 0);
  assert(machine.faults.at(-1)!.includes("did not come back in 0.1 s"));
  machine.next = [{}];
  await machine.reset();
  await machine.bringUp();
  assertEquals(machine.status, 0xf);
});

Deno.test("A reset ends the search at once", async () => {
  await using machine = await BackEndMachine.start({ lookMs: 60_000 });
  await machine.bringUp();
  machine.next = [false];
  machine.backEnd.hangUp();
  await machine.until(() => machine.faults.length > 0);
  const start = performance.now();
  await machine.reset();
  assert(performance.now() - start < 10_000);
  assertEquals([machine.status, machine.events.size], [0x40, 0]);
});

Deno.test("A reset ends the negotiation with a back end that came back and says nothing", async () => {
  await using machine = await BackEndMachine.start({ budgetMs: 60_000 });
  await machine.bringUp();
  const mute = { script: () => true };
  machine.next = [mute, {}];
  machine.backEnd.hangUp();
  await machine.until(() => machine.backEnds.length === 2);
  await machine.until(() => machine.backEnd.told.length === 1);
  const start = performance.now();
  await machine.reset();
  assert(performance.now() - start < 10_000);
  assertEquals([machine.status, machine.backEnds.length], [0, 3]);
});

Deno.test("A back end that offers less than the driver uses is not one that came back", async () => {
  await using machine = await BackEndMachine.start({ lookMs: 100 });
  await machine.bringUp(0x2000_0000);
  machine.next = [{ features: FEATURES & ~(1n << 29n) }];
  machine.backEnd.hangUp();
  await machine.until(() => (machine.status & 0x40) !== 0);
  assert(machine.faults.at(-1)!.includes("offers less"));
  // For a driver that begins, it is good enough.
  await machine.reset();
  assertEquals(machine.host.offered[0], 0x1000_0000);
  await machine.bringUp();
  assertEquals(machine.status, 0xf);
});

Deno.test("A back end that comes and goes for ever is looked for more and more seldom", async () => {
  await using machine = await BackEndMachine.start();
  await machine.bringUp();
  machine.next = [{
    // Gone as soon as it serves both rings.
    script: ({ request, payload }, end) => {
      if (request !== 18 || u32(payload, 0) !== 1) return false;
      setTimeout(() => end.hangUp(), 5);
      return false;
    },
  }];
  machine.backEnd.hangUp();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const { length } = machine.backEnds;
  assert(length <= 10, `${length} connections`);
  await machine.until(() => machine.backEnds.length >= 4);
});

Deno.test("Rings that were stopped or begun while the back end was away are so for the next", async () => {
  await using machine = await BackEndMachine.start();
  await machine.bringUp(0, 0x101);
  machine.next = [false, false, false, {}];
  machine.backEnd.hangUp();
  await machine.until(() => machine.faults.length > 0);
  await machine.write(0x030, 0);
  await machine.write(0x0c0, 1);
  await machine.until(() => machine.interrupts > 0);
  await machine.until(() => machine.backEnd.requests().includes(11));
  assertEquals([...machine.events.keys()], [1]);
  assertEquals(u32(machine.backEnd.last(11).payload, 0), 0);
});

Deno.test("A back end that hangs up in a pause is told to go on after it", async () => {
  await using machine = await BackEndMachine.start();
  await machine.bringUp();
  machine.backEnd.base = 7;
  await machine.host.command(7);
  machine.backEnd.hangUp();
  await machine.until(() => machine.backEnd.requests().includes(32));
  await machine.until(() => machine.interrupts > 0);
  assert(!machine.backEnd.requests().includes(12));
  await machine.host.command(8);
  const bases = machine.backEnd.told.filter(({ request }) => request === 10);
  assertEquals(bases.map(({ payload }) => u32(payload, 4)), [7, 7]);
});

Deno.test("A packed ring goes on where the record says", () =>
  withFolder(async (folder) => {
    const path = `${folder}/record`;
    const record = new DataView(new ArrayBuffer(8192));
    // Of the second queue: version 1, old_used_idx 5, old_used_wrap_counter 0.
    const queue = 0x40 + 64 * Math.ceil((32 + 32 * 64) / 64);
    record.setUint16(queue + 8, 1, true);
    record.setUint16(queue + 18, 5, true);
    await Deno.writeFile(path, new Uint8Array(record.buffer));
    await using machine = await BackEndMachine.start({
      features: FEATURES | 1n << 34n,
      virtio: { ring: "packed" },
      script: ({ request, payload }, end) => {
        if (request !== 31) return false;
        const description = payload.slice();
        new BigUint64Array(description.buffer, 0, 2).set([4096n, 0x40n]);
        using file = Fd.open(path, 2);
        end.reply(31, description, [file]);
        return true;
      },
    });
    await machine.bringUp(0, 0x5);
    machine.backEnd.hangUp();
    await machine.until(() => machine.interrupts > 0);
    const bases = machine.backEnd.told.filter(({ request }) => request === 10);
    assertEquals(
      bases.map(({ payload }) => u32(payload, 4)),
      [0x8000_8000, 0x0005_0005],
    );
  }));
