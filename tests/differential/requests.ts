// Sequences with requests through the rings, good and bad ones.
import {
  accept,
  blockRequest,
  bringUp,
  DATA,
  FLUSH,
  type Note,
  place,
  reset,
  RING,
  rngRequest,
  type Sequence,
} from "./driver.ts";
import { type Attack, type Ring, SplitRing } from "./rings.ts";
import type { Side } from "./side.ts";

export const requests: Sequence = {
  name: "requests",
  devices: ["rng", "block", "packed rng", "packed block"],
  async run(side, note, device) {
    const isEntropy = device.endsWith("rng");
    const work = isEntropy ? entropy : disk;
    for (const low of [0, 1 << 29]) {
      const kind = low ? "with EVENT_IDX" : "plain";
      const ring = await bringUp(side, device, low | (isEntropy ? 0 : FLUSH));
      note(`${kind}: status`, await side.read(0x070));
      await work(
        side,
        ring,
        (step, ...values) => note(`${kind}: ${step}`, ...values),
      );
      note(`${kind}: InterruptStatus`, await side.read(0x060));
      await side.write(0x064, 1);
      note(`${kind}: acknowledged`, await side.read(0x060));
      await reset(side);
      const after = [await side.read(0x070), await side.read(0x044)];
      note(`${kind}: reset`, ...after, await side.read(0x060));
    }
  },
};

async function entropy(side: Side, ring: Ring, note: Note): Promise<void> {
  for (let i = 0; i < 9; i++) {
    await rngRequest(side, ring, note, `request ${i}`);
  }
}

async function disk(side: Side, ring: Ring, note: Note): Promise<void> {
  const into = (length: number) => ({ at: DATA, length, write: true });
  const from = (length: number) => ({ at: DATA, length });
  const ask = (
    step: string,
    type: number,
    sector: number,
    ...data: Parameters<Ring["request"]>
  ) => blockRequest(side, ring, note, step, type, sector, ...data);
  await ask("read", 0, 2, into(1024));
  note("what was read", ...await side.peek(DATA + 510, 4));
  await side.poke(DATA, new Uint8Array(512).fill(0xa5));
  await ask("write", 1, 9, from(512));
  await ask("flush", 4, 0);
  await ask("read back", 0, 9, into(512));
  note("what was read back", ...await side.peek(DATA + 510, 2));
  await ask("read past the end", 0, 64, into(512));
  await ask("read across the end", 0, 63, into(1024));
  await ask("read at 2^53", 0, 2 ** 53, into(512));
  await ask("write past the end", 1, 64, from(512));
  await ask("odd length", 0, 0, into(511));
  await ask("unknown type", 99, 0, into(512));
  await ask("zone report", 16, 0, into(512));
}

/** Whether features that are written after FEATURES_OK count: the device's use of the ring shows it. */
export const lateFeatures: Sequence = {
  name: "late features",
  devices: ["rng"],
  async run(side, note) {
    await accept(side, 0, 1);
    await side.write(0x024, 0);
    await side.write(0x020, 1 << 29);
    const ring = new SplitRing(side, 8, RING);
    await ring.clear();
    await place(side, ring);
    await side.write(0x070, 0xf);
    await rngRequest(side, ring, note, "request");
    note("avail_event", (await ring.suppression())[1]);
    await reset(side);
  },
};

/** Resets a queue alone, and puts it to use again elsewhere. */
export const queueReset: Sequence = {
  name: "queue reset",
  devices: ["rng"],
  async run(side, note) {
    await accept(side, 0, 0x101);
    const first = new SplitRing(side, 8, RING);
    await first.clear();
    await place(side, first);
    await side.write(0x070, 0xf);
    await rngRequest(side, first, note, "before");
    await side.write(0x0c0, 1);
    note("after QueueReset", await side.read(0x0c0), await side.read(0x044));
    const second = new SplitRing(side, 4, RING + 0x10000);
    await second.clear();
    await place(side, second);
    note("again", await side.read(0x0c0), await side.read(0x044));
    await rngRequest(side, second, note, "after");
    await reset(side);
  },
};

/** A kick comes before DRIVER_OK; another one follows it. */
export const earlyKick: Sequence = {
  name: "early kick",
  devices: ["rng"],
  async run(side, note) {
    await accept(side, 0, 1);
    const ring = new SplitRing(side, 8, RING);
    await ring.clear();
    await place(side, ring);
    const early = ring.request({ at: DATA, length: 8, write: true }, {
      at: DATA + 8,
      length: 8,
      write: true,
    });
    await new Promise((go) => setTimeout(go, 50));
    note("before DRIVER_OK", await ring.usedIndex(), await side.read(0x060));
    await side.write(0x070, 0xf);
    await side.write(0x050, 0);
    note("used", await early);
    await reset(side);
  },
};

/** What a driver must not put into a split ring, as bytes of descriptor 0 and the avail ring. */
const ATTACKS: readonly (readonly [string, Attack])[] = [
  ["a chain that loops", { at: DATA, length: 8, flags: 3, next: 0 }],
  ["a next out of range", { at: DATA, length: 8, flags: 3, next: 8 }],
  ["a buffer past RAM", { at: 0x7fff_f000, length: 8, flags: 2 }],
  ["a head out of range", { at: DATA, length: 8, flags: 2, head: 8 }],
  ["an avail idx too far ahead", { at: DATA, length: 8, flags: 2, idx: 9 }],
  ["an indirect table of 8 bytes", { at: DATA, length: 8, flags: 4 }],
  ["an indirect table of 0 bytes", { at: DATA, length: 0, flags: 4 }],
];

export const attacks: Sequence = {
  name: "attacks",
  devices: ["rng"],
  async run(side, note) {
    for (const [step, attack] of ATTACKS) {
      await accept(side, 1 << 28, 1);
      const ring = new SplitRing(side, 8, RING);
      await ring.clear();
      await place(side, ring);
      await side.write(0x070, 0xf);
      await ring.attack(attack);
      const seen = [await side.read(0x070), await side.read(0x060)];
      note(step, ...seen, await ring.usedIndex());
      await reset(side);
      note(`${step}: reset`, await side.read(0x070));
    }
    await rngRequest(side, await bringUp(side, "rng"), note, "request");
    await reset(side);
  },
};

export const legacy: Sequence = {
  name: "legacy",
  devices: ["rng", "block"],
  async run(side, note, device) {
    await side.write(0x028, 4096);
    for (const value of [0, 1, 3]) await side.write(0x070, value);
    note("FEATURES_OK is not there", await side.read(0x070));
    for (const queue of [0, 1, 1024]) {
      await side.write(0x030, 0);
      await side.write(0x030, queue);
      note(`queue ${queue}`, await side.read(0x034), await side.read(0x040));
    }
    await side.write(0x020, device === "block" ? FLUSH : 0);
    await side.write(0x030, 0);
    const ring = new SplitRing(side, 8, RING, 4096);
    await ring.clear();
    await side.write(0x038, 8);
    await side.write(0x03c, 4096);
    await side.write(0x040, RING / 4096);
    note("QueuePFN", await side.read(0x040));
    note("QueueNumMax in use", await side.read(0x034));
    await side.write(0x070, 7);
    note("DRIVER_OK", await side.read(0x070));
    await (device === "rng" ? entropy : disk)(side, ring, note);
    note("InterruptStatus", await side.read(0x060));
    await side.write(0x064, 1);
    note("acknowledged", await side.read(0x060));
    await reset(side);
    note("reset", await side.read(0x070), await side.read(0x040));
  },
};
