#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# The first process under the tested kernel: runs each test program, prints the results between lines that begin with
# "@@", and ends the machine. The names of the programs are in /etc/programs; image.py fills in the word in capitals.

/bin/busybox --install -s /bin
export PATH=/bin HOME=/root CK_VERBOSITY=verbose CK_TIMEOUT_MULTIPLIER=@SLOWNESS@ SEALANE_TALLY=/tmp/tally

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
for module in /lib/modules/*.ko; do
    insmod "$module"
done
ip link set lo up
mkdir -p /run/user
chmod 1777 /tmp /dev/shm
cd /tmp || exit

echo "@@ kernel $(uname -r)"
while read -r program; do
    : >/tmp/tally
    echo "@@ program $program"
    timeout -s KILL 600 "/tests/$program" </dev/null 2>&1
    status=$?
    echo
    echo "@@ ended $program $status $(cut -d ' ' -f 2- /tmp/tally | tail -n 1)"
done </etc/programs
echo "@@ done"
sync
reboot -f
