// Level B: what a guest does to a whole device: register accesses, writes to its RAM, and now and then some time.
import { type MemoryStep, showRingStep } from "./ring_steps.ts";

/** The devices that are fuzzed, by what their drivers have to know. */
export interface Target {
  readonly name: string;
  readonly device: "rng" | "block" | "console";
  readonly transport: "modern" | "legacy";
  readonly packed: boolean;
  readonly readOnly: boolean;
  /** Feature bits of its own, and its queues. */
  readonly features: number;
  readonly queues: number;
}

const modern = { transport: "modern", packed: true, readOnly: false } as const;
const legacy = { transport: "legacy", packed: false, readOnly: false } as const;
const rng = { device: "rng", features: 0, queues: 1 } as const;
const block = { device: "block", features: 0x6244, queues: 1 } as const;
const console = { device: "console", features: 1, queues: 2 } as const;

export const TARGETS: readonly Target[] = [
  { ...modern, ...rng, name: "rng" },
  { ...modern, ...block, name: "block" },
  { ...modern, ...console, name: "console" },
  { ...modern, ...block, name: "read-only block", readOnly: true },
  { ...legacy, ...rng, name: "legacy rng" },
  { ...legacy, ...block, name: "legacy block" },
  { ...legacy, ...console, name: "legacy console" },
];

export interface WriteStep {
  readonly op: "write";
  readonly offset: number;
  readonly size: number;
  readonly value: number;
  /** Another vCPU does it: the next step does not wait for the answer. */
  readonly aside: boolean;
}

export type DeviceStep =
  | MemoryStep
  | { readonly op: "read"; readonly offset: number; readonly size: number }
  | WriteStep
  /** The device gets some time. */
  | { readonly op: "pause" }
  /** Whoever holds the VM types that many bytes, or has another window size. */
  | { readonly op: "type"; readonly length: number }
  | { readonly op: "resize"; readonly columns: number };

export interface DeviceCase {
  /** Index in TARGETS. */
  readonly target: number;
  readonly steps: readonly DeviceStep[];
}

export function showDeviceStep(step: DeviceStep): string {
  switch (step.op) {
    case "read":
      return `read 0x${step.offset.toString(16)}, ${step.size} bytes`;
    case "write": {
      const [offset, value] = [step.offset, step.value].map((number) =>
        `0x${number.toString(16)}`
      );
      const aside = step.aside ? ", not waited for" : "";
      return `write ${value} to ${offset}, ${step.size} bytes${aside}`;
    }
    case "type":
      return `type ${step.length} bytes`;
    case "resize":
      return `resize to ${step.columns} columns`;
    case "pause":
      return "pause";
    default:
      return showRingStep(step);
  }
}
