# Runs /lab/command.sh on the host's standard streams (virtio-serial ports 1 to 3), or on a terminal
# (hvc0) if /lab/terminal has its size; then reports its status (port 4) and switches the machine off.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /dev/pts /dev/shm /run /tmp
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
ip link set lo up
hostname lab
# Guests may have more RAM than the lab: it is only touched pages that count.
echo 1 >/proc/sys/vm/overcommit_memory
# Nothing is left running if the host's side dies.
(sleep "$(cat /lab/timeout)" && poweroff -f) &

# The ports are announced one by one; the last is the one for the status.
until [ -c /dev/vport*p4 ]; do sleep 0.01; done
port=$(echo /dev/vport*p4)
port=${port%4}

finish() {
  cat /run/status >"${port}4"
  poweroff -f
}

if [ -f /lab/terminal ]; then
  # A terminal forgets its size when nobody has it open.
  exec </dev/hvc0 >/dev/hvc0 2>&1
  stty $(cat /lab/terminal)
  setsid -c /bin/sh /lab/command.sh
  echo "$?" >/run/status
  finish
fi

# A port opens only once, which would break /dev/stdout and the like: pipes stand between.
mkfifo /run/stdin
exec 3<>/run/stdin
cat <"${port}1" >&3 &
exec </run/stdin 3>&-
{
  {
    /bin/sh /lab/command.sh 2>&1 >&4 4>&-
    echo "$?" >/run/status
    # What the command left running may keep the pipes open: not for ever.
    (sleep 2 && finish) >/dev/null 2>&1 4>&- &
  } | cat >"${port}3"
} 4>&1 | cat >"${port}2"
finish
