// Thread: main
// Puts a kernel, its initrd, command line and tables into guest RAM, and says where vCPU 0 starts.
import { ManifestError } from "../../errors.ts";
import type { GuestMemory } from "../../memory/guest_memory.ts";
import {
  ACPI_RESET,
  ACPI_RESET_VALUE,
  ACPI_TABLES,
  CMDLINE,
  CMDLINE_SIZE,
  HIGH_MEMORY,
  PVH_START_INFO,
  RESET_VECTOR,
  ZERO_PAGE,
} from "../../memory/layout.ts";
import { buildAcpiTables } from "./acpi.ts";
import type { AcpiMachine } from "./acpi.ts";
import { pvhStartInfo, zeroPage } from "./boot_params.ts";
import type { Initrd } from "./boot_params.ts";
import { entryMemory } from "./entry.ts";
import type { EntryState } from "./entry.ts";
import type { KernelImage, LinuxKernel, PvhKernel } from "./kernel_image.ts";

/** What to boot; the manifest's fields, for messages, are boot.kernel, boot.initrd, boot.cmdline, boot.flat. */
export type BootImage =
  | {
    readonly kind: "kernel";
    readonly kernel: KernelImage;
    /** Files and archives that follow each other in memory, as one initrd. */
    readonly initrd: readonly (Deno.FsFile | Uint8Array)[];
    readonly initrdSize: number;
    readonly cmdline: string;
  }
  | { readonly kind: "flat"; readonly image: Uint8Array };

/** mov dx, ACPI_RESET; mov al, ACPI_RESET_VALUE; out dx, al; hlt */
const RESET_CODE = Uint8Array.of(
  ...[0xba, ACPI_RESET & 0xff, ACPI_RESET >> 8],
  ...[0xb0, ACPI_RESET_VALUE, 0xee, 0xf4],
);

const PAGE = 4096;
const MiB = 2 ** 20;
const mebibytes = (bytes: number) => `${Math.ceil(bytes / MiB)} MiB`;
const alignUp = (value: number, to: number) => Math.ceil(value / to) * to;

/** Loads `image`; throws a ManifestError when it does not fit. */
export function loadBoot(
  image: BootImage,
  memory: GuestMemory,
  machine: AcpiMachine,
): EntryState {
  const { bytes, rsdp } = buildAcpiTables(machine);
  memory.write(ACPI_TABLES, bytes);
  memory.write(RESET_VECTOR, RESET_CODE);
  if (image.kind === "flat") return loadFlat(image.image, memory, rsdp);
  const { kernel } = image;
  const placed = kernel.kind === "elf"
    ? placeElf(kernel, memory)
    : placeBzImage(kernel, memory);
  const initrd = loadInitrd(image, placed, memory);
  const limit = kernel.kind === "elf" ? CMDLINE_SIZE - 1 : kernel.cmdlineSize;
  loadCmdline(image.cmdline, limit, memory);
  if (kernel.kind === "elf") {
    return pvhEntry(kernel.pvhEntry, memory, rsdp, initrd);
  }
  const page = zeroPage(kernel, memory.regions, rsdp, initrd);
  memory.write(page.gpa, page.data);
  const rip = placed.start + kernel.entryOffset;
  return enter(memory, { mode: "long64", rip, rbx: 0, rsi: ZERO_PAGE });
}

function enter(memory: GuestMemory, entry: EntryState): EntryState {
  for (const { gpa, data } of entryMemory(entry.mode)) memory.write(gpa, data);
  return entry;
}

function pvhEntry(
  rip: number,
  memory: GuestMemory,
  rsdp: number,
  initrd: Initrd | null,
): EntryState {
  const info = pvhStartInfo(memory.regions, rsdp, initrd);
  memory.write(info.gpa, info.data);
  return enter(memory, {
    mode: "protected32",
    rip,
    rbx: PVH_START_INFO,
    rsi: 0,
  });
}

