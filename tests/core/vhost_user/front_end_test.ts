// The front end against a back end that keeps to the protocol: what it is told, in which order, and when.

import { assert, assertEquals } from "@std/assert";
import { libc } from "../../../core/sys/libc.ts";
import { signalEventFd } from "../../../core/sys/fd.ts";
import { BackEndMachine } from "../../support/back_end_machine.ts";
import { drain, u32, u64At } from "../../support/fake_back_end.ts";

Deno.test("A legacy driver's ring is told by its addresses", async () => {
  await using machine = await BackEndMachine.start({
    virtio: { transport: "legacy" },
  });
  const registers = [
    [0x070, 0x1],
    [0x070, 0x3],
    [0x028, 0x1000],
    [0x030, 0],
    [0x038, 16],
    [0x03c, 0x1000],
    [0x040, 0x8],
    [0x070, 0x7],
  ];
  for (const [register, value] of registers) {
    await machine.write(register!, value!);
  }
  const { payload } = machine.backEnd.last(9);
  assertEquals(
    [8, 16, 24].map((at) => u64At(payload, at)),
    [0x8000n, 0x9000n, 0x8100n],
  );
  assertEquals(u64At(machine.backEnd.last(2).payload, 0), 1n << 30n);
  // The page number 0 takes it away.
  await machine.write(0x040, 0);
  assertEquals(machine.backEnd.requests().at(-1), 11);
  assertEquals(machine.events.size, 0);
});

Deno.test("DRIVER_OK tells features, memory, and each ready ring with its eventfds", async () => {
  await using machine = await BackEndMachine.start();
  const { backEnd, memory } = machine;
  await machine.negotiate(0x2000_0000, 0x101);
  const from = backEnd.told.length;
  await machine.queue(1, 32, 0x8000);
  await machine.write(0x070, 0xf);
  assertEquals(backEnd.requests(from), [
    ...[2, 5, 31, 32],
    ...[8, 10, 9, 13, 14, 12, 18],
  ]);
  // RING_RESET is the transport's; bit 30 says that protocol features go on.
  assertEquals(u64At(backEnd.last(2).payload, 0), 0x1_6000_0000n);
  const table = backEnd.last(5);
  assertEquals([table.fds.length, u32(table.payload, 0)], [1, 1]);
  assertEquals(
    [8, 16, 24, 32].map((at) => u64At(table.payload, at)),
    [0n, BigInt(memory.size), 0n, 0n],
  );
  const [num, base, address] = [8, 10, 9].map((each) =>
    backEnd.last(each).payload
  );
  assertEquals([u32(num!, 0), u32(num!, 4)], [1, 32]);
  assertEquals([u32(base!, 0), u32(base!, 4)], [1, 0]);
  assertEquals([u32(address!, 0), u32(address!, 4)], [1, 0]);
  assertEquals(
    [8, 16, 24].map((at) => u64At(address!, at)),
    [0x8000n, 0xa000n, 0x9000n],
  );
  for (const request of [12, 13, 14]) {
    const { payload, fds } = backEnd.last(request);
    assertEquals([u64At(payload, 0), fds.length], [1n, 1]);
  }
  assertEquals(u32(backEnd.last(18).payload, 4), 1);
  // For what the driver asked before.
  assertEquals(drain(backEnd.last(12).fds[0]!), 1);
  // Not the other queue's.
  assertEquals(backEnd.requests(from).filter((each) => each === 12).length, 1);
});

Deno.test("A ring is kicked before the back end has its eventfd: one who shares it may make writes block", async () => {
  let kicked = 0;
  await using machine = await BackEndMachine.start({
    script: ({ request, fds }) => {
      if (request === 12) kicked += drain(fds[0]!);
      return false;
    },
  });
  await machine.bringUp();
  assertEquals(kicked, 2);
  await machine.write(0x050, 1);
  await machine.host.command(7);
  assertEquals(drain(machine.backEnd.last(12).fds[0]!), 0);
  await machine.host.command(8);
  assertEquals(kicked, 4);
});

Deno.test("The memory of a table is the guest's, and cannot be made smaller", async () => {
  await using machine = await BackEndMachine.start();
  await machine.bringUp();
  const { fds } = machine.backEnd.last(5);
  machine.memory.bytes[0x123] = 0x5a;
  using file = await Deno.open(`/proc/self/fd/${fds[0]!.fd}`);
  const bytes = new Uint8Array(0x200);
  await file.read(bytes);
  assertEquals(bytes[0x123], 0x5a);
  assertEquals(libc.ftruncate(fds[0]!.fd, 0n), -1);
  assertEquals(libc.ftruncate(fds[0]!.fd, 1n << 30n), -1);
});

