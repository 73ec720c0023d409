// Thread: main
// A device's life: resets under load, queue resets, pauses, quiet and its end; and nothing written when it may not.
import { nextTask } from "../sys/next_task.ts";
import {
  VIRTIO_MMIO_QUEUE_READY,
  VIRTIO_MMIO_QUEUE_RESET,
  VIRTIO_MMIO_QUEUE_SEL,
} from "../virtio/constants.ts";
import { PAUSE, RESUME } from "../virtio/device_page.ts";
import type { Bench, Live, Plan, TestedQueue } from "./bench.ts";
import { api, count, Finding, type PlannedCheck, virtio } from "./check.ts";
import { serves } from "./data_checks.ts";
import type { Area } from "./guest_ram.ts";
import { load, NO_QUEUE, SMALL_RING } from "./load.ts";
import { BUDGET_MS, sleep } from "./machine.ts";
import type { RingFormat } from "./ring.ts";

const RESETS = 100;
/** A device whose requests take long is reset less often. */
const RESETS_MS = 2000;
/** How long the kit looks whether something is written when nothing may be. */
const QUIET_MS = 50;
const LATE_MS = 300;
/** Messages of a device that has nothing to do, in LATE_MS. */
const MAX_IDLE_MESSAGES = 100;
/** Requests before a pause. */
const FEW = 4;

const NOTHING_AFTER =
  "After the answer the driver's memory is its own: drop what is pending in reset(), and keep no view of a chain.";

/** Resets, each with what came before at another stage. */
export function resets(format: RingFormat): PlannedCheck {
  return {
    name: `${format} rings: resets under load leave nothing behind`,
    section: virtio("2.4.1"),
    asks: NOTHING_AFTER,
    async run(bench) {
      const { turns } = bench.machine.ram;
      for (const area of turns) area.release();
      const end = performance.now() + RESETS_MS;
      let i = 0;
      for (; i < RESETS && performance.now() < end; i++) {
        const area = turns[i % turns.length]!;
        refuseLateWrite(area, "a reset");
        const features = i % 3 === 0 ? "none" : "all";
        const plan: Plan = { format, features, maxSize: SMALL_RING, area };
        const live = await bench.bringUp(plan);
        for (const queue of bench.queues) await load(bench, live, queue);
        await STAGES[i % STAGES.length]!(live);
        await bench.reset();
        area.freeze();
        // It failed already, and would do so again.
        if (bench.machine.faults.length > 0) break;
      }
      await sleep(LATE_MS);
      for (const area of turns) refuseLateWrite(area, "a reset");
      return count(i, "reset");
    },
  };
}

/** How far a driver lets the device get. */
const STAGES: readonly ((live: Live) => Promise<unknown>)[] = [
  () => Promise.resolve(),
  () => nextTask(),
  () => sleep(1),
  async ({ rings }) => {
    // Until something is used, or a few ms have passed.
    for (let turn = 0; turn < 100; turn++) {
      if ([...rings.values()].some((ring) => ring.takeUsed().length > 0)) break;
      await nextTask();
    }
  },
];

function refuseLateWrite(area: Area, after: string): void {
  const at = area.changed();
  if (at === null) return;
  throw new Finding(
    `the byte at 0x${at.toString(16)} of RAM changed after ${after}`,
  );
}

export function queueReset(format: RingFormat): PlannedCheck {
  return {
    name: `${format} rings: QueueReset takes a queue back, and gives it anew`,
    section: virtio("2.6.1.1.1"),
    asks: NOTHING_AFTER,
    async run(bench) {
      const [before, after] = bench.machine.ram.turns as [Area, Area];
      for (const queue of bench.queues) {
        const plan = { format, maxSize: SMALL_RING, queues: [queue] };
        const live = await bench.bringUp({ ...plan, area: before });
        await load(bench, live, queue, FEW);
        if (bench.machine.needsReset) continue;
        await takeBack(bench, queue);
        before.freeze();
        await sleep(QUIET_MS);
        after.release();
        if (bench.machine.needsReset) continue;
        const ring = await bench.enable(queue, plan, after);
        const rings = new Map([[queue.index, ring]]);
        await serves(bench, { area: after, rings }, queue);
        refuseLateWrite(before, `the reset of ${queue.name}`);
      }
    },
  };
}

