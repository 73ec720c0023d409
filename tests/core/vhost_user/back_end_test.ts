// Devices behind vhost-user, over real memfds and eventfds: what a front end asks for, and that its driver gets it.

import { assert, assertEquals } from "@std/assert";
import { EventFd } from "../../../core/sys/fd.ts";
import { UnixSocket } from "../../../core/sys/unix_socket.ts";
import { Connection } from "../../../core/vhost_user/connection.ts";
import { BackSide } from "../../support/fake_back_side.ts";
import { FakeRing } from "../../support/fake_driver.ts";
import {
  type FakeFrontEnd,
  FakeGuest,
  HIGH,
  PACKED,
  u32s,
  u64,
  until,
  VERSION_1,
} from "../../support/fake_front_end.ts";
import { builtIn, inlineModule, within } from "../../support/fake_machine.ts";
import { FakePackedRing } from "../../support/fake_packed_ring.ts";

const MiB = 1 << 20;
const rng = { module: builtIn("rng"), options: { maxBytes: 65536 } };

/** Writes its number into each request, and gives it back `ms` later. */
const SLOW = inlineModule(`{
  id: 7,
  queues: { q: 16, other: 16 },
  create({ options, log }) {
    let count = 0;
    const serve = async ({ writable }) => {
      const written = writable.write(new Uint8Array([++count]));
      await new Promise((go) => setTimeout(go, options.ms));
      return written;
    };
    return {
      queues: { q: serve, other: serve },
      activate: () => log("activate"),
      reset: () => log("reset"),
    };
  },
}`);

const answer = { at: 0x8000, length: 16, write: true };
const isRandom = (bytes: Uint8Array) => new Set(bytes).size > bytes.length / 8;

Deno.test("rng serves a split ring of another VMM, in both of its regions", async () => {
  await using side = await BackSide.start(rng);
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const ring = new FakeRing(guest.ram, 8);
  assert(await front.queue(0, ring));
  ring.add({ at: 0x8000, length: 100, write: true }, {
    at: HIGH + 0x100,
    length: 200,
    write: true,
  });
  front.kick();
  assertEquals(await front.used(ring, 1), [{ id: 0, length: 300 }]);
  await front.called();
  assert(isRandom(guest.bytes.slice(0x8000, 0x8000 + 100)));
  assert(isRandom(guest.bytes.slice(MiB + 0x100, MiB + 0x100 + 200)));
  assertEquals(guest.bytes[MiB + 0x100 + 200], 0);
  assertEquals([side.violations, side.driverErrors, side.faults], [[], [], []]);
});

Deno.test("rng serves a packed ring of another VMM", async () => {
  await using side = await BackSide.start({
    ...rng,
    virtio: { ring: "packed" },
  });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce(VERSION_1 | PACKED);
  const ring = new FakePackedRing(guest.ram, 6);
  assert(await front.packedQueue(0, ring));
  for (let round = 0; round < 20; round++) {
    const id = ring.add([{ at: HIGH + 0x200, length: 64, write: true }]);
    ring.add([answer, { ...answer, at: 0x9000 }]);
    front.kick();
    const used = await front.used(ring, 2);
    assertEquals(used.map(({ length }) => length), [64, 32]);
    assertEquals(used[0]!.id, id);
  }
  assert(isRandom(guest.bytes.slice(MiB + 0x200, MiB + 0x240)));
});

Deno.test("Features, queues and protocol features are as the device declares them", async () => {
  await using side = await BackSide.start({ module: SLOW });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  const features = new DataView((await front.ask(1)).buffer)
    .getBigUint64(0, true);
  // RING_RESET, VERSION_1, PROTOCOL_FEATURES, EVENT_IDX, INDIRECT_DESC
  assertEquals(features, 0x101_7000_0000n);
  // MQ, REPLY_ACK, BACKEND_REQ, INFLIGHT_SHMFD, RESET_DEVICE; CONFIG where there is a configuration space.
  assertEquals(await front.ask(15), u64(0x3029));
  assertEquals(await front.ask(17), u64(2));
});

