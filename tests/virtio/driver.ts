// Bringing a device up with all 64 feature bits, and with packed rings; in raw offsets, as the driver does.
import type { Used } from "../support/fake_driver.ts";
import type { FakeMachine } from "../support/fake_machine.ts";
import { FakePackedRing } from "../support/fake_packed_ring.ts";

/** A device of one queue that writes how many bytes it read, in one byte; `ms` is how long it thinks. */
export const ECHO = `{
  id: 0x2a,
  queues: { q: 16 },
  create: ({ options }) => ({ queues: { async q({ readable, writable }) {
    const length = readable.remaining;
    if (options.ms) await new Promise((go) => setTimeout(go, options.ms));
    return writable.write(new Uint8Array([length]));
  } } }),
}`;

/** Reads how many ms to think from each request's first byte. */
export const THINKER = `{
  id: 0x2a,
  queues: { q: 16 },
  create: () => ({ queues: { async q({ readable, writable }) {
    const ms = readable.u8();
    await new Promise((go) => setTimeout(go, ms));
    return writable.write(new Uint8Array([ms]));
  } } }),
}`;

export async function offered(
  machine: FakeMachine,
): Promise<[low: number, high: number]> {
  const words = [];
  for (const status of [0x1, 0x3]) await machine.write(0x070, status);
  for (const word of [0, 1]) {
    await machine.write(0x014, word);
    words.push(await machine.read(0x010));
  }
  await machine.reset();
  return words as [number, number];
}

/** ACKNOWLEDGE to FEATURES_OK; returns the status that is read back. */
export async function accept(
  machine: FakeMachine,
  low: number,
  high: number,
): Promise<number> {
  await machine.write(0x070, 0x1);
  await machine.write(0x070, 0x3);
  for (const [word, bits] of [low, high].entries()) {
    await machine.write(0x024, word);
    await machine.write(0x020, bits);
  }
  await machine.write(0x070, 0xb);
  return await machine.read(0x070);
}

/** Makes queue 0 ready with a packed ring. */
export async function packedQueue(
  machine: FakeMachine,
  size: number,
): Promise<FakePackedRing> {
  const ring = new FakePackedRing(machine.ram, size);
  await machine.write(0x030, 0);
  await machine.write(0x038, size);
  await machine.address(ring.desc, ring.driverEvent, ring.deviceEvent);
  await machine.write(0x044, 1);
  return ring;
}

/** VERSION_1 and RING_PACKED (and more of the second word), one queue, DRIVER_OK. */
export async function bringUpPacked(
  machine: FakeMachine,
  size = 8,
  high = 0x5,
): Promise<FakePackedRing> {
  await accept(machine, 0, high);
  const ring = await packedQueue(machine, size);
  await machine.driverOk();
  return ring;
}

/** Waits until `count` chains of a ring are used. */
export async function taken(
  machine: FakeMachine,
  ring: { takeUsed(): Used[] },
  count: number,
): Promise<Used[]> {
  const all: Used[] = [];
  await machine.until(() => {
    all.push(...ring.takeUsed());
    return all.length >= count;
  }, () => `${all.length} of ${count} chains used`);
  return all;
}

export const pause = (ms: number): Promise<void> =>
  new Promise((go) => setTimeout(go, ms));
