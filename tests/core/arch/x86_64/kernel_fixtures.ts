// Small kernel images for the tests, put together byte by byte.

/** A program header and, for notes, what it points at. */
export interface Segment {
  type: number;
  offset: bigint;
  physAddr?: bigint;
  fileSize: bigint;
  memSize?: bigint;
  align?: bigint;
}

export interface ElfParts {
  segments?: Segment[];
  note?: Uint8Array;
  size?: number;
}

/** A note of the name "Xen" with the given type and a desc of 4 or 8 bytes. */
export function xenNote(
  type: number,
  value: bigint,
  descSize: 4 | 8,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(16 + descSize);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 4, true);
  view.setUint32(4, descSize, true);
  view.setUint32(8, type, true);
  bytes.set([0x58, 0x65, 0x6e, 0], 12);
  if (descSize === 8) view.setBigUint64(16, value, true);
  else view.setUint32(16, Number(value), true);
  return bytes;
}

/**
 * An ELF64 executable of 4 KiB: code at file offset 0x800 for 2 MiB, notes at 0x400 and the PVH
 * entry at 0x200010, unless the parts say otherwise.
 */
export function makeElf(parts: ElfParts = {}): Uint8Array<ArrayBuffer> {
  const note = parts.note ?? xenNote(18, 0x200010n, 4);
  const segments = parts.segments ?? [
    {
      type: 1,
      offset: 0x800n,
      physAddr: 0x200000n,
      fileSize: 0x100n,
      memSize: 0x3000n,
    },
    { type: 4, offset: 0x400n, fileSize: BigInt(note.length), align: 4n },
  ];
  const bytes = new Uint8Array(parts.size ?? 0x1000);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 0x3e, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, segments.length, true);
  segments.forEach((segment, i) => {
    const at = 64 + i * 56;
    view.setUint32(at, segment.type, true);
    view.setBigUint64(at + 8, segment.offset, true);
    view.setBigUint64(at + 24, segment.physAddr ?? 0n, true);
    view.setBigUint64(at + 32, segment.fileSize, true);
    view.setBigUint64(at + 40, segment.memSize ?? segment.fileSize, true);
    view.setBigUint64(at + 48, segment.align ?? 0x1000n, true);
  });
  bytes.set(note, 0x400);
  return bytes;
}

/**
 * A bzImage of protocol 2.15: two setup sectors, then the protected-mode part with the payload at
 * 0x400 of it and, behind that, 16 bytes that do not belong to it.
 */
export function makeBzImage(
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array<ArrayBuffer> {
  const paragraphs = Math.ceil((0x400 + payload.length) / 16);
  const bytes = new Uint8Array(0x600 + paragraphs * 16 + 16);
  const view = new DataView(bytes.buffer);
  bytes[0x1f1] = 2;
  view.setUint32(0x1f4, paragraphs, true);
  view.setUint16(0x1fe, 0xaa55, true);
  bytes.set([0xeb, 0x6a, 0x48, 0x64, 0x72, 0x53], 0x200);
  view.setUint16(0x206, 0x020f, true);
  bytes[0x211] = 1;
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint32(0x230, 0x20_0000, true);
  bytes[0x234] = 1;
  view.setUint16(0x236, 0x7f, true);
  view.setUint32(0x238, 2047, true);
  view.setUint32(0x248, 0x400, true);
  view.setUint32(0x24c, payload.length, true);
  view.setBigUint64(0x258, 0x100_0000n, true);
  view.setUint32(0x260, 0x300_0000, true);
  bytes.set(payload, 0xa00);
  return bytes;
}

/** The bytes and behind them a little-endian 32-bit size, as the kernel build appends it. */
export function withSize(
  bytes: Uint8Array,
  size: number,
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.length + 4);
  out.set(bytes);
  new DataView(out.buffer).setUint32(bytes.length, size, true);
  return out;
}

/** A legacy LZ4 frame of one block that holds the bytes as literals only. */
export function storeLz4(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const tail = bytes.length - 15;
  const block = [0xf0, ...new Array(Math.floor(tail / 255)).fill(255)];
  block.push(tail % 255, ...bytes);
  const frame = new Uint8Array(8 + block.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, 0x184c2102, true);
  view.setUint32(4, block.length, true);
  frame.set(block, 8);
  return frame;
}
