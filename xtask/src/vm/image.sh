#!/bin/sh
# Makes the test machine: vmlinuz, initrd.gz and root.ext4 in the directory $1. Needs root, mmdebstrap, e2fsprogs, busybox-static, cpio.
# A change of this file makes a new image: its text is the image's key.
set -eu
out=$1
work=$out/work
tree=$work/tree
rm -rf "$work"
mkdir -p "$work"

# systemd for delegation and user managers; newuidmap for rootless; AppArmor's parser; containerd as an engine above systemd's groups; no initramfs tools: the kernel package is unpacked, not installed.
mmdebstrap --quiet --variant=minbase \
    --include=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,kmod,busybox-static,uidmap,procps,apparmor,e2fsprogs,containerd \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='chroot "$1" sh -euc "cd /tmp; apt-get -qq download \$(apt-cache depends linux-image-cloud-amd64 | sed -n \"s/.*Depends: //p\"); dpkg-deb --fsys-tarfile linux-image-*.deb | tar -x --keep-directory-symlink -C /; rm linux-image-*.deb"' \
    bookworm "$tree"

version=$(ls "$tree/lib/modules")
depmod -b "$tree" "$version" 2>/dev/null || chroot "$tree" depmod "$version"
cp "$tree/boot/vmlinuz-$version" "$out/vmlinuz"
rm -rf "$tree/boot" "$tree/var/cache/apt" "$tree/var/lib/apt/lists"

# Nothing that the tests do not look at: each unit costs seconds under emulation.
for unit in getty@tty1.service serial-getty@ttyS0.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    fstrim.timer e2scrub_all.timer e2scrub_reap.service systemd-timesyncd.service systemd-pstore.service systemd-udevd.service \
    systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service systemd-random-seed.service \
    systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-binfmt.service apparmor.service getty.target \
    systemd-tmpfiles-clean.timer systemd-journal-flush.service dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount \
    sys-kernel-tracing.mount containerd.service; do
    ln -sf /dev/null "$tree/etc/systemd/system/$unit"
done
echo 0123456789abcdef0123456789abcdef > "$tree/etc/machine-id"
echo ctr-vm > "$tree/etc/hostname"
printf '/dev/vda / ext4 defaults 0 0\n' > "$tree/etc/fstab"
printf 'overlay\nloop\n' > "$tree/etc/modules-load.d/ctr.conf"
chroot "$tree" useradd --create-home --shell /bin/sh ctr-test
for file in subuid subgid; do
    printf 'ctr-test:2000000:65536\n' > "$tree/etc/$file"
done
cat > "$tree/etc/systemd/system/ctr-checks.service" <<'UNIT'
[Unit]
After=multi-user.target
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/bash -c 'mkdir -p /payload; mount -o ro /dev/vdb /payload; exec bash /payload/guest.sh > /dev/ttyS1 2>&1'
ExecStopPost=/bin/systemctl --no-block poweroff -ff
StandardOutput=null
StandardError=journal+console
TimeoutStartSec=infinity
UNIT
mkdir -p "$tree/etc/systemd/system/multi-user.target.wants"
ln -s ../ctr-checks.service "$tree/etc/systemd/system/multi-user.target.wants/ctr-checks.service"

# The cloud kernel has ext4 built in and the disk's driver as modules: virtio_ring must come first, so the list is tried three times.
initrd=$work/initrd
mkdir -p "$initrd/bin" "$initrd/modules" "$initrd/dev" "$initrd/proc" "$initrd/sys" "$initrd/new"
cp "$tree/bin/busybox" "$initrd/bin/busybox"
for module in virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
    find "$tree/lib/modules/$version" -name "$module.ko" -exec cp {} "$initrd/modules/" \;
done
cat > "$initrd/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for pass in 1 2 3; do for module in /modules/*.ko; do insmod $module 2>/dev/null; done; done
n=0; while [ ! -b /dev/vda ] && [ $n -lt 400 ]; do n=$((n + 1)); usleep 20000; done
mount -t ext4 /dev/vda /new || { echo "no root disk"; sleep 1; poweroff -f; }
mount --move /dev /new/dev; umount /proc /sys
exec switch_root /new /lib/systemd/systemd
INIT
chmod 755 "$initrd/init"
ln -s busybox "$initrd/bin/sh"
(cd "$initrd" && find . | cpio --quiet -o -H newc | gzip -1) > "$out/initrd.gz"

size=$(($(du -sm "$tree" | cut -f1) + 900))
mke2fs -q -F -t ext4 -O ^has_journal -E lazy_itable_init=1,root_owner=0:0 -b 4096 -d "$tree" "$out/root.ext4" "${size}M"
rm -rf "$work"
