// Thread: queue
// The ring of a queue as the driver negotiated it: devices see one interface.
import {
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_RING_PACKED,
} from "../virtio/constants.ts";
import { inflightRegion, type SharedInflight } from "../virtio/inflight.ts";
import { PackedInflightQueue } from "../virtio/inflight_packed.ts";
import { SplitInflightQueue } from "../virtio/inflight_split.ts";
import { InOrderQueue } from "../virtio/in_order_queue.ts";
import { PackedQueue } from "../virtio/packed_queue.ts";
import type { RamView } from "../virtio/ram_view.ts";
import { SplitQueue } from "../virtio/split_queue.ts";
import type { QueueSetup, Virtqueue } from "../virtio/virtqueue.ts";

/** What rings are in, and where what is in flight is recorded, if anywhere. */
export interface RingMemory {
  readonly ram: RamView;
  readonly inflight: SharedInflight | null;
}

/** Throws a DriverError for what the specification forbids, a RangeError for a record that is none. */
export function openRing(
  memory: RingMemory,
  index: number,
  setup: QueueSetup,
  negotiated: (bit: number) => boolean,
): Virtqueue {
  const packed = negotiated(VIRTIO_F_RING_PACKED);
  const ring = openRecorded(memory, index, setup, packed);
  return negotiated(VIRTIO_F_IN_ORDER) ? new InOrderQueue(ring) : ring;
}

/**
 * Whether the driver left flags in the used ring of a split ring that was opened and begins (§2.7.10.1).
 * One that goes on where another process ended has that one's flags.
 */
export function hasUsedFlags(
  { ram, inflight }: RingMemory,
  { device, start }: QueueSetup,
  negotiated: (bit: number) => boolean,
): boolean {
  if (negotiated(VIRTIO_F_RING_PACKED)) return false;
  if (start !== 0 || inflight !== null) return false;
  return ram.u16[ram.translate(device, 2) / 2] !== 0;
}

function openRecorded(
  { ram, inflight }: RingMemory,
  index: number,
  setup: QueueSetup,
  packed: boolean,
): Virtqueue {
  if (inflight === null) {
    return packed ? new PackedQueue(ram, setup) : new SplitQueue(ram, setup);
  }
  const region = inflightRegion(inflight, index, packed);
  return packed
    ? new PackedInflightQueue(ram, setup, region)
    : new SplitInflightQueue(ram, setup, region);
}
