#!/usr/bin/env bash
# Tries installation and removal in a folder of its own, and the unit's hardening. Usage: deploy/test.sh BINARY
set -euo pipefail
binary=$(realpath "${1:?usage: deploy/test.sh BINARY}")
cd "$(dirname "$0")/.."
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
fail() { echo "deploy: $*" >&2; exit 1; }
mode() { stat -c %a "$root$1"; }

for round in first second; do
  DESTDIR=$root PREFIX=/usr/local ENGAWA=$binary bash deploy/install.sh >"$root/log" || { cat "$root/log"; fail "the $round installation"; }
done
grep -q "is there already and stays" "$root/log" || fail "a second installation touched the configuration"
[ "$(mode /usr/local/bin/engawa)" = 755 ] || fail "the binary's mode"
[ "$(mode /etc/systemd/system/engawa.service)" = 644 ] || fail "the unit's mode"
[ "$(mode /etc/engawa/engawa.toml)" = 640 ] || fail "the configuration's mode"
grep -q complete "$root/usr/local/share/bash-completion/completions/engawa" || fail "the completions"
"$root/usr/local/bin/engawa" check "$root/etc/engawa/engawa.toml" >/dev/null || fail "the example configuration"

# What is commented out in the example must be right too.
sed -E 's/^# (\[|[a-z_]+ = )/\1/; /^profiles = /d; s#^(ca|cert|key|password|auth_key|secret)_file.*##; s#^(username|topics|file) .*##; s#^root = .*#root = "etc/engawa/engawa.toml"#; s#"mqtts://10.0.0.9"#"mqtt://10.0.0.9"#' \
  "$root/etc/engawa/engawa.toml" >"$root/whole.toml"
"$root/usr/local/bin/engawa" check "$root/whole.toml" >/dev/null || fail "the example configuration with everything in it"
# And what is there in place of something else, each by itself: several PMS, and each hosted system.
in_place() {
  { cat "$root/etc/engawa/engawa.toml"
    sed -nE 's/^## //p' "$root/etc/engawa/engawa.toml" |
      awk -v wanted=" $* " '/^\[/ {on = index(wanted, " " $1 " ")} on' | sed -E 's/"V12"/"102"/; s#^(ca|cert|key|secret)_file.*##'
  } >"$root/whole.toml"
  "$root/usr/local/bin/engawa" check "$root/whole.toml" >/dev/null || fail "the example configuration with $*"
}
in_place '[[pms]]' '[[room]]'
for system in mews apaleo ohip import; do in_place '[hosted]' "[hosted.$system]"; done

DESTDIR=$root PREFIX=/opt/engawa ENGAWA=$binary bash deploy/install.sh >/dev/null
grep -q "^ExecStart=/opt/engawa/bin/engawa " "$root/etc/systemd/system/engawa.service" || fail "PREFIX in the unit"
DESTDIR=$root PREFIX=/opt/engawa bash deploy/uninstall.sh >/dev/null
DESTDIR=$root PREFIX=/usr/local ENGAWA=$binary bash deploy/install.sh >/dev/null

