// Thread: any
// What a device took and has not given back, kept where it outlives the device's process (vhost-user "Inflight I/O
// tracking"): the layouts of a queue's part of that memory.

/** The memory as a queue worker gets it; plain data, for postMessage. */
export interface SharedInflight {
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
  /** Entries that each queue has. */
  readonly queueSize: number;
}

/** One queue's part. It is shared with the front end, so that nothing in it is believed. */
export interface InflightRegion {
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
  readonly queueSize: number;
}

/** struct QueueRegionSplit and DescStateSplit. */
export const SPLIT_HEADER = 16;
export const SPLIT_ENTRY = 16;
/** struct QueueRegionPacked and DescStatePacked. */
export const PACKED_HEADER = 32;
export const PACKED_ENTRY = 32;

/** The only version there is; 0 in memory that was never used. */
export const INFLIGHT_VERSION = 1;

const ALIGN = 64;

/** Bytes of one queue's part; the parts follow one another. */
export function inflightQueueBytes(queueSize: number, packed: boolean): number {
  const [header, entry] = packed
    ? [PACKED_HEADER, PACKED_ENTRY]
    : [SPLIT_HEADER, SPLIT_ENTRY];
  return Math.ceil((header + entry * queueSize) / ALIGN) * ALIGN;
}

/** The part of the queue with this index. */
export function inflightRegion(
  { buffer, byteOffset, queueSize }: SharedInflight,
  queue: number,
  packed: boolean,
): InflightRegion {
  const at = byteOffset + queue * inflightQueueBytes(queueSize, packed);
  return { buffer, byteOffset: at, queueSize };
}

/** What is wrong with the header of a part that is in use, for a ring of `size`. */
export function inflightProblem(
  u16: Uint16Array,
  queueSize: number,
  size: number,
): string | null {
  if (queueSize < size) {
    return `has ${queueSize} entries a queue, and the ring ${size} descriptors`;
  }
  const features = u16.subarray(0, 4).some((word) => word !== 0);
  const [version, entries] = [u16[4], u16[5]];
  if (version === 0) return null;
  if (features || version !== INFLIGHT_VERSION) {
    return `is of version ${version} or has features, which are unknown`;
  }
  return entries === queueSize
    ? null
    : `says that it has ${entries} entries, and ${queueSize} were announced`;
}
