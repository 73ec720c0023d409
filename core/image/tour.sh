# A short walk through the virtual machine: its virtio devices, a block written and read back,
# and bytes from its entropy device. Run by init with paddock.mode=tour.

uname -a
echo "$(nproc) CPU, $(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MiB"

echo
echo "virtio devices:"
for device in /sys/bus/virtio/devices/*; do
  [ -e "$device" ] || continue
  parent=$(basename "$(readlink -f "$device/..")")
  driver=none
  [ -e "$device/driver" ] && driver=$(basename "$(readlink "$device/driver")")
  echo "  $(basename "$device")  id $(cat "$device/device")  on $parent  driver $driver"
done

verify_block() {
  sectors=$(cat /sys/block/vda/size)
  block=$((sectors / 8 - 1))
  echo
  echo "/dev/vda: $((sectors / 2)) KiB"
  dd if=/dev/vda of=/dev/null bs=4096 count=1 2>/dev/null && echo "  read block 0"
  if [ "$(cat /sys/block/vda/ro)" = 1 ]; then
    echo "  read-only: write skipped"
    return
  fi
  # What was there is put back: the disk may be somebody's.
  dd if=/dev/vda of=/tmp/before bs=4096 skip="$block" count=1 2>/dev/null
  dd if=/dev/urandom of=/tmp/written bs=4096 count=1 2>/dev/null
  dd if=/tmp/written of=/dev/vda bs=4096 seek="$block" conv=fsync 2>/dev/null
  sync
  echo 3 >/proc/sys/vm/drop_caches
  dd if=/dev/vda of=/tmp/read bs=4096 skip="$block" count=1 2>/dev/null
  dd if=/tmp/before of=/dev/vda bs=4096 seek="$block" conv=fsync 2>/dev/null
  written=$(sha256sum </tmp/written)
  if [ "$written" = "$(sha256sum </tmp/read)" ]; then
    echo "  wrote block $block and read it back: same sha256 ${written%% *}"
  else
    echo "  block $block DIFFERS after writing"
    failed=1
  fi
}
[ -b /dev/vda ] && verify_block

if [ -c /dev/hwrng ] && [ -e /sys/class/misc/hw_random/rng_current ]; then
  echo
  echo "/dev/hwrng ($(cat /sys/class/misc/hw_random/rng_current)):"
  dd if=/dev/hwrng bs=16 count=1 2>/dev/null | hexdump -C | head -n 1 | sed 's/^/  /'
fi

[ -z "$failed" ]
