# A driver for the odometer, in shell: busybox's devmem reads and writes physical memory, which is all that a virtio-mmio
# driver does. `memmap=4K$128M` on the kernel's command line leaves it a page of RAM at 128 MiB.

ring=$((128 << 20))
descriptors=$ring available=$((ring + 0x100)) used=$((ring + 0x200)) data=$((ring + 0x300))

# Linux' virtio-mmio driver has found the device. It lets go of the registers, which nobody else could touch before.
id=$(grep -l -x 0x003c /sys/bus/virtio/devices/*/device)
name=$(basename "$(readlink -f "$(dirname "$id")/..")")
echo "$name" >/sys/bus/platform/drivers/virtio-mmio/unbind
base=$((0x$(sed -n "s/^\([0-9a-f]*\)-[0-9a-f]* : $name\$/\1/p" /proc/iomem)))

register() { devmem $((base + $1)) 32 $2; }
put() { devmem $(($1)) "$2" $(($3)); }

# Bring it up (virtio-v1.3 §3.1.1, §4.2.2): reset, ACKNOWLEDGE, DRIVER, VIRTIO_F_VERSION_1, FEATURES_OK.
for status in 0 1 3; do register 0x70 $status; done
register 0x24 1
register 0x20 1
register 0x70 0x0b

# A request is a chain of two descriptors (§2.7.5): metres for the device to read, and room for the total.
put descriptors 64 data
put descriptors+8 32 4
put descriptors+12 16 1 # VIRTQ_DESC_F_NEXT
put descriptors+14 16 1
put descriptors+16 64 data+4
put descriptors+24 32 4
put descriptors+28 16 2 # VIRTQ_DESC_F_WRITE

# Queue 0 with two descriptors, then DRIVER_OK. RAM is zero where nothing was put, so each available entry says 0.
register 0x30 0
register 0x38 2
register 0x80 $descriptors
register 0x90 $available
register 0xa0 $used
register 0x44 1
register 0x70 0x0f

rides=0
ride() {
  rides=$((rides + 1))
  put data 32 "$1"
  put available+2 16 rides
  register 0x50 0 # QueueNotify
  until [ $(($(devmem $((used + 2)) 16))) = $rides ]; do usleep 1000; done
  echo "ride: $1 m, total $(($(devmem $((data + 4)) 32))) m"
}
trip() { echo "trip: $(($(register 0x104))) m"; }

ride 1500
ride 42
trip
register 0x104 1 # the button
trip
ride 8
trip
echo "odometer: $(($(register 0x100))) m"
