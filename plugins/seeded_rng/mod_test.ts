import { assertEquals, assertNotEquals } from "@std/assert";
import { Vm } from "@paddock/paddock";
import { kvmTest } from "../../tests/kvm/host.ts";
import { FakeMachine } from "../../tests/support/fake_machine.ts";
import { bytesOf, xoshiro128 } from "./mod.ts";

const module = new URL("mod.ts", import.meta.url).href;
const first = (seed: number, length: number) =>
  Uint8Array.from(bytesOf(seed).take(length));

Deno.test("xoshiro128() gives the words of the published generator", () => {
  const state = Uint32Array.of(1, 2, 3, 4);
  assertEquals(Array.from({ length: 6 }, () => xoshiro128(state)), [
    11520,
    0,
    5927040,
    70819200,
    2031721883,
    1637235492,
  ]);
});

Deno.test("bytesOf() has another sequence for each seed, 0 included", () => {
  assertNotEquals(first(1, 64), first(2, 64));
  assertEquals(new Set(first(0, 4096)).size, 256);
});

Deno.test("seeded_rng goes on from request to request, and starts over with its driver", async () => {
  await using machine = await FakeMachine.start({
    module,
    builtIn: false,
    options: { seed: 7 },
  });
  for (let driver = 0; driver < 2; driver++) {
    const ring = await machine.bringUp();
    // Neither is a whole number of words.
    ring.add({ at: 0x8000, length: 5, write: true });
    ring.add(
      { at: 0x8005, length: 2, write: true },
      { at: 0x8007, length: 90, write: true },
    );
    machine.kick();
    const used = await machine.used(ring, 2);
    assertEquals(used.map(({ length }) => length), [5, 92]);
    assertEquals(machine.bytes.slice(0x8000, 0x8061), first(7, 97));
    await machine.reset();
  }
});

kvmTest(
  "seeded_rng gives the embedded guest the bytes of its manifest's seed",
  async () => {
    await using vm = await Vm.start(new URL("vm.json", import.meta.url));
    const output = await new Response(vm.console?.readable).text();
    assertEquals(/rng: ([0-9a-f]+)/.exec(output)?.[1], first(2026, 16).toHex());
  },
);
