// Drivers come and go under load, and the devices are as good as new each time.

import { assertEquals } from "@std/assert";
import { fetchGuest } from "../../core/image/initramfs.ts";
import { runGuest, valueOf, writeInitrd } from "./guest.ts";
import { withFolder } from "../support/folder.ts";
import { linuxTest } from "./host.ts";

const ROUNDS = 50;

/** The console's driver goes too, so the script prints on the serial port. */
const SCRIPT = `
exec </dev/null >/dev/ttyS0 2>&1
device() { basename "$(dirname "$(grep -l -x "$1" /sys/bus/virtio/devices/*/device)")"; }
disk=$(device 0x0002)
rng=$(device 0x0004)
driver() { echo "$2" >/sys/bus/virtio/drivers/$1/$3; }
# Waits for a device that a driver makes.
appears() {
  for i in $(seq 500); do
    [ -e "$1" ] && (: <"$1") 2>/dev/null && return
    sleep 0.01
  done
  echo "error: no $1 in round $round"
}

dd if=/dev/urandom of=/tmp/data bs=1M count=2 2>/dev/null
dd if=/tmp/data of=/dev/vda bs=1M seek=4 conv=fsync 2>/dev/null
sum=$(sha256sum </tmp/data)

reload() {
  times=0
  for turn in $(seq ${ROUNDS}); do
    rmmod $1 && insmod /lib/modules/$1.ko || break
    times=$turn
  done
  echo "reloaded: $1 $times times"
}

for round in $(seq ${ROUNDS}); do
  appears /dev/vda
  appears /dev/hvc0
  # Opened here: a dd that comes late would make a file where the device was.
  exec 6>/dev/hvc0
  head -c 50 /tmp/data | od >&6 2>/dev/null &
  exec 6>&- 3</dev/vda 4<>/dev/vda 5</dev/hwrng
  dd of=/dev/null bs=64k <&3 2>/dev/null &
  dd if=/dev/zero bs=64k count=32 >&4 2>/dev/null &
  dd of=/dev/null bs=512 count=100 <&5 2>/dev/null &
  exec 3<&- 4<&- 5<&-
  [ $((round % 3)) = 0 ] && usleep 20000
  driver virtio_blk $disk unbind
  driver virtio_rng $rng unbind
  driver virtio_rng $rng bind
  driver virtio_blk $disk bind
  wait
done
echo "rounds: $round"

reload virtio_blk
reload virtio_rng
appears /dev/vda
echo hello >/dev/hvc0
dd if=/dev/vda bs=1M skip=4 count=2 2>/dev/null | sha256sum >/tmp/after
[ "$sum" = "$(cat /tmp/after)" ] && echo "data: intact"
echo "random: $(dd if=/dev/hwrng bs=64 count=1 2>/dev/null | wc -c)"
# Last, and its terminal is not opened again: to Linux 6.1 that is still the one of before, with the module's code that is
# no more, while init has that open. Nor may output be in flight (free_buf in remove_vqs).
sleep 1
reload virtio_console
echo "console: $(cat /sys/bus/virtio/devices/$(device 0x0003)/status)"
dmesg | grep -i 'warn\\|bug:\\|call trace\\|hung' | grep -v 'Return Stack\\|bug detected' | sed 's/^/complaint: /'
# Not by init, which would write on its terminal.
poweroff -f
`;

linuxTest(
  `Drivers are unbound and bound ${ROUNDS} times under load, then reloaded`,
  () =>
    withFolder(async (folder) => {
      const { kernel } = await fetchGuest();
      await writeInitrd(`${folder}/initrd`, SCRIPT);
      const { text, exit } = await runGuest("", {
        cpus: 2,
        timeout: 330,
        boot: {
          kernel: kernel.vmlinuz,
          initrd: `${folder}/initrd`,
          cmdline: "console=ttyS0 quiet pci=off noxsave",
        },
        devices: [
          { use: "block", path: `${folder}/disk.img`, size: "8M" },
          { use: "rng" },
        ],
      });
      assertEquals(exit.reason, "poweroff", text);
      assertEquals(text.match(/^(error|complaint): .*$/gm), null, text);
      assertEquals(valueOf(text, "rounds"), `${ROUNDS}`);
      assertEquals(
        [...text.matchAll(/^reloaded: (.*)$/gm)].map(([_, name]) => name),
        ["blk", "rng", "console"].map((name) =>
          `virtio_${name} ${ROUNDS} times`
        ),
        text,
      );
      assertEquals(valueOf(text, "data"), "intact");
      assertEquals(valueOf(text, "random"), "64");
      assertEquals(valueOf(text, "console"), "0x0000000f");
    }),
);
