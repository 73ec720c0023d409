// The levels: A, rings and queue loop in this thread beside a model; B, whole devices with their workers.
import { generateDeviceCase } from "./device_cases.ts";
import { DeviceRun } from "./device_run.ts";
import {
  type DeviceCase,
  type DeviceStep,
  showDeviceStep,
  TARGETS,
} from "./device_steps.ts";
import type { Level } from "./level.ts";
import { generateRingCase } from "./ring_cases.ts";
import { RingRun } from "./ring_run.ts";
import { type RingCase, type RingStep, showRingStep } from "./ring_steps.ts";

export function levelA(): Level<RingStep, RingCase> {
  const rings = new RingRun();
  return {
    name: "a",
    generate: generateRingCase,
    // A driver that leaves something out is not valid any more.
    withSteps: (_original, steps) => ({ valid: false, steps }),
    run: (tried) => rings.run(tried),
    show: showRingStep,
    close: () => Promise.resolve(),
  };
}

export function levelB(): Level<DeviceStep, DeviceCase> {
  const devices = new DeviceRun();
  return {
    name: "b",
    generate: generateDeviceCase,
    withSteps: ({ target }, steps) => ({ target, steps }),
    async run(tried) {
      const problem = await devices.run(tried);
      return problem && `${problem} (${TARGETS[tried.target]!.name})`;
    },
    show: showDeviceStep,
    close: () => devices[Symbol.asyncDispose](),
  };
}