# Supervised: the first slot is laid once, and the command line is that of the slot.
supervisor=$(dirname "$binary")/engawa-supervisor
supervised() { DESTDIR=$root PREFIX=/usr/local ENGAWA=$binary SUPERVISOR=$supervisor bash deploy/install.sh "$@" >"$root/log" 2>&1; }
supervised --supervised || { cat "$root/log"; fail "the supervised installation"; }
dropin=$root/etc/systemd/system/engawa.service.d/supervised.conf
grep -q "@" "$dropin" && fail "the version in the drop-in"
first=$(sed -nE 's#^ExecStartPre=/usr/local/lib/engawa/engawa-supervisor (.*)#\1#p' "$dropin")
for round in first second; do
  # shellcheck disable=SC2086 # words of a command line
  "$root/usr/local/lib/engawa/engawa-supervisor" ${first//\/usr\/local\//$root/usr/local/} --dir "$root/slots" >/dev/null \
    || fail "the $round time that the first slot is laid"
done
# It holds the socket that the configuration names, and no other word goes to it.
mkdir "$root/held"
cp "$root/usr/local/lib/engawa/engawa-supervised" "$root/held"
printf '#!/bin/sh\necho "$*"\n' >"$root/held/engawa-supervisor"
chmod 755 "$root/held/engawa-supervisor"
holds() { # what the configuration says, the words before DIR
  printf '%b' "$1" >"$root/held/c"
  [ "$("$root/held/engawa-supervised" DIR --run-dir R -- "$root/held/c")" = "$2DIR --run-dir R -- $root/held/c" ] || fail "the socket held by: $1"
}
holds '[mqtt]\nlisten = "127.0.0.1:1883"\n' '--listen api=127.0.0.1:8480 '
holds '[api]\nlisten = "0.0.0.0:80" # all\n[mqtt]\nlisten = "127.0.0.1:1883"\n' '--listen api=0.0.0.0:80 '
holds "[a]\n# [api]\n [api]\n# listen = 'x'\n  listen='[::1]:8480'\n" '--listen api=[::1]:8480 '
holds '[api]\nlisten = "127.0.0.1:0"\n' ''
holds '[api]\nlisten = "127.0.0.1:1 --trial 9"\n' ''
rm -r "$root/held"
sed -i "s#/usr/local/#$root/usr/local/#" "$root/usr/local/bin/engawa"
[ "$(ENGAWA_SLOTS=$root/slots "$root/usr/local/bin/engawa" --version 2>/dev/null)" = "$("$binary" --version)" ] || fail "the command line of the slot"
[ "$(ENGAWA_SLOTS=/nowhere "$root/usr/local/bin/engawa" --version 2>"$root/log")" = "$("$binary" --version)" ] || fail "the command line without slots"
grep -q "beside the slots is run" "$root/log" || fail "that it is another version is not said"
if [ "$(id -u)" = 0 ]; then
  # What lies in a slot is not run by root, and does not share its terminal.
  chmod 755 "$root"
  mkdir -m 755 "$root/theirs"
  cp -r "$root/slots/." "$root/theirs"
  printf '#!/bin/sh\nid -u\ntty\nexit 7\n' >"$root/theirs/a/engawa"
  by() { ENGAWA_SLOTS=$root/theirs ENGAWA_USER=$1 "$root/usr/local/bin/engawa" 2>"$root/log" </dev/null; }
  said=$(by nobody) && fail "the exit code of a slot's program"
  [ "$said" = "$(id -u nobody)
not a tty" ] || fail "root runs what lies in a slot: $said"
  if command -v script >/dev/null; then
    # Of the three whatever is a terminal is another one, and files and pipes are as they were given.
    # shellcheck disable=SC2016 # the program's
    printf '#!/bin/sh\nid -u\nfor n in 0 1 2; do readlink /proc/$$/fd/$n; done\necho told >&2\nexit 7\n' >"$root/theirs/a/engawa"
    for how in '' ">$root/out" "2>$root/err" "</dev/null" ">$root/out 2>$root/err" "</dev/null >$root/out" "</dev/null 2>$root/err"; do
      rm -f "$root/out" "$root/err"
      own=$(script -qec "tty >'$root/own'; ENGAWA_SLOTS=$root/theirs ENGAWA_USER=nobody $root/usr/local/bin/engawa $how; echo code \$?" /dev/null </dev/null | tr -d '\r\0') || true
      all=$own$(cat "$root/out" "$root/err" 2>/dev/null || true)
      grep -q "$(id -u nobody)" <<<"$all" || fail "root runs what lies in a slot, in a terminal ($how): $all"
      grep -qxF "$(cat "$root/own")" <<<"$all" && fail "a slot's program has root's terminal ($how): $all"
      grep -q "code 7" <<<"$own" || fail "the exit code of a slot's program in a terminal ($how): $own"
      case $how in *'>'"$root/out"*) [ "$(sed -n 1p "$root/out")$(sed -n 3p "$root/out")" = "$(id -u nobody)$root/out" ] || fail "what goes into a file ($how): $(cat -A "$root/out")" ;; esac
      case $how in *'2>'*) [ "$(cat "$root/err")" = told ] || fail "errors that go into a file ($how): $(cat -A "$root/err")" ;; *) grep -q told <<<"$own" || fail "errors in a terminal ($how): $own" ;; esac
    done
    rm -f "$root/out" "$root/err"
  fi
  by no-such-user >/dev/null && true
  grep -q "there is no user no-such-user" "$root/log" || fail "that root runs the installed version is not said"
  rm "$root/theirs/table.0" "$root/theirs/table.1" 2>/dev/null || true
  by nobody >/dev/null && true
  grep -q "beside the slots is run: .*no release was installed" "$root/log" || fail "that the slots could not be read is not said"
  rm -rf "$root/theirs" "$root/own"
fi
mkdir -p "$root/var/lib/engawa-app"
cp "$root/slots/table.0" "$root/var/lib/engawa-app"
supervised --supervised || fail "an installation over a supervised one"
grep -q "engawa update install --from" "$root/log" || fail "how another release is started is not said"
rm -r "$root/var/lib/engawa-app"
sed -i "s#/usr/local/#$root/usr/local/#" "$root/usr/local/bin/engawa"
if supervised; then fail "a plain installation over a supervised one"; fi
cat deploy/systemd/engawa.service "$dropin" >"$root/engawa.service"
exposure=$(systemd-analyze security --offline=true --threshold=20 --no-pager "$root/engawa.service" 2>&1) \
  || { echo "$exposure" | tail -3; fail "the supervised unit is more exposed than 2.0"; }
rm -rf "$dropin" "$root/slots" "$root/engawa.service"
supervised || fail "a plain installation after that"

mkdir -p "$root/var/lib/engawa"
DESTDIR=$root PREFIX=/usr/local bash deploy/uninstall.sh >/dev/null
left=$(find "$root" -type f ! -name log ! -name whole.toml)
[ "$left" = "$root/etc/engawa/engawa.toml" ] || fail "removal left: $left"
if DESTDIR=$root bash deploy/uninstall.sh --purge </dev/null >/dev/null 2>&1; then fail "purge did not ask"; fi
DESTDIR=$root bash deploy/uninstall.sh --purge --yes >/dev/null
[ ! -e "$root/etc/engawa" ] && [ ! -e "$root/var/lib/engawa" ] || fail "purge left something"

exposure=$(systemd-analyze security --offline=true --threshold=20 --no-pager deploy/systemd/engawa.service 2>&1) \
  || { echo "$exposure" | tail -3; fail "the unit is more exposed than 2.0"; }
echo "deploy: $(echo "$exposure" | grep -o 'Overall exposure level.*')"