/** Writes a request into the guest's memory and waits for its status. */
async function request(
  front: FakeFrontEnd,
  ring: FakeRing | FakePackedRing,
  type: number,
  sector: number,
  data: { at: number; length: number; write?: boolean },
): Promise<number> {
  const { guest } = front;
  ring.view.setUint32(0x8000, type, true);
  ring.view.setBigUint64(0x8008, BigInt(sector), true);
  guest.bytes[0x8800] = 0x77;
  const buffers = [{ at: 0x8000, length: 16 }, data, {
    at: 0x8800,
    length: 1,
    write: true,
  }];
  if (ring instanceof FakeRing) ring.add(...buffers);
  else ring.add(buffers);
  front.kick();
  await front.used(ring, 1);
  return guest.bytes[0x8800]!;
}

for (const format of ["split", "packed"] as const) {
  Deno.test(`block reads and writes over a ${format} ring, and its driver is called`, async () => {
    const path = await Deno.makeTempFile();
    try {
      await Deno.truncate(path, MiB);
      await using side = await BackSide.start({
        module: builtIn("block"),
        options: { path, readOnly: false },
        grants: { read: [path], write: [path] },
        virtio: { ring: format },
      });
      using guest = new FakeGuest();
      using front = await side.connect(guest);
      await front.introduce(
        VERSION_1 | 1n << 9n | (format === "packed" ? PACKED : 0n),
      );
      const config = await front.ask(24, u32s(0, 16, 0, 0, 0, 0, 0));
      assertEquals(new DataView(config.buffer).getUint32(12, true), 2048);
      const ring = format === "packed"
        ? new FakePackedRing(guest.ram, 8)
        : new FakeRing(guest.ram, 8);
      if (ring instanceof FakeRing) await front.queue(0, ring);
      else await front.packedQueue(0, ring);
      const data = crypto.getRandomValues(new Uint8Array(4096));
      guest.bytes.set(data, MiB);
      const out = { at: HIGH, length: 4096 };
      assertEquals(await request(front, ring, 1, 8, out), 0);
      await front.called();
      const into = { at: 0x1_0000, length: 4096, write: true };
      assertEquals(await request(front, ring, 0, 8, into), 0);
      assertEquals(guest.bytes.slice(0x1_0000, 0x1_1000), data);
      assertEquals((await Deno.readFile(path)).slice(4096, 8192), data);
      assertEquals(await request(front, ring, 0, 2048, into), 1);
    } finally {
      await Deno.remove(path);
    }
  });
}

Deno.test("GET_VRING_BASE waits for what is in flight, and the queue goes on from there", async () => {
  await using side = await BackSide.start({
    module: SLOW,
    options: { ms: 1500 },
  });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const ring = new FakeRing(guest.ram, 8);
  await front.queue(0, ring);
  for (let i = 0; i < 3; i++) ring.add({ ...answer, at: 0x8000 + 16 * i });
  front.kick();
  await until(() => guest.bytes[0x8020] === 3);
  assertEquals(ring.usedIdx, 0);
  assertEquals(await front.stop(0), 3);
  assertEquals(ring.usedIdx, 3);
  ring.add({ ...answer, at: 0x8100 });
  front.kick();
  await new Promise((go) => setTimeout(go, 20));
  assertEquals(guest.bytes[0x8100], 0);
  assert(await front.queue(0, ring, 3));
  assertEquals((await front.used(ring, 4)).at(-1), { id: 3, length: 1 });
  assertEquals(guest.bytes[0x8100], 4);
  assertEquals(await front.stop(0), 4);
  // Nothing was reset in between: the driver only paused.
  await until(() => side.logged.length > 0);
  assertEquals(side.logged, ["activate"]);
});

