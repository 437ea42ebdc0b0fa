#!/usr/bin/env bash
# Power cuts under an update, on a real kernel's block device: a guest (Debian's kernel under QEMU, without a network or a
# disk of this machine) lets the real supervisor and installer update a gateway on ext4 while dm-log-writes records every
# write; then it makes the disk as a cut at each moment could have left it, mounts it, and starts the supervisor on it.
#
# CUTS=n       so many cuts, spread over the record, instead of one behind every write
# SEED=n       the seed of what is kept, lost and torn (1)
# TEETH=1      disks that lie about flushes instead: the checks have to find them
#
# All of it is kept below target/update-power.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/target/update-power
programs=$PWD/target/release
mkdir -p "$work"

# The kernel: the newest of this Debian release, unpacked and not installed.
if [ ! -e "$work/kernel/done" ]; then
  rm -rf "$work/kernel" && mkdir -p "$work/kernel"
  image=$(apt-cache depends --no-recommends linux-image-cloud-amd64 | sed -n 's/.*Depends: *\(linux-image-[0-9].*\)/\1/p' | head -1)
  (cd "$work/kernel" && apt-get -q -o APT::Sandbox::User= download "${image:?no linux-image-cloud-amd64 in the package lists: apt-get update}" &&
    dpkg-deb -x linux-image-*.deb . && rm linux-image-*.deb)
  touch "$work/kernel/done"
fi
version=$(ls "$work/kernel/lib/modules")
modules=$work/kernel/lib/modules/$version

# A root file system in memory: busybox, the tools of the device mapper, the programs, and the libraries that they ask for.
root=$work/root
rm -rf "$root" && mkdir -p "$root"/{bin,tools,dev,proc,sys,tmp,run,mnt,etc,lib/modules}
add() {
  local file library
  for file; do
    install -D -m 0755 "$file" "$root/tools/${file##*/}"
    # Strings of debuggers are of no use there.
    strip "$root/tools/${file##*/}"
    for library in $(ldd "$file" 2>/dev/null | grep -oE '/[^ ]+'); do
      [ -e "$root$library" ] || install -D -m 0755 "$(readlink -f "$library")" "$root$library"
    done
  done
}
install -m 0755 /bin/busybox "$root/bin/busybox"
add /usr/sbin/dmsetup /usr/sbin/mke2fs "$programs/engawa-supervisor" "$programs/engawa-update-power"
ln -s busybox "$root/bin/sh"
: >"$root/etc/mtab"
# Only what is needed, in an order in which each finds what it needs.
list=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk brd dm-mod dm-log-writes)
for module in "${list[@]}"; do
  file=$(find "$modules" -name "$module.ko*" | head -1)
  case $file in
    '') continue ;; # built in
    *.xz) xz -dc "$file" >"$root/lib/modules/$module.ko" ;;
    *) cp "$file" "$root/lib/modules/$module.ko" ;;
  esac
done
install -m 0755 tests/update-power/init "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initramfs"

rm -f "$work/disk" "$work/log"
truncate -s 32M "$work/disk"
truncate -s 2G "$work/log"
begun=$SECONDS
timeout "${TIMEOUT:-7200}" qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -m 3072 -nographic -no-reboot -nodefaults \
  -serial stdio -kernel "$work/kernel/boot/vmlinuz-$version" -initrd "$work/initramfs" \
  -append "console=ttyS0 quiet panic=-1 cuts=${CUTS:-0} seed=${SEED:-1} teeth=${TEETH:-0}" \
  -drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" -drive "file=$work/log,format=raw,if=virtio,cache=unsafe" \
  </dev/null | tr -d '\r' | tee "$work/console" | grep -a --line-buffered -oE "(update-power:|Error:|Kernel panic).*" || true
rm -f "$work/disk" "$work/log"
echo "update-power: $(((SECONDS - begun) / 60)) min $(((SECONDS - begun) % 60)) s"
grep -q '^update-power: all held' "$work/console" || {
  echo "update-power: it did not hold; everything that the guest said is in $work/console" >&2
  exit 1
}
