// Thread: main
// Reads the setup header of a Linux bzImage and unpacks its ELF kernel (Documentation/arch/x86/boot.rst).

import { ManifestError } from "../../errors.ts";
import { DEVICE_HOLE, HIGH_MEMORY } from "../../memory/layout.ts";
import { decodeLz4Legacy, LZ4_LEGACY_MAGIC } from "./lz4.ts";

/** What the 64-bit boot protocol needs of the setup header. Offsets are into the file, in bytes. */
export interface BzImage {
  /** The header itself, a view from `setup_sects` on, to be copied to the zero page at 0x1f1. */
  readonly setupHeader: Uint8Array;
  /** Boot protocol version: 0x20f is 2.15. */
  readonly version: number;
  /** The protected-mode part, which is all that gets loaded; a signature may follow it. */
  readonly protectedModeOffset: number;
  readonly protectedModeSize: number;
  /** Of the 64-bit entry, from where the protected-mode part is loaded. */
  readonly entryOffset: number;
  readonly relocatable: boolean;
  /** Best guest physical load address; other addresses are multiples of the power of two. */
  readonly prefAddress: number;
  readonly kernelAlignment: number;
  /** Bytes of RAM from the load address on that the kernel overwrites while it unpacks itself. */
  readonly initSize: number;
  /** Last guest physical address of an initrd. */
  readonly initrdAddrMax: number;
  /** Longest command line without its NUL. */
  readonly cmdlineSize: number;
  /** The packed kernel; its last four bytes are the size of the unpacked one. */
  readonly payloadOffset: number;
  readonly payloadLength: number;
}

/** Where the header starts in the file and in the zero page, and where the latter's next field is. */
const SETUP_HEADER = 0x1f1;
const SETUP_HEADER_END = 0x290;
/** `xloadflags` came with protocol 2.12; headers of that age reach to `handover_offset`. */
const MIN_VERSION = 0x020c;
const MIN_HEADER_END = 0x268;
const BOOT_FLAG = 0xaa55;
const HDRS = 0x5372_6448;
const LOADED_HIGH = 1 << 0;
const XLF_KERNEL_64 = 1 << 0;
const ENTRY_64 = 0x200;
const GZIP_MAGIC = 0x8b1f;
const ZSTD_MAGIC = 0xfd2f_b528;
/** Far above any kernel, low enough to allocate: the size comes from the file. */
const MAX_UNPACKED = 512 * 1024 * 1024;

/** True when the bytes have the signature of a Linux setup header. */
export function isBzImage(bytes: Uint8Array): boolean {
  if (bytes.length < 0x206) return false;
  const view = viewOf(bytes);
  return view.getUint16(0x1fe, true) === BOOT_FLAG &&
    view.getUint32(0x202, true) === HDRS;
}

/**
 * Parses the setup header of a file that `isBzImage` without copying it.
 * @param field the manifest field that names the file, for the error
 * @throws {ManifestError} when the file is cut short or has no 64-bit entry
 */
export function parseBzImage(bytes: Uint8Array, field: string): BzImage {
  if (bytes.length < SETUP_HEADER_END) throw truncated(field);
  const view = viewOf(bytes);
  const version = view.getUint16(0x206, true);
  const flags = view.getUint16(0x236, true);
  if (
    version < MIN_VERSION || !(flags & XLF_KERNEL_64) ||
    !(bytes[0x211]! & LOADED_HIGH)
  ) {
    throw new ManifestError(
      field,
      "The bzImage has no 64-bit entry; name a 64-bit x86 kernel of Linux 3.8 or later",
    );
  }
  const image = readHeader(bytes, view, version);
  const size = image.protectedModeSize;
  const headerEnd = SETUP_HEADER + image.setupHeader.length;
  if (
    headerEnd < MIN_HEADER_END || size <= ENTRY_64 ||
    image.protectedModeOffset + size > bytes.length ||
    image.payloadOffset + image.payloadLength > bytes.length
  ) throw truncated(field);
  checkPlace(image, field);
  return image;
}

