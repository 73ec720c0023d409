// What a guest, a plugin or a manifest may try, line by line, and the tests that show what comes of it. Each names a file
// under tests/ and words of the test's name there; the order is that of rings, order, registers, time, sizes, devices.

export type Line =
  & { readonly tries: string }
  & ({ readonly shown: readonly (readonly [file: string, words: string])[] } | {
    readonly notApplicable: string;
  });

const SPLIT = "core/virtio/split_queue_hostile_test.ts";
const PACKED = "core/virtio/packed_queue_hostile_test.ts";
const SPLIT_GOOD = "core/virtio/split_queue_test.ts";
const PACKED_GOOD = "core/virtio/packed_queue_test.ts";
const MMIO = "core/virtio/mmio_transport_test.ts";
const LEGACY = "core/virtio/legacy_transport_test.ts";
const LIFE = "core/device/lifecycle_test.ts";
const FAULTS = "core/device/faults_test.ts";
const STATUS = "core/virtio/status_test.ts";
const BLOCK = "devices/block_test.ts";
const PLUGIN = "kvm/hostile_plugin_test.ts";
const MANIFEST = "core/manifest/broken_test.ts";

type Shown = readonly (readonly [string, string])[];

/** The same words in the tests of both ring formats. */
const both = (...words: readonly string[]): Shown =>
  words.flatMap((each) => [[SPLIT, each], [PACKED, each]] as const);
const shown = (tries: string, ...tests: Shown): Line => ({
  tries,
  shown: tests,
});
const notApplicable = (tries: string, reason: string): Line => ({
  tries,
  notApplicable: reason,
});

const RINGS: readonly Line[] = [
  shown(
    "a chain that loops, or never ends",
    [SPLIT, "a chain that loops"],
    [SPLIT, "a descriptor that is its own next"],
    [SPLIT, "a loop of empty descriptors"],
    [PACKED, "a chain that never ends"],
    [PACKED, "a chain of empty descriptors that never ends"],
  ),
  shown(
    "a chain longer than the queue",
    [SPLIT, "a chain that is longer than the queue, in a table"],
    [PACKED, "a chain that never ends"],
  ),
  shown(
    "a head, next or id at or past the queue size",
    [SPLIT, "a head at the queue size"],
    [SPLIT, "a next at the queue size"],
    [SPLIT, "a next past an indirect table"],
    [PACKED, "an id at the queue size"],
    [PACKED, "an id of 0xffff"],
  ),
  shown(
    "avail.idx too far ahead, or backwards; wrap counters that are wrong",
    [SPLIT, "an avail idx that is ahead by more than the queue"],
    [SPLIT, "an avail idx that goes backwards"],
    [PACKED, "sees nothing where the wrap counters say so"],
    [PACKED, "does not take last round's descriptors again after the wrap"],
  ),
  shown(
    "the same head or id twice while it is in flight",
    [SPLIT, "a head that is available twice"],
    [PACKED, "an id that is available twice"],
    [PACKED, "a chain over descriptors of one that is under way"],
  ),
  shown(
    "an indirect table that nests, has NEXT, is empty or odd, or was not negotiated",
    [SPLIT, "an indirect table in an indirect table"],
    [SPLIT, "an indirect table where it was not negotiated"],
    [SPLIT, "an indirect table that loops"],
    [PACKED, "an indirect descriptor at the end of a list"],
    ...both(
      "an indirect descriptor with NEXT",
      "an indirect table of ${length} bytes",
    ),
  ),
  shown(
    "addr + len past 2^64, past RAM, across the hole below 4 GiB",
    ...both(
      "whose end wraps 2^64",
      "that ends past RAM",
      "in the device window",
      "refuses a buffer across the hole below 4 GiB",
    ),
  ),
  shown(
    "a chain of over 2^32 bytes",
    ...both("refuses a chain of more than 2^32 bytes"),
  ),
  shown(
    "zero-length descriptors",
    [SPLIT_GOOD, "keeps a zero-length descriptor out of the chain"],
    [PACKED_GOOD, "keeps a zero-length descriptor out of the chain"],
  ),
  shown(
    "a readable descriptor behind a writable one",
    ...both("a readable descriptor after a writable one"),
  ),
  shown(
    "rings that are misaligned, overlap, lie outside RAM, in the device window or across the hole",
    [SPLIT, "a misaligned used ring"],
    [SPLIT, "a used ring over the descriptors"],
    [PACKED, "a misaligned descriptor ring"],
    [PACKED, "a device event area over the descriptors"],
    ...both("rings in the device window", "reaches into the hole below 4 GiB"),
    [MMIO, "DRIVER_OK with rings in the device window needs a reset"],
    [LEGACY, "legacy: pages past all RAM need a reset"],
  ),
  shown(
    "a queue size of 0, that is no power of two, or above the largest",
    ...both("a queue size of ${size}"),
    [MMIO, "A QueueSize that is none is refused"],
  ),
];

