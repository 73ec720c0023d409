// Sequences of register accesses, without requests.
import { accept, place, reset, RING, type Sequence } from "./driver.ts";
import { SplitRing } from "./rings.ts";

/** Bytes of configuration space that Paddock's devices have. */
const CONFIG = { rng: 0, console: 4, block: 60 };

const hex = (value: number) => `0x${value.toString(16).padStart(3, "0")}`;

const ALL = ["rng", "console", "block"] as const;

export const identity: Sequence = {
  name: "identity",
  devices: ALL,
  async run(side, note) {
    for (const offset of [0, 4, 8, 0xc]) {
      note(`read ${hex(offset)}`, await side.read(offset));
    }
  },
};

export const features: Sequence = {
  name: "features",
  devices: [...ALL, "packed block"],
  async run(side, note) {
    for (const word of [0, 1, 2, 3, 0xffff_ffff]) {
      await side.write(0x014, word);
      note(`word ${word}`, await side.read(0x010));
    }
    await side.write(0x014, 0);
  },
};

const STATUS_STEPS: readonly (readonly [string, ...number[]])[] = [
  ["by the book, but for FEATURES_OK without VERSION_1", 1, 3, 0xb],
  ["DRIVER first", 2],
  ["DRIVER_OK first", 4],
  ["FEATURES_OK first", 8],
  ["DRIVER_OK without FEATURES_OK", 3, 7],
  ["a bit that is cleared", 3, 1],
  ["FAILED", 3, 0x83],
  ["FAILED that is cleared", 3, 0x83, 3],
  ["DEVICE_NEEDS_RESET by the driver", 3, 0x43],
  ["bits that do not exist", 3, 0x33],
  ["more than eight bits", 3, 0xffff_ff03],
];

export const status: Sequence = {
  name: "status",
  devices: ["rng"],
  async run(side, note) {
    for (const [step, ...values] of STATUS_STEPS) {
      await reset(side);
      for (const word of [0, 1]) {
        await side.write(0x024, word);
        await side.write(0x020, 0);
      }
      for (const value of values) await side.write(0x070, value);
      note(step, await side.read(0x070));
    }
    await accept(side, 0, 1);
    note("FEATURES_OK with VERSION_1", await side.read(0x070));
    await side.write(0x070, 0xf);
    note("DRIVER_OK", await side.read(0x070));
    await side.write(0x070, 0xb);
    note("DRIVER_OK that is cleared", await side.read(0x070));
    await accept(side, 0, 0x8000_0001);
    note("FEATURES_OK with a bit that is not offered", await side.read(0x070));
    await reset(side);
    note("reset", await side.read(0x070));
  },
};

export const queues: Sequence = {
  name: "queues",
  devices: ["rng", "block"],
  async run(side, note) {
    await reset(side);
    for (const queue of [0, 1, 2, 31, 1023, 1024, 0xffff, 0xffff_ffff]) {
      await side.write(0x030, 0);
      await side.write(0x030, queue);
      const size = await side.read(0x034);
      note(`queue ${queue}`, size, await side.read(0x044));
    }
    await side.write(0x030, 0);
    await side.write(0x044, 1);
    note("ready before FEATURES_OK, without a size", await side.read(0x044));
    await accept(side, 0, 1);
    await side.write(0x044, 1);
    note("ready without a size", await side.read(0x044));
    await accept(side, 0, 1);
    await place(side, new SplitRing(side, 8, RING));
    note("ready", await side.read(0x044));
    await side.write(0x044, 0);
    note("not ready any more", await side.read(0x044));
    for (const size of [3, 0, 2048]) {
      await accept(side, 0, 1);
      await place(side, new SplitRing(side, 8, RING));
      await side.write(0x044, 0);
      await side.write(0x038, size);
      await side.write(0x044, 1);
      note(`ready with size 8, then ${size}`, await side.read(0x044));
    }
    await reset(side);
    note("reset", await side.read(0x044));
  },
};

/** Every register at every width: those that are not 0. */
export const reads: Sequence = {
  name: "reads",
  devices: ["rng"],
  async run(side, note) {
    await reset(side);
    for (const width of [1, 2, 4] as const) {
      for (let offset = 0; offset < 0x100; offset += width) {
        const value = await side.read(offset, width);
        if (value !== 0) note(`${width} bytes at ${hex(offset)}`, value);
      }
    }
  },
};

export const readOnly: Sequence = {
  name: "read-only",
  devices: ["rng"],
  async run(side, note) {
    await accept(side, 0, 1);
    const registers = [0, 4, 8, 0xc, 0x10, 0x34, 0x60, 0xfc];
    for (const width of [1, 2, 4] as const) {
      for (const offset of registers) {
        await side.write(offset, 2 ** (8 * width) - 1, width);
      }
      // Narrow writes to registers that can be written, too.
      if (width < 4) {
        for (const offset of [0x30, 0x44, 0x70]) {
          await side.write(offset, 0, width);
        }
      }
      const after = [];
      for (const offset of [0, 4, 8, 0x34, 0x60, 0x70]) {
        after.push(await side.read(offset));
      }
      note(`after writes of ${width} bytes`, ...after);
    }
  },
};

export const config: Sequence = {
  name: "config",
  devices: ALL,
  async run(side, note, device) {
    await reset(side);
    const length = CONFIG[device as keyof typeof CONFIG];
    const bytes = [];
    for (let offset = 0; offset < length; offset++) {
      bytes.push(await side.read(0x100 + offset, 1));
    }
    for (const width of [2, 4] as const) {
      let same = 1;
      for (let offset = 0; offset < length; offset += width) {
        const value = await side.read(0x100 + offset, width);
        const pieces = bytes.slice(offset, offset + width);
        if (value !== pieces.reduceRight((sum, byte) => sum * 256 + byte, 0)) {
          same = 0;
        }
      }
      note(`${width} bytes are as 1 and 1`, same);
    }
    for (let offset = 0; offset < length; offset += 4) {
      note(`word at ${offset}`, await side.read(0x100 + offset));
    }
    for (const width of [1, 2, 4] as const) {
      note(`${width} bytes past the end`, await side.read(0x1e0, width));
    }
    note("generation", await side.read(0x0fc));
  },
};
