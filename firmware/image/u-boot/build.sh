#!/usr/bin/env bash
# Builds U-Boot for QEMU's ARM64 machine out of Debian's source package. A minute, once.
# Usage: u-boot/build.sh OUT-FOLDER      makes OUT-FOLDER/u-boot.bin and OUT-FOLDER/mkimage
# Debian's own binary would start, but its environment has one copy, believes whatever is in it, and takes unsigned images.
set -euo pipefail
out=$(realpath -m "${1:?usage: u-boot/build.sh OUT-FOLDER}")
here=$(realpath "$(dirname "$0")")
cd "$here"
# shellcheck source=SCRIPTDIR/../lib.sh
. ../lib.sh
work=$out/work
rm -rf "$work"
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/apt/state"

# An apt of its own, for the sources alone: the machine's settings stay as they are. It checks Debian's signature.
cat >"$work/apt/sources.sources" <<S
Types: deb-src
URIs: $(mirror Debian)
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
S
cat >"$work/apt/apt.conf" <<S
Dir::Etc::sourcelist "$work/apt/sources.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$work/apt/state";
Dir::State::lists "$work/apt/lists";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "root";
APT::Update::Post-Invoke-Success {};
S
cd "$work"
export APT_CONFIG=$work/apt/apt.conf
apt-get update -qq
apt-get source -qq --download-only u-boot
unset APT_CONFIG
mkdir source
tar -xf u-boot_*.orig.tar.xz -C source --strip-components=1
tar -xf u-boot_*.debian.tar.xz -C source
sed -n 's/^Version: //p' u-boot_*.dsc | head -1 >"$out/version"
cd source
sed 's/ *#.*//; /^$/d' debian/patches/series | while read -r patch; do patch -sp1 <"debian/patches/$patch"; done
patch -sp1 <"$here/default-first.patch"
sed -i "/^#endif .* __CONFIG_H /d" include/configs/qemu-arm.h
cat "$here/flags.h" >>include/configs/qemu-arm.h
echo '#endif' >>include/configs/qemu-arm.h
cp "$here/engawa.env" .

export CROSS_COMPILE=aarch64-linux-gnu-
make -s qemu_arm64_defconfig
scripts/kconfig/merge_config.sh -m .config "$here/engawa.config" >/dev/null 2>&1
make -s olddefconfig
# What was asked for and did not stay would be a boot loader with a hole: say which.
sed -n 's/^# \(CONFIG_[A-Z0-9_]*\) is not set$/\1=n/p; /^CONFIG_/p' "$here/engawa.config" | while read -r wanted; do
  case $wanted in
    *=n) ! grep -q "^${wanted%=n}=" .config || fail "U-Boot kept ${wanted%=n}" ;;
    *) grep -qxF "$wanted" .config || fail "U-Boot did not take $wanted" ;;
  esac
done
make -s -j"$(nproc)" u-boot.bin tools 2>&1 | grep -v 'RWX permissions' >&2 || true
if ! { [ -s u-boot.bin ] && [ -x tools/mkimage ]; }; then fail "U-Boot did not build: see above"; fi
cp u-boot.bin "$out/u-boot.bin"
cp tools/mkimage "$out/mkimage"
cp .config "$out/config"
rm -rf "$work"
