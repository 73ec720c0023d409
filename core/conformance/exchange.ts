// Thread: main
// One chain to the device and what comes back: answered, refused or kept; all else is a finding.
import {
  VIRTIO_MMIO_INT_VRING,
  VIRTIO_MMIO_INTERRUPT_ACK,
  VIRTIO_MMIO_INTERRUPT_STATUS,
} from "../virtio/constants.ts";
import { INTERRUPT_STATUS, PAUSE, RESUME } from "../virtio/device_page.ts";
import type { Bench, Live, TestedQueue } from "./bench.ts";
import { count, Finding } from "./check.ts";
import { patternAt, type Piece } from "./guest_ram.ts";
import { BUDGET_MS, type Machine } from "./machine.ts";
import type { Buffer, Used } from "./ring.ts";

/** How long a chain may take, and one of a queue that is known to keep them. */
const PATIENCE_MS = 1000;
const SHORT_PATIENCE_MS = 30;
/** How long an interrupt may come after its chain. */
const INTERRUPT_MS = 3000;
/** How long the message may take that says whose fault it was. */
export const BLAME_MS = 3000;
/** That many bytes in a row are not by chance what the driver left there. */
const RUN = 8;

/** A chain: what the device is to read, piece by piece, and how many bytes it may write in each piece. */
export interface Request {
  readonly readable: readonly Uint8Array[];
  readonly writable: readonly number[];
  /** Whether its descriptors are in an indirect table. */
  readonly indirect?: boolean;
}

/** A chain that came back; `bytes` is all that the device may have written. */
export interface Answer {
  readonly kind: "used";
  readonly written: number;
  readonly bytes: Uint8Array;
}

/** What a chain came to. */
export type Outcome =
  | Answer
  /** The device threw a DriverError, and needs a reset. */
  | { readonly kind: "refused"; readonly section: string }
  /** The device has it, and lets go of it at the reset. */
  | { readonly kind: "kept" };

/** Offers a chain and judges what comes back. Throws a Finding for what the contract forbids. */
export async function exchange(
  bench: Bench,
  live: Live,
  queue: TestedQueue,
  request: Request,
): Promise<Outcome> {
  const { area, rings } = live;
  const ring = rings.get(queue.index)!;
  const what = `${queue.name}: ${describe(request)}`;
  const mark = area.mark;
  const buffers = place(live, request);
  area.freeze(mark);
  bench.machine.blames = [];
  const id = request.indirect ? ring.addIndirect(buffers) : ring.add(buffers);
  await bench.kick(queue);
  const used = await wait(bench, queue, () => ring.takeUsed(), what);
  refuseStrayWrites(bench.machine, live, buffers, what);
  if (used === "kept") {
    queue.keeps = true;
    return { kind: used };
  }
  queue.takes = true;
  if (used === "refused") {
    return { kind: used, section: bench.machine.blames[0]!.section };
  }
  if (used.id !== id) throw new Finding(`${what} came back as id ${used.id}`);
  await takeInterrupt(bench.machine, queue, what);
  const bytes = collect(live, buffers);
  refuseLies(used.length, bytes, buffers, what);
  area.release(mark);
  return { kind: "used", written: used.length, bytes };
}

/** The same where only an answer will do. */
export async function answered(
  bench: Bench,
  live: Live,
  queue: TestedQueue,
  request: Request,
): Promise<Answer> {
  const outcome = await exchange(bench, live, queue, request);
  if (outcome.kind === "used") return outcome;
  const why = outcome.kind === "kept"
    ? "was not answered"
    : `was refused with a DriverError, §${outcome.section}`;
  throw new Finding(`${queue.name}: ${describe(request)} ${why}`);
}

/** Buffers of a request, filled. */
export function place(
  { area }: Pick<Live, "area">,
  { readable, writable }: Request,
): Buffer[] {
  const toRead = readable.map((data) => {
    const at = area.allocate(data.length);
    area.bytes.set(data, at);
    return { at, length: data.length, write: false };
  });
  const toWrite = writable.map((length) => ({
    at: area.allocate(length),
    length,
    write: true,
  }));
  return [...toRead, ...toWrite];
}

