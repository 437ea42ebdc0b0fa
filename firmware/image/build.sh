#!/usr/bin/env bash
# Makes a system image for QEMU's ARM64 machine: `make image`. As root. The second run takes what the first has kept.
# ENGAWA, SUPERVISOR   the ARM64 programs (default: what `make arm` builds)
# VERSION, NUMBER      of the image; a box refuses numbers below the floor that a good image has set (FLOOR, default 0)
# GOOD_WITHIN_S        so long after the start an image on trial must have a healthy agent (default 300)
# KEYS                 the folder with the signing keys (default: target/image/keys, made at the first run)
# OUT                  where the image goes (default: target/image/VERSION)
# OVERLAY, OVERLAY_INIT, DAMAGE, BUNDLE_ONLY=1    the tests' images
# It leaves in OUT: disk.img, boot-store.img (the card with U-Boot's environment), u-boot.bin, board.dtb (with the key that U-Boot believes),
# system.raucb (the signed bundle of the same), manifest.json (packages and the SHA-256 of each part).
set -euo pipefail
here=$(realpath "$(dirname "$0")")
cd "$here/../.."
# shellcheck source=SCRIPTDIR/lib.sh
. "$here/lib.sh"
cache=$(realpath -m "${CACHE:-target/image}")
# The application in it is the workspace's release, whatever the image is called; boxes that have one keep theirs.
APP_VERSION=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
export APP_VERSION
export VERSION=${VERSION:-$APP_VERSION}
export NUMBER=${NUMBER:-1} FLOOR=${FLOOR:-0} GOOD_WITHIN_S=${GOOD_WITHIN_S:-300}
export ENGAWA=${ENGAWA:-target/out/arm64/engawa}
export SUPERVISOR=${SUPERVISOR:-target/out/arm64/engawa-supervisor}
keys=$(realpath -m "${KEYS:-$cache/keys}")
out=$(realpath -m "${OUT:-$cache/$VERSION}")
[ "$(id -u)" = 0 ] || fail "files of the image have owners: run it as root"
for program in "$ENGAWA" "$SUPERVISOR"; do
  [ -f "$program" ] || fail "there is no $program: build it with  make arm, or name it in ENGAWA= and SUPERVISOR="
done
case $VERSION$NUMBER$FLOOR$GOOD_WITHIN_S in *[!0-9A-Za-z.+-]*) fail "VERSION, NUMBER, FLOOR and GOOD_WITHIN_S: letters, digits, . + -" ;; esac

