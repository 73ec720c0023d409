import { assertEquals } from "@std/assert";
import { builtIn, FakeMachine } from "../support/fake_machine.ts";

const rng = (maxBytes: number) =>
  FakeMachine.start({ module: builtIn("rng"), options: { maxBytes } });

const isRandom = (bytes: Uint8Array) => new Set(bytes).size > bytes.length / 8;

Deno.test("rng fills what the driver offers, over several buffers", async () => {
  await using machine = await rng(65536);
  const ring = await machine.bringUp();
  assertEquals(await machine.read(0x008), 4);
  ring.add(
    { at: 0x8000, length: 100, write: true },
    { at: 0x9000, length: 300, write: true },
  );
  machine.kick();
  assertEquals(await machine.used(ring, 1), [{ id: 0, length: 400 }]);
  assertEquals(isRandom(machine.bytes.slice(0x8000, 0x8000 + 100)), true);
  assertEquals(isRandom(machine.bytes.slice(0x9000, 0x9000 + 300)), true);
  assertEquals(machine.bytes[0x8000 + 100], 0);
  assertEquals(machine.bytes[0x9000 + 300], 0);
});

Deno.test("rng gives at most maxBytes a request", async () => {
  await using machine = await rng(1000);
  const ring = await machine.bringUp();
  ring.add({ at: 0x10000, length: 5000, write: true });
  machine.kick();
  assertEquals(await machine.used(ring, 1), [{ id: 0, length: 1000 }]);
  assertEquals(
    machine.bytes.subarray(0x10000 + 1000, 0x10000 + 5000).every((
      byte,
    ) => byte === 0),
    true,
  );
});

Deno.test("rng goes on beyond what the host's generator gives at once", async () => {
  await using machine = await rng(200_000);
  const ring = await machine.bringUp();
  ring.add({ at: 0x10000, length: 150_000, write: true });
  machine.kick();
  assertEquals(await machine.used(ring, 1), [{ id: 0, length: 150_000 }]);
  assertEquals(
    isRandom(machine.bytes.slice(0x10000 + 149_900, 0x10000 + 150_000)),
    true,
  );
});

Deno.test("rng uses a chain without room with length 0", async () => {
  await using machine = await rng(1000);
  const ring = await machine.bringUp();
  ring.add({ at: 0x10000, length: 64 });
  machine.kick();
  assertEquals(await machine.used(ring, 1), [{ id: 0, length: 0 }]);
});
