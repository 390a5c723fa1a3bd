#!/bin/busybox sh
# First process of a test machine: mounts what an ordinary system has, runs /command, says how it ended, powers off.
# The kernel's messages go to the first serial port, the command's output and the last line to the second.
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=dumb

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmp /dev/shm
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs scratch /scratch
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
ip link set lo up
hostname layerwatch-vm

exec </dev/null >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw -echo

# Ends the machine with the marker, on a line of its own, whatever stands unfinished before it.
finish() {
    sync
    printf '\n%s %s\n' "$(cat /marker)" "$1"
    poweroff -f
}
fail() {
    echo "init: $1"
    finish 125
}

for module in /modules/*.ko; do
    insmod "$module" || fail "cannot load $module"
done
mount -t ext4 /dev/vda /data || fail "cannot mount /data"
if [ -b /dev/vdb ]; then
    mount -t ext4 /dev/vdb /share || fail "cannot mount /share"
fi

cd /
echo "$(cat /marker) booted"
sh /command
status=$?
umount /share 2>/dev/null
finish $status