"$here/keys.sh" "$keys"
base=$cache/base-$(cat "$here/base.sh" "$here/packages" | sha256sum | cut -c1-12).tar
[ -s "$base" ] || { say "Debian's packages: some minutes, once"; mkdir -p "$cache"; "$here/base.sh" "$base"; }
boot=$cache/u-boot-$(cat "$here"/u-boot/* | sha256sum | cut -c1-12)
[ -s "$boot/u-boot.bin" ] || { say "U-Boot: a minute, once"; "$here/u-boot/build.sh" "$boot"; }

mkdir -p "$out"
work=$out/work
rm -rf "$work"
mkdir -p "$work"
[ "${KEEP:-0}" = 1 ] || trap 'rm -rf "$work"' EXIT

say "root file system"
"$here/root.sh" "$base" "$keys" "$work/root"
# zstd at 6 is read as fast as at any other level; blocks of 128 KiB keep the memory of a 512 MB board free.
mksquashfs "$work/root" "$work/root.img" -comp zstd -Xcompression-level "${LEVEL:-6}" -b 131072 -noappend -no-progress -quiet -xattrs
blocks=$(($(stat -c %s "$work/root.img") / 4096))
[ $((blocks * 4096)) = "$(stat -c %s "$work/root.img")" ] || fail "the file system is no whole number of blocks"
salt=$(printf 'engawa %s %s' "$VERSION" "$NUMBER" | sha256sum | cut -d' ' -f1)
# The tree of hashes comes right behind the data; no superblock: what it would say is signed in the kernel image.
hash=$(veritysetup format --no-superblock --data-block-size=4096 --hash-block-size=4096 --hash=sha256 --salt="$salt" \
  --data-blocks="$blocks" --hash-offset=$((blocks * 4096)) "$work/root.img" "$work/root.img" | sed -n 's/^Root hash:[[:space:]]*//p')
[ ${#hash} = 64 ] || fail "veritysetup gave no root hash"
echo "$blocks $hash $salt" >"$work/verity"

say "kernel image"
"$here/initramfs.sh" "$work/root" "$work/verity" "$work/initramfs.cpio.zst"
kernel=$(tr '\n' ' ' <"$work/kernel/package")
if gzip -t <"$work/kernel/vmlinuz" 2>/dev/null; then cp "$work/kernel/vmlinuz" "$work/kernel.gz"; else gzip -n9 <"$work/kernel/vmlinuz" >"$work/kernel.gz"; fi
sed "s/@VERSION@/$VERSION/; s/@KERNEL@/${kernel% }/" "$here/kernel.its" >"$work/kernel.its"
# The board's description of itself with our public key in it is what U-Boot starts from: it takes no image without that signature.
qemu-system-aarch64 -M virt,dumpdtb="$work/board.dtb" -bios "$boot/u-boot.bin" -cpu cortex-a57 -smp 2 -m 512 -nographic >/dev/null 2>&1
for seed in rng-seed kaslr-seed; do fdtput -d "$work/board.dtb" /chosen $seed 2>/dev/null || true; done
(cd "$work" && dtc -q -I dtb -O dtb -p 8192 -o board.pad board.dtb && mv board.pad board.dtb &&
  "$boot/mkimage" -q -f kernel.its -k "$keys" -K board.dtb -r boot.img >/dev/null) || fail "the kernel image could not be signed"

# For the tests: a kernel image with a byte that nobody has signed.
if [ "${DAMAGE:-}" = kernel ]; then printf 'X' | dd of="$work/boot.img" bs=1 seek=5000000 conv=notrunc status=none; fi

say "bundle"
mkdir "$work/bundle"
cp --reflink=auto "$work/root.img" "$work/bundle/root.img"
cp "$work/boot.img" "$work/bundle/boot.img"
echo "$NUMBER" >"$work/bundle/number"
cat >"$work/bundle/manifest.raucm" <<M
[update]
compatible=engawa-arm64-virt
version=$VERSION
description=Engawa system image

[bundle]
format=verity

[image.rootfs]
filename=root.img

[image.boot]
filename=boot.img
M
rm -f "$out/system.raucb"
(cd "$work" && rauc --cert="$keys/signer.pem" --key="$keys/signer.key" --keyring="$keys/ca.pem" \
  --mksquashfs-args="-comp zstd -Xcompression-level 1 -no-progress -quiet" bundle bundle "$out/system.raucb" >/dev/null 2>rauc.log) ||
  { cat "$work/rauc.log" >&2; fail "rauc made no bundle"; }

part_root=$((256 * 2048)) part_boot=$((32 * 2048)) # sectors
[ "$(stat -c %s "$work/root.img")" -le $((part_root * 512)) ] || fail "the root file system does not fit into its 256 MiB"
[ "$(stat -c %s "$work/boot.img")" -le $((part_boot * 512)) ] || fail "the kernel image does not fit into its 32 MiB"
if [ "${BUNDLE_ONLY:-0}" != 1 ]; then
  say "disk"
  disk=$work/disk.img
  truncate -s $((1 << 20)) "$disk"
  truncate -s $(((4096 + 2 * (part_root + part_boot)) * 512)) "$disk"
  at=2048
  line() { # name, sectors, type
    echo "start=$at, size=$2, type=$3, uuid=$(uuid_of partition "$1"), name=$1"
    at=$((at + $2))
  }
  { echo "label: gpt"; echo "label-id: $(uuid_of disk)"
    line boot-a $part_boot "$(uuid_of type boot)"; line root-a $part_root B921B045-1DF0-41C3-AF44-4C6F280D3FAE
    line boot-b $part_boot "$(uuid_of type boot)"; line root-b $part_root B921B045-1DF0-41C3-AF44-4C6F280D3FAE
  } >"$work/table"
  sfdisk -q "$disk" <"$work/table"
  dd if="$work/boot.img" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none
  dd if="$work/root.img" of="$disk" bs=1M seek=33 conv=notrunc,sparse status=none
  printf 'BOOT_ORDER=A\nBOOT_A_LEFT=3\nBOOT_B_LEFT=0\n' >"$work/env"
  mkenvimage -r -s 0x4000 -o "$work/env.img" "$work/env"
  truncate -s 4M "$work/boot-store.img"
  dd if="$work/env.img" of="$work/boot-store.img" bs=1M seek=1 conv=notrunc status=none
  mv "$work/boot-store.img" "$out/boot-store.img"
  mv "$disk" "$out/disk.img"
  cp "$boot/u-boot.bin" "$out/u-boot.bin"
fi
cp "$work/board.dtb" "$out/board.dtb"
cp "$work/boot.img" "$out/boot.img"

say "manifest"
python3 "$here/manifest.py" --root "$work/root" --version "$VERSION" --number "$NUMBER" --floor "$FLOOR" \
  --kernel "${kernel% }" --u-boot "$(cat "$boot/version")" --epoch "$SOURCE_DATE_EPOCH" --root-hash "$hash" \
  rootfs="$work/root.img" initramfs="$work/initramfs.cpio.zst" kernel="$work/kernel.gz" u-boot="$boot/u-boot.bin" >"$out/manifest.json"
cp "$work/kernel/config" "$out/kernel.config"
say "$out: root $(($(stat -c %s "$work/root.img") >> 20)) MiB, kernel image $(($(stat -c %s "$work/boot.img") >> 20)) MiB, bundle $(($(stat -c %s "$out/system.raucb") >> 20)) MiB"
