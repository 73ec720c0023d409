// Level B: cases. A driver brings a device up and uses it as it should; then something in that is done wrong.
import type { Random } from "./random.ts";
import { bendMemory } from "./ring_cases.ts";
import { Guest, write } from "./device_guest.ts";
import { LOW_RINGS, RAM_SIZE } from "./ram.ts";
import {
  type DeviceCase,
  type DeviceStep,
  TARGETS,
  type WriteStep,
} from "./device_steps.ts";

const VALID_PERCENT = 10;
const MAX_MUTATIONS = 6;

export function generateDeviceCase(random: Random): DeviceCase {
  const target = random.below(TARGETS.length);
  const steps: DeviceStep[] = [];
  const guest = new Guest(random, TARGETS[target]!, steps);
  guest.bringUp();
  const rounds = random.between(1, 5);
  for (let round = 0; round < rounds; round++) guest.use();
  if (random.chance(20)) guest.bringUp();
  if (random.chance(VALID_PERCENT)) return { target, steps };
  const mutations = random.between(1, MAX_MUTATIONS);
  for (let i = 0; i < mutations; i++) mutate(random, steps);
  return { target, steps };
}

function mutate(random: Random, steps: DeviceStep[]): void {
  const at = random.below(steps.length);
  const step = steps[at]!;
  switch (random.below(8)) {
    case 0:
      if (steps.length > 1) steps.splice(at, 1);
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

/** Registers of both layouts, what is none, and configuration space. */
function register(random: Random): number {
  if (random.chance(30)) return 0x100 + random.below(80);
  if (random.chance(20)) return random.below(0x1000);
  return 4 * random.below(0x40);
}

function value(random: Random): number {
  return random.pick([
    0,
    1,
    2,
    3,
    7,
    0xf,
    0x40,
    0x80,
    random.below(0x4000),
    random.below(0x4000) & ~0xff,
    0xd000_0000,
    0x8000_0000,
    0xffff_ffff,
    random.u32(),
  ]);
}

/** Something that a guest might do at any time. */
function stray(random: Random): DeviceStep {
  const control = [0x030, 0x038, 0x044, 0x050, 0x064, 0x070, 0x0c0, 0x040];
  switch (random.below(8)) {
    case 0:
      return {
        op: "read",
        offset: register(random),
        size: random.pick([1, 2, 4]),
      };
    case 1:
    case 2:
      return {
        ...write(random.pick(control), random.below(4)),
        aside: random.chance(30),
      };
    case 3:
      return write(random.pick([0x070, 0x070, 0x0c0]), random.pick([0, 1, 1]));
    case 4: {
      const [length, seed] = [random.between(1, 64), random.u32()];
      const end = random.chance(60) ? LOW_RINGS[1] : RAM_SIZE;
      return { op: "noise", at: random.below(end - 64), length, seed };
    }
    case 5:
      return random.chance(50)
        ? { op: "type", length: random.below(5000) }
        : { op: "resize", columns: random.below(300) };
    case 6:
      return { op: "pause" };
    default:
      return bend(random, write(register(random), value(random)));
  }
}

/** The same step with one thing wrong in it. */
function bend(random: Random, step: DeviceStep): DeviceStep {
  switch (step.op) {
    case "read":
      return { ...step, offset: register(random) };
    case "write":
      return bendWrite(random, step);
    case "pause":
    case "type":
    case "resize":
      return stray(random);
    default:
      return bendMemory(random, step);
  }
}

function bendWrite(
  random: Random,
  step: WriteStep,
): DeviceStep {
  switch (random.below(6)) {
    case 0:
      return { ...step, offset: register(random) };
    case 1: {
      const size = random.pick([1, 2]);
      return { ...step, size, value: step.value & (2 ** (8 * size) - 1) };
    }
    case 2:
      return { ...step, value: (step.value ^ (1 << random.below(32))) >>> 0 };
    case 3:
      return { ...step, value: (step.value + random.pick([-1, 1])) >>> 0 };
    case 4:
      return { ...step, aside: true };
    default:
      return { ...step, size: 4, value: value(random) };
  }
}
