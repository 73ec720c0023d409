// Configuration space of a back end: read in parts, written by the driver, changed by the back end.

import { assert, assertEquals } from "@std/assert";
import { BackEndMachine } from "../../support/back_end_machine.ts";
import { u32, u64At } from "../../support/fake_back_end.ts";

Deno.test("A write of configuration goes to the back end, and what it made of it is read", async () => {
  await using machine = await BackEndMachine.start({
    script: ({ request }, end) => {
      if (request === 25) end.config[3] = 9;
      return false;
    },
  });
  await machine.negotiate();
  const generation = await machine.read(0x0fc);
  await machine.write(0x104, 0x1234, 2);
  assertEquals(await machine.read(0x104, 2), 0x1234);
  assertEquals(await machine.read(0x103, 1), 9);
  assert(await machine.read(0x0fc) !== generation);
  const { payload } = machine.backEnd.last(25);
  assertEquals([0, 4, 8].map((at) => u32(payload, at)), [4, 2, 0]);
});

Deno.test("A write of configuration that the back end refuses changes nothing", async () => {
  await using machine = await BackEndMachine.start({
    config: new Uint8Array(8).fill(5),
    script: ({ request }, end) => {
      if (request !== 25) return false;
      end.reply(25, new Uint8Array(8).fill(1));
      return true;
    },
  });
  await machine.negotiate();
  await machine.write(0x100, 0xff, 1);
  assertEquals(await machine.read(0x100, 1), 5);
  assertEquals([machine.faults, machine.host.usable], [[], true]);
});

Deno.test("A configuration of 600 bytes is asked for in parts", async () => {
  const config = new Uint8Array(600).map((_, i) => i);
  await using machine = await BackEndMachine.start({
    config,
    device: { config: 600 },
  });
  assertEquals(await machine.read(0x100 + 596), 0x5756_5554);
  const parts = machine.backEnd.told.filter(({ request }) => request === 24);
  assertEquals(
    parts.map(({ payload }) => [u32(payload, 0), u32(payload, 4)]),
    [[0, 256], [256, 256], [512, 88]],
  );
});

Deno.test("A change of configuration is read and told the driver", async () => {
  await using machine = await BackEndMachine.start();
  const { backEnd } = machine;
  await machine.bringUp();
  backEnd.config[0] = 0x77;
  // NEED_REPLY is answered on the channel.
  backEnd.channel!.send(2, undefined, [], 8);
  using reply = (await backEnd.channel!.receive())!;
  assertEquals([reply.request, reply.flags], [2, 5]);
  assertEquals(u64At(reply.payload, 0), 0n);
  await machine.until(() => machine.interrupts === 1, "interrupt");
  assertEquals(await machine.read(0x060), 2);
  assertEquals(await machine.read(0x100, 1), 0x77);
});

Deno.test("A request of the back end that is not known is refused, and nothing else", async () => {
  await using machine = await BackEndMachine.start();
  const { channel } = machine.backEnd;
  channel!.send(3, new Uint8Array(24), [], 8);
  using reply = (await channel!.receive())!;
  assertEquals([reply.request, u64At(reply.payload, 0)], [3, 1n]);
  assertEquals([machine.faults, machine.host.usable], [[], true]);
});