/** A flat image lies at 1 MiB and starts in 64-bit mode at its first byte, with start_info's GPA in rbx. */
function loadFlat(
  image: Uint8Array,
  memory: GuestMemory,
  rsdp: number,
): EntryState {
  const target = memory.slice(HIGH_MEMORY, image.length);
  if (target === null) throw tooLarge("boot.flat", image.length, memory);
  target.set(image);
  const info = pvhStartInfo(memory.regions, rsdp, null);
  memory.write(info.gpa, info.data);
  return enter(memory, {
    mode: "long64",
    rip: HIGH_MEMORY,
    rbx: PVH_START_INFO,
    rsi: 0,
  });
}

/** What the kernel takes of RAM, and how high its initrd may reach. */
interface Placed {
  readonly start: number;
  readonly end: number;
  readonly initrdLimit: number;
}

function placeElf(kernel: PvhKernel, memory: GuestMemory): Placed {
  let end = 0;
  for (const { fileOffset, fileSize, memSize, physAddr } of kernel.segments) {
    const target = memory.slice(physAddr, memSize);
    if (target === null) {
      throw tooLarge("boot.kernel", physAddr + memSize, memory);
    }
    // RAM is new and so zero behind the file's bytes.
    target.set(kernel.file.subarray(fileOffset, fileOffset + fileSize));
    end = Math.max(end, physAddr + memSize);
  }
  return { start: HIGH_MEMORY, end, initrdLimit: memory.regions[0]!.size };
}

function placeBzImage(kernel: LinuxKernel, memory: GuestMemory): Placed {
  const low = memory.regions[0]!.size;
  const preferred = kernel.prefAddress;
  const lowest = alignUp(HIGH_MEMORY, kernel.kernelAlignment);
  const fits = preferred + kernel.initSize <= low;
  const start = fits || !kernel.relocatable ? preferred : lowest;
  const end = start + Math.max(kernel.initSize, kernel.protectedModeSize);
  if (end > low) throw tooLarge("boot.kernel", end, memory);
  const from = kernel.protectedModeOffset;
  memory.write(
    start,
    kernel.file.subarray(from, from + kernel.protectedModeSize),
  );
  return {
    start,
    end,
    initrdLimit: Math.min(low, kernel.initrdAddrMax + 1),
  };
}

/** As high as it may be, so that the kernel has room to grow. */
function loadInitrd(
  image: Extract<BootImage, { kind: "kernel" }>,
  placed: Placed,
  memory: GuestMemory,
): Initrd | null {
  const size = image.initrdSize;
  if (size === 0) return null;
  const gpa = Math.floor((placed.initrdLimit - size) / PAGE) * PAGE;
  const target = gpa >= placed.end ? memory.slice(gpa, size) : null;
  if (target === null) {
    throw new ManifestError(
      "boot.initrd",
      `${mebibytes(size)} do not fit beside the kernel in ${
        mebibytes(memory.size)
      } of memory; raise memory, or name a smaller initrd`,
    );
  }
  let at = 0;
  for (const part of image.initrd) at += fill(target.subarray(at), part);
  if (at !== size) {
    throw new ManifestError(
      "boot.initrd",
      "the file changed while it was read; start again",
    );
  }
  return { gpa, size };
}

function fill(target: Uint8Array, part: Deno.FsFile | Uint8Array): number {
  if (part instanceof Uint8Array) {
    target.set(part);
    return part.length;
  }
  let at = 0;
  for (;;) {
    const count = at < target.length ? part.readSync(target.subarray(at)) : 0;
    if (!count) return at;
    at += count;
  }
}

function loadCmdline(text: string, limit: number, memory: GuestMemory): void {
  const bytes = new TextEncoder().encode(text);
  const most = Math.min(limit, CMDLINE_SIZE - 1);
  if (bytes.length > most) {
    throw new ManifestError(
      "boot.cmdline",
      `has ${bytes.length} bytes, the kernel takes ${most}; shorten it`,
    );
  }
  memory.write(CMDLINE, bytes);
}

function tooLarge(field: string, end: number, memory: GuestMemory) {
  return new ManifestError(
    field,
    `needs RAM up to ${mebibytes(end)}, the VM has ${
      mebibytes(memory.size)
    }; raise memory`,
  );
}
