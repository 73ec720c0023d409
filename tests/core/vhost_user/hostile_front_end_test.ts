// Front ends that break the protocol: each is told of in one message and hung up on, and the next one is served.

import { assert, assertEquals } from "@std/assert";
import { EventFd, Fd } from "../../../core/sys/fd.ts";
import { libc } from "../../../core/sys/libc.ts";
import { BackSide } from "../../support/fake_back_side.ts";
import { FakeRing } from "../../support/fake_driver.ts";
import {
  type FakeFrontEnd,
  FakeGuest,
  memfd,
  PACKED,
  u32s,
  u64,
  u64s,
  USER,
  VERSION_1,
} from "../../support/fake_front_end.ts";
import { builtIn } from "../../support/fake_machine.ts";
import { until, within } from "../../support/wait.ts";

const MiB = 1 << 20;
const answer = { at: 0x8000, length: 16, write: true };
const join = (...parts: Uint8Array[]): Uint8Array =>
  new Uint8Array(parts.flatMap((part) => [...part]));
const table = (...regions: (bigint | number)[][]): Uint8Array =>
  join(u32s(regions.length, 0), ...regions.map((each) => u64s(...each)));
const address = (index: number, ...places: (bigint | number)[]): Uint8Array =>
  join(u32s(index, 0), u64s(...places, 0));

/** Serves a queue, then has `act` do what it should not; `problem` is in the one message. */
function refuses(
  what: string,
  problem: string,
  act: (front: FakeFrontEnd) => unknown,
): void {
  Deno.test(`A front end that ${what} is hung up on`, async () => {
    await using side = await BackSide.start({
      module: builtIn("rng"),
      options: { maxBytes: 100 },
    });
    using guest = new FakeGuest();
    {
      using front = await side.connect(guest);
      await front.introduce();
      await front.queue(0, new FakeRing(guest.ram, 8));
      await act(front);
      await front.hungUp();
    }
    await within(side.served);
    assertEquals(side.violations.length, 1);
    assert(side.violations[0]!.includes(problem), side.violations[0]);
    using next = await side.connect(guest);
    await next.introduce();
    const ring = new FakeRing(guest.ram, 8);
    assert(await next.queue(0, ring));
    ring.add(answer);
    next.kick();
    await next.used(ring, 1);
    assertEquals([side.driverErrors, side.faults], [[], []]);
  });
}

/** As `refuses`, with a message. */
const refusesMessage = (
  what: string,
  problem: string,
  request: number,
  payload?: Uint8Array,
  fds: (front: FakeFrontEnd) => readonly Fd[] = () => [],
) =>
  refuses(what, problem, (front) => front.tell(request, payload, fds(front)));

refusesMessage("sends an unknown request", "request 99", 99);
refusesMessage("sets a log", "VHOST_USER_SET_LOG_BASE", 6, u64(0));
refusesMessage("accepts features that are not offered", "0x1", 2, u64(1));
refusesMessage(
  "accepts protocol features that are not offered",
  "features 0x2,",
  16,
  u64(2),
);
refusesMessage(
  "changes features of live queues",
  "while queues are live",
  2,
  u64(VERSION_1 | 1n << 28n),
);
refusesMessage("accepts packed rings unasked", "0x400000000", 2, u64(PACKED));
refusesMessage("sends a short number", "4 bytes", 2, u32s(0));
refusesMessage("names a queue that is not there", "queue 1", 8, u32s(1, 8));
refusesMessage("names queue 2^32 - 1", "queue 4294967295", 11, u32s(-1, 0));
refusesMessage("names queue 255", "queue 255", 13, u64(0x1ff));
refusesMessage("sizes a live queue", "which is live", 8, u32s(0, 16));
refusesMessage("moves the base of a live queue", "live", 10, u32s(0, 3));
refusesMessage("wants to be polled", "poll", 12, u64(0x100));
refusesMessage("sends no kick descriptor", "0 descriptors", 12, u64(0));
refusesMessage(
  "sends two",
  "2 descriptors",
  12,
  u64(0),
  (front) => [front.kicks[0]!, front.kicks[0]!],
);
refusesMessage(
  "sends a descriptor with a message that takes none",
  "1 descriptors",
  1,
  undefined,
  (front) => [front.kicks[0]!],
);
refusesMessage(
  "kicks by a file",
  "epoll_ctl",
  12,
  u64(0),
  (front) => [front.guest.memfd],
);

