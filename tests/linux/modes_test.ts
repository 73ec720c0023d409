// Linux's own drivers on every way in which a device can speak virtio: layouts of registers, rings, kicks.

import { assert, assertEquals } from "@std/assert";
import { runGuest, valueOf } from "./guest.ts";
import { withFolder } from "../support/folder.ts";
import { linuxTest } from "./host.ts";

const MiB = 1 << 20;

/** By the disk's serial number; and whether Linux takes RING_PACKED (bit 34) and VERSION_1 (bit 32) there. */
const MODES = {
  modern: { virtio: {}, packed: "0", modern: "1" },
  legacy: { virtio: { transport: "legacy" }, packed: "0", modern: "0" },
  packed: { virtio: { ring: "packed" }, packed: "1", modern: "1" },
  eventfd: { virtio: { kick: "ioeventfd" }, packed: "0", modern: "1" },
  all: {
    virtio: {
      ring: "packed",
      kick: "ioeventfd",
      inOrder: true,
      notificationData: true,
    },
    packed: "1",
    modern: "1",
  },
  "legacy-eventfd": {
    virtio: { transport: "legacy", kick: "ioeventfd" },
    packed: "0",
    modern: "0",
  },
} as const;

const SCRIPT = `
bit() { cut -c$(($2 + 1)) /sys/block/$1/device/features; }
# Writes 2 MiB with many requests in flight, reads them back from the disk, and compares.
use() {
  dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null
  for part in 0 1 2 3; do
    dd if=/tmp/data of=/dev/$1 bs=64k count=8 skip=$((part * 8)) seek=$((part * 8)) conv=notrunc oflag=direct 2>/dev/null &
  done
  wait
  echo 3 >/proc/sys/vm/drop_caches
  dd if=/dev/$1 bs=64k count=32 2>/dev/null | cmp - /tmp/data && echo good || echo bad
}
find() { for d in /sys/block/vd*; do [ "$(cat $d/serial)" = "$1" ] && basename $d; done; }
for serial in ${Object.keys(MODES).join(" ")}; do
  disk=$(find $serial)
  echo "$serial bits: $(bit $disk 34) $(bit $disk 32)"
  echo "$serial first: $(use $disk)"
  device=$(basename $(readlink /sys/block/$disk/device))
  for turn in 1 2 3; do
    echo $device >/sys/bus/virtio/drivers/virtio_blk/unbind
    echo $device >/sys/bus/virtio/drivers/virtio_blk/bind
  done
  echo "$serial again: $(use $(find $serial))"
done
echo "entropy: $(head -c 4096 /dev/hwrng | gzip | wc -c)"
echo "kernel: $(dmesg | grep -E 'WARNING: CPU|BUG:|virtio.*(fail|err)' | head -n 3 | tr '\\n' ';')"
`;

linuxTest(
  "Disks in every mode are written, read back, given up and taken again by Linux's driver",
  () =>
    withFolder(async (folder) => {
      const disks = [];
      for (const [serial, { virtio }] of Object.entries(MODES)) {
        const path = `${folder}/${serial}.img`;
        await Deno.writeFile(path, new Uint8Array());
        await Deno.truncate(path, 8 * MiB);
        disks.push({ use: "block", path, serial, virtio });
      }
      const { text, exit } = await runGuest(SCRIPT, {
        devices: [...disks, {
          use: "rng",
          virtio: { ring: "packed", kick: "ioeventfd" },
        }],
      });
      assertEquals(exit.reason, "poweroff", text);
      for (const [serial, { packed, modern }] of Object.entries(MODES)) {
        const bits = valueOf(text, `${serial} bits`);
        assertEquals(bits, `${packed} ${modern}`, serial);
        assertEquals(valueOf(text, `${serial} first`), "good", text);
        assertEquals(valueOf(text, `${serial} again`), "good", text);
      }
      assert(Number(valueOf(text, "entropy")) > 4000);
      assertEquals(valueOf(text, "kernel"), "", text);
    }),
);
