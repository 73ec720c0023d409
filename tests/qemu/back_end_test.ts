// Devices of ours for a Linux guest of Debian's QEMU, by vhost-user: a disk that fio verifies while the process that
// serves it is killed, and an entropy source.

import { assert, assertEquals } from "@std/assert";
import { findQemu } from "../lab/lab.ts";
import { withFolder } from "../support/folder.ts";
import { QemuGuest } from "./guest.ts";
import { ServedDevice } from "./served_device.ts";
import { until } from "../support/wait.ts";

const MiB = 2 ** 20;
const SIZE = 96 * MiB;
/** Times that the process is killed, and bytes that are written in between. */
const KILLS = 3;
const BETWEEN = 12 * MiB;

/** What QEMU says of a back end that went away. */
const HUNG_UP =
  /: (Unexpected end-of-file before all data were read|Failed to set msg fds\.|Failed to read msg header\. Read -?\d+ instead of 12\. Original request \d+\.|vhost VQ 0 ring restore failed: .*)$/;

const FIO = [
  "fio --eta=never --name=check --filename=/dev/vda --direct=1 --ioengine=libaio",
  "--iodepth=16 --bsrange=4k-32k --rw=randwrite --verify=crc32c --verify_fatal=1",
  `--size=${SIZE} --output=/tmp/fio.txt`,
].join(" ");

const SCRIPT = `
echo "current: $(cat /sys/class/misc/hw_random/rng_current)"
echo "random: $(head -c 4096 /dev/hwrng | gzip | wc -c)"
echo "disk: $(cat /sys/block/vda/size) $(cat /sys/block/vda/serial)"
export LD_LIBRARY_PATH=/lib/fio
echo "begin: now"
${FIO}
echo "fio: $?"
cat /tmp/fio.txt
echo "sum: $(sha256sum </dev/vda)"
echo "random again: $(head -c 4096 /dev/hwrng | gzip | wc -c)"
`;

/** How long what a test waits for may take. */
const COME_MS = 60_000;
/** Bytes that the image has on the host. */
const written = (path: string) => Deno.statSync(path).blocks! * 512;

async function sha256(path: string): Promise<string> {
  const bytes = await Deno.readFile(path);
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return new Uint8Array(digest).toHex();
}

/** A disk and an entropy source, each served by a process of its own. */
async function serve(folder: string): Promise<{
  readonly path: string;
  readonly block: ServedDevice;
  readonly rng: ServedDevice;
}> {
  const path = `${folder}/disk.img`;
  await Deno.writeFile(path, new Uint8Array(0));
  await Deno.truncate(path, SIZE);
  const block = new ServedDevice({
    module: "block",
    options: { path, serial: "PADDOCK" },
    socket: `${folder}/block.sock`,
  });
  const rng = new ServedDevice({
    module: "rng",
    options: {},
    socket: `${folder}/rng.sock`,
  });
  block.start();
  rng.start();
  for (const name of ["block", "rng"]) {
    await until(
      () => {
        try {
          return Deno.statSync(`${folder}/${name}.sock`).isSocket === true;
        } catch {
          return false;
        }
      },
      `${name}.sock`,
      COME_MS,
    );
  }
  return { path, block, rng };
}

function start(folder: string, ring: string): Promise<QemuGuest> {
  return QemuGuest.start(folder, SCRIPT, [
    {
      device: `vhost-user-blk-pci,num-queues=1${ring}`,
      socket: `${folder}/block.sock`,
      reconnect: true,
    },
    {
      device: "vhost-user-rng-pci",
      socket: `${folder}/rng.sock`,
      reconnect: false,
    },
  ]);
}

/** What the guest says once it is up and before it loads its disk. */
async function comesUp(guest: QemuGuest): Promise<void> {
  assertEquals(await guest.line("current: ", 90), "virtio_rng.0");
  assert(Number(await guest.line("random: ", 60)) > 4000);
  assertEquals(await guest.line("disk: ", 30), `${SIZE / 512} PADDOCK`);
  await guest.line("begin: ", 30);
}