const RAM = (front: FakeFrontEnd) => [front.guest.memfd];
const refusesTable = (
  what: string,
  problem: string,
  ...regions: (bigint | number)[][]
) =>
  refusesMessage(
    `sends a memory table ${what}`,
    problem,
    5,
    table(...regions),
    (front) => regions.map(() => front.guest.memfd),
  );
refusesMessage("sends an empty memory table", "0 regions", 5, table());
refusesTable("of nothing", "0 bytes", [0, 0, USER, 0]);
refusesTable("past its file", "2097152 bytes", [0, MiB, USER, 2 * MiB]);
refusesTable("larger than its file", "mapped", [0, 3 * MiB, USER, 0]);
refusesTable("of half pages", "whole pages", [0, 2048, USER, 0]);
refusesTable("at half a page", "whole pages", [2048, 4096, USER, 0]);
refusesTable("with a wild offset", "whole pages", [0, 4096, USER, 1n << 52n]);
refusesTable("of 2^63 bytes", "no memory has", [0, 1n << 63n, USER, 0]);
refusesTable("of 128 GiB", "the most is", [0, 2 ** 37, USER, 0]);
refusesTable(
  "that overlaps",
  "overlap at 0x1000",
  [0, 0x2000, USER, 0],
  [0x1000, 0x1000, USER + 0x10000, 0],
);
refusesTable(
  "that overlaps in its own addresses",
  "overlap",
  [0, 0x2000, USER, 0],
  [0x4000, 0x1000, USER + 0x1000, 0],
);
refusesMessage(
  "sends nine regions",
  "9 regions",
  5,
  table(...Array.from({ length: 9 }, (_, i) => [i << 12, 4096, USER, 0])),
);
refusesMessage(
  "announces more regions than it sends",
  "2 regions",
  5,
  join(u32s(2, 0), u64s(0, MiB, USER, 0)),
  RAM,
);
refusesMessage(
  "sends fewer descriptors than regions",
  "0 descriptors",
  5,
  table([0, MiB, USER, 0]),
);
refusesTable(
  "without its live queue",
  "in no region",
  [0, MiB, USER + 0x10_0000, 0],
);
refusesMessage(
  "moves a live queue out of its memory",
  "in no region",
  9,
  address(0, 0x1000, 0x2000, 0x3000),
);

const inflight = (size: number, offset: number, queues: number, num: number) =>
  join(u64s(size, offset), u32s(queues | num << 16, 0));
refusesMessage(
  "asks for what is in flight in no queues",
  "0 queues",
  31,
  inflight(0, 0, 0, 8),
);
refusesMessage(
  "asks for what is in flight in queues of 65535",
  "of 65535",
  31,
  inflight(0, 0, 1, 65535),
);
refusesMessage(
  "sends memory for what is in flight to live queues",
  "while queues are live",
  32,
  inflight(4096, 0, 1, 8),
  RAM,
);