/** Keeps the second chain that it pulls, and answers all others. */
const KEEPER = inlineModule(`{
  id: 7,
  queues: { q: 16 },
  create: () => {
    let count = 0;
    return { queues: { q: { available(queue) {
      for (let chain; (chain = queue.pop()) !== null;) {
        if (++count !== 2) queue.addUsed(chain, chain.writable.write(new Uint8Array([count])));
      }
      queue.flush();
    } } } };
  },
}`);

for (const recorded of [false, true]) {
  Deno.test(`A chain that a device keeps comes again when its queue goes on${recorded ? ", as its record says" : ""}`, async () => {
    await using side = await BackSide.start({ module: KEEPER });
    using guest = new FakeGuest();
    using front = await side.connect(guest);
    await front.introduce();
    if (recorded) await front.makeInflight(1, 8);
    const ring = new FakeRing(guest.ram, 8);
    await front.queue(0, ring);
    const chains = recorded ? 3 : 2;
    for (let i = 0; i < chains; i++) {
      ring.add({ ...answer, at: 0x8000 + 16 * i });
    }
    front.kick();
    assertEquals((await front.used(ring, chains - 1))[0]!.id, 0);
    // Without a record there is only the used ring to go on from, so that what is kept has to be the last.
    const base = await front.stop(0);
    assertEquals(base, chains - 1);
    await front.queue(0, ring, base);
    assertEquals(await front.used(ring, 1), [{ id: 1, length: 1 }]);
    assertEquals(guest.bytes[0x8010], chains + 1);
    ring.add({ ...answer, at: 0x9000 });
    front.kick();
    assertEquals((await front.used(ring, 1))[0]!.id, chains);
  });
}

Deno.test("A packed queue stops and goes on in the middle of its ring", async () => {
  await using side = await BackSide.start({
    module: SLOW,
    options: { ms: 1 },
    virtio: { ring: "packed" },
  });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce(VERSION_1 | PACKED);
  const ring = new FakePackedRing(guest.ram, 4);
  let base = 0x8000_8000;
  const bases: number[] = [];
  for (let round = 0; round < 6; round++) {
    assert(await front.packedQueue(0, ring, base));
    ring.add([answer, { ...answer, at: 0x9000 }, { ...answer, at: 0xa000 }]);
    front.kick();
    await front.used(ring, 1);
    bases.push(base = await front.stop(0));
  }
  assertEquals(bases.map((each) => each >>> 0), [
    0x8003_8003, // 3, wrap counter 1
    0x0002_0002,
    0x8001_8001,
    0x0000_0000,
    0x0003_0003,
    0x8002_8002,
  ]);
});

Deno.test("A queue is disabled and enabled without losing what came meanwhile", async () => {
  await using side = await BackSide.start({ module: SLOW, options: { ms: 0 } });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const ring = new FakeRing(guest.ram, 8);
  await front.queue(0, ring);
  ring.add(answer);
  front.kick();
  await front.used(ring, 1);
  assert(await front.do(18, u32s(0, 0)));
  ring.add(answer);
  front.kick();
  await new Promise((go) => setTimeout(go, 20));
  assertEquals(ring.usedIdx, 1);
  assert(await front.do(18, u32s(0, 1)));
  await front.used(ring, 1);
});

Deno.test("Queues that are live go on after a new memory table", async () => {
  await using side = await BackSide.start({ module: SLOW, options: { ms: 2 } });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const rings = [0, 1].map((i) =>
    new FakeRing(guest.ram, 16, 0x1000 + 0x2000 * i)
  );
  for (const [i, ring] of rings.entries()) await front.queue(i, ring);
  for (let round = 0; round < 30; round++) {
    for (const [i, ring] of rings.entries()) {
      ring.add(answer);
      ring.add({ ...answer, at: HIGH });
      front.kick(i);
    }
    assert(await front.setMemory());
    for (const ring of rings) await front.used(ring, 2);
  }
  assertEquals(rings.map(({ usedIdx }) => usedIdx), [60, 60]);
});

