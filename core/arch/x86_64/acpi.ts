// Thread: main
// The ACPI tables of a hardware-reduced machine: RSDP, XSDT, FADT, MADT and DSDT (ACPI 6.5 §5.2).

import {
  ACPI_RESET,
  ACPI_RESET_VALUE,
  ACPI_S5_SLEEP_TYPE,
  ACPI_SLEEP_CONTROL,
  ACPI_SLEEP_STATUS,
  ACPI_TABLES,
  COM1,
  COM1_GSI,
  COM1_SIZE,
  IOAPIC,
  LOCAL_APIC,
  PVPANIC,
} from "../../memory/layout.ts";
import {
  type Aml,
  ascii,
  device,
  edgeInterrupt,
  eisaId,
  integer,
  ioPorts,
  littleEndian,
  memory32Fixed,
  name,
  packageOf,
  resourceTemplate,
  scope,
  string,
} from "./aml.ts";

/** What the tables describe beside the fixed devices. */
export interface AcpiMachine {
  /** Processors, with the APIC ids 0 to cpus - 1. */
  readonly cpus: number;
  /** The virtio-mmio devices: register window (guest physical, bytes) and interrupt line. */
  readonly devices: readonly {
    readonly base: number;
    readonly size: number;
    readonly gsi: number;
  }[];
}

/** FADT fields by offset (§5.2.9); those that a hardware-reduced machine ignores stay zero. */
const FADT_SIZE = 276;
const FADT_IAPC_BOOT_ARCH = 109;
const FADT_FLAGS = 112;
const FADT_RESET_REG = 116;
const FADT_RESET_VALUE = 128;
const FADT_MINOR_VERSION = 131;
const FADT_X_DSDT = 140;
const FADT_SLEEP_CONTROL_REG = 244;
const FADT_SLEEP_STATUS_REG = 256;

/** Fixed feature flags (§5.2.9, table 5.10). */
const WBINVD = 1 << 0;
const PWR_BUTTON = 1 << 4;
const SLP_BUTTON = 1 << 5;
const RESET_REG_SUP = 1 << 10;
const HW_REDUCED_ACPI = 1 << 20;

/** IA-PC boot architecture flags (§5.2.9.3); a clear 8042 bit says that there is no keyboard. */
const VGA_NOT_PRESENT = 1 << 2;
const MSI_NOT_SUPPORTED = 1 << 3;
const CMOS_RTC_NOT_PRESENT = 1 << 5;

const HEADER_SIZE = 36;
const RSDP_SIZE = 36;
const CHECKSUM_OFFSET = 9;

/**
 * Builds the tables as one block for guest physical address `ACPI_TABLES`. `rsdp` is the
 * address of the root pointer, which is the block's first byte.
 */
export function buildAcpiTables(
  machine: AcpiMachine,
): { bytes: Uint8Array; rsdp: number } {
  const block: number[] = new Array(RSDP_SIZE).fill(0);
  const place = (bytes: readonly number[]): number => {
    while (block.length % 16 !== 0) block.push(0);
    const address = ACPI_TABLES + block.length;
    block.push(...bytes);
    return address;
  };
  const dsdt = place(table("DSDT", 2, dsdtBody(machine)));
  const pointers = [
    place(table("FACP", 6, fadtBody(dsdt))),
    place(table("APIC", 5, madtBody(machine))),
  ];
  const xsdt = place(
    table("XSDT", 1, pointers.flatMap((address) => littleEndian(address, 8))),
  );
  const bytes = Uint8Array.from(block);
  bytes.set(rootPointer(xsdt));
  return { bytes, rsdp: ACPI_TABLES };
}

/** RSDP (§5.2.5.3): the first checksum covers the 20 bytes of revision 0, the second all. */
function rootPointer(xsdt: number): number[] {
  const bytes = [
    ...ascii("RSD PTR \0PADDCK"),
    2,
    ...littleEndian(0, 4),
    ...littleEndian(RSDP_SIZE, 4),
    ...littleEndian(xsdt, 8),
    ...littleEndian(0, 4),
  ];
  bytes[8] = checksum(bytes.slice(0, 20));
  bytes[32] = checksum(bytes);
  return bytes;
}