Deno.test("A reset is answered when the back end has let go of every ring", async () => {
  const held: (() => void)[] = [];
  await using machine = await BackEndMachine.start({
    script: (told, end) => {
      if (told.request !== 11 || u32(told.payload, 0) !== 1) return false;
      held.push(() => end.answer(told));
      return true;
    },
  });
  await machine.bringUp();
  assertEquals(machine.events.size, 2);
  const from = machine.backEnd.told.length;
  let done = false;
  const reset = machine.reset().then(() => done = true);
  await machine.until(() => held.length === 1);
  assertEquals([done, machine.status], [false, 0xf]);
  held[0]!();
  await reset;
  assertEquals(machine.backEnd.requests(from), [11, 11, 34]);
  assertEquals([machine.status, machine.events.size], [0, 0]);
});

Deno.test("A device may be brought up and reset again and again", async () => {
  await using machine = await BackEndMachine.start();
  for (let round = 0; round < 20; round++) {
    await machine.bringUp();
    await machine.reset();
  }
  assertEquals([machine.backEnds.length, machine.faults], [1, []]);
});

Deno.test("QueueReset stops one ring, QueueReady starts it from the beginning", async () => {
  await using machine = await BackEndMachine.start();
  await machine.bringUp(0, 0x101);
  const from = machine.backEnd.told.length;
  await machine.write(0x030, 1);
  await machine.write(0x0c0, 1);
  assertEquals(machine.backEnd.requests(from), [11]);
  assertEquals(u32(machine.backEnd.last(11).payload, 0), 1);
  assertEquals([...machine.events.keys()], [0]);
  await machine.queue(1, 8, 0x2_0000);
  assertEquals(machine.backEnd.requests(from + 1), [8, 10, 9, 13, 14, 12, 18]);
  assertEquals(u32(machine.backEnd.last(10).payload, 4), 0);
  assertEquals(machine.events.size, 2);
});

Deno.test("A ring that is not in RAM is the driver's fault, and the back end hears nothing of it", async () => {
  for (const [at, section] of [[0x1000_0000, "2.7"], [0x4008, "2.7"]]) {
    await using machine = await BackEndMachine.start();
    await machine.negotiate();
    await machine.queue(0);
    await machine.queue(1, 16, Number(at));
    const from = machine.backEnd.told.length;
    await machine.write(0x070, 0xf);
    assertEquals(machine.backEnd.requests(from), []);
    assertEquals(machine.status & 0x40, 0x40);
    assertEquals(machine.driverErrors.length, 1);
    assert(machine.driverErrors[0]!.startsWith(`${section}: Driver:`));
    await machine.reset();
    assertEquals(machine.status, 0);
  }
});

Deno.test("An error of the back end's puts the device into DEVICE_NEEDS_RESET", async () => {
  await using machine = await BackEndMachine.start();
  await machine.bringUp();
  machine.events.get(1)!.onError();
  assertEquals(machine.status & 0x40, 0x40);
  assertEquals(machine.faults, ["device dev0: its back end gave queue 1 up"]);
  await machine.reset();
  assertEquals(machine.status, 0);
});

Deno.test("A pause stops every ring, and they go on where they stopped", async () => {
  await using machine = await BackEndMachine.start();
  const { backEnd, host } = machine;
  await machine.bringUp();
  let from = backEnd.told.length;
  backEnd.base = 41;
  await host.command(7);
  assertEquals(backEnd.requests(from), [11, 11]);
  from = backEnd.told.length;
  await host.command(8);
  const start = [8, 10, 9, 13, 14, 12, 18];
  assertEquals(backEnd.requests(from), [...start, ...start]);
  assertEquals(u32(backEnd.last(10).payload, 4), 41);
});

Deno.test("A back end that is replaced is left at the reset, and another connected to", async () => {
  await using machine = await BackEndMachine.start();
  await machine.bringUp();
  machine.host.reload();
  assertEquals([machine.status, machine.backEnds.length], [0x4f, 1]);
  await machine.reset();
  assertEquals([machine.status, machine.backEnds.length], [0, 2]);
  await machine.backEnds[0]!.ended;
  await machine.bringUp();
  assertEquals([machine.status, machine.faults], [0xf, []]);
});

Deno.test("The budget of a command that was obeyed ends with it", async () => {
  await using machine = await BackEndMachine.start({ budgetMs: 1000 });
  await machine.bringUp();
  await new Promise((resolve) => setTimeout(resolve, 1100));
  assertEquals([machine.status, machine.faults], [0xf, []]);
});

Deno.test("The end stops the rings, then hangs up", async () => {
  const machine = await BackEndMachine.start();
  const { backEnd } = machine;
  await machine.bringUp();
  const from = backEnd.told.length;
  await machine[Symbol.asyncDispose]();
  assertEquals(backEnd.requests(from), [11, 11, 34]);
  assertEquals(machine.faults, []);
});

Deno.test("A call that is open for the back end can be signalled by it", async () => {
  await using machine = await BackEndMachine.start();
  await machine.bringUp();
  signalEventFd(machine.backEnd.last(13).fds[0]!.fd);
  assertEquals(drain(machine.events.get(1)!.call), 1);
});
