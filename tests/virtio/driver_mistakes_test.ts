// The mistakes of a driver that Akaros checks for (user/vmm/virtio_mmio.c, virtio_lguest_helpers.c), and those that it has
// as FIXME: each is told with its section, ends neither VM nor device, and a reset later the device serves.
import { assert, assertEquals } from "@std/assert";
import { writeRange } from "../../core/bus/address_space.ts";
import { findClause } from "../../core/virtio/clauses.ts";
import { FakeMachine, inlineModule } from "../support/fake_machine.ts";
import { FakeRing } from "../support/fake_driver.ts";

const DEVICE = inlineModule(`{
  id: 0x2a,
  features: { A: 0, B: 1 },
  config: { wide: { type: "u32", writable: true }, narrow: { type: "u16", writable: true } },
  queues: { only: 16 },
  create: () => ({ queues: { only: ({ writable }) => writable.write(Uint8Array.of(0xaa)) } }),
}`);

type Mistake = readonly [
  what: string,
  section: string,
  words: string,
  make: (machine: FakeMachine, ring: FakeRing) => Promise<void>,
];

const wide = (machine: FakeMachine, offset: number) => {
  const ops = machine.transport;
  const range = { start: 0, end: 0x1000, offset: 0, name: "", ops };
  const value = { low: 0, high: 0 };
  return writeRange({ ...range, inline: null }, offset, 8, value);
};
const reads =
  (offset: number, size = 4) => async (machine: FakeMachine): Promise<void> => {
    await machine.read(offset, size);
  };
const writes =
  (offset: number, value: number, size = 4) =>
  (machine: FakeMachine): Promise<void> => machine.write(offset, value, size);

/** Nothing was done yet. */
const FRESH: readonly Mistake[] = [
  ["reads features before DRIVER", "3.1.1", "after DRIVER", reads(0x010)],
  ["reads configuration before DRIVER", "3.1.1", "after DRIVER", reads(0x100)],
  [
    "writes configuration before FEATURES_OK",
    "3.1.1",
    "after FEATURES_OK",
    writes(0x100, 1),
  ],
  ["sets DRIVER before ACKNOWLEDGE", "3.1.1", "DRIVER set", writes(0x070, 2)],
  [
    "sets FEATURES_OK before DRIVER",
    "3.1.1",
    "FEATURES_OK set",
    writes(0x070, 9),
  ],
  [
    "sets DRIVER_OK before FEATURES_OK",
    "3.1.1",
    "DRIVER_OK set",
    writes(0x070, 7),
  ],
  [
    "sets FEATURES_OK and DRIVER_OK in one write",
    "3.1.1",
    "read back",
    async (machine) => {
      await machine.write(0x024, 1);
      await machine.write(0x020, 1);
      await machine.write(0x070, 0x0f);
    },
  ],
  [
    "accepts features that are not offered",
    "2.2.1",
    "not offered",
    (machine) => machine.negotiate(1 << 5),
  ],
];

