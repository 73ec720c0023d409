// One virtio-mmio device as a driver reaches it, whoever made it: registers, and the guest's memory.

export type Width = 1 | 2 | 4;

export interface Side {
  /** A register read; `offset` is from the device's base. */
  read(offset: number, width?: Width): Promise<number>;
  write(offset: number, value: number, width?: Width): Promise<void>;
  /** Guest memory. */
  peek(gpa: number, length: number): Promise<Uint8Array>;
  poke(gpa: number, bytes: Uint8Array): Promise<void>;
}

/** The devices that both sides have. */
export const DEVICES = [
  "rng",
  "console",
  "block",
  "packed rng",
  "packed block",
] as const;
export type DeviceName = typeof DEVICES[number];

export interface Sides {
  readonly qemu: Side;
  readonly paddock: Side;
}

/** Guest RAM up to here is there on both sides; rings and buffers are above 1 MiB, where a PC has no ROM. */
export const RAM = 4 << 20;

/** An image of 64 sectors; the n-th is filled with n + 1. */
export function diskImage(): Uint8Array {
  return new Uint8Array(64 * 512).map((_, at) => 1 + (at >> 9));
}
