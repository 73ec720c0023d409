// Control connections: what passes between the ends, and what a device process may not say.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  ControlChannel,
  type FromDevice,
  isFromDevice,
  isToDevice,
  type ToDevice,
} from "../../../core/vhost_user/control.ts";
import { UnixSocket } from "../../../core/sys/unix_socket.ts";
import { within } from "../../support/wait.ts";

function pair() {
  const [a, b] = UnixSocket.pair();
  return {
    vm: new ControlChannel<FromDevice, ToDevice>(a, isFromDevice),
    device: new ControlChannel<ToDevice, FromDevice>(b, isToDevice),
  };
}

/** The VM's end, and a socket on which a process says what it likes. */
function hostile() {
  const [a, b] = UnixSocket.pair();
  const vm = new ControlChannel<FromDevice, ToDevice>(a, isFromDevice);
  return { messages: vm.messages(), socket: b };
}

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("Messages pass both ways in order, with bytes in them, and the end is seen", async () => {
  const { vm, device } = pair();
  const toVm = vm.messages(), toDevice = device.messages();
  for (let i = 0; i < 100; i++) {
    device.send({ type: "log", message: `line ${i}\nand more` });
  }
  for (let i = 0; i < 100; i++) {
    const { value } = await within(toVm.next());
    assertEquals(value, { type: "log", message: `line ${i}\nand more` });
  }
  const data = { a: [new Uint8Array([0, 255]), "ü"], b: null };
  vm.send({ type: "port", data });
  assertEquals((await within(toDevice.next())).value, { type: "port", data });
  device.send({ type: "failed", message: "the last" });
  await device.close();
  assertEquals((await within(toVm.next())).value, {
    type: "failed",
    message: "the last",
  });
  assertEquals((await within(toVm.next())).done, true);
  assertEquals((await within(toDevice.next())).done, true);
  vm.send({ type: "port", data: 1 });
});

Deno.test("Megabytes to an end that reads late arrive whole", async () => {
  const { vm, device } = pair();
  const chunk = new Uint8Array(2 ** 19).fill(7);
  for (let i = 0; i < 8; i++) {
    device.send({ type: "port", data: chunk });
  }
  const messages = vm.messages();
  for (let i = 0; i < 8; i++) {
    const { value } = await within(messages.next());
    assertEquals((value as { data: Uint8Array }).data.length, 2 ** 19);
  }
  const ends = device.messages().next();
  await Promise.all([vm.close(), device.close()]);
  assertEquals((await within(messages.next())).done, true);
  await within(ends);
});

for (
  const [what, line] of [
    ["no JSON", "hello\n"],
    ["no object", "7\n"],
    ["null", "null\n"],
    ["an unknown type", '{"type":"reboot"}\n'],
    ["what only a worker says", '{"type":"closed","error":null}\n'],
    [
      "a request to punch holes",
      '{"type":"punch-hole","id":1,"offset":0,"length":1}\n',
    ],
    ["a log without a message", '{"type":"log","message":7}\n'],
    ["a trace of nothing", '{"type":"trace","event":{"kind":"mmio"}}\n'],
    ["bytes that are none", '{"type":"port","data":{"$bytes":"*"}}\n'],
  ] as const
) {
  Deno.test(`A device process that says ${what} is not listened to`, async () => {
    const { messages, socket } = hostile();
    socket.send(bytes(line));
    await assertRejects(() => within(messages.next()), Error);
    socket.close();
  });
}

Deno.test("A device process that reads nothing and says what is no message is not waited for", async () => {
  const [a, socket] = UnixSocket.pair();
  const vm = new ControlChannel<FromDevice, ToDevice>(a, isFromDevice);
  vm.send({ type: "port", data: new Uint8Array(2 ** 19) });
  socket.send(bytes("hello\n"));
  await assertRejects(() => within(vm.messages().next()), Error);
  socket.close();
});

Deno.test("A device process that ends with messages unread has hung up", async () => {
  const { messages, socket } = hostile();
  const { vm, device } = pair();
  vm.send({ type: "port", data: 1 });
  const ends = vm.messages().next();
  await device.close();
  assertEquals((await within(ends)).done, true);
  socket.close();
  assertEquals((await within(messages.next())).done, true);
});

Deno.test("What is no plain data cannot be posted", async () => {
  const { vm, device } = pair();
  assertThrows(() => vm.send({ type: "port", data: 1n }), TypeError);
  const loop: Record<string, unknown> = {};
  loop.loop = loop;
  assertThrows(() => vm.send({ type: "port", data: loop }), TypeError);
  const messages = [vm.messages().next(), device.messages().next()];
  await Promise.all([vm.close(), device.close()]);
  for (const message of messages) {
    assertEquals((await within(message)).done, true);
  }
});
