// §2.1 to §2.6, §2.10 to §2.13: status, features, reset, configuration space, virtqueue reset; and what no device of ours has.
import { both, must, notApplicable, section, should, shown } from "./clause.ts";

const REGISTERS = "core/virtio/mmio_transport_test.ts";
const LIFE = "core/device/lifecycle_test.ts";
const FEATURES = "virtio/features_test.ts";
const QUEUE_RESET = "virtio/queue_reset_test.ts";
const EXACT = "Devices offer the features that they have, and not one more";

const noAdmin = notApplicable(
  "VIRTIO_F_ADMIN_VQ is not offered; §4.2.5 reserves it for other transports",
);

export const BASIC = [
  ...section(
    "2.1.2",
    must(
      "takes no buffers and sends no used buffer notification before DRIVER_OK",
      shown(
        FEATURES,
        "Nothing is used, and nobody is notified, before DRIVER_OK",
      ),
    ),
    should(
      "sets DEVICE_NEEDS_RESET when only a reset can help",
      shown(
        REGISTERS,
        "A chain that loops needs a reset, and costs nothing else",
      ),
    ),
    must(
      "tells a driver that has set DRIVER_OK of it by a configuration change",
      shown(
        REGISTERS,
        "DRIVER_OK with rings in the device window needs a reset",
      ),
    ),
  ),
  ...section(
    "2.2.2",
    must(
      "offers no feature without those that it needs",
      shown(FEATURES, EXACT),
    ),
    should(
      "accepts any valid subset of what it offers",
      shown(
        FEATURES,
        "Any one feature that is offered can be accepted alone, with VERSION_1",
      ),
    ),
    must(
      "otherwise leaves FEATURES_OK unset",
      shown(
        REGISTERS,
        "FEATURES_OK is refused for bits that are not offered",
        "FEATURES_OK is refused without VERSION_1",
      ),
    ),
    must(
      "offers no bit that it would not support, reserved ones among them",
      shown(
        FEATURES,
        EXACT,
        "Ring and transport features are offered where the manifest says so",
      ),
    ),
    should(
      "accepts again after a reset what it accepted once",
      shown(
        FEATURES,
        "Features that were negotiated once can be negotiated again after each reset",
      ),
    ),
  ),
  ...section(
    "2.4.1",
    must(
      "makes the status 0 once a reset is done",
      shown(
        REGISTERS,
        "A reset forgets selectors, features, queues and interrupts",
      ),
    ),
    must(
      "neither notifies nor touches the queues from then until it is set up again",
      both(
        shown(
          LIFE,
          "A reset tells requests in flight to end, waits for them, and drops them",
        ),
        shown(
          REGISTERS,
          "A reset forgets selectors, features, queues and interrupts",
        ),
      ),
    ),
  ),
  ...section(
    "2.5.2",
    must(
      "lets configuration fields be read before FEATURES_OK",
      shown(
        REGISTERS,
        "Configuration space is read with 1, 2 and 4 bytes, zeros past its end",
      ),
    ),
  ),
  ...section(
    "2.6.1.1.1",
    must(
      "neither executes requests of a queue that was reset nor notifies for it",
      shown(
        QUEUE_RESET,
        "A queue that was reset executes nothing and notifies nobody",
        "A request in flight is not answered after its queue was reset",
      ),
    ),
    must(
      "brings the queue's state back to what it is at first",
      shown(
        QUEUE_RESET,
        "A queue starts from the beginning after its reset, with another size and place",
        "A packed queue starts from the beginning after its reset",
      ),
    ),
  ),
  ...section(
    "2.6.1.2.1",
    must(
      "heeds what the driver changed about the queue meanwhile",
      shown(
        QUEUE_RESET,
        "A queue starts from the beginning after its reset, with another size and place",
        "A packed queue starts from the beginning after its reset",
      ),
    ),
  ),
  ...section(
    "2.10.2",
    must(
      "neither controls the device nor streams data by a shared memory region",
      notApplicable("no device has a shared memory region"),
    ),
  ),
  ...section(
    "2.12.1.1.6",
    must("gives legacy access by admin commands (the whole section)", noAdmin),
  ),
  ...section(
    "2.12.1.2",
    must("answers group administration commands (the whole section)", noAdmin),
  ),
  ...section(
    "2.13.1",
    must("serves administration virtqueues (the whole section)", noAdmin),
  ),
];
