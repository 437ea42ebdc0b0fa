#!/usr/bin/env bash
# What of the image can be tried without a board: the boot loader's choice of a slot, played by this shell with the commands
# of U-Boot that it uses; the refusal of what is below the floor; shellcheck over all scripts, where it is installed.
# Usage: scripts.sh
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "image scripts: $*" >&2; exit 1; }

# Plays the boot command with an environment; prints what was started and what is stored at the end.
# Arguments: BOOT_ORDER, BOOT_A_LEFT, BOOT_B_LEFT, and the slots whose kernel image is not good.
# shellcheck disable=SC2317 # U-Boot's commands are called by what the environment says
played() {
  (
    bad=" $4 "
    declare -A commands
    while IFS='=' read -r name value; do commands[$name]=$value; done < <(sed '/^#/d; /^$/d' u-boot/engawa.env)
    BOOT_ORDER=$1 BOOT_A_LEFT=$2 BOOT_B_LEFT=$3 bootpart='' bootargs='' stored=''
    setenv() { local name=$1; shift; printf -v "$name" '%s' "$*"; }
    setexpr() { [ "$3" = - ] && printf -v "$1" '%s' "$(($2 - $4))"; }
    saveenv() { stored="$BOOT_ORDER/$BOOT_A_LEFT/$BOOT_B_LEFT"; }
    run() { eval "${commands[$1]}"; }
    part() { return 0; }
    virtio() { return 0; }
    sleep() { return 0; }
    # A kernel that starts does not come back; its slot's try must be stored by then.
    bootm() {
      local slot=A
      [ "$bootpart" = 1 ] || slot=B
      case $bootargs in *"rauc.slot=$slot"*) ;; *) fail "partition $bootpart is started with $bootargs" ;; esac
      case $bad in *" $slot "*) return 1 ;; esac
      printf 'start %s %s' "$slot" "$stored" >&3
      exit 0
    }
    reset() { printf 'reset %s' "$stored" >&3; exit 0; }
    fdtcontroladdr=0 first=0 blocks=0
    : "$fdtcontroladdr$first$blocks"
    run bootcmd >/dev/null
  ) 3>&1
}
expect() { # order, A, B, bad, what must come of it
  local got
  got=$(played "$1" "$2" "$3" "$4")
  [ "$got" = "$5" ] || fail "order '$1', tries $2 and $3, not good: '$4': got '$got', wanted '$5'"
}

expect "A" 3 0 "" "start A A/2/0"
expect "A B" 3 3 "" "start A A B/2/3"
expect "B A" 3 3 "" "start B B A/3/2"
# Without a try left a slot is passed over, also when it is the first.
expect "B A" 3 0 "" "start A B A/2/0"
expect "B A" 1 1 "" "start B B A/1/0"
# A kernel image that is not good costs its try, and the other slot starts at once.
expect "B A" 3 3 "B" "start A B A/2/2"
# What is not in the order is never started, whatever tries it has, whatever becomes of the other.
expect "A" 0 3 "" "reset A/3/3"
expect "A" 3 3 "A" "reset A/3/3"
expect "B" 3 0 "" "reset B/3/3"
# Nobody has a try left: all get theirs anew.
expect "A B" 0 0 "" "reset A B/3/3"
expect "A B" 1 1 "A B" "reset A B/3/3"

# The floor, as RAUC asks for it.
bundle=$(mktemp -d)
trap 'rm -rf "$bundle"' EXIT
asked() { # number in the bundle, floor
  printf '%s\n' "$1" >"$bundle/number"
  printf '%s\n' "$2" >"$bundle/floor"
  sed "s#/data/system/floor#$bundle/floor#g; s#/run/engawa-refusal#$bundle/refusal#" root/usr/lib/engawa/before-install >"$bundle/before-install"
  RAUC_UPDATE_SOURCE=$bundle sh "$bundle/before-install" 2>"$bundle/said"
}
asked 4 4 || fail "the floor itself is refused"
asked 5 "" || fail "a box without a floor refuses"
if asked 3 4; then fail "3 is taken though the floor is 4"; fi
grep -q "3 is below 4" "$bundle/said" || fail "the refusal does not say why: $(cat "$bundle/said")"
if asked "" 4; then fail "a bundle without a number is taken"; fi
if asked "7; reboot" 4; then fail "a number that is none is taken"; fi

if command -v shellcheck >/dev/null; then
  shellcheck -x ./*.sh u-boot/build.sh test/scripts.sh root/usr/lib/engawa/*
  shellcheck -s dash initramfs/init
else
  echo "image scripts: shellcheck is not installed: not checked"
fi
echo "image scripts: the boot loader's choice, the floor"