/** Waits until fio has verified the disk, and compares it with the image. */
async function verifies(guest: QemuGuest, path: string): Promise<void> {
  assertEquals(await guest.line("fio: ", 180), "0", guest.text);
  const sum = await guest.line("sum: ", 60);
  assert(/err= 0/.test(guest.text), guest.text);
  assert(Number(await guest.line("random again: ", 60)) > 4000);
  await guest.ended();
  assertEquals(await sha256(path), sum.split(" ")[0]);
}

async function end(devices: readonly ServedDevice[]): Promise<void> {
  for (const device of devices) {
    const { code, text } = await device.end("SIGTERM");
    assertEquals(code, 0, text);
    assert(/^Serving /m.test(text), text);
  }
}

async function check(folder: string, ring: string): Promise<void> {
  const { path, block, rng } = await serve(folder);
  await using _block = block;
  await using _rng = rng;
  await using guest = await start(folder, ring);
  await comesUp(guest);
  for (let kill = 1; kill <= KILLS; kill++) {
    await until(
      () => guest.text.includes("fio: ") || written(path) > kill * BETWEEN,
      "load",
      COME_MS,
    );
    assert(!guest.text.includes("fio: "), guest.text);
    await block.end("SIGKILL");
    await new Promise((next) => setTimeout(next, 300));
    block.start();
  }
  assert(!guest.text.includes("fio: "), "fio was done before the last kill");
  await verifies(guest, path);
  const complaints = guest.errors.trim().split("\n").filter((line) =>
    !HUNG_UP.test(line)
  );
  assertEquals(complaints, []);
  await end([block, rng]);
}

/** What a process has open. */
function openIn(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return [...Deno.readDirSync(folder)].map(({ name }) => {
    try {
      return Deno.readLinkSync(`${folder}/${name}`);
    } catch {
      return "closed meanwhile";
    }
  }).sort();
}

/** What a process has open once that has been the same for a second: its worker's thread may just be another one. */
async function settled(pid: number): Promise<string[]> {
  let open = openIn(pid);
  for (let same = 0; same < 10; same++) {
    await new Promise((next) => setTimeout(next, 100));
    const now = openIn(pid);
    if (now.length !== open.length) same = -1;
    open = now;
  }
  return open;
}

/** Mappings of memory that a front end has shared with it. */
function sharedWith(pid: number): number {
  const maps = Deno.readTextFileSync(`/proc/${pid}/maps`);
  return maps.split("/memfd:memory-backend-memfd").length - 1;
}

/** QEMU is killed under load: its back ends go on, keep nothing of it, and serve the next one. */
async function survives(folder: string, ring: string): Promise<void> {
  const { path, block, rng } = await serve(folder);
  await using _block = block;
  await using _rng = rng;
  const { pid } = block;
  {
    await using guest = await start(folder, ring);
    await comesUp(guest);
    await until(() => written(path) > BETWEEN, "load", COME_MS);
    assert(sharedWith(pid) > 0, "guest RAM is mapped while it is served");
    await guest.kill();
  }
  await until(() => sharedWith(pid) === 0, "end of the connection", COME_MS);
  const before = await settled(pid);
  await using guest = await start(folder, ring);
  await comesUp(guest);
  await verifies(guest, path);
  // Nothing of the one that was killed was kept, and nothing is of this one.
  await until(
    () => openIn(pid).length <= before.length,
    () => `descriptors as before: ${before}; but ${openIn(pid)}`,
    COME_MS,
  );
  assertEquals([sharedWith(pid), block.pid], [0, pid]);
  await end([block, rng]);
}

const found = await findQemu();
const reason = "reason" in found ? found.reason : null;
for (const [format, ring] of [["split", ""], ["packed", ",packed=on"]]) {
  const tests = {
    [`A guest of QEMU verifies our disk on a ${format} ring while its process is killed, and has our entropy source`]:
      check,
    [`Our disk and entropy source on a ${format} ring survive a QEMU that is killed under load, and serve the next`]:
      survives,
  };
  for (const [name, test] of Object.entries(tests)) {
    Deno.test({
      name: reason === null ? name : `${name} (skipped: ${reason})`,
      ignore: reason !== null,
      fn: () => withFolder((folder) => test(folder, ring!)),
    });
  }
}
