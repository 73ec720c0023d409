// Thread: main
// What a kernel is told at its entry: the PVH start_info, and Linux' boot_params (the zero page).
import {
  ACPI_TABLES,
  ACPI_TABLES_SIZE,
  CMDLINE,
  EBDA,
  HIGH_MEMORY,
  PVH_START_INFO,
  ZERO_PAGE,
} from "../../memory/layout.ts";
import type { RamRegion } from "../../memory/ram_map.ts";
import { setU64, struct } from "../../sys/struct.ts";
import type { BzImage } from "./bzimage.ts";
import type { LoadItem } from "./entry.ts";

/** Where an initrd was put. */
export interface Initrd {
  readonly gpa: number;
  readonly size: number;
}

const E820_RAM = 1;
const E820_RESERVED = 2;

interface MapEntry {
  readonly gpa: number;
  readonly size: number;
  readonly type: number;
}

/** The memory map of firmware: RAM, with the ACPI tables' range kept out of it. */
function memoryMap(regions: readonly RamRegion[]): MapEntry[] {
  const map: MapEntry[] = [
    { gpa: 0, size: EBDA, type: E820_RAM },
    { gpa: ACPI_TABLES, size: ACPI_TABLES_SIZE, type: E820_RESERVED },
  ];
  for (const { gpa, size } of regions) {
    const start = Math.max(gpa, HIGH_MEMORY);
    map.push({ gpa: start, size: gpa + size - start, type: E820_RAM });
  }
  return map;
}

/** struct hvm_start_info, version 1 (Xen public/arch-x86/hvm/start_info.h). */
const HvmStartInfo = struct({
  magic: "u32",
  version: "u32",
  flags: "u32",
  nr_modules: "u32",
  modlist_paddr: "u64",
  cmdline_paddr: "u64",
  rsdp_paddr: "u64",
  memmap_paddr: "u64",
  memmap_entries: "u32",
  reserved: "u32",
});
const HvmModlistEntry = struct({
  paddr: "u64",
  size: "u64",
  cmdline_paddr: "u64",
  reserved: "u64",
});
const HvmMemmapEntry = struct({
  addr: "u64",
  size: "u64",
  type: "u32",
  reserved: "u32",
});
const XEN_HVM_START_MAGIC_VALUE = 0x336ec578;

/** start_info with its module list and memory map right behind it. */
export function pvhStartInfo(
  regions: readonly RamRegion[],
  rsdp: number,
  initrd: Initrd | null,
): LoadItem {
  const map = memoryMap(regions);
  const modules = HvmStartInfo.SIZE;
  const memmap = modules + HvmModlistEntry.SIZE;
  const data = new Uint8Array(memmap + map.length * HvmMemmapEntry.SIZE);
  const info = new HvmStartInfo(data);
  info.magic = XEN_HVM_START_MAGIC_VALUE;
  info.version = 1;
  info.cmdline_paddr = CMDLINE;
  info.rsdp_paddr = rsdp;
  info.memmap_paddr = PVH_START_INFO + memmap;
  info.memmap_entries = map.length;
  if (initrd !== null) {
    info.nr_modules = 1;
    info.modlist_paddr = PVH_START_INFO + modules;
    const module = new HvmModlistEntry(data.subarray(modules));
    module.paddr = initrd.gpa;
    module.size = initrd.size;
  }
  map.forEach(({ gpa, size, type }, i) => {
    const at = memmap + i * HvmMemmapEntry.SIZE;
    const entry = new HvmMemmapEntry(data.subarray(at));
    entry.addr = gpa;
    entry.size = size;
    entry.type = type;
  });
  return { gpa: PVH_START_INFO, data };
}

// Offsets in struct boot_params (Documentation/arch/x86/zero-page.rst, boot.rst).
const ACPI_RSDP_ADDR = 0x070;
const E820_ENTRIES = 0x1e8;
const SETUP_HEADER = 0x1f1;
const VID_MODE = 0x1fa;
const TYPE_OF_LOADER = 0x210;
const RAMDISK_IMAGE = 0x218;
const RAMDISK_SIZE = 0x21c;
const CMD_LINE_PTR = 0x228;
const E820_TABLE = 0x2d0;
const LOADER_UNDEFINED = 0xff;
const VID_MODE_NORMAL = 0xffff;

/** The zero page: the kernel's own setup header with what a boot loader fills in. */
export function zeroPage(
  kernel: BzImage,
  regions: readonly RamRegion[],
  rsdp: number,
  initrd: Initrd | null,
): LoadItem {
  const data = new Uint8Array(4096);
  const view = new DataView(data.buffer);
  data.set(kernel.setupHeader, SETUP_HEADER);
  setU64(view, ACPI_RSDP_ADDR, rsdp);
  view.setUint16(VID_MODE, VID_MODE_NORMAL, true);
  data[TYPE_OF_LOADER] = LOADER_UNDEFINED;
  view.setUint32(RAMDISK_IMAGE, initrd?.gpa ?? 0, true);
  view.setUint32(RAMDISK_SIZE, initrd?.size ?? 0, true);
  view.setUint32(CMD_LINE_PTR, CMDLINE, true);
  const map = memoryMap(regions);
  data[E820_ENTRIES] = map.length;
  map.forEach(({ gpa, size, type }, i) => {
    const at = E820_TABLE + i * 20;
    setU64(view, at, gpa);
    setU64(view, at + 8, size);
    view.setUint32(at + 16, type, true);
  });
  return { gpa: ZERO_PAGE, data };
}
