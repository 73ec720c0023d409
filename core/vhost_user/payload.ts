// Thread: any
// Payloads of vhost-user messages as bytes. Every size and count is checked; what is wrong throws a VhostUserError.
import { VhostUserError } from "../errors.ts";
import { MAX_REGIONS, VHOST_USER_VRING_NOFD } from "./protocol.ts";

export interface VringState {
  readonly index: number;
  readonly num: number;
}

/** Addresses are of the front end's own address space. */
export interface VringAddress {
  readonly index: number;
  readonly flags: number;
  readonly descriptor: number;
  readonly used: number;
  readonly available: number;
}

export interface MemoryRegion {
  readonly guestAddress: number;
  readonly size: number;
  readonly userAddress: number;
  readonly mmapOffset: number;
}

export interface ConfigAccess {
  readonly offset: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
}

export interface Inflight {
  readonly mmapSize: number;
  readonly mmapOffset: number;
  readonly numQueues: number;
  readonly queueSize: number;
}

const VRING_INDEX_MASK = 0xff;
type Bytes = Uint8Array<ArrayBuffer>;

const STATE_SIZE = 8;
const ADDRESS_SIZE = 40;
const REGION_SIZE = 32;
const TABLE_HEADER = 8;
const CONFIG_HEADER = 12;
/** With the padding that C puts behind the last field. */
const INFLIGHT_SIZE = 24;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** A view of a payload that must have `size` bytes. */
function payloadOf(bytes: Uint8Array, size: number, what: string): DataView {
  if (bytes.length !== size) {
    throw new VhostUserError(
      `sent ${bytes.length} bytes for ${what}, which has ${size}`,
    );
  }
  return viewOf(bytes);
}

function build(size: number, fill: (view: DataView) => void): Bytes {
  const bytes = new Uint8Array(size);
  fill(viewOf(bytes));
  return bytes;
}

/** Addresses and sizes are numbers here, so that 2^53 bounds them. */
function getU64(view: DataView, offset: number): number {
  const value = Number(view.getBigUint64(offset, true));
  if (value <= Number.MAX_SAFE_INTEGER) return value;
  throw new VhostUserError(
    `sent an address or size of ${value}, which no memory has`,
  );
}

function setU64(view: DataView, offset: number, value: number): void {
  view.setBigUint64(offset, BigInt(value), true);
}

/** Feature words, numbers, results. */
export function encodeU64(value: bigint | number): Bytes {
  return build(8, (view) => view.setBigUint64(0, BigInt(value), true));
}

export function decodeU64(payload: Uint8Array): bigint {
  return payloadOf(payload, 8, "a number").getBigUint64(0, true);
}

/** The payload of SET_VRING_KICK, CALL and ERR. */
export function encodeVringFd(index: number, hasFd: boolean): Bytes {
  return encodeU64(index | (hasFd ? 0 : VHOST_USER_VRING_NOFD));
}

export function decodeVringFd(
  payload: Uint8Array,
): { readonly index: number; readonly hasFd: boolean } {
  const value = Number(decodeU64(payload));
  return {
    index: value & VRING_INDEX_MASK,
    hasFd: (value & VHOST_USER_VRING_NOFD) === 0,
  };
}

export function encodeVringState({ index, num }: VringState): Bytes {
  return build(STATE_SIZE, (view) => {
    view.setUint32(0, index, true);
    view.setUint32(4, num, true);
  });
}

export function decodeVringState(payload: Uint8Array): VringState {
  const view = payloadOf(payload, STATE_SIZE, "a vring state");
  return { index: view.getUint32(0, true), num: view.getUint32(4, true) };
}

/** The log, which is for migration, is left out. */
export function encodeVringAddress(address: VringAddress): Bytes {
  return build(ADDRESS_SIZE, (view) => {
    view.setUint32(0, address.index, true);
    view.setUint32(4, address.flags, true);
    setU64(view, 8, address.descriptor);
    setU64(view, 16, address.used);
    setU64(view, 24, address.available);
  });
}

export function decodeVringAddress(payload: Uint8Array): VringAddress {
  const view = payloadOf(payload, ADDRESS_SIZE, "a vring address");
  return {
    index: view.getUint32(0, true),
    flags: view.getUint32(4, true),
    descriptor: getU64(view, 8),
    used: getU64(view, 16),
    available: getU64(view, 24),
  };
}

export function encodeMemoryTable(regions: readonly MemoryRegion[]): Bytes {
  return build(TABLE_HEADER + regions.length * REGION_SIZE, (view) => {
    view.setUint32(0, regions.length, true);
    regions.forEach((region, i) => {
      const at = TABLE_HEADER + i * REGION_SIZE;
      setU64(view, at, region.guestAddress);
      setU64(view, at + 8, region.size);
      setU64(view, at + 16, region.userAddress);
      setU64(view, at + 24, region.mmapOffset);
    });
  });
}

/** As many regions as are announced, and as there are bytes for; a front end may send all eight places. */
export function decodeMemoryTable(payload: Uint8Array): MemoryRegion[] {
  const view = viewOf(payload);
  const count = payload.length < TABLE_HEADER ? 0 : view.getUint32(0, true);
  const end = TABLE_HEADER + count * REGION_SIZE;
  if (count === 0 || count > MAX_REGIONS || payload.length < end) {
    throw new VhostUserError(
      `sent a memory table of ${payload.length} bytes with ${count} regions; there are 1 to ${MAX_REGIONS} of ${REGION_SIZE} bytes`,
    );
  }
  return Array.from({ length: count }, (_, i) => {
    const at = TABLE_HEADER + i * REGION_SIZE;
    return {
      guestAddress: getU64(view, at),
      size: getU64(view, at + 8),
      userAddress: getU64(view, at + 16),
      mmapOffset: getU64(view, at + 24),
    };
  });
}

export function encodeConfig({ offset, flags, bytes }: ConfigAccess): Bytes {
  const encoded = build(CONFIG_HEADER + bytes.length, (view) => {
    view.setUint32(0, offset, true);
    view.setUint32(4, bytes.length, true);
    view.setUint32(8, flags, true);
  });
  encoded.set(bytes, CONFIG_HEADER);
  return encoded;
}

export function decodeConfig(payload: Uint8Array): ConfigAccess {
  const size = payload.length - CONFIG_HEADER;
  const view = viewOf(payload);
  if (size < 0 || view.getUint32(4, true) !== size) {
    throw new VhostUserError(
      `sent ${payload.length} bytes for a configuration space; they do not hold what they announce`,
    );
  }
  return {
    offset: view.getUint32(0, true),
    flags: view.getUint32(8, true),
    bytes: payload.subarray(CONFIG_HEADER),
  };
}

export function encodeInflight(inflight: Inflight): Bytes {
  return build(INFLIGHT_SIZE, (view) => {
    setU64(view, 0, inflight.mmapSize);
    setU64(view, 8, inflight.mmapOffset);
    view.setUint16(16, inflight.numQueues, true);
    view.setUint16(18, inflight.queueSize, true);
  });
}

export function decodeInflight(payload: Uint8Array): Inflight {
  const view = payloadOf(payload, INFLIGHT_SIZE, "an inflight description");
  return {
    mmapSize: getU64(view, 0),
    mmapOffset: getU64(view, 8),
    numQueues: view.getUint16(16, true),
    queueSize: view.getUint16(18, true),
  };
}
