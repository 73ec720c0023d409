// Thread: main
// A driver for block devices (virtio-v1.3 §5.2.6). It leaves the disk as it was.
import { VIRTIO_MMIO_CONFIG } from "../virtio/constants.ts";
import type { Bench, Live } from "./bench.ts";
import { count, Finding, type PlannedCheck, virtio } from "./check.ts";
import { answered } from "./exchange.ts";
import { content } from "./load.ts";

const VIRTIO_BLK_F_RO = 5;
const VIRTIO_BLK_F_FLUSH = 9;
const VIRTIO_BLK_T_IN = 0;
const VIRTIO_BLK_T_OUT = 1;
const VIRTIO_BLK_T_FLUSH = 4;
const VIRTIO_BLK_T_GET_ID = 8;
const UNKNOWN_TYPE = 0x7f;
const STATUS = ["OK", "IOERR", "UNSUPP"];
const SECTOR = 512;
const ID_LENGTH = 20;
const SECTION = virtio("5.2.6.2");

/** A live block device, and its size in sectors. */
interface Disk {
  readonly bench: Bench;
  readonly live: Live;
  readonly capacity: number;
}

async function open(bench: Bench): Promise<Disk> {
  const live = await bench.bringUp({ format: "split" });
  const [low, high] = [
    await bench.machine.read(VIRTIO_MMIO_CONFIG),
    await bench.machine.read(VIRTIO_MMIO_CONFIG + 4),
  ];
  return { bench, live, capacity: low + high * 2 ** 32 };
}

/** One request; returns its status by name and what was read. */
async function ask(
  { bench, live }: Disk,
  type: number,
  sector: number,
  data: Uint8Array | null,
  room = 0,
): Promise<{ status: string; bytes: Uint8Array }> {
  const header = new Uint8Array(16);
  const view = new DataView(header.buffer);
  view.setUint32(0, type, true);
  view.setBigUint64(8, BigInt(sector), true);
  const { bytes } = await answered(bench, live, bench.queues[0]!, {
    readable: data === null ? [header] : [header, data],
    writable: room === 0 ? [1] : [room, 1],
  });
  const status = bytes[room]!;
  const name = STATUS[status];
  if (name !== undefined) return { status: name, bytes: bytes.slice(0, room) };
  throw new Finding(
    `request type ${type} left ${status} in its status byte, the last one of the chain`,
  );
}

async function read(disk: Disk, sector: number): Promise<Uint8Array> {
  const { status, bytes } = await ask(
    disk,
    VIRTIO_BLK_T_IN,
    sector,
    null,
    SECTOR,
  );
  expect(status, "OK", `a read of sector ${sector}`);
  return bytes;
}

function expect(status: string, wanted: string, what: string): void {
  if (status === wanted) return;
  throw new Finding(
    `${what} was answered with VIRTIO_BLK_S_${status}, not VIRTIO_BLK_S_${wanted}`,
  );
}

function expectSame(found: Uint8Array, wanted: Uint8Array, what: string): void {
  const at = found.findIndex((byte, i) => byte !== wanted[i]);
  if (at >= 0) throw new Finding(`${what} differs from byte ${at} on`);
}

const READS: PlannedCheck = {
  name: "block: its first and last sector can be read",
  section: SECTION,
  asks: "The device reads every sector below capacity.",
  async run(bench) {
    const disk = await open(bench);
    if (disk.capacity === 0) return "the disk has no sectors";
    const first = await read(disk, 0);
    expectSame(await read(disk, 0), first, "sector 0, read again,");
    await read(disk, disk.capacity - 1);
    return count(disk.capacity, "sector");
  },
};

const WRITES: PlannedCheck = {
  name: "block: what is written is read again; or refused, if it is read-only",
  section: SECTION,
  asks:
    "Writes are kept; with VIRTIO_BLK_F_RO they fail with VIRTIO_BLK_S_IOERR and change nothing.",
  async run(bench) {
    const disk = await open(bench);
    if (disk.capacity === 0) return "the disk has no sectors";
    const last = disk.capacity - 1;
    const before = await read(disk, last);
    const write = async (data: Uint8Array) =>
      (await ask(disk, VIRTIO_BLK_T_OUT, last, data)).status;
    const what = "a write of the last sector";
    if (await bench.offers(VIRTIO_BLK_F_RO)) {
      expect(await write(content(SECTOR)), "IOERR", what);
      expectSame(await read(disk, last), before, "a read-only sector");
      return "read-only";
    }
    try {
      expect(await write(content(SECTOR)), "OK", what);
      expectSame(await read(disk, last), content(SECTOR), "what was written");
    } finally {
      expect(await write(before), "OK", what);
    }
    expectSame(await read(disk, last), before, "what was restored");
  },
};

const RANGE: PlannedCheck = {
  name: "block: a request past the disk's end fails",
  section: SECTION,
  asks:
    "The device answers with VIRTIO_BLK_S_IOERR where a request leaves the disk.",
  async run(bench) {
    const disk = await open(bench);
    for (const sector of [disk.capacity, 2 ** 55]) {
      const type = VIRTIO_BLK_T_IN;
      const { status } = await ask(disk, type, sector, null, SECTOR);
      expect(status, "IOERR", `a read of sector ${sector}`);
    }
    if (disk.capacity === 0) return;
    const last = disk.capacity - 1;
    const answer = await ask(disk, VIRTIO_BLK_T_IN, last, null, 2 * SECTOR);
    expect(answer.status, "IOERR", "a read across the end");
  },
};

const OTHERS: PlannedCheck = {
  name: "block: flush and identity are answered, other types refused",
  section: SECTION,
  asks:
    "VIRTIO_BLK_T_FLUSH succeeds where VIRTIO_BLK_F_FLUSH is offered; an unknown type gets VIRTIO_BLK_S_UNSUPP.",
  async run(bench) {
    const disk = await open(bench);
    if (await bench.offers(VIRTIO_BLK_F_FLUSH)) {
      const { status } = await ask(disk, VIRTIO_BLK_T_FLUSH, 0, null);
      expect(status, "OK", "a flush");
    }
    const id = await ask(disk, VIRTIO_BLK_T_GET_ID, 0, null, ID_LENGTH);
    if (id.status !== "UNSUPP") {
      expect(id.status, "OK", "VIRTIO_BLK_T_GET_ID");
    }
    const { status } = await ask(disk, UNKNOWN_TYPE, 0, null, SECTOR);
    expect(status, "UNSUPP", `request type ${UNKNOWN_TYPE}`);
  },
};

export const BLOCK_CHECKS: readonly PlannedCheck[] = [
  READS,
  WRITES,
  RANGE,
  OTHERS,
];
