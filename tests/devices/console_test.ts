import { assert, assertEquals } from "@std/assert";
import { ConsoleStream } from "../../core/device/console_stream.ts";
import type { FakeRing } from "../support/fake_driver.ts";
import { builtIn, FakeMachine } from "../support/fake_machine.ts";
import { PATIENCE_MS, within } from "../support/wait.ts";

const KiB = 1024;

async function start(eventIdx = false) {
  const machine = await FakeMachine.start({ module: builtIn("console") });
  const stream = new ConsoleStream(machine.host.port);
  return { machine, stream, ...(await bringUp(machine, eventIdx)) };
}

async function bringUp(machine: FakeMachine, eventIdx = false) {
  await machine.negotiate(1 | (eventIdx ? 1 << 29 : 0));
  const receive = await machine.queue(0, 16);
  const transmit = await machine.queue(1, 16);
  await machine.driverOk();
  return { receive, transmit };
}

/** The guest prints \`length\` bytes, a buffer at a time, and gives up when none comes back for \`patience\` ms. */
async function print(
  machine: FakeMachine,
  transmit: FakeRing,
  length: number,
  patience = 3000,
): Promise<number> {
  const size = 4 * KiB;
  for (let done = 0; done < length; done += size) {
    machine.bytes.fill((done / size) & 0xff, 0x20000, 0x20000 + size);
    transmit.add({ at: 0x20000, length: size });
    machine.kick(1);
    try {
      await machine.used(transmit, 1, patience);
    } catch {
      return done;
    }
  }
  return length;
}

Deno.test("console: what the guest prints can be read", async () => {
  const { machine, stream, transmit } = await start();
  await using _ = machine;
  machine.bytes.set(new TextEncoder().encode("hello"), 0x8000);
  transmit.add({ at: 0x8000, length: 2 }, { at: 0x8002, length: 3 });
  transmit.add({ at: 0x8000, length: 0 });
  machine.kick(1);
  assertEquals((await machine.used(transmit, 2)).map((one) => one.length), [
    0,
    0,
  ]);
  const { value } = await within(stream.readable.getReader().read());
  assertEquals(new TextDecoder().decode(value), "hello");
});

Deno.test("console: what is written comes into the guest's buffers, piece by piece", async () => {
  for (const eventIdx of [false, true]) {
    const { machine, stream, receive } = await start(eventIdx);
    await using _ = machine;
    const writer = stream.writable.getWriter();
    await writer.write(new TextEncoder().encode("before"));
    receive.add({ at: 0x8000, length: 4, write: true });
    machine.kick(0);
    assertEquals(await machine.used(receive, 1), [{ id: 0, length: 4 }]);
    receive.add({ at: 0x9000, length: 100, write: true });
    machine.kick(0);
    assertEquals(await machine.used(receive, 1), [{ id: 1, length: 2 }]);
    receive.add({ at: 0xa000, length: 100, write: true });
    machine.kick(0);
    await writer.write(new TextEncoder().encode("after"));
    assertEquals(await machine.used(receive, 1), [{ id: 2, length: 5 }]);
    const text = (at: number, length: number) =>
      new TextDecoder().decode(machine.bytes.slice(at, at + length));
    assertEquals(
      [text(0x8000, 4), text(0x9000, 2), text(0xa000, 5)],
      ["befo", "re", "after"],
    );
  }
});

Deno.test("console: a guest that nobody reads is not stalled", async () => {
  const { machine, transmit } = await start();
  await using _ = machine;
  assertEquals(await print(machine, transmit, 1024 * KiB), 1024 * KiB);
});

Deno.test("console: a slow reader holds the guest within bounds, and gets every byte", async () => {
  const { machine, stream, transmit } = await start();
  await using _ = machine;
  const reader = stream.readable.getReader();
  const printed = await print(machine, transmit, 2048 * KiB, 300);
  assert(printed >= 128 * KiB && printed <= 512 * KiB, `${printed}`);
  let read = 0;
  // The chain that was held comes back when there is room.
  while (read < printed + 4 * KiB) {
    const { value } = await within(reader.read());
    assertEquals(value![0], (read / (4 * KiB)) & 0xff);
    read += value!.length;
  }
  assertEquals((await machine.used(transmit, 1)).length, 1);
});

