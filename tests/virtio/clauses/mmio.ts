// §4.2: the MMIO transport. Its sections but 4.2.2.1 ask something of drivers only.
import { both, must, section, shown } from "./clause.ts";

const REGISTERS = "core/virtio/mmio_transport_test.ts";
const LIFE = "core/device/lifecycle_test.ts";
const QUEUE_RESET = "virtio/queue_reset_test.ts";
const IDENTITY = "The register file says what the device is";
const STEPS = "A device is brought up, serves, and is told of each step";
const GENERATION =
  "ConfigGeneration grows with each change, and a change interrupts a live driver";
const AGAIN =
  "A queue starts from the beginning after its reset, with another size and place";
const ONGOING =
  "QueueReset reads 1 while the reset goes on, then 0 as does QueueReady";

export const MMIO = section(
  "4.2.2.1",
  must("has 0x74726976 in MagicValue", shown(REGISTERS, IDENTITY)),
  must("has 2 in Version", shown(REGISTERS, IDENTITY)),
  must(
    "shows an event in InterruptStatus from when it happens until it is acknowledged",
    both(
      shown(LIFE, STEPS),
      shown(REGISTERS, GENERATION, "InterruptACK clears what it names only"),
    ),
  ),
  must(
    "shows no event there that did not happen",
    both(shown(LIFE, STEPS), shown(REGISTERS, GENERATION)),
  ),
  must(
    "clears InterruptStatus and every QueueReady upon reset",
    both(
      shown(
        REGISTERS,
        "A reset forgets selectors, features, queues and interrupts",
      ),
      shown(
        QUEUE_RESET,
        "A device reset leaves QueueReset and QueueReady of every queue 0",
      ),
    ),
  ),
  must(
    "changes ConfigGeneration when a driver could see half of a change",
    shown(REGISTERS, GENERATION),
  ),
  must(
    "keeps its hands off a queue whose QueueReady is 0",
    shown(LIFE, "QueueReady = 0 takes the queue back before it is answered"),
  ),
  must(
    "has 0 in QueueReset after a reset",
    shown(
      QUEUE_RESET,
      "A device reset leaves QueueReset and QueueReady of every queue 0",
    ),
  ),
  must(
    "has 0 in QueueReset after QueueReady enabled the queue",
    shown(QUEUE_RESET, AGAIN),
  ),
  must(
    "resets the queue when 1 is written to QueueReset",
    shown(
      QUEUE_RESET,
      "A queue that was reset executes nothing and notifies nobody",
    ),
  ),
  must(
    "has 1 in QueueReset as long as that goes on",
    shown(QUEUE_RESET, ONGOING),
  ),
  must(
    "has 0 in QueueReset and QueueReady when it is done",
    shown(QUEUE_RESET, ONGOING),
  ),
);