/** A system description table: the common header (§5.2.6) and the body. */
function table(
  signature: string,
  revision: number,
  body: readonly number[],
): number[] {
  const bytes = [
    ...ascii(signature),
    ...littleEndian(HEADER_SIZE + body.length, 4),
    revision,
    0,
    ...ascii("PADDCKPADDOCK "),
    ...littleEndian(1, 4),
    ...ascii("PDCK"),
    ...littleEndian(1, 4),
    ...body,
  ];
  bytes[CHECKSUM_OFFSET] = checksum(bytes);
  return bytes;
}

/** The byte that makes the sum of all a multiple of 256. */
function checksum(bytes: readonly number[]): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

function fadtBody(dsdt: number): number[] {
  const bytes: number[] = new Array(FADT_SIZE).fill(0);
  const put = (offset: number, field: readonly number[]) =>
    bytes.splice(offset, field.length, ...field);
  put(
    FADT_IAPC_BOOT_ARCH,
    littleEndian(VGA_NOT_PRESENT | MSI_NOT_SUPPORTED | CMOS_RTC_NOT_PRESENT, 2),
  );
  put(
    FADT_FLAGS,
    littleEndian(
      WBINVD | PWR_BUTTON | SLP_BUTTON | RESET_REG_SUP | HW_REDUCED_ACPI,
      4,
    ),
  );
  put(FADT_RESET_REG, ioRegister(ACPI_RESET));
  put(FADT_RESET_VALUE, [ACPI_RESET_VALUE]);
  put(FADT_MINOR_VERSION, [5]);
  put(FADT_X_DSDT, littleEndian(dsdt, 8));
  put(FADT_SLEEP_CONTROL_REG, ioRegister(ACPI_SLEEP_CONTROL));
  put(FADT_SLEEP_STATUS_REG, ioRegister(ACPI_SLEEP_STATUS));
  return bytes.slice(HEADER_SIZE);
}

/** Generic Address Structure (§5.2.3.2): one byte-wide register in I/O space. */
function ioRegister(port: number): number[] {
  return [1, 8, 0, 1, ...littleEndian(port, 8)];
}

/**
 * MADT (§5.2.12). No 8259, so no PCAT_COMPAT and no source overrides: interrupt n is pin n. The
 * IOAPIC's id is the one that KVM's has after reset.
 */
function madtBody({ cpus }: AcpiMachine): number[] {
  const localApics = Array.from(
    { length: cpus },
    (_, id) => [0, 8, id, id, ...littleEndian(1, 4)],
  );
  const ioApic = [
    1,
    12,
    0,
    0,
    ...littleEndian(IOAPIC, 4),
    ...littleEndian(0, 4),
  ];
  return [
    ...littleEndian(LOCAL_APIC, 4),
    ...littleEndian(0, 4),
    ...localApics.flat(),
    ...ioApic,
  ];
}

/** DSDT. Processors are in the MADT alone: device objects serve hotplug and power states only. */
function dsdtBody({ devices }: AcpiMachine): Aml {
  const virtio = devices.map(({ base, size, gsi }, uid) =>
    device(
      `V${String(uid).padStart(3, "0")}`,
      name("_HID", string("LNRO0005")),
      name("_UID", integer(uid)),
      name("_CCA", integer(1)),
      name(
        "_CRS",
        resourceTemplate(memory32Fixed(base, size), edgeInterrupt(gsi)),
      ),
    )
  );
  const serial = device(
    "COM1",
    name("_HID", eisaId("PNP0501")),
    name("_UID", integer(1)),
    name(
      "_CRS",
      resourceTemplate(ioPorts(COM1, COM1_SIZE), edgeInterrupt(COM1_GSI)),
    ),
  );
  const panic = device(
    "PEVT",
    name("_HID", string("QEMU0001")),
    name("_STA", integer(0xf)),
    name("_CRS", resourceTemplate(ioPorts(PVPANIC, 1))),
  );
  const sleep = packageOf(
    integer(ACPI_S5_SLEEP_TYPE),
    integer(0),
    integer(0),
    integer(0),
  );
  return [...name("\\_S5", sleep), ...scope("\\_SB", ...virtio, serial, panic)];
}
