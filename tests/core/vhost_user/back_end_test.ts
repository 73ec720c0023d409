// Devices behind vhost-user, over real memfds and eventfds: what a front end asks for, and that its driver gets it.

import { assert, assertEquals } from "@std/assert";
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
  VERSION_1,
} from "../../support/fake_front_end.ts";
import { builtIn, inlineModule } from "../../support/fake_machine.ts";
import { FakePackedRing } from "../../support/fake_packed_ring.ts";
import { answer, rng, SLOW } from "./back_end_devices.ts";
import { until, within } from "../../support/wait.ts";

const MiB = 1 << 20;

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
