// Thread: main
// Reads an ELF64 kernel for x86-64: what to load where, and its PVH entry (gABI; Xen docs/misc/pvh.pandoc).

import { ManifestError } from "../../errors.ts";
import { DEVICE_HOLE, HIGH_MEMORY } from "../../memory/layout.ts";

/** A PT_LOAD segment: file bytes to copy to guest physical `physAddr`, zeroes up to `memSize`. */
export interface ElfSegment {
  readonly fileOffset: number;
  readonly fileSize: number;
  readonly memSize: number;
  readonly physAddr: number;
}

export interface ElfKernel {
  /** In the order of the file; at least one, each inside the file and in RAM below 4 GiB. */
  readonly segments: readonly ElfSegment[];
  /** Guest physical address of the 32-bit PVH entry; null when the kernel has none. */
  readonly pvhEntry: number | null;
}

const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ET_EXEC = 2;
const ET_DYN = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
const NHDR_SIZE = 12;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;
/** "Xen" and its NUL, as a little-endian word. */
const XEN_NAME = 0x006e_6558;

interface ProgramHeader extends ElfSegment {
  readonly type: number;
  readonly align: number;
}

/** True when the bytes start like an ELF file of any kind. */
export function isElf(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c &&
    bytes[3] === 0x46;
}

/**
 * Parses an ELF kernel without copying it. Nothing in it is trusted.
 * @param field the manifest field that names the file, for the error
 * @throws {ManifestError} when the file is no loadable x86-64 kernel
 */
export function parseElf(bytes: Uint8Array, field: string): ElfKernel {
  const headers = programHeaders(bytes, field);
  const segments = headers.filter(({ type, memSize }) =>
    type === PT_LOAD && memSize > 0
  )
    .map(({ fileOffset, fileSize, memSize, physAddr }) => ({
      fileOffset,
      fileSize,
      memSize,
      physAddr,
    }));
  if (segments.length === 0) {
    throw new ManifestError(
      field,
      "The ELF file has nothing to load; name a linked kernel such as vmlinux",
    );
  }
  for (const segment of segments) checkPlace(segment, field);
  const pvhEntry = findPvhEntry(bytes, headers, field);
  if (
    pvhEntry !== null && !segments.some((segment) => holds(segment, pvhEntry))
  ) {
    throw new ManifestError(
      field,
      `The ELF kernel's PVH entry ${
        hex(pvhEntry)
      } is in no loaded segment; build the kernel again`,
    );
  }
  return { segments, pvhEntry };
}

function programHeaders(bytes: Uint8Array, field: string): ProgramHeader[] {
  if (bytes.length < EHDR_SIZE) throw truncated(field);
  const view = viewOf(bytes);
  checkIdentity(view, field);
  const offset = u64(view, 32);
  const count = view.getUint16(56, true);
  if (view.getUint16(54, true) !== PHDR_SIZE || count === 0) {
    throw new ManifestError(
      field,
      "The ELF file has no program headers; name a linked kernel such as vmlinux",
    );
  }
  if (offset + count * PHDR_SIZE > bytes.length) throw truncated(field);
  return Array.from({ length: count }, (_, i) => {
    const header = programHeader(view, offset + i * PHDR_SIZE);
    const used = header.type === PT_LOAD || header.type === PT_NOTE;
    if (used && header.fileOffset + header.fileSize > bytes.length) {
      throw truncated(field);
    }
    return header;
  });
}

function checkIdentity(view: DataView, field: string): void {
  if (view.getUint8(4) !== ELFCLASS64) {
    throw new ManifestError(
      field,
      "This is a 32-bit ELF file; name a 64-bit x86-64 kernel",
    );
  }
  const machine = view.getUint16(18, true);
  if (view.getUint8(5) !== ELFDATA2LSB || machine !== EM_X86_64) {
    throw new ManifestError(
      field,
      "The ELF file is for another processor; name a kernel for x86-64",
    );
  }
  const type = view.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN) {
    throw new ManifestError(
      field,
      "The ELF file is not an executable; name a linked kernel such as vmlinux",
    );
  }
}

function programHeader(view: DataView, at: number): ProgramHeader {
  return {
    type: view.getUint32(at, true),
    fileOffset: u64(view, at + 8),
    physAddr: u64(view, at + 24),
    fileSize: u64(view, at + 32),
    memSize: u64(view, at + 40),
    align: u64(view, at + 48),
  };
}

/** Low memory holds the boot structures and the 32-bit entry cannot reach what is above the hole. */
function checkPlace(
  { fileSize, memSize, physAddr }: ElfSegment,
  field: string,
): void {
  if (fileSize > memSize) {
    throw new ManifestError(
      field,
      "The ELF file has a segment larger than its memory; build the kernel again",
    );
  }
  if (physAddr < HIGH_MEMORY || physAddr + memSize > DEVICE_HOLE) {
    throw new ManifestError(
      field,
      `The ELF kernel wants to be at ${
        hex(physAddr)
      }; link it between 1 MiB and 3 GiB`,
    );
  }
}

/** Walks the notes of every PT_NOTE; each step is 12 bytes or more, so the walk ends. */
function findPvhEntry(
  bytes: Uint8Array,
  headers: ProgramHeader[],
  field: string,
): number | null {
  const view = viewOf(bytes);
  for (const { type, fileOffset, fileSize, align } of headers) {
    if (type !== PT_NOTE) continue;
    const padding = align === 8 ? 8 : 4;
    const end = fileOffset + fileSize;
    for (let at = fileOffset; at + NHDR_SIZE <= end;) {
      const nameSize = view.getUint32(at, true);
      const descSize = view.getUint32(at + 4, true);
      const desc = at + roundUp(NHDR_SIZE + nameSize, padding);
      if (desc + descSize > end) throw truncated(field);
      const isXen = nameSize === 4 &&
        view.getUint32(at + NHDR_SIZE, true) === XEN_NAME;
      if (isXen && view.getUint32(at + 8, true) === XEN_ELFNOTE_PHYS32_ENTRY) {
        if (descSize === 4) return view.getUint32(desc, true);
        if (descSize === 8) return u64(view, desc);
      }
      at = desc + roundUp(descSize, padding);
    }
  }
  return null;
}

function holds({ physAddr, memSize }: ElfSegment, address: number): boolean {
  return address >= physAddr && address < physAddr + memSize;
}

function truncated(field: string): ManifestError {
  return new ManifestError(
    field,
    "The ELF file is cut short or broken; copy or build it again",
  );
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Above 2^53 the double is rounded, but stays larger than any limit it is compared with. */
function u64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