/** "a chain of 20 bytes to read in 20 pieces and 512 bytes to write". */
function describe({ readable, writable, indirect }: Request): string {
  const part = (lengths: readonly number[], verb: string) => {
    const total = lengths.reduce((sum, length) => sum + length, 0);
    const pieces = lengths.length > 1 ? ` in ${lengths.length} pieces` : "";
    return `${count(total, "byte")} to ${verb}${pieces}`;
  };
  const parts = [
    ...(readable.length === 0
      ? []
      : [part(readable.map(({ length }) => length), "read")]),
    ...(writable.length === 0 ? [] : [part(writable, "write")]),
  ];
  const kind = indirect ? "an indirect chain" : "a chain";
  return `${kind} of ${parts.join(" and ")}`;
}

/** Waits for one chain. PAUSE tells one that a handler is at from one that the device merely keeps. */
async function wait(
  bench: Bench,
  queue: TestedQueue,
  takeUsed: () => Used[],
  what: string,
): Promise<Used | "refused" | "kept"> {
  const { machine } = bench;
  let used: Used[] = [];
  const look = () => {
    used = [...used, ...takeUsed()];
    return used.length > 0;
  };
  const isOver = () => look() || machine.needsReset;
  const patience = queue.keeps ? SHORT_PATIENCE_MS : PATIENCE_MS;
  if (!await machine.until(isOver, patience)) {
    await pauseAndResume(machine, what);
    await machine.until(isOver, SHORT_PATIENCE_MS);
  }
  if (used.length > 1) throw new Finding(`${what} came back more than once`);
  // A queue that has a `refuse` answers all the same.
  if (!machine.needsReset) return used[0] ?? "kept";
  const { blames, faults } = machine;
  await machine.until(() => blames.length + faults.length > 0, BLAME_MS);
  if (faults.length === 0 && blames.length > 0) return "refused";
  throw new Finding(`${what} made the device fail`);
}

/** A pause waits for what handlers are at. */
async function pauseAndResume(machine: Machine, what: string): Promise<void> {
  const paused = await machine.host.command(PAUSE) &&
    await machine.host.command(RESUME);
  if (paused || machine.needsReset && !machine.host.failed) return;
  throw new Finding(
    `${what} was not answered in ${
      (PATIENCE_MS + BUDGET_MS) / 1000
    } s, and its handler did not come to an end either`,
  );
}

/** Nothing changes but what the device may write. */
export function refuseStrayWrites(
  { ram }: Machine,
  { area }: Pick<Live, "area">,
  allowed: readonly Buffer[],
  what: string,
): void {
  const writable: readonly Piece[] = allowed.filter(({ write }) => write);
  const at = area.changed(writable) ?? ram.strayWrite();
  if (at === null) return;
  throw new Finding(
    `${what}: the byte at 0x${at.toString(16)} of RAM changed, ` +
      "which is in no buffer that the device may write",
  );
}

/** The bytes that the device could write, in the chain's order. */
function collect({ area }: Live, buffers: readonly Buffer[]): Uint8Array {
  return Uint8Array.from(
    buffers.filter(({ write }) => write).flatMap(({ at, length }) => [
      ...area.bytes.subarray(at, at + length),
    ]),
  );
}

/** What is said to be written must be, from the first writable byte on (§2.7.8.2). */
function refuseLies(
  written: number,
  bytes: Uint8Array,
  buffers: readonly Buffer[],
  what: string,
): void {
  if (written > bytes.length) {
    throw new Finding(`${what} came back with ${written} bytes written`);
  }
  const before = buffers.filter(({ write }) => write).flatMap(
    ({ at, length }) => Array.from({ length }, (_, i) => patternAt(at + i)),
  );
  let run = 0;
  for (let i = 0; i < written; i++) {
    run = bytes[i] === before[i] ? run + 1 : 0;
    if (run < RUN) continue;
    throw new Finding(
      `${what} came back with ${
        count(written, "byte")
      } written, but those from ${i + 1 - RUN} on are as the driver left them`,
    );
  }
}

async function takeInterrupt(
  machine: Machine,
  queue: TestedQueue,
  what: string,
): Promise<void> {
  const isPending = () =>
    (Atomics.load(machine.words, INTERRUPT_STATUS) & VIRTIO_MMIO_INT_VRING) !==
      0;
  const patience = queue.silent ? SHORT_PATIENCE_MS : INTERRUPT_MS;
  queue.silent = !await machine.until(isPending, patience);
  if (queue.silent) {
    throw new Finding(
      `${what} came back without an interrupt; call flush() after addUsed()`,
    );
  }
  const pending = await machine.read(VIRTIO_MMIO_INTERRUPT_STATUS);
  await machine.write(VIRTIO_MMIO_INTERRUPT_ACK, pending);
}