function checkPlace(image: BzImage, field: string): void {
  const { prefAddress, initSize, kernelAlignment, protectedModeSize } = image;
  const isPowerOfTwo = kernelAlignment !== 0 &&
    (kernelAlignment & kernelAlignment - 1) === 0;
  if (!isPowerOfTwo || initSize < protectedModeSize) throw truncated(field);
  if (prefAddress < HIGH_MEMORY || prefAddress + initSize > DEVICE_HOLE) {
    throw new ManifestError(
      field,
      `The bzImage wants to be at 0x${
        prefAddress.toString(16)
      }; build it with CONFIG_PHYSICAL_START between 1 MiB and 3 GiB`,
    );
  }
}

function readHeader(
  bytes: Uint8Array,
  view: DataView,
  version: number,
): BzImage {
  // Zero means four for the oldest boot loaders' sake.
  const protectedModeOffset = ((bytes[0x1f1]! || 4) + 1) * 512;
  // The jump at 0x200 goes to the first byte after the header.
  const headerEnd = Math.min(0x202 + bytes[0x201]!, SETUP_HEADER_END);
  return {
    setupHeader: bytes.subarray(SETUP_HEADER, headerEnd),
    version,
    protectedModeOffset,
    protectedModeSize: view.getUint32(0x1f4, true) * 16,
    entryOffset: ENTRY_64,
    relocatable: bytes[0x234] !== 0,
    prefAddress: Number(view.getBigUint64(0x258, true)),
    kernelAlignment: view.getUint32(0x230, true),
    initSize: view.getUint32(0x260, true),
    initrdAddrMax: view.getUint32(0x22c, true),
    cmdlineSize: view.getUint32(0x238, true),
    payloadOffset: protectedModeOffset + view.getUint32(0x248, true),
    payloadLength: view.getUint32(0x24c, true),
  };
}

/**
 * Unpacks the ELF kernel (with relocations behind it) that the guest would unpack itself. Null
 * when it is packed in a way that is not read here (bzip2, LZMA, XZ, LZO).
 * @throws {ManifestError} when the packed kernel is broken
 */
export async function unpackPayload(
  bytes: Uint8Array,
  image: BzImage,
  field: string,
): Promise<Uint8Array | null> {
  const payload = bytes.subarray(
    image.payloadOffset,
    image.payloadOffset + image.payloadLength,
  );
  if (payload.length < 8) return null;
  const size = viewOf(payload).getUint32(payload.length - 4, true);
  try {
    const unpacked = await unpack(payload, Math.min(size, MAX_UNPACKED));
    if (unpacked !== null && unpacked.length !== size) {
      throw new RangeError("The kernel has not the size that it claims");
    }
    return unpacked;
  } catch (cause) {
    throw new ManifestError(
      field,
      "The kernel inside the bzImage cannot be unpacked; copy the file again",
      { cause },
    );
  }
}

/**
 * The kernel build appends the size to an LZ4 or zstd stream; a gzip stream ends with it anyway.
 * `node:zlib` is loaded when needed because loading it takes 15 ms.
 */
async function unpack(
  payload: Uint8Array,
  size: number,
): Promise<Uint8Array | null> {
  const magic = viewOf(payload).getUint32(0, true);
  const stream = payload.subarray(0, -4);
  const options = { maxOutputLength: size };
  if (magic === LZ4_LEGACY_MAGIC) return decodeLz4Legacy(stream, size);
  if (magic === ZSTD_MAGIC) {
    return (await import("node:zlib")).zstdDecompressSync(stream, options);
  }
  if ((magic & 0xffff) === GZIP_MAGIC) {
    return (await import("node:zlib")).gunzipSync(payload, options);
  }
  return null;
}

function truncated(field: string): ManifestError {
  return new ManifestError(
    field,
    "The bzImage is cut short or broken; copy the kernel again",
  );
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
