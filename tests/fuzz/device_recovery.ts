// Level B: whatever a guest did, after its reset the device serves a valid request, and writes nothing else to RAM.
import type { FakeRing } from "../support/fake_driver.ts";
import type { FakeMachine } from "../support/fake_machine.ts";
import type { Subject } from "./device_subject.ts";
import type { Target } from "./device_steps.ts";

const GUARD = 0xee;
const RING_SIZE = 4;
/** All in low RAM. The legacy layout has the ring's used part on the next page. */
const RINGS = 0x1000;
const RINGS_END = 0x2800;
const HEADER = 0x2800;
const ANSWER = 0x2a00;
/** GET_ID's 20 bytes and the status. */
const ANSWER_SIZE = 21;

/** What is wrong, or null. The device is in reset before and after. */
export async function serveValid(
  { machine, target }: Subject,
  timeoutMs: number,
): Promise<string | null> {
  const { bytes } = machine;
  bytes.fill(GUARD);
  const queue = target.device === "console" ? 1 : 0;
  const ring = await bringUp(machine, target, queue);
  offer(ring, target);
  machine.kick(queue);
  const [used] = await machine.used(ring, 1, timeoutMs);
  const expected = target.device === "console" ? 0 : ANSWER_SIZE;
  if (used?.length !== expected || used.id !== 0) {
    return `recovery: ${used?.length} bytes used of chain ${used?.id}`;
  }
  await machine.reset();
  const isOurs = (at: number) =>
    (at >= RINGS && at < RINGS_END) ||
    (at >= HEADER && at < HEADER + 16) ||
    (at >= ANSWER && at < ANSWER + ANSWER_SIZE);
  const stray = bytes.findIndex((byte, at) => byte !== GUARD && !isOurs(at));
  if (stray < 0) return null;
  return `RAM: 0x${stray.toString(16)} was written after the reset`;
}

async function bringUp(
  machine: FakeMachine,
  { transport }: Target,
  queue: number,
): Promise<FakeRing> {
  if (transport === "modern") {
    await machine.negotiate();
    const ring = await machine.queue(queue, RING_SIZE, RINGS);
    await machine.driverOk();
    return ring;
  }
  await machine.write(0x028, 0x1000);
  await machine.write(0x070, 0x3);
  const ring = await machine.legacyQueue(queue, RING_SIZE, RINGS);
  await machine.write(0x070, 0x7);
  return ring;
}

function offer(ring: FakeRing, { device }: Target): void {
  const readable = { at: HEADER, length: 16 };
  const writable = { at: ANSWER, length: ANSWER_SIZE, write: true };
  ring.bytes.fill(0, HEADER, HEADER + 16);
  ring.bytes[HEADER] = 8; // VIRTIO_BLK_T_GET_ID
  if (device === "rng") ring.add(writable);
  else if (device === "block") ring.add(readable, writable);
  else ring.add(readable);
}
