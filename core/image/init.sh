#!/bin/busybox sh
# The guest's first process: loads the virtio drivers, finds a terminal, then does what the
# kernel command line asks for (paddock.mode=shell or tour), or runs /paddock/script.sh if
# an archive with that file was appended to the initramfs.

export PATH=/bin:/sbin HOME=/ TERM="${TERM:-linux}"
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts

while read -r module; do
  insmod "/lib/modules/$module.ko" 2>/dev/null
done </paddock/modules

argument() {
  for word in $(cat /proc/cmdline); do
    case "$word" in "$1="*) echo "${word#*=}" ;; esac
  done | tail -n 1
}

# Prints the terminal: hvc0 if there is a virtio console (its port may take a moment), else ttyS0.
terminal() {
  if grep -q -x 0x0003 /sys/bus/virtio/devices/*/device 2>/dev/null; then
    tries=0
    while [ ! -c /dev/hvc0 ] && [ "$tries" -lt 200 ]; do
      sleep 0.01
      tries=$((tries + 1))
    done
  fi
  for name in hvc0 ttyS0; do
    if (: <"/dev/$name") 2>/dev/null; then
      echo "/dev/$name"
      return
    fi
  done
  echo /dev/console
}

# While plugins are developed: a device that needs a reset (status bit 0x40) gets its driver anew.
rebind() {
  while sleep 0.2; do
    for device in /sys/bus/virtio/devices/*; do
      read -r status <"$device/status"
      [ $((status & 0x40)) != 0 ] || continue
      driver=$(readlink -f "$device/driver") || continue
      echo "${device##*/}" >"$driver/unbind"
      echo "${device##*/}" >"$driver/bind"
    done
  done
}
if [ "$(argument paddock.rebind)" = 1 ]; then
  rebind 2>/dev/null &
fi

tty=$(terminal)
mode=$(argument paddock.mode)
if [ -f /paddock/script.sh ]; then
  mode=script
fi

case "$mode" in
script)
  sh /paddock/script.sh <"$tty" >"$tty" 2>&1
  echo "paddock: the script ended with status $?" >"$tty"
  ;;
tour)
  sh /paddock/tour.sh <"$tty" >"$tty" 2>&1 || {
    echo "paddock: the tour has found a fault" >"$tty"
    sync
    # Whoever started this looks at how it ended.
    echo c >/proc/sysrq-trigger
  }
  ;;
*)
  # A session of its own with the terminal as controlling terminal gives job control and Ctrl-C.
  setsid -c sh -c 'PS1="guest# " exec sh -i' <"$tty" >"$tty" 2>&1
  ;;
esac
# What the script wrote to a disk of its own must be there before the power goes.
sync
poweroff -f
