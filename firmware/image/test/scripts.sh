#!/usr/bin/env bash
# What of the image can be tried without a board: the boot loader's choice of a slot, played by this shell with the commands
# of U-Boot that it uses; the refusal of what is below the floor; the installation that the agent asks for, over power cuts; shellcheck over all scripts, where it is installed.
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

# The installation that the agent asks for, with power cuts. RAUC and what else it calls are played by files of this folder: `order`
# is the boot loader's, `cut` says when the power goes, `calls` what was done.
box=$bundle/box
mkdir -p "$box/bin"
cat >"$box/bin/rauc" <<'R'
#!/bin/bash
echo "$*" >>"$box/calls"
cut=$(cat "$box/cut" 2>/dev/null)
if [ "$cut" = busy ] && [ "$1" != info ] && [ "$(wc -l <"$box/busy")" -lt 3 ]; then
  echo >>"$box/busy"
  echo "rauc mark: Already processing a different method"
  exit 1
fi
case "$1 ${2:-}" in
  info*) echo "RAUC_MF_VERSION='2.0.0'" ;;
  "status mark-active") echo "A B" >"$box/order" ;;
  "status mark-bad") echo A >"$box/order" ;;
  install*)
    cat "${@: -1}" >"$box/wrote" || exit 1
    echo A >"$box/order"
    [ "$cut" != writing ] || { kill -KILL "$PPID"; exit; }
    if [ "$cut" = bad ]; then echo "LastError: signature verification failed"; exit 1; fi
    echo "B A" >"$box/order"
    [ "$cut" != primary ] || { kill -KILL "$PPID"; exit; }
    ;;
