// Where Paddock's answer is not QEMU's, and which section of virtio-v1.3 decides. Anything else that differs is a fault.
import type { DeviceName } from "./side.ts";

export interface Difference {
  readonly sequence: string;
  /** The step's name; requests' steps also with "plain: " or "with EVENT_IDX: " in front. */
  readonly step: string;
  /** Every device of the sequence if absent. */
  readonly devices?: readonly DeviceName[];
  readonly layout?: "modern" | "legacy";
  /** Values in hexadecimal, as they were noted; "" where the step is not there. */
  readonly qemu: string;
  readonly paddock: string;
  readonly section: string;
  readonly why: string;
}

type Row = readonly [step: string, qemu: string, paddock: string];

function rows(
  sequence: string,
  section: string,
  why: string,
  options: Pick<Difference, "devices" | "layout">,
  ...differences: readonly Row[]
): Difference[] {
  return differences.map(([step, qemu, paddock]) => ({
    sequence,
    step,
    qemu,
    paddock,
    section,
    why,
    ...options,
  }));
}

const modern = { layout: "modern" } as const;
const legacy = { layout: "legacy" } as const;
const console = { devices: ["console"] } as const;
const block = { devices: ["block"] } as const;
const blocks = { devices: ["block", "packed block"] } as const;

const IDENTITY = [
  ...rows(
    "identity",
    "4.2.2",
    "the vendor is whoever made the device",
    {},
    ["read 0x00c", "554d4551", "4b434450"],
  ),
  ...rows(
    "features",
    "4.2.2",
    "word n is bits 32n to 32n+31, of which none is offered above 63; QEMU gives word 1",
    modern,
    ["word 2", "101", "0"],
    ["word 3", "101", "0"],
    ["word 4294967295", "101", "0"],
  ).map((row) => ({
    ...row,
    devices: ["rng", "console", "block"] as const,
  })),
  ...rows(
    "features",
    "4.2.2",
    "the same, with RING_PACKED",
    { ...modern, devices: ["packed block"] },
    ["word 2", "105", "0"],
    ["word 3", "105", "0"],
    ["word 4294967295", "105", "0"],
  ),
  ...rows(
    "features",
    "5.3.3",
    "QEMU has ports and an emergency write, Paddock the terminal's size",
    { ...modern, ...console },
    ["word 0", "30000006", "30000001"],
  ),
  ...rows(
    "features",
    "5.2.3",
    "QEMU has geometry, topology and CONFIG_WCE too",
    { ...modern, ...blocks },
    ["word 0", "30006e54", "30006244"],
  ),
  ...rows(
    "features",
    "6.3",
    "NOTIFY_ON_EMPTY is for QEMU's oldest guests; ANY_LAYOUT both have where they can",
    legacy,
    ["word 0", "39000000", "38000000"],
  ).map((row) => ({ ...row, devices: ["rng"] as const })),
  ...rows(
    "features",
    "6.3",
    "NOTIFY_ON_EMPTY again, and ports against the terminal's size",
    { ...legacy, ...console },
    ["word 0", "39000006", "38000001"],
  ),
  ...rows(
    "features",
    "5.2.3.1",
    "QEMU has SCSI, geometry, topology and CONFIG_WCE too, and no ANY_LAYOUT",
    { ...legacy, ...blocks },
    ["word 0", "31006ed4", "38006244"],
  ),
];

const STATUS = [
  ...rows(
    "status",
    "6.2",
    "a device may refuse to go on without VERSION_1; a modern layout has nothing else to offer",
    {},
    ["by the book, but for FEATURES_OK without VERSION_1", "b", "3"],
  ),
  ...rows(
    "status",
    "2.2.2",
    "features that are not offered must not get FEATURES_OK",
    {},
    ["FEATURES_OK with a bit that is not offered", "b", "3"],
  ),
  ...rows(
    "status",
    "3.1.1",
    "bits are set in an order; out of it they are refused and reported",
    {},
    ["DRIVER first", "2", "0"],
    ["DRIVER_OK first", "4", "0"],
    ["FEATURES_OK first", "8", "0"],
    ["DRIVER_OK without FEATURES_OK", "7", "3"],
  ),
  ...rows(
    "status",
    "2.1.1",
    "a driver clears no bit but by a reset, nor sets those that are not its own",
    {},
    ["a bit that is cleared", "1", "3"],
    ["FAILED that is cleared", "3", "83"],
    ["DRIVER_OK that is cleared", "b", "f"],
    ["DEVICE_NEEDS_RESET by the driver", "43", "3"],
    ["bits that do not exist", "33", "3"],
  ),
];

const QUEUES = [
  ...rows(
    "queues",
    "4.2.2",
    "the largest queue size is the device's choice; QEMU ignores a QueueSel above 1023, and keeps the last",
    {},
    ["queue 0", "400 0", "100 0"],
    ["queue 1024", "400 0", "0 0"],
    ["queue 65535", "400 0", "0 0"],
    ["queue 4294967295", "400 0", "0 0"],
  ),
  ...rows(
    "queues",
    "3.1.1",
    "queues are set up after FEATURES_OK",
    {},
    ["ready before FEATURES_OK, without a size", "1", "0"],
  ),
  ...rows(
    "queues",
    "4.2.3.2",
    "a queue has a size before it is ready",
    {},
    ["ready without a size", "1", "0"],
  ),
  ...rows(
    "queue reset",
    "4.2.2.1",
    "QEMU offers RING_RESET but has no QueueReset register here",
    {},
    ["after QueueReset", "0 1", "0 0"],
    ["after", "0 dead", "1 40"],
  ),
];

