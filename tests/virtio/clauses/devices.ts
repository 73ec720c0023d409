// §5.2 (but for zones), §5.3, §5.4 and §6: the block, console and entropy devices, and the reserved features.
import {
  must,
  notApplicable,
  notShown,
  section,
  should,
  shown,
} from "./clause.ts";

const FEATURES = "virtio/features_test.ts";
const BLOCK = "virtio/block_test.ts";
const BLOCK_DEVICE = "devices/block_test.ts";
const EXACT = "Devices offer the features that they have, and not one more";
const READ_ONLY = "block: a read-only disk refuses every way to change it";
const RANGES =
  "block: discards and zeroes that are too many, too large or past the end are refused";

const noCacheMode = notApplicable("VIRTIO_BLK_F_CONFIG_WCE is not offered");
const noLifetime = notApplicable("an image file has no lifetime metrics");
const noEmergency = notApplicable(
  "VIRTIO_CONSOLE_F_EMERG_WRITE is not offered, so that there is no such field",
);
const onePort = notApplicable("VIRTIO_CONSOLE_F_MULTIPORT is not offered");
const notPci = notApplicable("no device is on a PCI bus");

export const DEVICES = [
  ...section(
    "5.2.5.2",
    should("offers FLUSH", shown(FEATURES, EXACT)),
    must("offers FLUSH where it offers CONFIG_WCE", noCacheMode),
    must("starts with writeback 0 for a driver without FLUSH", noCacheMode),
    must(
      "has 0 in the padding",
      shown(BLOCK, "The padding of a block device's configuration space is 0"),
    ),
    should("offers ZONED only if it is zoned", shown(FEATURES, EXACT)),
    must(
      "never offers ZONED as a legacy device",
      shown(
        FEATURES,
        "A legacy block device offers no ZONED, and nothing above bit 31",
      ),
    ),
  ),
  ...section(
    "5.2.6.2",
    should(
      "tells of a capacity that changes",
      notApplicable("the capacity is fixed when the device starts"),
    ),
    must("answers writes to a read-only disk with IOERR", {
      ...shown(BLOCK_DEVICE, READ_ONLY),
    }),
    must("and writes nothing there", shown(BLOCK_DEVICE, READ_ONLY)),
    must(
      "answers discards and zeroes with unknown flags with UNSUPP",
      shown(BLOCK_DEVICE, RANGES),
    ),
    must(
      "answers a discard with unmap with UNSUPP",
      shown(BLOCK_DEVICE, RANGES),
    ),
    must(
      "gives zeros for what was zeroed, unmapped or not",
      shown(
        BLOCK,
        "Sectors read as zeros after write zeroes, with unmap and without",
      ),
    ),
    should(
      "clears write_zeroes_may_unmap just where zeroing frees nothing",
      notShown(
        "it is 1 for every writable disk, also where the host's file system has no holes",
      ),
    ),
    should(
      "tells of a write_zeroes_may_unmap that changes",
      notApplicable("the field never changes"),
    ),
    must(
      "has stable writes on the disk before it completes them, or the flush",
      shown(
        BLOCK,
        "A write is on the disk when it is answered, where FLUSH was not negotiated",
      ),
    ),
    should("offers LIFETIME where its storage has metrics", noLifetime),
    must(
      "does not offer LIFETIME where it has none",
      shown(FEATURES, EXACT),
    ),
    must("sends no reserved values among the metrics", noLifetime),
    must(
      "answers zone requests with UNSUPP without ZONED",
      shown(
        BLOCK,
        "Requests of zoned devices, and others that are not offered, are not supported",
      ),
    ),
  ),
  ...section(
    "5.3.5.1",
    must("takes writes to emerg_wr at any time", noEmergency),
    should("puts the byte where people see it", noEmergency),
  ),
  ...section(
    "5.3.6.2.1",
    must("adds no port that exists", onePort),
    must("adds no port at max_nr_ports or beyond", onePort),
    must("removes no port that it did not add", onePort),
  ),
  ...section(
    "5.4.6.2",
    must(
      "puts at least one random byte into the buffer",
      shown(
        "devices/rng_test.ts",
        "rng fills what the driver offers, over several buffers",
        "rng gives at most maxBytes a request",
      ),
    ),
  ),
  ...section(
    "6.2",
    must("offers VERSION_1", shown(FEATURES, EXACT)),
    should(
      "offers ACCESS_PLATFORM where it reaches memory by other addresses, or not all of it",
      notApplicable(
        "devices use guest physical addresses, and reach all of RAM",
      ),
    ),
    must(
      "with IN_ORDER uses buffers in the order in which they came",
      {
        tests: [
          "virtio/split_ring_test.ts: With IN_ORDER chains come back as they were made available",
          "virtio/packed_ring_test.ts: With IN_ORDER the chains of a packed queue come back as they were made available",
        ],
      },
    ),
    should("offers SR_IOV as a PCI device with that capability", notPci),
    must("does not offer SR_IOV otherwise", shown(FEATURES, EXACT)),
  ),
];
