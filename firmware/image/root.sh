#!/usr/bin/env bash
# The root file system of one image, as a folder: Debian's base, what is Engawa's own, the agent. As root, for its owners.
# Usage: root.sh BASE.tar KEYS OUT-FOLDER
# ENGAWA and SUPERVISOR: the ARM64 programs.  VERSION, NUMBER, FLOOR, GOOD_WITHIN_S: as build.sh has them.
# OVERLAY: a folder that is laid over it at the end (the tests' broken images).
set -euo pipefail
base=$(realpath "${1:?usage: root.sh BASE.tar KEYS OUT-FOLDER}") keys=$(realpath "$2") root=$(realpath -m "$3")
here=$(realpath "$(dirname "$0")")
cd "$here"
# shellcheck source=SCRIPTDIR/lib.sh
. ./lib.sh
rm -rf "$root"
mkdir -p "$root"
tar -xpf "$base" -C "$root" --numeric-owner

# What differs from one making of the base to the next, or is of no use on a file system that nobody writes.
rm -rf "$root"/var/{cache,log,tmp,backups}/* "$root"/var/lib/apt/lists/* "$root"/var/lib/systemd/* "$root"/tmp/* \
  "$root"/etc/{hostname,resolv.conf,ssl/certs/java,.pwd.lock} "$root"/etc/*- "$root"/var/lib/dbus/machine-id \
  "$root"/usr/share/{lintian,bug,bash-completion,zsh,pixmaps} "$root"/usr/lib/aarch64-linux-gnu/gconv \
  "$root"/initrd.img* "$root"/vmlinuz*
: >"$root/etc/machine-id"
echo engawa >"$root/etc/hostname"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"

kernel=$(basename "$(echo "$root"/lib/modules/*)")
sed 's/#.*//; /^$/d' modules.drop | while read -r drop; do rm -rf "$root/lib/modules/$kernel/kernel/${drop:?}"; done
depmod -b "$root" "$kernel"

# Users with fixed numbers: their files outlive every image.
add_user() { # name, id
  echo "$1:x:$2:$2::/nonexistent:/usr/sbin/nologin" >>"$root/etc/passwd"
  echo "$1:x:$2:" >>"$root/etc/group"
  echo "$1:!:::::::" >>"$root/etc/shadow"
}
add_user engawa 990

cp -r --no-preserve=ownership root/. "$root/"
install -D -m 0644 "$keys/ca.pem" "$root/etc/rauc/ca.pem"
mkdir -p "$root/data" "$root/etc/engawa"
install -m 0755 "$ENGAWA" "$root/usr/lib/engawa/engawa"
install -m 0755 "$SUPERVISOR" "$root/usr/lib/engawa/engawa-supervisor"
install -m 0755 ../../deploy/supervised/engawa-supervised "$root/usr/lib/engawa/engawa-supervised"
# The unit of any machine, its hardening with it, and the drop-in with which the supervisor starts the agent.
sed -f unit.sed ../../deploy/systemd/engawa.service >"$root/usr/lib/systemd/system/engawa.service"
mkdir "$root/usr/lib/systemd/system/engawa.service.d"
sed -f unit.sed -e "s#@VERSION@#$APP_VERSION#" ../../deploy/systemd/supervised.conf >"$root/usr/lib/systemd/system/engawa.service.d/supervised.conf"
sed -f unit.sed ../../deploy/supervised/engawa >"$root/usr/bin/engawa"
chmod 0755 "$root/usr/bin/engawa"
if grep -rn /usr/local "$root/usr/bin/engawa" "$root/usr/lib/systemd/system/"engawa.service*; then fail "unit.sed does not fit deploy/systemd any more"; fi
cat >"$root/usr/lib/engawa/image.conf" <<C
# What this system image is; read by the scripts beside it.
ID="$VERSION-$NUMBER"
VERSION="$VERSION"
NUMBER=$NUMBER
FLOOR=$FLOOR
GOOD_WITHIN_S=$GOOD_WITHIN_S
C
# By this the agent tells the cloud which image it runs on (os-release(5)).
printf 'IMAGE_ID=engawa\nIMAGE_VERSION=%s\nENGAWA_IMAGE_NUMBER=%s\n' "$VERSION" "$NUMBER" >>"$root/usr/lib/os-release"
[ -z "${OVERLAY:-}" ] || cp -r --no-preserve=ownership "$OVERLAY/." "$root/"

# Enabled and masked as files, so that nothing of the guest has to run for it.
want() { # unit, target
  mkdir -p "$root/etc/systemd/system/$2.wants"
  ln -sfn "/usr/lib/systemd/system/$1" "$root/etc/systemd/system/$2.wants/$1"
}
for unit in engawa.service engawa-good.service engawa-network.service systemd-networkd.service \
  systemd-resolved.service rauc.service engawa-system.path; do want "$unit" multi-user.target; done
for unit in engawa-partition.service systemd-timesyncd.service; do want "$unit" sysinit.target; done
want engawa-data.service local-fs.target
# Nobody logs in at the box, and nothing of Debian is brought up to date inside an image.
for unit in getty@.service serial-getty@.service console-getty.service getty.target apt-daily.timer \
  apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer e2scrub_reap.service \
  systemd-firstboot.service systemd-repart.service systemd-networkd-wait-online.service ldconfig.service \
  systemd-machine-id-commit.service systemd-remount-fs.service systemd-update-done.service; do
  ln -sfn /dev/null "$root/etc/systemd/system/$unit"
done
rm -rf "$root/etc/systemd/system/getty.target.wants" "$root/etc/systemd/system/multi-user.target.wants/e2scrub_reap.service"
# The kernel goes into the kernel image alone.
mkdir -p "$root/../kernel"
mv "$root"/boot/vmlinuz-* "$root/../kernel/vmlinuz"
mv "$root/boot/kernel-package" "$root/../kernel/package"
cp "$root/boot/config-$kernel" "$root/../kernel/config"
rm -rf "${root:?}/boot"/*
