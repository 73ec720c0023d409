// What the sequences have in common: bringing a device up and asking it for something. Each step notes what it saw.
import { PackedRing, type Ring, SplitRing } from "./rings.ts";
import type { DeviceName, Side } from "./side.ts";

/** Notes a value under a name, which is unique in its sequence. */
export type Note = (step: string, ...values: readonly number[]) => void;

export interface Sequence {
  readonly name: string;
  readonly devices: readonly DeviceName[];
  run(side: Side, note: Note, device: DeviceName): Promise<void>;
}

export const RING = 0x20_0000;
export const HEADER = 0x30_0000, STATUS = 0x30_0100, DATA = 0x31_0000;
export const FLUSH = 0x200;

export const reset = (side: Side) => side.write(0x070, 0);

export async function accept(
  side: Side,
  low: number,
  high: number,
): Promise<void> {
  for (const status of [0, 1, 3]) await side.write(0x070, status);
  for (const [word, bits] of [low, high].entries()) {
    await side.write(0x024, word);
    await side.write(0x020, bits);
  }
  await side.write(0x070, 0xb);
}

export async function place(side: Side, ring: Ring): Promise<void> {
  await side.write(0x030, 0);
  await side.write(0x038, ring.size);
  for (const [i, at] of ring.addresses.entries()) {
    await side.write([0x080, 0x090, 0x0a0][i]!, at);
    await side.write([0x084, 0x094, 0x0a4][i]!, 0);
  }
  await side.write(0x044, 1);
}

export async function bringUp(side: Side, device: DeviceName, low = 0) {
  const isPacked = device.startsWith("packed");
  await accept(side, low, isPacked ? 5 : 1);
  const ring = isPacked
    ? new PackedRing(side, 8, RING)
    : new SplitRing(side, 8, RING);
  await ring.clear();
  await place(side, ring);
  await side.write(0x070, 0xf);
  return ring;
}

/** Does a block request; notes status byte and used length. */
export async function blockRequest(
  side: Side,
  ring: Ring,
  note: Note,
  step: string,
  type: number,
  sector: number,
  ...data: { at: number; length: number; write?: boolean }[]
): Promise<void> {
  const header = new DataView(new ArrayBuffer(16));
  header.setUint32(0, type, true);
  header.setBigUint64(8, BigInt(sector), true);
  await side.poke(HEADER, new Uint8Array(header.buffer));
  await side.poke(STATUS, new Uint8Array([0x77]));
  const length = await ring.request({ at: HEADER, length: 16 }, ...data, {
    at: STATUS,
    length: 1,
    write: true,
  });
  const [status] = await side.peek(STATUS, 1);
  note(step, status!, length);
}

export async function rngRequest(
  side: Side,
  ring: Ring,
  note: Note,
  step: string,
) {
  await side.poke(DATA, new Uint8Array(64));
  const length = await ring.request(
    { at: DATA, length: 40, write: true },
    { at: DATA + 40, length: 24, write: true },
  );
  const bytes = await side.peek(DATA, 64);
  const isRandom = new Set(bytes).size > 20 ? 1 : 0;
  note(step, isRandom, length);
}
