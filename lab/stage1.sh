#!/bin/bash
# PID 1 of a host's namespaces: builds what the host sees as its file systems, and becomes systemd.
# From the environment: SB_NAME, SB_BASE (the image), SB_DIR (the host's folder),
# SB_CGROUPS (lines of: folder, file system, mount options; folder "." is cgroup v2 alone).
set -euo pipefail
root=$SB_DIR/rootfs

# Mounted here and not by the supervisor: so it is in the host's own mount namespace, and ends with it.
mount -t overlay overlay -o "lowerdir=$SB_BASE,upperdir=$SB_DIR/upper,workdir=$SB_DIR/work" "$root"
mount -t proc proc "$root/proc"

# vm.*, kernel.* and fs.* are the whole machine's: read-only. Those of the network are the host's own.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,ro "$root/proc/sys"
mount -o remount,bind,rw "$root/proc/sys/net"
# The kernel has one boot id, of the machine's own boot.
mount --bind "$SB_DIR/boot_id" "$root/proc/sys/kernel/random/boot_id"

# Read-only, so that systemd starts no udevd, for which networkd would wait.
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
cgroups=$root/sys/fs/cgroup
if [[ $SB_CGROUPS == ". "* ]]; then
    mount -t cgroup2 cgroup2 "$cgroups"
else
    mount -t tmpfs -o mode=755 tmpfs "$cgroups"
    while read -r folder type options; do
        mkdir "$cgroups/$folder"
        mount -t "$type" ${options:+-o "$options"} cgroup "$cgroups/$folder"
    done <<<"$SB_CGROUPS"
    mount -o remount,ro "$cgroups"
fi

mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root"/dev/{pts,shm,net,mqueue}
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
while read -r mode node major minor; do
    mknod -m "$mode" "$root/dev/$node" c "$major" "$minor"
done <<'NODES'
666 null 1 3
666 zero 1 5
666 full 1 7
666 random 1 8
666 urandom 1 9
666 tty 5 0
666 fuse 10 229
666 net/tun 10 200
644 kmsg 1 11
NODES
if [[ -s $SB_DIR/devices ]]; then
    mkdir -p "$root/dev/disk/by-id"
    while read -r node major minor name; do
        mknod -m 660 "$root/dev/$node" b "$major" "$minor"
        ln -s "../../$node" "$root/dev/disk/by-id/$name"
    done <"$SB_DIR/devices"
fi
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
touch "$root/dev/console"
mount --bind "$(tty)" "$root/dev/console"
mount -t tmpfs -o mode=755 tmpfs "$root/run"

# An overlay cannot be the upper layer of another one, which is what container runtimes make.
for name in rancher kubelet containerd docker; do
    mkdir -p "$root/var/lib/$name"
    mount --bind "$SB_DIR/data/$name" "$root/var/lib/$name"
done

hostname "$SB_NAME"
cd "$root"
mkdir -p .outside
pivot_root . .outside
umount -l /.outside
rmdir /.outside
mount --make-rshared / # kubelet shares its mounts with pods
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=linux /sbin/init
