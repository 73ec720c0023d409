// The block device's wire format (virtio-v1.3 §5.2): pure parsing, apart from what carries requests out.
import type { ChainReader } from "../../core/plugin.ts";

export const VIRTIO_BLK_F_SEG_MAX = 2;
export const VIRTIO_BLK_F_RO = 5;
export const VIRTIO_BLK_F_BLK_SIZE = 6;
export const VIRTIO_BLK_F_FLUSH = 9;
export const VIRTIO_BLK_F_DISCARD = 13;
export const VIRTIO_BLK_F_WRITE_ZEROES = 14;

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

export interface ConfigFields {
  readonly size: number;
  readonly writable: boolean;
}

/** struct virtio_blk_config (§5.2.4), up to write_zeroes_may_unmap. */
export function configSpace({ size, writable }: ConfigFields): Uint8Array {
  const config = new DataView(new ArrayBuffer(60));
  config.setBigUint64(0, BigInt(size / SECTOR), true);
  config.setUint32(12, MAX_SEGMENTS, true);
  config.setUint32(20, SECTOR, true);
  if (writable) {
    config.setUint32(36, MAX_RANGE_SECTORS, true); // max_discard_sectors
    config.setUint32(40, MAX_DISCARD_RANGES, true);
    config.setUint32(44, 8, true); // discard_sector_alignment: 4 KiB
    config.setUint32(48, MAX_RANGE_SECTORS, true); // max_write_zeroes_sectors
    config.setUint32(52, MAX_WRITE_ZEROES_RANGES, true);
    config.setUint8(56, 1); // write_zeroes_may_unmap
  }
  return new Uint8Array(config.buffer);
}