Deno.test("Without protocol features queues need not be enabled, and nothing is acknowledged", async () => {
  await using side = await BackSide.start(rng);
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const ring = new FakeRing(guest.ram, 8);
  front.tell(2, u64(VERSION_1));
  await front.queue(0, ring);
  ring.add(answer);
  front.kick();
  await front.used(ring, 1);
  front.tell(16, u64(0));
  front.connection.send(3, undefined, [], 8);
  assertEquals(await front.ask(17), u64(1)); // the next reply is this one's
});

Deno.test("The call descriptor may change at any time, and may be none", async () => {
  await using side = await BackSide.start(rng);
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const ring = new FakeRing(guest.ram, 8);
  await front.queue(0, ring);
  const [first] = front.calls as [EventFd];
  // It is called at once: a call of before may have got lost.
  assertEquals(front.taken(first), 1);
  /** Calls of one request, where one is to come. */
  const once = async (call?: EventFd) => {
    ring.add(answer);
    front.kick();
    await front.used(ring, 1);
    let calls = 0;
    if (call) await until(() => (calls = front.taken(call)) > 0);
    await new Promise((go) => setTimeout(go, 20));
    return calls;
  };
  assertEquals(await once(first), 1);
  using other = new EventFd();
  await front.do(13, u64(0), [other]);
  assertEquals(front.taken(other), 1);
  assertEquals(await once(other), 1);
  assertEquals([front.taken(first), front.taken(other)], [0, 0]);
  await front.do(13, u64(0x100));
  await once();
  assertEquals([front.taken(first), front.taken(other)], [0, 0]);
});

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

const CONFIGURED = inlineModule(`{
  id: 7,
  queues: { q: 16 },
  config: { length: "u32", mode: { type: "u8", writable: true } },
  create: ({ config, updateConfig, log }) => {
    updateConfig({ length: 0x11223344 });
    return {
      queues: { q: ({ writable }) => {
        updateConfig({ length: 0x55667788 });
        return writable.write(new Uint8Array([config.mode]));
      } },
      configWritten: (field) => log(field + " " + config[field]),
    };
  },
}`);

Deno.test("Configuration space is read and written, and its changes are told", async () => {
  await using side = await BackSide.start({ module: CONFIGURED });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  assertEquals(await front.ask(15), u64(0x3229));
  await front.introduce();
  const [ours, theirs] = UnixSocket.pair();
  using channel = new Connection(ours);
  assert(await front.do(21, undefined, [theirs])); // SET_BACKEND_REQ_FD
  theirs.close();
  const read = async (offset: number, size: number) =>
    (await front.ask(
      24,
      new Uint8Array([...u32s(offset, size, 0), ...new Uint8Array(size)]),
    )).slice(12);
  assertEquals(
    await read(0, 8),
    new Uint8Array([0x44, 0x33, 0x22, 0x11, 0, 0, 0, 0]),
  );
  const write = (offset: number, flags: number, ...bytes: number[]) =>
    front.do(
      25,
      new Uint8Array([...u32s(offset, bytes.length, flags), ...bytes]),
    );
  assert(await write(4, 0, 9));
  assertEquals(await read(4, 1), new Uint8Array([9]));
  assert(!await write(4, 1, 8), "a migration is not possible");
  assert(!await write(5, 0, 8), "there is nothing");
  await until(() => side.logged.length > 0);
  assertEquals(side.logged, ["mode 9"]);
  // More than a message has: an error, which is no payload at all.
  assertEquals((await front.ask(24, u32s(0, 0, 0))).length, 12);
  const ring = new FakeRing(guest.ram, 8);
  await front.queue(0, ring);
  ring.add(answer);
  front.kick();
  await front.used(ring, 1);
  using told = (await within(channel.receive()))!;
  assertEquals([told.request, told.payload.length], [2, 0]);
  assertEquals(await read(0, 1), new Uint8Array([0x88]));
  assertEquals(guest.bytes[0x8000], 9);
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
