// Thread: main
// The few fixed ports: ACPI sleep and reset registers, and pvpanic. Each ends the VM.
import {
  ACPI_RESET,
  ACPI_RESET_VALUE,
  ACPI_S5_SLEEP_TYPE,
  ACPI_SLEEP_CONTROL,
  PVPANIC,
} from "../memory/layout.ts";
import type { Region } from "./address_space.ts";

/** SLP_EN with the sleep type of `_S5` (ACPI 6.5 §4.8.3.7). */
const SLEEP_S5 = (1 << 5) | (ACPI_S5_SLEEP_TYPE << 2);
const PVPANIC_PANICKED = 1;

export type PowerEvent = "poweroff" | "reboot" | "panic";

/** Port I/O regions that call `onEvent`. */
export function powerRegions(onEvent: (event: PowerEvent) => void): Region[] {
  const sizes = { min: 1, max: 1 } as const;
  const port = (
    name: string,
    base: number,
    size: number,
    read: number,
    write: (offset: number, value: number) => void,
  ): Region => ({
    name,
    base,
    size,
    target: {
      sizes,
      read: () => read,
      write: (offset, _size, value) => write(offset, value),
    },
  });
  return [
    // Sleep control, and sleep status behind it, which never says that the machine woke up.
    port("acpi-sleep", ACPI_SLEEP_CONTROL, 2, 0, (offset, value) => {
      if (offset === 0 && value === SLEEP_S5) onEvent("poweroff");
    }),
    port("acpi-reset", ACPI_RESET, 1, 0, (_offset, value) => {
      if (value === ACPI_RESET_VALUE) onEvent("reboot");
    }),
    // A read tells which events the device takes (QEMU docs/specs/pvpanic).
    port("pvpanic", PVPANIC, 1, PVPANIC_PANICKED, (_offset, value) => {
      if (value & PVPANIC_PANICKED) onEvent("panic");
    }),
  ];
}