/** The status is FEATURES_OK. */
const NEGOTIATED: readonly Mistake[] = [
  ["reads a write-only register", "4.2.2.2", "write-only", reads(0x030)],
  ["reads what is no register", "4.2.2.2", "not there", reads(0x0d0)],
  ["writes a read-only register", "4.2.2.2", "read-only", writes(0x034, 1)],
  ["writes what is no register", "4.2.2.2", "not there", writes(0x0d0, 1)],
  ["reads a register's half", "4.2.2.2", "32-bit", reads(0x070, 2)],
  ["reads across two registers", "4.2.2.2", "aligned", reads(0x072)],
  ["writes a register's byte", "4.2.2.2", "32-bit", writes(0x070, 0, 1)],
  [
    "writes two registers at once",
    "4.2.2.2",
    "32 bits at most",
    (machine) => wide(machine, 0x080),
  ],
  [
    "writes 64 bits of configuration",
    "4.2.2.2",
    "32 bits at most",
    (machine) => wide(machine, 0x100),
  ],
  ["reads past the configuration", "2.5.1", "has 6 bytes", reads(0x108)],
  ["writes past the configuration", "2.5.1", "6 bytes", writes(0x106, 0, 2)],
  ["reads misaligned configuration", "2.5.1", "aligned", reads(0x101, 2)],
  ["writes misaligned configuration", "2.5.1", "aligned", writes(0x102, 0)],
  [
    "accepts features after FEATURES_OK",
    "3.1.1",
    "settled",
    writes(0x020, 2),
  ],
  [
    "accepts features of no word",
    "3.1.1",
    "settled",
    async (machine) => {
      await machine.write(0x024, 7);
      await machine.write(0x020, 1);
    },
  ],
  [
    "gives a QueueSize over the largest",
    "4.2.2.2",
    "1 to 16",
    writes(0x38, 32),
  ],
  [
    "gives a QueueSize that is no power of two",
    "4.2.2.2",
    "power of two",
    writes(0x038, 6),
  ],
  [
    "configures a queue that does not exist",
    "4.2.2.2",
    "no queue 1",
    async (machine) => {
      await machine.write(0x030, 1);
      await machine.write(0x038, 4);
    },
  ],
  [
    "makes a queue ready that does not exist",
    "4.2.2.2",
    "no queue 1",
    async (machine) => {
      await machine.write(0x030, 1);
      await machine.write(0x044, 1);
    },
  ],
  [
    "places a queue that does not exist",
    "4.2.2.2",
    "no queue 9",
    async (machine) => {
      await machine.write(0x030, 9);
      await machine.write(0x080, 0x1000);
    },
  ],
  ["makes a queue ready before its size", "4.2.3.2", "first", writes(0x44, 1)],
  ["notifies before DRIVER_OK", "3.1.1", "after DRIVER_OK", writes(0x050, 0)],
  ["clears a status bit", "2.1.1", "clears", writes(0x070, 0x03)],
  [
    "goes on after FAILED",
    "2.1.1",
    "comes a reset",
    async (machine) => {
      await machine.write(0x070, 0x8b);
      await machine.write(0x030, 0);
    },
  ],
  [
    "sets DRIVER_OK after FAILED",
    "2.1.1",
    "without a reset",
    async (machine) => {
      await machine.write(0x070, 0x8b);
      await machine.write(0x070, 0x8f);
    },
  ],
];

const ringAt =
  (desc: number, avail: number, used: number) =>
  async (machine: FakeMachine): Promise<void> => {
    await machine.write(0x030, 0);
    await machine.write(0x038, 8);
    await machine.address(desc, avail, used);
    await machine.write(0x044, 1);
    await machine.driverOk();
  };
const RINGS: readonly Mistake[] = [
  ["misaligns a table", "2.7", "aligned to 16", ringAt(0x1008, 0x2000, 0x3000)],
  ["misaligns an avail ring", "2.7", "to 2", ringAt(0x1000, 0x2001, 0x3000)],
  [
    "misaligns a used ring",
    "2.7",
    "aligned to 4",
    ringAt(0x1000, 0x2000, 0x3002),
  ],
  [
    "puts a ring past RAM",
    "2.7",
    "not in RAM",
    ringAt(2 ** 40, 0x2000, 0x3000),
  ],
  [
    "puts a ring where its end wraps",
    "2.7",
    "not in RAM",
    ringAt(0x1000, 2 ** 64 - 4096, 0x3000),
  ],
  [
    "leaves flags in the used ring",
    "2.7.10.1",
    "flags",
    async (machine) => {
      const ring = await machine.queue(0, 8);
      ring.view.setUint16(ring.used, 1, true);
      await machine.driverOk();
    },
  ],
];

/** The device is live, with a queue of 8 and INDIRECT_DESC where the mistake is one of it. */
const LIVE: readonly Mistake[] = [
  [
    "writes QueueSize while ready",
    "4.2.2.2",
    "QueueReady is 1",
    writes(0x38, 4),
  ],
  ...[0x080, 0x084, 0x090, 0x094, 0x0a0, 0x0a4].map((offset): Mistake => [
    `moves a ready queue at 0x${offset.toString(16)}`,
    "4.2.2.2",
    "QueueReady is 1",
    writes(offset, 0),
  ]),
  [
    "notifies a queue that does not exist",
    "4.2.2.2",
    "no queue",
    writes(0x50, 3),
  ],
  ["acknowledges what is no cause", "4.2.2.2", "bits 0 and 1", writes(0x64, 4)],
];

