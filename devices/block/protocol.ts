// The block device's wire format (virtio-v1.3 §5.2): pure parsing, apart from what carries requests out.
import type {
  ChainReader,
  ConfigLayout,
  ConfigValues,
} from "../../core/plugin.ts";

export const FEATURES = {
  VIRTIO_BLK_F_SEG_MAX: 2,
  VIRTIO_BLK_F_RO: 5,
  VIRTIO_BLK_F_BLK_SIZE: 6,
  VIRTIO_BLK_F_FLUSH: 9,
  VIRTIO_BLK_F_DISCARD: 13,
  VIRTIO_BLK_F_WRITE_ZEROES: 14,
} as const;
/** What only a disk that is written to has. */
const WRITE_FEATURES: readonly string[] = [
  "VIRTIO_BLK_F_DISCARD",
  "VIRTIO_BLK_F_WRITE_ZEROES",
];
const ALL_FEATURES = Object.keys(FEATURES) as (keyof typeof FEATURES)[];

/** The features of a disk that may be written to, or only read. */
export const READ_WRITE = ALL_FEATURES.filter((name) =>
  name !== "VIRTIO_BLK_F_RO"
);
export const READ_ONLY = ALL_FEATURES.filter((name) =>
  !WRITE_FEATURES.includes(name)
);

/** struct virtio_blk_config (§5.2.4), up to write_zeroes_may_unmap. */
export const CONFIG = {
  capacity: "u64",
  size_max: "u32",
  seg_max: "u32",
  cylinders: "u16",
  heads: "u8",
  sectors: "u8",
  blk_size: "u32",
  physical_block_exp: "u8",
  alignment_offset: "u8",
  min_io_size: "u16",
  opt_io_size: "u32",
  writeback: "u8",
  unused0: "u8",
  num_queues: "u16",
  max_discard_sectors: "u32",
  max_discard_seg: "u32",
  discard_sector_alignment: "u32",
  max_write_zeroes_sectors: "u32",
  max_write_zeroes_seg: "u32",
  write_zeroes_may_unmap: "u8",
  unused1: 3,
} as const satisfies ConfigLayout;

export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_FLUSH = 4;
export const VIRTIO_BLK_T_GET_ID = 8;
export const VIRTIO_BLK_T_DISCARD = 11;
export const VIRTIO_BLK_T_WRITE_ZEROES = 13;

export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;

export const SECTOR = 512;
/** Bytes that VIRTIO_BLK_T_GET_ID gives (§5.2.6). */
export const ID_LENGTH = 20;
/** Bytes of struct virtio_blk_discard_write_zeroes. */
export const RANGE_SIZE = 16;
/** Data segments a request may have: the queue's 256 descriptors less header and status. */
export const MAX_SEGMENTS = 254;
/** The most bytes of one read or write: what a slow disk moves in a second or two, for a reset waits for it. */
export const MAX_DATA = 64 * 2 ** 20;
/** The most sectors of one discard or write-zeroes range: 32 MiB, so that none holds the device for long. */
export const MAX_RANGE_SECTORS = 65536;
/** Ranges in one discard, and in one write-zeroes request: where there are no holes, 32 MiB are written. */
export const MAX_DISCARD_RANGES = 16;
export const MAX_WRITE_ZEROES_RANGES = 1;
export const UNMAP = 1;

/** struct virtio_blk_req's header. */
export interface RequestHeader {
  type: number;
  /** Byte offset on the disk; rounded above 2^53, which is past every disk. */
  offset: number;
}

/** Reads the header into `into`, which is used again for each request. */
export function readHeader(from: ChainReader, into: RequestHeader): void {
  into.type = from.u32();
  from.u32(); // reserved, once the priority
  into.offset = from.u64() * SECTOR;
}

/** Whether a read or write may have `length` bytes at `offset` of a disk of `size` bytes. */
export function isTransfer(
  offset: number,
  length: number,
  size: number,
): boolean {
  return length <= MAX_DATA && isOnDisk(offset, length, size);
}

/** Whether [offset, offset + length) is whole sectors of a disk of `size` bytes. */
export function isOnDisk(
  offset: number,
  length: number,
  size: number,
): boolean {
  return length % SECTOR === 0 && offset + length <= size;
}

/** One range of a discard or write-zeroes request. */
export interface Range {
  readonly offset: number;
  readonly length: number;
  readonly unmap: boolean;
}

/** Reads the ranges of a request, or returns the status to answer it with (§5.2.6.2). */
export function readRanges(
  from: ChainReader,
  type: number,
  size: number,
): Range[] | number {
  const count = from.remaining / RANGE_SIZE;
  const most = type === VIRTIO_BLK_T_DISCARD
    ? MAX_DISCARD_RANGES
    : MAX_WRITE_ZEROES_RANGES;
  if (!Number.isInteger(count) || count < 1 || count > most) {
    return VIRTIO_BLK_S_IOERR;
  }
  const ranges: Range[] = [];
  for (let i = 0; i < count; i++) {
    const offset = from.u64() * SECTOR;
    const sectors = from.u32();
    const flags = from.u32();
    const known = type === VIRTIO_BLK_T_WRITE_ZEROES ? UNMAP : 0;
    if (flags & ~known) return VIRTIO_BLK_S_UNSUPP;
    const length = sectors * SECTOR;
    if (sectors > MAX_RANGE_SECTORS || !isOnDisk(offset, length, size)) {
      return VIRTIO_BLK_S_IOERR;
    }
    ranges.push({ offset, length, unmap: (flags & UNMAP) !== 0 });
  }
  return ranges;
}

/** The configuration of a disk of `size` bytes. */
export function configOf(
  size: number,
  writable: boolean,
): Partial<ConfigValues<typeof CONFIG>> {
  const fields = {
    capacity: size / SECTOR,
    seg_max: MAX_SEGMENTS,
    blk_size: SECTOR,
  };
  if (!writable) return fields;
  return {
    ...fields,
    max_discard_sectors: MAX_RANGE_SECTORS,
    max_discard_seg: MAX_DISCARD_RANGES,
    discard_sector_alignment: 8, // 4 KiB
    max_write_zeroes_sectors: MAX_RANGE_SECTORS,
    max_write_zeroes_seg: MAX_WRITE_ZEROES_RANGES,
    write_zeroes_may_unmap: 1,
  };
}