async function takeBack({ machine }: Bench, queue: TestedQueue): Promise<void> {
  await machine.write(VIRTIO_MMIO_QUEUE_SEL, queue.index);
  await machine.write(VIRTIO_MMIO_QUEUE_RESET, 1);
  const isReset = await machine.read(VIRTIO_MMIO_QUEUE_RESET) === 0 &&
    await machine.read(VIRTIO_MMIO_QUEUE_READY) === 0;
  if (isReset && !machine.host.failed) return;
  throw new Finding(`${queue.name} was not given back`);
}

export const PAUSES: PlannedCheck = {
  name: "a pause finishes what is in flight, and starts nothing",
  section: api("VirtioDevice"),
  asks:
    "Between pause and resume nothing is written to the guest's memory, by a timer either.",
  async run(bench) {
    const { machine } = bench;
    const live = await bench.bringUp({ format: "split", maxSize: SMALL_RING });
    const queues = bench.queues.filter(({ answers }) => answers);
    for (const queue of queues) await load(bench, live, queue, FEW);
    // A pause that came before the worker looked at the ring would find nothing in flight.
    for (const queue of queues) {
      if (await machine.until(() => hasUsed(live, queue), BUDGET_MS)) continue;
      throw new Finding(`${queue.name} was not answered`);
    }
    if (!await machine.host.command(PAUSE)) {
      throw new Finding(`the device was not paused in ${BUDGET_MS / 1000} s`);
    }
    live.area.freeze();
    await sleep(QUIET_MS);
    refuseLateWrite(live.area, "a pause");
    for (const queue of queues) {
      live.rings.get(queue.index)!.takeUsed();
      await load(bench, live, queue, 1);
    }
    await sleep(QUIET_MS);
    const early = queues.find((queue) => hasUsed(live, queue));
    if (early !== undefined) {
      throw new Finding(`${early.name} answers while the device is paused`);
    }
    if (!await machine.host.command(RESUME)) {
      throw new Finding(`the device did not resume in ${BUDGET_MS / 1000} s`);
    }
    for (const queue of queues) {
      if (await machine.until(() => hasUsed(live, queue), BUDGET_MS)) continue;
      throw new Finding(`${queue.name} answers no more after the pause`);
    }
    return queues.map(({ name }) => name).join(", ") || NO_QUEUE;
  },
};

function hasUsed({ rings }: Live, { index }: TestedQueue): boolean {
  return rings.get(index)!.takeUsed().length > 0;
}

export const QUIET: PlannedCheck = {
  name: "a device that is asked nothing keeps quiet",
  section: api("DevicePort"),
  asks:
    "Messages and lines of log have a cause: too many cut the device off. RAM is written for a driver's chain only.",
  async run(bench) {
    const { machine } = bench;
    const { area } = await bench.bringUp({ format: "split" });
    await sleep(QUIET_MS);
    area.freeze();
    const before = machine.posted;
    await sleep(LATE_MS);
    const messages = machine.posted - before;
    if (messages > MAX_IDLE_MESSAGES) {
      throw new Finding(
        `it sent ${count(messages, "message")} in ${LATE_MS / 1000} s`,
      );
    }
    refuseLateWrite(area, "the last request");
    if (machine.needsReset) throw new Finding("it asks for a reset");
  },
};

export const CLOSE: PlannedCheck = {
  name: "the device ends in time, under load",
  section: api("VirtioDevice"),
  asks:
    "close() is called when nothing is in flight; it closes files and returns.",
  async run(bench) {
    const { machine } = bench;
    const live = await bench.bringUp({ format: "split", maxSize: SMALL_RING });
    for (const queue of bench.queues) await load(bench, live, queue);
    await machine.host.close();
    if (machine.host.failed) {
      throw new Finding(`it did not end in ${BUDGET_MS / 1000} s`);
    }
    live.area.freeze();
    await sleep(QUIET_MS);
    refuseLateWrite(live.area, "its end");
  },
};
