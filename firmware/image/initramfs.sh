#!/usr/bin/env bash
# The initramfs of one image. Usage: initramfs.sh ROOT-FOLDER VERITY-FILE OUT.cpio.zst
# OVERLAY_INIT: another /init (the tests' broken images).
set -euo pipefail
root=$(realpath "${1:?usage: initramfs.sh ROOT-FOLDER VERITY-FILE OUT}") verity=$(realpath "$2") out=$(realpath -m "$3")
cd "$(dirname "$0")"
# shellcheck source=SCRIPTDIR/lib.sh
. ./lib.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir"/{bin,sbin,lib,modules,dev}
install -m 0755 "$root/bin/busybox" "$dir/bin/busybox"
install -m 0755 "$root/sbin/dmsetup" "$dir/sbin/dmsetup"
install -m 0755 "${OVERLAY_INIT:-initramfs/init}" "$dir/init"
install -m 0644 "$verity" "$dir/verity"
# Libraries, by what the programs name.
needed() { aarch64-linux-gnu-readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
take() {
  local library
  for library in $(needed "$1"); do
    [ ! -e "$dir/lib/$library" ] || continue
    install -m 0755 "$(readlink -f "$root/lib/aarch64-linux-gnu/$library")" "$dir/lib/$library"
    take "$dir/lib/$library"
  done
}
take "$dir/sbin/dmsetup"
install -m 0755 "$root/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1" "$dir/lib/ld-linux-aarch64.so.1"
# Modules in the order in which they are needed.
kernel=$(basename "$(echo "$root"/lib/modules/*)")
sed 's/#.*//; /^$/d' initramfs/modules | while read -r module; do
  modprobe -d "$root" -S "$kernel" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
done | awk '!seen[$0]++' | while read -r file; do
  file=$root/lib/modules/${file#*lib/modules/}
  name=$(basename "$file")
  case $name in
    *.xz) xz -dc "$file" >"$dir/modules/${name%.xz}" ; name=${name%.xz} ;;
    *) cp "$file" "$dir/modules/$name" ;;
  esac
  echo "$name" >>"$dir/modules/order"
done
find "$dir" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
(cd "$dir" && find . -mindepth 1 -print0 | sort -z |
  cpio --quiet -0 -o -H newc -R 0:0 --reproducible) | zstd -q -19 -T1 -f -o "$out"
