# A machine of its own for `machine.rs`, in the mount and PID namespace that it has been given:
# what this host has, below what is thrown away, and systemd as the first process.
# $1: a directory for it. The rest: units that there are.
set -eu
directory=$1
shift
root=$directory/root
mount --make-rprivate /
mkdir -p "$root" "$directory/changed" "$directory/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$directory/changed,workdir=$directory/work" "$root"
mount -t proc proc "$root/proc"
# What is not a network namespace's is the host's.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for temporary in run tmp; do
    mount -t tmpfs tmpfs "$root/$temporary"
done
chmod 1777 "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    cp -a "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
# These units alone, of systemd's own and of everybody's; none of them is started by itself.
units=$root/usr/lib/systemd/system
mkdir "$root/run/units"
for unit in "$@"; do
    cp -a "$units/$unit" "$root/run/units/"
done
mount -t tmpfs -o mode=755 tmpfs "$units"
cp -a "$root/run/units/." "$units/"
rm -rf "$root/run/units"
mkdir "$units/sockets.target.wants"
for socket in systemd-journald.socket systemd-journald-dev-log.socket; do
    ln -s "../$socket" "$units/sockets.target.wants/"
done
rm -rf "$root/etc/systemd/system" "$root/var/log/journal" "$root/usr/sbin/policy-rc.d"
# The index of the manual is not made anew for each package.
rm -f "$root/var/lib/man-db/auto-update"
mkdir "$root/etc/systemd/system"
# It is not the first boot of this machine: nothing is preset.
echo 00112233445566778899aabbccddeeff > "$root/etc/machine-id"
mkdir "$root/old"
cd "$root"
pivot_root . old
umount -l /old
rmdir /old
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=basic.target --log-target=journal --show-status=false
