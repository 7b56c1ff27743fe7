#!/bin/busybox sh
# The first process of the virtual machine: mounts what a host has, runs the suites, says how they ended,
# and turns the machine off. `boot.rs` reads the lines that start with `vm:`.
/bin/busybox --install -s /bin
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
chmod 1777 /tmp
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 cgroup2 /sys/fs/cgroup
stty -F /dev/ttyS1 raw
exec >/dev/ttyS1 2>&1 </dev/null
ip link set lo up
echo "vm: kernel $(uname -r), lsm $(cat /sys/kernel/security/lsm)"
for module in /modules/*.ko; do
    insmod "$module" || echo "vm: $module does not load"
done
# Else Yama refuses first, on hosts that have it.
echo 0 >/proc/sys/kernel/yama/ptrace_scope
# Who the daemon and its agents are, and whom the daemon would ask for names.
mkdir -p /etc
echo 'root:x:0:0::/root:/bin/sh' >/etc/passwd
echo 'nobody:x:65534:65534::/:/bin/sh' >>/etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' >/etc/group
echo 'nameserver 127.0.0.1' >/etc/resolv.conf
export ENFORCER_TEST_SLOWNESS=@SLOWNESS@ ENFORCER_TEST_PROGRAMS=@PROGRAMS@ RUST_BACKTRACE=1
# Without `bpf` in its list a kernel is not hardened, and the suites must say so.
if grep -qw bpf /sys/kernel/security/lsm; then export ENFORCER_TEST_HARDENED=1; fi
# What a technique leaves open is open until its suite ends.
ulimit -n 65536
cd @REPOSITORY@/tests
@RUN@
echo "vm: all suites ended"
sync
poweroff -f
