// Thread: main
// Load for a device: small requests that it can answer, as many as a ring takes.
import { VIRTIO_ID_BLOCK } from "../virtio/constants.ts";
import type { Bench, Live, TestedQueue } from "./bench.ts";
import { place, type Request } from "./exchange.ts";
import type { Buffer, DriverRing } from "./ring.ts";

/** Descriptors of a ring that is filled often. */
export const SMALL_RING = 16;
/** Said where there is nothing to do. */
export const NO_QUEUE = "no queue answers such chains by itself";

/** What a driver that knows nothing of the device writes: no header that any device would act upon. */
export function content(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (0x5a + 7 * i) & 0xff);
}

/** A request that changes nothing in the world. A block device reads its first sector. */
export function smallRequest(
  { declaration }: Pick<Bench, "declaration">,
  { size }: TestedQueue,
): Request {
  if (size === 1) return { readable: [content(16)], writable: [] };
  const header = declaration.id === VIRTIO_ID_BLOCK
    ? new Uint8Array(16)
    : content(16);
  return { readable: [header], writable: [513] };
}

export interface Load {
  readonly ring: DriverRing;
  readonly chains: number;
  readonly buffers: readonly Buffer[];
}

/** Makes small requests available, as many as the ring takes but at most `most`, and kicks. */
export async function load(
  bench: Bench,
  live: Live,
  queue: TestedQueue,
  most = Infinity,
): Promise<Load> {
  const ring = live.rings.get(queue.index)!;
  const request = smallRequest(bench, queue);
  const slots = request.readable.length + request.writable.length;
  const chains = Math.min(Math.floor(ring.free / slots), most);
  const mark = live.area.mark;
  const placed = Array.from({ length: chains }, () => place(live, request));
  live.area.freeze(mark);
  for (const buffers of placed) ring.add(buffers);
  await bench.kick(queue);
  return { ring, chains, buffers: placed.flat() };
}
