import { assertEquals } from "@std/assert";
import { nextStatus } from "../../../core/virtio/status.ts";

/** [old, written, features are acceptable] → [new, section of the violation] */
const TABLE = [
  ["ACKNOWLEDGE", 0x00, 0x01, true, 0x01, null],
  ["DRIVER", 0x01, 0x03, true, 0x03, null],
  ["FEATURES_OK", 0x03, 0x0b, true, 0x0b, null],
  ["DRIVER_OK", 0x0b, 0x0f, true, 0x0f, null],
  ["ACKNOWLEDGE and DRIVER at once", 0x00, 0x03, true, 0x03, null],
  ["FEATURES_OK that the device refuses", 0x03, 0x0b, false, 0x03, null],
  ["the same again", 0x0f, 0x0f, true, 0x0f, null],
  ["DRIVER first", 0x00, 0x02, true, 0x00, "3.1.1"],
  ["FEATURES_OK without DRIVER", 0x01, 0x09, true, 0x01, "3.1.1"],
  ["DRIVER_OK without FEATURES_OK", 0x03, 0x07, true, 0x03, "3.1.1"],
  ["DRIVER_OK after refused features", 0x03, 0x0f, false, 0x03, "3.1.1"],
  ["everything at once", 0x00, 0x0f, true, 0x0f, "3.1.1"],
  ["a bit that is cleared", 0x0f, 0x0b, true, 0x0f, "2.1.1"],
  ["FAILED", 0x03, 0x83, true, 0x83, null],
  ["FAILED alone", 0x0f, 0x80, true, 0x8f, "2.1.1"],
  ["FAILED that is cleared", 0x83, 0x03, true, 0x83, "2.1.1"],
  ["DRIVER_OK after FAILED", 0x8b, 0x8f, true, 0x8b, "2.1.1"],
  ["DRIVER_OK while the device needs a reset", 0x4b, 0x4f, true, 0x4b, "2.1.1"],
  ["DEVICE_NEEDS_RESET by the driver", 0x03, 0x43, true, 0x03, null],
  [
    "DEVICE_NEEDS_RESET that the driver leaves out",
    0x4f,
    0x0f,
    true,
    0x4f,
    null,
  ],
  ["bits that do not exist", 0x03, 0xffff_ff33, true, 0x03, null],
] as const;

for (const [what, old, value, acceptable, status, section] of TABLE) {
  Deno.test(`nextStatus() answers ${what}`, () => {
    const step = nextStatus(old, value, acceptable);
    assertEquals(
      [step.status, step.violation?.section ?? null],
      [status, section],
    );
  });
}
