// Thread: main
// The device status field as a table: which bit may be added when (virtio-v1.3 §2.1, §3.1.1).
import {
  ACKNOWLEDGE,
  DEVICE_NEEDS_RESET,
  DRIVER,
  DRIVER_OK,
  FAILED,
  FEATURES_OK,
} from "./constants.ts";

/** A bit that the driver sets, and the bits that must stand before it. */
const STEPS = [
  { bit: ACKNOWLEDGE, name: "ACKNOWLEDGE", after: 0 },
  { bit: DRIVER, name: "DRIVER", after: ACKNOWLEDGE },
  { bit: FEATURES_OK, name: "FEATURES_OK", after: ACKNOWLEDGE | DRIVER },
  {
    bit: DRIVER_OK,
    name: "DRIVER_OK",
    after: ACKNOWLEDGE | DRIVER | FEATURES_OK,
  },
] as const;

/** The legacy interface has no FEATURES_OK (§3.1.2). */
const LEGACY_STEPS = [
  STEPS[0],
  STEPS[1],
  { bit: DRIVER_OK, name: "DRIVER_OK", after: ACKNOWLEDGE | DRIVER },
] as const;

const KNOWN = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK | FAILED;

export interface StatusStep {
  /** The status after the write. */
  readonly status: number;
  readonly violation:
    | { readonly section: string; readonly message: string }
    | null;
}

/**
 * What a write of `value` (not 0) to Status does to `old`; `featuresAcceptable` is null in the legacy interface.
 *
 * ```ts
 * nextStatus(0x01, 0x03, false).status; // ACKNOWLEDGE, then DRIVER: 0x03
 * nextStatus(0x03, 0x0b, false).status; // FEATURES_OK is refused: 0x03
 * ```
 */
export function nextStatus(
  old: number,
  value: number,
  featuresAcceptable: boolean | null,
): StatusStep {
  let status = old;
  let violation: StatusStep["violation"] = null;
  const refuse = (section: string, message: string) =>
    violation ??= { section, message };
  if (old & ~value & KNOWN) {
    refuse(
      "2.1.1",
      `Status 0x${value.toString(16)} clears bits of 0x${old.toString(16)}`,
    );
  }
  const steps = featuresAcceptable === null ? LEGACY_STEPS : STEPS;
  for (const { bit, name, after } of steps) {
    if (!(value & bit) || old & bit) continue;
    if ((status & after) !== after) {
      refuse(
        "3.1.1",
        `${name} set before 0x${after.toString(16)} (status 0x${
          old.toString(16)
        })`,
      );
    } else if (bit === FEATURES_OK && !featuresAcceptable) continue; // the driver reads it back (§3.1.1 step 6)
    else if (bit === DRIVER_OK && old & (FAILED | DEVICE_NEEDS_RESET)) {
      refuse("2.1.1", "DRIVER_OK set without a reset");
    } else {
      if (status & ~old & after & FEATURES_OK) {
        refuse("3.1.1", "DRIVER_OK set before FEATURES_OK was read back");
      }
      status |= bit;
    }
  }
  return { status: status | (value & FAILED), violation };
}
