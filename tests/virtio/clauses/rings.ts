// §2.7 and §2.8: split and packed virtqueues.
import { both, must, section, should, shown } from "./clause.ts";

const SPLIT = "virtio/split_ring_test.ts";
const SPLIT_QUEUE = "core/virtio/split_queue_test.ts";
const PACKED = "virtio/packed_ring_test.ts";
const HOSTILE = "core/virtio/packed_queue_hostile_test.ts";
const BLOCK = "virtio/block_test.ts";

const UNCHANGED =
  "A device leaves descriptors, the avail ring and readable buffers as they are";
const NO_INTERRUPT = "SplitQueue.needsInterrupt() heeds NO_INTERRUPT";
const USED_EVENT =
  "SplitQueue.needsInterrupt() heeds used_event, past its wrap too";
const USED = "What a used element says is there when the used index is";
const IN_ORDER =
  "A packed queue is started in order, and used in the order of completion";
const PACKED_UNCHANGED =
  "PackedQueue leaves a used descriptor alone, and the driver's buffers too";

export const RINGS = [
  ...section(
    "2.7.4.1",
    must(
      "does not count on how a request is cut into descriptors",
      both(
        shown(BLOCK, "A block request may be cut into descriptors anywhere"),
        shown(
          "devices/block_test.ts",
          "block: reads land in the driver's buffers, whatever their cut",
        ),
      ),
    ),
  ),
  ...section(
    "2.7.5.1",
    must("writes to no readable buffer", shown(SPLIT, UNCHANGED)),
    should(
      "reads no writable buffer",
      shown(BLOCK, "A block device takes no data from a writable buffer"),
    ),
    must("writes to no descriptor", shown(SPLIT, UNCHANGED)),
  ),
  ...section(
    "2.7.5.3.2",
    must(
      "ignores WRITE in a descriptor that refers to an indirect table",
      shown(
        SPLIT,
        "SplitQueue ignores WRITE in the descriptor of an indirect table",
      ),
    ),
    must(
      "takes an indirect table behind chained descriptors",
      shown(
        SPLIT_QUEUE,
        "SplitQueue follows an indirect table, alone or behind direct descriptors",
      ),
    ),
  ),
  ...section(
    "2.7.7.2",
    must(
      "ignores used_event without EVENT_IDX",
      shown(
        SPLIT,
        "SplitQueue ignores used_event where EVENT_IDX was not negotiated",
      ),
    ),
    should(
      "without EVENT_IDX does not notify while flags is 1",
      shown(SPLIT_QUEUE, NO_INTERRUPT),
    ),
    must(
      "without EVENT_IDX notifies while flags is 0",
      shown(SPLIT_QUEUE, NO_INTERRUPT),
    ),
    must(
      "with EVENT_IDX ignores the lowest bit of flags",
      shown(
        SPLIT,
        "SplitQueue ignores NO_INTERRUPT where EVENT_IDX was negotiated",
      ),
    ),
    must(
      "with EVENT_IDX notifies when the element at used_event is written",
      shown(SPLIT_QUEUE, USED_EVENT),
    ),
    should(
      "with EVENT_IDX does not notify for other elements",
      shown(SPLIT_QUEUE, USED_EVENT),
    ),
  ),
  ...section(
    "2.7.8.2",
    must("sets a used element's length before the index", shown(SPLIT, USED)),
    must(
      "has written as many bytes as it says, from the first one on, before the index",
      both(
        shown(SPLIT, USED),
        shown(BLOCK, "A block device claims no byte that it did not write"),
      ),
    ),
  ),
  ...section(
    "2.7.10.2",
    must(
      "without EVENT_IDX sets flags to 0 or 1",
      shown(
        SPLIT_QUEUE,
        "SplitQueue asks for kicks by NO_NOTIFY, and sees what came meanwhile",
      ),
    ),
    must(
      "with EVENT_IDX sets flags to 0",
      shown(
        SPLIT_QUEUE,
        "SplitQueue asks for kicks by avail_event, and sees what came meanwhile",
      ),
    ),
    must(
      "bears notifications without a cause",
      shown(SPLIT, "Kicks for nothing do nothing"),
    ),
  ),
  ...section(
    "2.8.12",
    must(
      "starts on descriptors in the order of the ring",
      shown(
        PACKED,
        IN_ORDER,
        "PackedQueue starts chains in the order of the ring, whatever their ids",
      ),
    ),
    must(
      "writes used descriptors in the order in which they complete",
      shown(PACKED, IN_ORDER),
    ),
  ),
  ...section(
    "2.8.15",
    must("writes to no readable buffer", shown(PACKED, PACKED_UNCHANGED)),
    should(
      "reads no writable buffer",
      shown(BLOCK, "A block device takes no data from a writable buffer"),
    ),
    must(
      "takes a descriptor only when its AVAIL bit has changed",
      shown(
        HOSTILE,
        "PackedQueue.pop() sees nothing where the wrap counters say so",
        "PackedQueue.pop() does not take last round's descriptors again after the wrap",
      ),
    ),
    must(
      "changes no descriptor whose USED bit it has changed",
      shown(PACKED, PACKED_UNCHANGED),
    ),
  ),
  ...section(
    "2.8.18",
    must(
      "takes the descriptors of a list in their order",
      shown(PACKED, "PackedQueue reads a list in the order of its descriptors"),
    ),
  ),
];
