#!/usr/bin/env bash
# The base of the root file system: Debian packages for ARM64 and the kernel, as one tar. Minutes, once.
# Usage: base.sh OUT.tar
# The packages are those of the Debian mirror that this machine uses; what came is listed in the image's manifest.
set -euo pipefail
out=$(realpath -m "${1:?usage: base.sh OUT.tar}")
cd "$(dirname "$0")"
# shellcheck source=SCRIPTDIR/lib.sh
. ./lib.sh
suite=bookworm
kernel=linux-image-arm64

sources=()
main=$(mirror Debian)
sources+=("deb $main $suite main" "deb $main $suite-updates main")
security=$(mirror Debian-Security)
[ -z "$security" ] || sources+=("deb $security $suite-security main")

# Programs of the guest run under qemu-user while packages are configured.
mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
update-binfmts --enable qemu-aarch64
arch-test arm64 >/dev/null || fail "this machine does not run ARM64 programs: qemu-user-static and binfmt-support are needed"

# The kernel's package is fetched by the guest's own apt, so that its signature is checked as every other's.
unpack_kernel="
set -eu
export APT_CONFIG=\"\$MMDEBSTRAP_APT_CONFIG\"
real=\$(apt-cache depends $kernel | sed -n 's/^ *Depends: \\(linux-image-[0-9].*\\)/\\1/p' | head -1)
cd \"\$1/tmp\"
apt-get download -q \"\$real\"
dpkg-deb --fsys-tarfile linux-image-*.deb | tar -x --keep-directory-symlink -C \"\$1\"
dpkg-deb -f linux-image-*.deb Package Version >\"\$1/boot/kernel-package\"
rm -f linux-image-*.deb"

packages=$(sed 's/#.*//' packages | tr -s ' \n' ',,' | sed 's/^,//; s/,$//')
mmdebstrap --quiet --format=tar --variant=minbase --architectures=arm64 --include="$packages" \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --customize-hook="$unpack_kernel" \
  "$suite" "$out.part" "${sources[@]}"
mv "$out.part" "$out"