const ORDER: readonly Line[] = [
  shown(
    "a kick before DRIVER_OK",
    [LIFE, "A kick before DRIVER_OK is not lost after it"],
    [MMIO, "What comes before its time is told, and no kick is lost"],
    [
      "virtio/features_test.ts",
      "Nothing is used, and nobody is notified, before DRIVER_OK",
    ],
    ["linux/modes_test.ts", "Disks in every mode"],
  ),
  shown(
    "queue registers written after QueueReady",
    [MMIO, "A queue's registers cannot change while it is ready"],
    [LEGACY, "legacy: a queue in use stays where it is until QueuePFN is 0"],
  ),
  shown(
    "QueueSel and QueueNotify out of range",
    [MMIO, "QueueSel and QueueNotify out of range do nothing"],
  ),
  shown(
    "reset, QueueReset and QueueReady = 0 with requests in flight, ten thousand times",
    [LIFE, "Ten thousand resets with requests in flight leave nothing behind"],
    [LIFE, "in packed rings either"],
    [LIFE, "A reset tells requests in flight to end"],
    [LIFE, "QueueReady = 0 tells requests in flight to end"],
    [
      "virtio/queue_reset_test.ts",
      "A request in flight is not answered after its queue was reset",
    ],
  ),
  shown(
    "DRIVER_OK without FEATURES_OK, features after it, bits that are not offered",
    [STATUS, "DRIVER_OK without FEATURES_OK"],
    [MMIO, "Features cannot change after FEATURES_OK"],
    [MMIO, "FEATURES_OK is refused for bits that are not offered"],
    [LEGACY, "legacy: features that are not offered are dropped"],
  ),
  shown(
    "a status bit cleared without a reset; FAILED, then more",
    [STATUS, "clear"],
    [MMIO, "FAILED keeps the device from DRIVER_OK until a reset"],
  ),
];

const REGISTERS: readonly Line[] = [
  shown(
    "every offset from 0 to 0xfff, 1, 2, 4 and 8 bytes wide, aligned and not",
    [MMIO, "Every register, read and written with every width"],
    [LEGACY, "legacy: every register, read and written with every width"],
  ),
  shown(
    "configuration past its end; torn reads across ConfigGeneration",
    [
      MMIO,
      "Configuration space is read with 1, 2 and 4 bytes, zeros past its end",
    ],
    [MMIO, "ConfigGeneration grows with each change"],
    [MMIO, "A torn configuration space is not waited for without end"],
  ),
  shown(
    "registers of the other layout, writes to read-only and reads of write-only ones",
    [MMIO, "Registers of other transports read 0 and ignore writes"],
    [LEGACY, "legacy: "],
  ),
];

const TIME_AND_SIZE: readonly Line[] = [
  shown(
    "descriptors that change after they were checked",
    [SPLIT_GOOD, "loads a descriptor once"],
    [PACKED_GOOD, "loads a descriptor once"],
    ["fuzz/fuzz_test.ts", "survive"],
  ),
  shown(
    "sizes without end",
    ["devices/rng_test.ts", "rng gives at most maxBytes a request"],
    [BLOCK, "a request of more than 64 MiB is refused before a byte moves"],
    [BLOCK, "discards and zeroes that are too many, too large or past the end"],
  ),
];

const BACKENDS: readonly Line[] = [
  shown("a disk that is full", [
    BLOCK,
    "a host without room answers with errors",
  ]),
  shown(
    "a disk that is cut under the guest; short reads and writes",
    [BLOCK, "a disk that is cut under the guest is an error, not zeros"],
  ),
  shown(
    "a read-only disk that is written to, held by the host",
    [BLOCK, "a read-only disk refuses every way to change it"],
    ["linux/block_test.ts", "A guest keeps an ext4 file system"],
  ),
  shown(
    "a disk that another has open",
    [
      "core/device/host_disk_test.ts",
      "HostDisk lets one writer or many readers have an image",
    ],
  ),
  shown(
    "an image that looks like another format",
    [BLOCK, "what a guest writes is never taken for another format"],
  ),
  notApplicable(
    "a socket's peer or a tap that goes away",
    "there is no network device yet",
  ),
  notApplicable(
    "shared folders",
    "virtiofsd serves them, in a process of its own; Paddock opens no path for a guest",
  ),
];

const DEVICES: readonly Line[] = [
  shown(
    "a plugin that throws, or never returns",
    [FAULTS, "is cut off at the reset"],
    [FAULTS, "A device that dies again and again costs nobody else anything"],
    ["linux/supervision_test.ts", "A block device in a worker that throws"],
  ),
  shown(
    "a plugin that allocates without end, floods, or posts what is no message",
    [PLUGIN, "exhaust the heap"],
    [PLUGIN, "exhaust typed arrays"],
    [PLUGIN, "flood"],
    [
      "core/device/malformed_test.ts",
      "A flood of malformed messages is one fault",
    ],
  ),
  shown(
    "a plugin that wants what it was not granted",
    [PLUGIN, "A plugin gets at nothing that its manifest does not grant"],
    [PLUGIN, "A plugin in the VM's process reaches neither"],
    ["core/device/plugin_imports_test.ts", "import"],
  ),
  notApplicable(
    "a plugin that writes rings it was not handed",
    "all of guest RAM is a device's to write (README); what it is given are cursors that stay inside their chain",
  ),
  shown(
    "manifests with unknown fields, wrong types and sizes, missing files, folders for files, one disk twice",
    [MANIFEST, "parseManifest() refuses a broken manifest"],
    ["kvm/broken_boot_test.ts", "refused"],
  ),
  notApplicable("cycles in includes", "a manifest includes nothing"),
];

export const LINES: readonly Line[] = [
  ...RINGS,
  ...ORDER,
  ...REGISTERS,
  ...TIME_AND_SIZE,
  ...BACKENDS,
  ...DEVICES,
];
