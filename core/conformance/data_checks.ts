// Thread: main
// Chains of every shape to every queue, whatever the device is.
import type { Bench, Live, Plan, TestedQueue } from "./bench.ts";
import { count, Finding, type PlannedCheck, virtio } from "./check.ts";
import {
  BLAME_MS,
  exchange,
  type Outcome,
  refuseStrayWrites,
  type Request,
} from "./exchange.ts";
import { content, load, NO_QUEUE, SMALL_RING, smallRequest } from "./load.ts";
import { BUDGET_MS, type Machine } from "./machine.ts";
import { MALFORMATIONS, type RingFormat } from "./ring.ts";

/** How often a ring is filled. */
const ROUNDS = 3;

const SECTIONS = {
  split: { framing: "2.7.4.1", used: "2.7.8.2", indirect: "2.7.5.3.2" },
  packed: { framing: "2.8.6", used: "2.8.22", indirect: "2.8.7" },
} as const;
const ANSWERS =
  "Every chain is answered with the number of bytes written, or refused with a DriverError; " +
  "and nothing is written but its writable buffers.";

interface Shape {
  readonly name: string;
  readonly section: keyof typeof SECTIONS.split;
  /** Null where a ring of this size has no room for it. */
  request(size: number): Request | null;
}

/** What is asked of a queue. */
type Ask = (bench: Bench, queue: TestedQueue) => Request | null;

const times = <T>(number: number, item: T): T[] => Array(number).fill(item);

const SHAPES: readonly Shape[] = [
  {
    name: "something to read",
    section: "used",
    request: () => ({ readable: [content(64)], writable: [] }),
  },
  {
    name: "room to write",
    section: "used",
    request: () => ({ readable: [], writable: [4096] }),
  },
  {
    name: "no bytes at all",
    section: "framing",
    request: (size) =>
      size < 2 ? null : { readable: [content(0)], writable: [0] },
  },
  {
    name: "pieces of one byte",
    section: "framing",
    request: (size) => {
      const pieces = Math.min(size >> 1, 20);
      return pieces === 0
        ? null
        : { readable: times(pieces, content(1)), writable: times(pieces, 1) };
    },
  },
  {
    name: "as many pieces as the ring has",
    section: "framing",
    request: (size) =>
      size < 2 ? null : {
        readable: times(size >> 1, content(4)),
        writable: times(size >> 1, 4),
      },
  },
  {
    name: "an indirect table",
    section: "indirect",
    request: (size) =>
      size < 2
        ? null
        : { readable: [content(16)], writable: [512], indirect: true },
  },
];

/** A check a shape; first the small request that all later ones are made of. */
export function shapes(format: RingFormat): PlannedCheck[] {
  const check = (name: string, section: Shape["section"], ask: Ask) => ({
    name: `${format} rings: a chain with ${name} comes back`,
    section: virtio(SECTIONS[format][section]),
    asks: ANSWERS,
    run: (bench: Bench) => offerToAll(bench, { format }, ask),
  });
  return [
    check("something to read and room to write", "used", smallRequest),
    ...SHAPES.map(({ name, section, request }) =>
      check(name, section, (_bench, { size }) => request(size))
    ),
  ];
}

/** A driver that accepts nothing but VERSION_1 is served too. */
export function withoutFeatures(format: RingFormat): PlannedCheck {
  return {
    name: `${format} rings: a driver without features is served`,
    section: virtio("2.2.2"),
    asks: "A feature that was not negotiated is not used: see negotiated().",
    run: (bench) =>
      offerToAll(bench, { format, features: "none" }, smallRequest),
  };
}

/** Offers the same to every queue, one after the other. The remark says which answered, refused or kept it. */
async function offerToAll(
  bench: Bench,
  plan: Plan,
  ask: Ask,
): Promise<string> {
  let live = await bench.bringUp(plan);
  const remarks: string[] = [];
  for (const queue of bench.queues) {
    const request = ask(bench, queue);
    if (request === null) continue;
    const outcome = await exchange(bench, live, queue, request);
    if (ask === smallRequest && plan.features !== "none") {
      queue.answers = outcome.kind === "used";
    }
    remarks.push(`${queue.name} ${remarkOn(outcome)}`);
    if (outcome.kind !== "used") live = await bench.bringUp(plan);
  }
  return remarks.join(", ");
}