Deno.test("console: what is printed byte by byte while the host is busy comes joined, and in order", async () => {
  const { machine, stream, transmit } = await start();
  await using _ = machine;
  const { port } = machine.host;
  const receive = port.onmessage!;
  let messages = 0;
  port.onmessage = (data) => {
    if ((data as { type: string }).type === "output") messages++;
    receive(data);
  };
  const reader = stream.readable.getReader();
  // No turn of the event loop until all is printed.
  const length = 20_000;
  const deadline = performance.now() + 20_000;
  for (let done = 0; done < length; done++) {
    machine.bytes[0x8000] = done % 251;
    transmit.add({ at: 0x8000, length: 1 });
    machine.kick(1);
    while (transmit.takeUsed().length === 0) {
      assert(performance.now() < deadline, `${done} bytes in 20 s`);
    }
  }
  for (let read = 0; read < length;) {
    const { value } = await within(reader.read());
    assertEquals(value!.every((byte) => byte === read++ % 251), true);
  }
  assert(messages <= 3, `${messages} messages`);
});

Deno.test("console: what waits for an answer is told at a pause, at the end, and after a reset", async () => {
  for (const how of ["pause", "close", "reset"] as const) {
    const { machine, transmit } = await start();
    await using _ = machine;
    const { port } = machine.host;
    let text = "";
    // A host that has not come to answer yet.
    port.onmessage = (data) => {
      const { bytes } = data as { bytes: Uint8Array };
      text += new TextDecoder().decode(bytes);
    };
    for (const at of [0x8000, 0x8001, 0x8002]) {
      machine.bytes[at] = 0x61 + at - 0x8000;
      transmit.add({ at, length: 1 });
      machine.kick(1);
      await machine.used(transmit, 1);
    }
    await machine.until(() => text !== "");
    assertEquals(text, "a");
    if (how === "pause") await machine.host.command(7);
    if (how === "close") await machine.host.close();
    if (how === "reset") {
      await machine.reset();
      port.postMessage({ type: "taken", length: 0 });
    }
    await machine.until(() => text === "abc", () => `${how}: "${text}"`);
  }
});

Deno.test("console: a chain larger than the window goes through in parts", async () => {
  const { machine, stream, transmit } = await start();
  await using _ = machine;
  const reader = stream.readable.getReader();
  const length = 600 * KiB;
  transmit.add({ at: 0x20000, length });
  machine.kick(1);
  let read = 0;
  while (read < length) {
    const { value } = await within(reader.read());
    assert(value!.length <= 64 * KiB);
    read += value!.length;
  }
  assertEquals(await machine.used(transmit, 1), [{ id: 0, length: 0 }]);
});

Deno.test("console: a reset does not wait for a reader that does not read", async () => {
  const { machine, stream, transmit } = await start();
  await using _ = machine;
  stream.readable.getReader();
  await print(machine, transmit, 2048 * KiB, 100);
  await machine.reset();
  assertEquals(machine.faults, []);
});

Deno.test("console: a writer waits for the guest within bounds, and a reset lets it go", async () => {
  const { machine, stream } = await start();
  await using _ = machine;
  const writer = stream.writable.getWriter();
  let written = 0;
  const flood = (async () => {
    while (written < 64) {
      await writer.write(new Uint8Array(4 * KiB));
      written++;
    }
  })();
  await new Promise((go) => setTimeout(go, 100));
  assert(written <= 16, `${written} of 64 chunks were taken`);
  // Each reset drops what the guest did not take, and lets as much in again.
  const end = performance.now() + PATIENCE_MS;
  while (written < 64 && performance.now() < end) {
    await machine.reset();
    await bringUp(machine);
    await new Promise((go) => setTimeout(go, 20));
  }
  await within(flood);
});

Deno.test("console: the terminal's size is configuration, told with an interrupt", async () => {
  const { machine, stream } = await start();
  await using _ = machine;
  assertEquals(await machine.read(0x100), (24 << 16) | 80);
  stream.resize(132, 43);
  await machine.until(() => (machine.words[0]! & 2) !== 0);
  assertEquals(await machine.read(0x100), (43 << 16) | 132);
  assertEquals(await machine.read(0x0fc), 1);
});

Deno.test("console: a readable buffer in the receive queue takes nothing", async () => {
  const { machine, stream, receive } = await start();
  await using _ = machine;
  receive.add({ at: 0x8000, length: 16 });
  receive.add({ at: 0x9000, length: 16, write: true });
  await stream.writable.getWriter().write(new Uint8Array([1, 2]));
  assertEquals((await machine.used(receive, 2)).map((one) => one.length), [
    0,
    2,
  ]);
});