Deno.test("Records of what is in flight that cannot be are refused", async () => {
  await using side = await BackSide.start({
    module: builtIn("rng"),
    options: { maxBytes: 100 },
  });
  using guest = new FakeGuest();
  using small = memfd(4096);
  for (
    const [description, problem] of [
      [inflight(8192, 0, 1, 8), "4096 bytes, of which 8192"],
      [inflight(0, 0, 1, 8), "0 bytes"],
      [inflight(4096, 2048, 1, 8), "at 2048"],
      [inflight(2 ** 40, 0, 1, 8), "up to"],
    ] as const
  ) {
    using front = await side.connect(guest);
    await front.introduce();
    front.tell(32, description, [small]);
    await front.hungUp();
    await within(side.served);
    assert(side.violations.at(-1)!.includes(problem), side.violations.at(-1));
  }
  // One that has no room for the queue is seen when it starts.
  using front = await side.connect(guest);
  await front.introduce();
  await front.do(32, inflight(4096, 0, 1, 512), [small]);
  const ring = new FakeRing(guest.ram, 8);
  await front.queue(0, ring).catch(() => {});
  await within(side.served);
  assert(side.violations.at(-1)!.includes("started queue 0"));
});

Deno.test("A record that its front end fills with garbage costs the device's service only", async () => {
  await using side = await BackSide.start({
    module: builtIn("rng"),
    options: { maxBytes: 100 },
  });
  for (let seed = 1; seed < 40; seed++) {
    using guest = new FakeGuest();
    using front = await side.connect(guest);
    await front.introduce();
    await front.makeInflight(1, 8);
    const garbage = crypto.getRandomValues(new Uint8Array(4096));
    garbage.fill(0, 0, 8);
    garbage.set([1, 0, 8, 0], 8);
    libc.write(guest.inflight!.fd.fd, garbage, 4096);
    const ring = new FakeRing(guest.ram, 8);
    await front.queue(0, ring);
    ring.add(answer);
    front.kick();
    await new Promise((go) => setTimeout(go, 5));
    await front.stop(0);
  }
  assertEquals(side.violations, []);
});

Deno.test("A call descriptor that is a full pipe stops nobody", async () => {
  await using side = await BackSide.start({
    module: builtIn("rng"),
    options: { maxBytes: 100 },
  });
  using guest = new FakeGuest();
  using front = await side.connect(guest);
  await front.introduce();
  const ring = new FakeRing(guest.ram, 8);
  await front.queue(0, ring);
  const pipe = new Int32Array(2);
  libc.pipe2(new Uint8Array(pipe.buffer), 0);
  using reader = new Fd(pipe[0]!);
  using writer = new Fd(pipe[1]!);
  assert(reader.fd >= 0);
  assert(await front.do(13, u64(0), [writer]));
  const chunk = new Uint8Array(4096);
  while (libc.write(writer.fd, chunk, chunk.length) > 0);
  for (let i = 0; i < 20; i++) {
    ring.add(answer);
    front.kick();
    await front.used(ring, 1);
  }
  using call = new EventFd();
  await front.do(13, u64(0), [call]);
  front.taken(call);
  ring.add(answer);
  front.kick();
  await front.used(ring, 1);
  await until(() => front.taken(call) > 0);
});

Deno.test("Requests without a payload, in no order that makes sense, end their connection only", async () => {
  await using side = await BackSide.start({
    module: builtIn("rng"),
    options: { maxBytes: 100 },
  });
  using guest = new FakeGuest();
  {
    using silent = await side.connect(guest);
    silent.connection.close();
    await within(side.served);
  }
  assertEquals(side.violations, []);
  const requests = [2, 5, 8, 9, 10, 11, 12, 13, 14, 16, 18, 21, 24, 25, 31, 32];
  for (const request of requests) {
    using front = await side.connect(guest);
    front.tell(request);
    await front.hungUp();
    await within(side.served);
  }
  assertEquals(side.violations.length, requests.length);
  using early = await side.connect(guest);
  early.tell(8, u32s(0, 8));
  early.tell(9, address(0, 0x1000, 0x2000, 0x3000));
  using kick = new EventFd();
  early.tell(2, u64(VERSION_1));
  early.tell(12, u64(0), [kick]);
  await early.hungUp();
  await within(side.served);
  assert(side.violations.at(-1)!.includes("before it sent memory"));
});