function remarkOn(outcome: Outcome): string {
  switch (outcome.kind) {
    case "used":
      return `wrote ${count(outcome.written, "byte")}`;
    case "refused":
      return `refuses it, §${outcome.section}`;
    case "kept":
      return "keeps it";
  }
}

/** As many chains as the ring takes at once, three times. */
export function burst(format: RingFormat): PlannedCheck {
  return {
    name: `${format} rings: a full ring comes back, again and again`,
    section: virtio(SECTIONS[format].used),
    asks: ANSWERS,
    async run(bench) {
      const remarks: string[] = [];
      for (const queue of bench.queues.filter(({ answers }) => answers)) {
        const live = await bench.bringUp({ format });
        const mark = live.area.mark;
        let chains = 0;
        for (let round = 0; round < ROUNDS; round++) {
          chains += await fill(bench, live, queue);
          live.area.release(mark);
        }
        remarks.push(`${queue.name} ${count(chains, "chain")}`);
      }
      return remarks.join(", ") || NO_QUEUE;
    },
  };
}

/** Returns how many chains came back, which is all. */
async function fill(
  bench: Bench,
  live: Live,
  queue: TestedQueue,
): Promise<number> {
  const { machine } = bench;
  const { chains, buffers, ring } = await load(bench, live, queue);
  let used = 0;
  const isOver = () => {
    used += ring.takeUsed().length;
    return used >= chains || machine.needsReset;
  };
  if (await machine.until(isOver, BUDGET_MS) && !machine.needsReset) {
    refuseStrayWrites(machine, live, buffers, `${queue.name}: a full ring`);
    return chains;
  }
  const end = machine.needsReset
    ? ", then the device asked for a reset"
    : ` in ${BUDGET_MS / 1000} s`;
  throw new Finding(
    `${queue.name}: ${used} of ${count(chains, "chain")} came back${end}`,
  );
}

/** What a driver may not do costs the device a reset, and nothing else. */
export function malformed(format: RingFormat): PlannedCheck[] {
  return MALFORMATIONS.map((malformation) => ({
    name: `${format} rings: a chain that ${malformation} needs a reset`,
    section: virtio("2.1.2"),
    asks:
      "The device asks for a reset where the rings are broken, and serves again after it.",
    async run(bench) {
      const plan: Plan = { format, maxSize: SMALL_RING };
      const queues = bench.queues.filter(({ answers, takes, keeps, size }) =>
        (answers || takes && !keeps) && size > 1
      );
      for (const queue of queues) {
        const live = await bench.bringUp(plan);
        bench.machine.blames = [];
        live.rings.get(queue.index)!.addMalformed(malformation);
        await bench.kick(queue);
        await expectBlame(bench.machine, queue, malformation);
        await serves(bench, await bench.bringUp(plan), queue);
      }
      return queues.map(({ name }) => name).join(", ") || NO_QUEUE;
    },
  }));
}

async function expectBlame(
  machine: Machine,
  { name }: TestedQueue,
  malformation: string,
): Promise<void> {
  const isTold = () => machine.needsReset && machine.blames.length > 0;
  if (await machine.until(isTold, BLAME_MS)) return;
  throw new Finding(
    `${name}: a chain that ${malformation} did not lead to DEVICE_NEEDS_RESET`,
  );
}

/** The queue does now what it did before. */
export async function serves(
  bench: Bench,
  live: Live,
  queue: TestedQueue,
): Promise<void> {
  const { kind } = await exchange(
    bench,
    live,
    queue,
    smallRequest(bench, queue),
  );
  if (kind !== "kept" || !queue.answers) return;
  throw new Finding(`${queue.name} answers no more`);
}
