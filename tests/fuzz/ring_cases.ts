// Level A: cases. A driver that does everything right; in most of them something is then done wrong.
import type { Random } from "./random.ts";
import { ValidDriver, validSetup } from "./ring_driver.ts";
import {
  HIGH_BUFFERS,
  hurtfulAddress,
  lengthToEdge,
  LOW_BUFFERS,
  MIDDLE_BUFFERS,
  placeIn,
  RAM_SIZE,
} from "./ram.ts";
import {
  type DescriptorStep,
  type MemoryStep,
  type RingCase,
  type RingSetup,
  type RingStep,
  STYLES,
} from "./ring_steps.ts";

const BUFFERS = [LOW_BUFFERS, MIDDLE_BUFFERS, HIGH_BUFFERS];
const VALID_PERCENT = 25;
const MAX_MUTATIONS = 4;

export function generateRingCase(random: Random): RingCase {
  const steps: RingStep[] = [];
  const lives = random.chance(20) ? 2 : 1;
  for (let life = 0; life < lives; life++) live(random, steps);
  if (random.chance(VALID_PERCENT)) return { valid: true, steps };
  const mutations = random.between(1, MAX_MUTATIONS);
  for (let i = 0; i < mutations; i++) mutate(random, steps);
  return { valid: false, steps };
}

/** From the rings' set-up to the next. */
function live(random: Random, steps: RingStep[]): void {
  const driver = new ValidDriver(random, validSetup(random), steps);
  const rounds = random.between(1, 6);
  for (let round = 0; round < rounds; round++) {
    if (random.chance(40)) driver.suppress();
    const offers = random.between(0, 4);
    for (let i = 0; i < offers; i++) driver.offer();
    driver.serve();
    const finishes = random.below(5);
    for (let i = 0; i < finishes; i++) driver.finish();
  }
  if (random.chance(30)) steps.push({ op: "stop" });
}

function mutate(random: Random, steps: RingStep[]): void {
  const at = random.below(steps.length);
  const step = steps[at]!;
  switch (random.below(10)) {
    case 0:
      steps.splice(at, 1);
      if (steps.length === 0) steps.push(step);
      return;
    case 1:
      steps.splice(random.below(steps.length + 1), 0, step);
      return;
    case 2: {
      const other = random.below(steps.length);
      [steps[at], steps[other]] = [steps[other]!, step];
      return;
    }
    case 3:
    case 4:
      steps.splice(at + 1, 0, stray(random));
      return;
    default:
      steps[at] = bend(random, step);
  }
}

/** Something that a driver or a device might do at any time. */
function stray(random: Random): RingStep {
  const end = random.pick([0x600, LOW_BUFFERS[0], RAM_SIZE]);
  const at = random.below(end - 64);
  switch (random.below(6)) {
    case 0:
      return { op: "serve" };
    case 1:
      return { op: "finish", which: random.below(4) };
    case 2:
      return { op: "stop" };
    case 3: {
      const [length, seed] = [random.between(1, 64), random.u32()];
      return { op: "noise", at, length, seed };
    }
    case 4:
      return { op: "u16", at: at & ~1, value: u16(random) };
    default:
      return bend(random, {
        op: "desc",
        at: at & ~15,
        gpa: placeIn(random, BUFFERS, 64),
        length: random.below(64),
        low: random.below(8),
        high: random.below(8),
      });
  }
}

/** The same step with one thing wrong in it. */
function bend(random: Random, step: RingStep): RingStep {
  switch (step.op) {
    case "open":
      return { op: "open", setup: bendSetup(random, step.setup) };
    case "finish":
      return { op: "finish", which: random.below(8) };
    case "serve":
    case "stop":
      return stray(random);
    default:
      return bendMemory(random, step);
  }
}

/** The same for what is written to RAM. */
export function bendMemory(random: Random, step: MemoryStep): MemoryStep {
  switch (step.op) {
    case "desc":
      return bendDescriptor(random, step);
    case "u16":
      return { ...step, value: bendU16(random, step.value) };
    case "noise":
      return { ...step, seed: random.u32() };
    case "zero":
      return { ...step, length: random.below(step.length + 1) };
  }
}

function bendSetup(random: Random, setup: RingSetup): RingSetup {
  switch (random.below(8)) {
    case 0: {
      const sizes = [0, 1, 3, 7, 33, 0x8000, 0x8001, 0x10000, 0xffff_ffff];
      return { ...setup, size: random.pick(sizes) };
    }
    case 1:
      return { ...setup, desc: hurtfulAddress(random) };
    case 2:
      return { ...setup, driver: hurtfulAddress(random) };
    case 3:
      return { ...setup, device: hurtfulAddress(random) };
    case 4:
      return { ...setup, device: setup.desc + 4 * random.below(24) };
    case 5:
      return { ...setup, driver: setup.device + 4 * random.below(24) };
    case 6:
      return { ...setup, packed: !setup.packed, style: random.pick(STYLES) };
    default:
      return { ...setup, indirect: !setup.indirect };
  }
}

function bendDescriptor(random: Random, step: DescriptorStep): DescriptorStep {
  switch (random.below(5)) {
    case 0:
      return { ...step, gpa: hurtfulAddress(random) };
    case 1: {
      const { length: old } = step;
      const lengths = [0, 1, 15, 16, 17, old + 16, 2 * old, 0x210, RAM_SIZE];
      const huge = [0x8000_0000, 0xffff_fff0, 0xffff_ffff];
      const edge = lengthToEdge(step.gpa);
      const length = random.pick([...lengths, ...huge, edge, edge + 1]);
      return { ...step, length: length >>> 0 };
    }
    case 2:
      return { ...step, low: bendU16(random, step.low) };
    case 3:
      return { ...step, high: bendU16(random, step.high) };
    default:
      return { ...step, at: step.at ^ (16 << random.below(5)) };
  }
}

function bendU16(random: Random, value: number): number {
  switch (random.below(5)) {
    case 0:
    case 1:
      return value ^ (1 << random.pick([0, 1, 2, 7, 15, random.below(16)]));
    case 2:
      return (value + 1) & 0xffff;
    case 3:
      return (value - 1) & 0xffff;
    default:
      return u16(random);
  }
}

function u16(random: Random): number {
  return random.pick([0, 1, 2, 7, 8, 0xff, 0x7fff, 0x8000, 0xffff]) ^
    (random.chance(30) ? random.below(0x10000) : 0);
}
