// Level A: what a driver and a device do with one ring, as plain data that can be printed, mutated and cut down.

/** How the device takes chains: answers at once, answers later, or pulls them and gives them back when it likes. */
export const STYLES = ["handle", "later", "pull"] as const;
export type Style = (typeof STYLES)[number];

/** Its addresses are the guest's. */
export interface RingSetup {
  readonly packed: boolean;
  readonly inOrder: boolean;
  readonly style: Style;
  readonly size: number;
  readonly desc: number;
  readonly driver: number;
  readonly device: number;
  readonly eventIdx: boolean;
  readonly indirect: boolean;
}

/** A descriptor's 16 bytes at a place of RAM's buffer: flags and next in a split ring, id and flags in a packed one. */
export interface DescriptorStep {
  readonly op: "desc";
  readonly at: number;
  readonly gpa: number;
  readonly length: number;
  readonly low: number;
  readonly high: number;
}

export type RingStep =
  /** The driver's reset, if need be, then rings for the device. */
  | { readonly op: "open"; readonly setup: RingSetup }
  | DescriptorStep
  | { readonly op: "u16"; readonly at: number; readonly value: number }
  | {
    readonly op: "noise";
    readonly at: number;
    readonly length: number;
    readonly seed: number;
  }
  | { readonly op: "zero"; readonly at: number; readonly length: number }
  | { readonly op: "serve" }
  /** The device is done with one of the chains that it holds. */
  | { readonly op: "finish"; readonly which: number }
  | { readonly op: "stop" };

/** Steps that only write to RAM. */
export type MemoryStep = Extract<
  RingStep,
  { op: "desc" | "u16" | "zero" | "noise" }
>;

export interface RingCase {
  /** The driver does nothing wrong, so nothing may be refused. */
  readonly valid: boolean;
  readonly steps: readonly RingStep[];
}

const hex = (value: number) => `0x${value.toString(16)}`;

export function showRingStep(step: RingStep): string {
  switch (step.op) {
    case "open": {
      const { packed, inOrder, style, eventIdx, indirect, ...rest } =
        step.setup;
      const words = [
        packed ? "packed" : "split",
        style,
        ...(inOrder ? ["in-order"] : []),
        ...(eventIdx ? ["event-idx"] : []),
        ...(indirect ? ["indirect"] : []),
      ];
      const { size, desc, driver, device } = rest;
      return `open ${words.join(" ")} size ${size} at ${
        [desc, driver, device].map(hex).join(" ")
      }`;
    }
    case "desc":
      return `${hex(step.at)}: descriptor ${hex(step.gpa)} length ${
        hex(step.length)
      } ${hex(step.low)} ${hex(step.high)}`;
    case "u16":
      return `${hex(step.at)}: u16 ${hex(step.value)}`;
    case "noise":
      return `${hex(step.at)}: ${step.length} bytes of noise ${hex(step.seed)}`;
    case "zero":
      return `${hex(step.at)}: ${step.length} bytes of zeros`;
    case "finish":
      return `finish ${step.which}`;
    default:
      return step.op;
  }
}
