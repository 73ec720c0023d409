// A back end over its life: resets, devices that fail, drivers that err, front ends that hang up.

import { assert, assertEquals } from "@std/assert";
import { BackSide } from "../../support/fake_back_side.ts";
import { FakeRing } from "../../support/fake_driver.ts";
import { type FakeFrontEnd, FakeGuest } from "../../support/fake_front_end.ts";
import { inlineModule } from "../../support/fake_machine.ts";
import { answer, rng, SLOW } from "./back_end_devices.ts";
import { until, within } from "../../support/wait.ts";

const MiB = 1 << 20;

Deno.test("RESET_DEVICE resets the device, and it can be set up again", async () => {
  await using side = await BackSide.start({ module: SLOW, options: { ms: 0 } });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  for (let round = 0; round < 3; round++) {
    await front.introduce();
    const ring = new FakeRing(guest.ram, 8);
    assert(await front.queue(0, ring));
    ring.add(answer);
    front.kick();
    await front.used(ring, 1);
    assert(await front.do(34));
    ring.add(answer);
    front.kick();
    await new Promise((go) => setTimeout(go, 10));
    assertEquals(ring.usedIdx, 1);
  }
  await until(() => side.logged.length === 6);
  assertEquals(side.logged.join(), Array(3).fill("activate,reset").join());
});

Deno.test("A driver that makes its rings anew finds a device that was reset", async () => {
  await using side = await BackSide.start({ module: SLOW, options: { ms: 0 } });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  for (let round = 0; round < 2; round++) {
    const ring = new FakeRing(guest.ram, 8);
    assert(await front.queue(0, ring));
    ring.add(answer);
    front.kick();
    await front.used(ring, 1);
    await front.stop(0);
  }
  await until(() => side.logged.length === 3);
  assertEquals(side.logged.join(), "activate,reset,activate");
});

const FAULTY = inlineModule(`{
  id: 7,
  queues: { q: 16 },
  create: () => {
    let fails = true;
    return { queues: { q: ({ writable }) => {
      if (fails) throw new Error("on purpose");
      return writable.write(new Uint8Array([1]));
    } }, reset: () => fails = false };
  },
}`);

Deno.test("A device that fails is told on the error descriptor, and goes on after its reset", async () => {
  await using side = await BackSide.start({ module: FAULTY });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const ring = new FakeRing(guest.ram, 8);
  await front.queue(0, ring);
  ring.add(answer);
  front.kick();
  await until(() => front.taken(front.errors[0]!) > 0);
  assert(side.faults[0]!.includes("on purpose"));
  assertEquals(await front.stop(0), 0, "what failed is not lost");
  assert(await front.queue(0, ring, 0));
  await front.used(ring, 1);
});

const DYING = inlineModule(`{
  id: 7,
  queues: { q: 16 },
  create: () => ({ queues: { q: ({ readable, writable }) => {
    const what = readable.u8();
    const written = writable.write(new Uint8Array([7]));
    if (what === 1) queueMicrotask(() => { throw new Error("of an old age"); });
    if (what === 2) for (;;);
    return written;
  } } }),
}`);

/** Has the device of DYING do something. */
async function tellDying(
  front: FakeFrontEnd,
  what: number,
): Promise<FakeRing> {
  await front.introduce();
  const ring = new FakeRing(front.guest.ram, 8);
  assert(await front.queue(0, ring));
  front.guest.bytes[0x9000] = what;
  ring.add({ at: 0x9000, length: 1 }, answer);
  front.kick();
  return ring;
}

Deno.test("A device whose thread ends is started again by the reset", async () => {
  await using side = await BackSide.start({ module: DYING });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await tellDying(front, 1);
  await until(() => front.taken(front.errors[0]!) > 0);
  assert(side.faults[0]!.includes("of an old age"));
  assert(await front.do(34));
  await front.used(await tellDying(front, 0), 1);
});

Deno.test("A device that hangs is given up: its front end is hung up on, and whoever serves it hears of it", async () => {
  const side = await BackSide.start({ module: DYING, budgetMs: 1000 });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  const served = side.served.then(() => "served", ({ message }) => message);
  await tellDying(front, 2);
  await until(() => guest.bytes[0x8000] === 7);
  front.tell(34);
  await front.hungUp();
  assertEquals(await served, "device dev0: has failed for good");
  assert(side.faults[0]!.includes("did not answer"));
  assertEquals(side.violations, []);
  await side[Symbol.asyncDispose]();
});

Deno.test("A driver's mistake is told on the error descriptor, and does not end the connection", async () => {
  await using side = await BackSide.start(rng);
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const ring = new FakeRing(guest.ram, 8);
  await front.queue(0, ring);
  ring.add({ at: 2 * MiB, length: 16, write: true });
  front.kick();
  await until(() => front.taken(front.errors[0]!) > 0);
  assert(side.driverErrors[0]!.startsWith("2.7.5: "));
  await front.stop(0);
  // Rings that may not be where they are.
  assert(!await front.start(0, 8, [0x1001, 0x2000, 0x3000], 0));
  await until(() => side.driverErrors.length > 1);
  assert(side.driverErrors[1]!.includes("is not aligned"));
  const again = new FakeRing(guest.ram, 8);
  await front.stop(0);
  assert(await front.queue(0, again));
  again.add(answer);
  front.kick();
  await front.used(again, 1);
});

Deno.test("A front end that hangs up leaves nothing behind, and the next one is served", async () => {
  await using side = await BackSide.start({ module: SLOW, options: { ms: 5 } });
  const fds = () => [...Deno.readDirSync("/proc/self/fd")].length;
  let before = 0;
  for (let round = 0; round < 20; round++) {
    if (round === 2) before = fds();
    using guest = new FakeGuest();
    using front = await side.connect(guest);
    await front.introduce();
    await front.makeInflight(1, 8);
    const ring = new FakeRing(guest.ram, 8);
    await front.queue(0, ring);
    ring.add(answer);
    front.kick();
    if (round % 2) await front.used(ring, 1);
    front.connection.close();
    await within(side.served);
    const used = ring.usedIdx;
    await new Promise((go) => setTimeout(go, 10));
    assertEquals(ring.usedIdx, used);
  }
  assert(fds() <= before + 2, `${fds()} descriptors, ${before} before`);
  assertEquals(side.violations, []);
});