esac
R
cat >"$box/bin/fw_printenv" <<'R'
#!/bin/bash
cat "$box/order"
R
cat >"$box/bin/systemctl" <<'R'
#!/bin/bash
echo "systemctl $*" >>"$box/calls"
R
echo '#!/bin/sh' >"$box/bin/sleep"
chmod +x "$box"/bin/*
sed "s#/data/app/system#$box/own#; s#/data/system#$box/state#; s#/run/engawa-#$box/run-#; s#/proc/cmdline#$box/cmdline#
  s#/usr/lib/engawa/image.conf#$box/image.conf#; s#root:root#$(id -u):$(id -g)#; s#\"0 0 600 1\"#\"$(id -u) $(id -g) 600 1\"#" \
  root/usr/lib/engawa/system >"$box/system"
afresh() { # what is asked for; the image 1.0.0 runs in slot A, and a bundle lies ready
  rm -rf "$box"/{own,state,calls,cut,wrote,run-system-restarts}
  mkdir -p "$box/own/bundle" "$box/state"
  echo "the bundle" >"$box/own/bundle/system.raucb"
  printf '%s\n' "$1" >"$box/own/request"
  echo "A B" >"$box/order"
  runs 1.0.0-1 A
}
runs() { echo "ID=$1" >"$box/image.conf"; echo "quiet rauc.slot=$2 x" >"$box/cmdline"; rm -f "$box/run-system-restarts"; }
export box
started() { rm -f "$box/calls"; (PATH=$box/bin:$PATH bash "$box/system" "$@") >"$box/said" 2>&1 || true; }
cut() { echo "$1" >"$box/cut"; (started) 2>/dev/null; rm "$box/cut"; [ -e "$box/own/request" ] || fail "a cut while $1 has ended it"; }
told() { # file, its text; `-`: that there is none
  local is
  is=$(cat "$box/state/$1" 2>/dev/null || echo -)
  [ "$is" = "$2" ] || fail "line ${BASH_LINENO[0]}: $1 says '$is', wanted '$2': $(cat "$box/said")"
}
calls() { # how often this was called
  local times
  times=$(grep -c "^$2" "$box/calls" 2>/dev/null || true)
  [ "${times:-0}" = "$1" ] || fail "line ${BASH_LINENO[0]}: '$2' was called ${times:-0} times: $(cat "$box/said")"
}
is_over() {
  if [ -e "$box/own/request" ] || [ -e "$box/state/taken" ]; then fail "line ${BASH_LINENO[0]}: it is not over: $(cat "$box/said")"; fi
}
want="2.0.0 2 r1"

afresh "$want"
started
told written "$want"; told refused -; is_over; calls 1 "systemctl reboot"
[ -e "$box/run-system-restarts" ] || fail "it does not say that it restarts"
# What RAUC refuses is refused; the same request again is answered, and not tried.
afresh "$want"
echo bad >"$box/cut"
started
told refused "$want
signature verification failed"; told written -; is_over; calls 0 systemctl
rm "$box/cut"
printf '%s\n' "$want" >"$box/own/request"
started
calls 0 install; is_over; told written -
# RAUC is at work for another: that is no refusal.
afresh "$want"
echo busy >"$box/cut"
: >"$box/busy"
started
told written "$want"; told refused -; is_over; calls 4 "status mark-active"; calls 1 install
rm "$box/cut"
# The power goes while RAUC writes: the only copy is gone on with.
afresh "$want"
cut writing
[ ! -e "$box/own/bundle/system.raucb" ] || fail "it was not taken"
started
told written "$want"; told refused -; is_over; calls 1 "systemctl reboot"
[ "$(cat "$box/wrote")" = "the bundle" ] || fail "another bundle was written"
# The copy is gone, not root's alone, or of another request: it is fetched again, and nobody refuses it.
for damage in 'rm taken/system.raucb' 'chmod 644 taken/system.raucb' 'ln taken/system.raucb second' 'echo other >taken/request' \
  'rm taken/request' 'rm -r taken'; do
  afresh "$want"
  cut writing
  (cd "$box/state" && eval "$damage")
  started
  told written -; told refused -; is_over; calls 0 install
done
# What was taken for another request is not installed for this one.
afresh "2.0.0 2 r0"
cut writing
printf '%s\n' "$want" >"$box/own/request"
echo "the newer one" >"$box/own/bundle/system.raucb"
started
told written "$want"
[ "$(cat "$box/wrote")" = "the newer one" ] || fail "what was taken for another request was installed"
# The power goes when the image is whole, before that is kept: it runs, or the boot loader has gone back, or it was left.
afresh "$want"
cut primary
runs 2.0.0-2 B
started
told written "$want"; told refused -; is_over; calls 0 install; calls 0 systemctl
[ ! -e "$box/run-system-restarts" ] || fail "it says that it restarts, and does not"
afresh "$want"
cut primary
runs 1.0.0-1 A
started
told written "$want"; told refused -; is_over; calls 0 install; calls 0 systemctl
afresh "$want"
cut primary
runs 1.0.0-1 A
echo A >"$box/order"
echo "2.0.0: the agent was not healthy within 300 s" >"$box/state/left"
started
told written "$want"; told refused -; is_over; calls 0 install
# What was left before says nothing of this one.
afresh "$want"
echo "2.0.0: the agent was not healthy within 300 s" >"$box/state/left"
cut writing
started
told written "$want"; calls 1 install
# A line that is no request is answered by its own words.
afresh "2.0.0 2 r\$1"
started
told refused "2.0.0 2 r\$1
the request is no line of a version, a number and a rollout in plain words"; is_over; calls 0 install
# It was not done in time; whatever else has ended it ends nothing.
afresh "$want"
cut writing
SERVICE_RESULT=signal started stopped
told refused -
echo "B A" >"$box/order"
SERVICE_RESULT=timeout started stopped
told refused "$want
it was not done within 30 min"; is_over; calls 1 "systemctl restart .*rauc.service"; calls 1 "status mark-bad other"
afresh "$want"
started
SERVICE_RESULT=timeout started stopped
told refused -; told written "$want"

if command -v shellcheck >/dev/null; then
  shellcheck -x ./*.sh u-boot/build.sh test/scripts.sh root/usr/lib/engawa/*
  shellcheck -s dash initramfs/init
else
  echo "image scripts: shellcheck is not installed: not checked"
fi
echo "image scripts: the boot loader's choice, the floor, the installation over power cuts"