const READS = [
  ...rows(
    "reads",
    "4.2.2",
    "vendor and queue size, as above",
    {},
    ["4 bytes at 0x00c", "554d4551", "4b434450"],
    ["4 bytes at 0x034", "400", "100"],
  ),
  ...rows(
    "reads",
    "4.2.2",
    "without a shared memory region the base is all ones too",
    modern,
    ["4 bytes at 0x0b8", "", "ffffffff"],
    ["4 bytes at 0x0bc", "", "ffffffff"],
  ),
  ...rows(
    "reads",
    "6.3",
    "NOTIFY_ON_EMPTY, as above",
    legacy,
    ["4 bytes at 0x010", "39000000", "38000000"],
  ),
  ...rows(
    "reads",
    "4.2.4",
    "the legacy layout has no shared memory registers",
    legacy,
    ["4 bytes at 0x0b0", "ffffffff", ""],
    ["4 bytes at 0x0b4", "ffffffff", ""],
  ),
  ...rows(
    "read-only",
    "4.2.2",
    "the queue size, as above; nothing was changed",
    {},
    ["after writes of 1 bytes", "74726976 2 4 400 0 b", "74726976 2 4 100 0 b"],
    ["after writes of 2 bytes", "74726976 2 4 400 0 b", "74726976 2 4 100 0 b"],
    ["after writes of 4 bytes", "74726976 2 4 400 0 b", "74726976 2 4 100 0 b"],
  ),
];

const CONFIG = [
  ...rows(
    "config",
    "4.2.2.2",
    "a driver must not look there; QEMU gives ones, Paddock zeros and a report",
    {},
    ["1 bytes past the end", "ff", "0"],
    ["2 bytes past the end", "ffff", "0"],
    ["4 bytes past the end", "ffffffff", "0"],
  ),
  ...rows(
    "config",
    "5.3.4",
    "QEMU has no terminal's size",
    console,
    ["word at 0", "0", "180050"],
  ),
  ...rows(
    "config",
    "5.2.4",
    "geometry, writeback and number of queues, of features that Paddock does not offer",
    block,
    ["word at 16", "3f100002", "0"],
    ["word at 32", "10001", "0"],
  ),
  ...rows(
    "config",
    "5.2.4",
    "limits of discard and write zeroes, which are the device's choice",
    block,
    ["word at 36", "3fffff", "10000"],
    ["word at 40", "1", "10"],
    ["word at 44", "1", "8"],
    ["word at 48", "3fffff", "10000"],
  ),
  ...rows(
    "config",
    "5.2.5.2",
    "the padding is 0; QEMU's space ends in front of it, in the middle of a word",
    block,
    ["word at 56", "ffffffff", "1"],
    ["2 bytes are as 1 and 1", "0", "1"],
    ["4 bytes are as 1 and 1", "0", "1"],
  ),
];

const FAILED_READS: readonly Row[] = [
  ["read past the end", "1 201", "1 0"],
  ["read across the end", "1 401", "1 0"],
  ["read at 2^53", "1 201", "1 0"],
  ["odd length", "1 200", "1 0"],
  ["unknown type", "2 201", "2 0"],
  ["zone report", "2 201", "2 0"],
];

const REQUESTS = [
  ...["requests", "legacy"].flatMap((sequence) =>
    rows(
      sequence,
      "2.7.8.2",
      "bytes count from the first one on, and no data was written: QEMU counts what it did not write",
      blocks,
      ...FAILED_READS,
    )
  ),
  ...rows(
    "attacks",
    "4.2.2.1",
    "no used buffer notification took place; QEMU sets its bit as well",
    {},
    ["a chain that loops", "4f 3 0", "4f 2 0"],
    ["a next out of range", "4f 3 0", "4f 2 0"],
    ["a head out of range", "4f 3 0", "4f 2 0"],
    ["an avail idx too far ahead", "4f 3 0", "4f 2 0"],
    ["an indirect table of 8 bytes", "4f 3 0", "4f 2 0"],
    ["an indirect table of 0 bytes", "4f 3 0", "4f 2 0"],
  ),
  ...rows(
    "attacks",
    "2.7.5",
    "there is no memory to write to; QEMU drops the bytes, and says they were written",
    {},
    ["a buffer past RAM", "f 1 1", "4f 2 0"],
  ),
  ...rows(
    "legacy",
    "4.2.2",
    "the largest queue size and QueueSel, as above",
    {},
    ["queue 0", "400 0", "100 0"],
    ["queue 1024", "400 0", "0 0"],
    ["QueueNumMax in use", "400", "100"],
  ),
];

export const DIFFERENCES: readonly Difference[] = [
  ...IDENTITY,
  ...STATUS,
  ...QUEUES,
  ...READS,
  ...CONFIG,
  ...REQUESTS,
];
