#!/bin/busybox sh
# First process of the lab: stacks the run's files and a tmpfs over the base image, then hands over.

export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do
  insmod "/lib/modules/$module.ko" || echo "lab: $module cannot be loaded"
done </paddock/modules

mkdir -p /base /overlay /system
mount -t ext4 -o ro /dev/vda /base
mount -t tmpfs -o size=100% tmpfs /overlay
mkdir /overlay/upper /overlay/work
mount -t overlay -o lowerdir=/layer:/base,upperdir=/overlay/upper,workdir=/overlay/work overlay /system
for folder in dev proc sys; do
  mount --move "/$folder" "/system/$folder"
done

cd /system
mount --move . /
exec chroot . /bin/busybox sh /lab/session.sh