const kicks = (build: (ring: FakeRing) => void) =>
async (
  machine: FakeMachine,
  ring: FakeRing,
): Promise<void> => {
  build(ring);
  machine.kick();
  await machine.needsReset();
};
const list = (...descriptors: Parameters<FakeRing["descriptor"]>[]) =>
  kicks((ring) => {
    for (const descriptor of descriptors) ring.descriptor(...descriptor);
    ring.publish(0);
  });
const NEXT = 1, WRITE = 2, INDIRECT = 4;
const CHAINS: readonly Mistake[] = [
  ["points past RAM", "2.7.5", "not in RAM", list([0, 2 ** 40, 16, WRITE, 0])],
  [
    "points where the end wraps",
    "2.7.5",
    "not in RAM",
    list([0, 2n ** 64n - 8n, 16, WRITE, 0]),
  ],
  [
    "has next past the queue",
    "2.7.5",
    "next 8",
    list([0, 0x8000, 16, NEXT, 8]),
  ],
  ["loops", "2.7.5", "loops", list([0, 0x8000, 16, NEXT, 0])],
  [
    "has a readable descriptor after a writable one",
    "2.7.4.2",
    "readable",
    list([0, 0x8000, 16, NEXT | WRITE, 1], [1, 0x8000, 16, 0, 0]),
  ],
  [
    "puts an indirect table into an indirect table",
    "2.7.5.3.1",
    "in an indirect table",
    list([0, 0x6000, 16, INDIRECT, 0], [0, 0x6000, 16, INDIRECT, 0, 0x6000]),
  ],
  [
    "sets INDIRECT and NEXT",
    "2.7.5.3.1",
    "NEXT too",
    list([0, 0x6000, 16, INDIRECT | NEXT, 1]),
  ],
  [
    "has an odd indirect table",
    "2.7.5.3.1",
    "no multiple",
    list([0, 0x6000, 17, INDIRECT, 0]),
  ],
  [
    "has an indirect table that is longer than the queue",
    "2.7.5.3.1",
    "longer than the queue",
    list([0, 0x6000, 16 * 9, INDIRECT, 0]),
  ],
  [
    "has an indirect table past RAM",
    "2.7.5.3",
    "not in RAM",
    list([0, 2 ** 40, 16, INDIRECT, 0]),
  ],
  [
    "offers a head past the queue",
    "2.7.6",
    "head 8",
    kicks((ring) => ring.publish(8)),
  ],
  [
    "moves avail idx over the queue",
    "2.7.13.3",
    "9 ahead",
    kicks((ring) => ring.availIdx = 9),
  ],
];
const NOT_NEGOTIATED: Mistake = [
  "uses INDIRECT that was not negotiated",
  "2.7.5.3.1",
  "not negotiated",
  list([0, 0x6000, 16, INDIRECT, 0]),
];

const INDIRECT_DESC = 1 << 28;
/** For mistakes that come before there is a queue. */
const unused = (machine: FakeMachine) => new FakeRing(machine.ram, 8);
const GROUPS: ReadonlyArray<
  readonly [readonly Mistake[], (machine: FakeMachine) => Promise<FakeRing>]
> = [
  [FRESH, (machine) => Promise.resolve(unused(machine))],
  [NEGOTIATED, (machine) => machine.negotiate().then(() => unused(machine))],
  [RINGS, (machine) => machine.negotiate().then(() => unused(machine))],
  [LIVE, (machine) => machine.bringUp()],
  [CHAINS, (machine) => machine.bringUp(8, INDIRECT_DESC)],
  [[NOT_NEGOTIATED], (machine) => machine.bringUp()],
];

for (const [mistakes, prepare] of GROUPS) {
  for (const [what, section, words, make] of mistakes) {
    Deno.test(`A driver that ${what} is told so (§${section})`, async () => {
      await using machine = await FakeMachine.start({ module: DEVICE });
      const ring = await prepare(machine);
      assertEquals(machine.driverErrors, []);
      await make(machine, ring);
      await machine.until(() => machine.driverErrors.length > 0);
      const told = machine.driverErrors.join("\n");
      assert(told.includes(`${section}: `) && told.includes(words), told);
      assert(findClause(section) !== null, "paddock explain knows it");
      assertEquals(machine.faults, []);
      await machine.reset();
      const after = await machine.bringUp();
      after.add({ at: 0x8000, length: 16, write: true });
      machine.kick();
      assertEquals(await machine.used(after, 1), [{ id: 0, length: 1 }]);
    });
  }
}
