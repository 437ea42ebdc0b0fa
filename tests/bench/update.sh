#!/usr/bin/env bash
# What an update costs, beside RAUC and casync with the same two builds in the same run: bytes on the line, seconds, peak
# memory. The small change is one line of the agent; both builds are what is shipped (`dist`).
#
# TARGET=aarch64-unknown-linux-gnu   what is built; the files are measured, not run
# OLD=, NEW=                         two builds that are there already
# JSON=1                             one object a line
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${TARGET:-aarch64-unknown-linux-gnu}
work=$PWD/target/update-bench
delta=$PWD/target/release/examples/delta
rm -rf "$work/run" && mkdir -p "$work/run"

# The agent of this commit, and the same with one line changed, in a folder of their own.
line='the house is open'
what="from ${OLD:-} to ${NEW:-}"
if [ -z "${OLD:-}" ] || [ -z "${NEW:-}" ]; then
  source=$work/source arch=$(. firmware/arm/env.sh "$target" && echo "$arch")
  mkdir -p "$source/target"
  find "$source" -mindepth 1 -maxdepth 1 ! -name target -exec rm -rf {} +
  git archive HEAD | tar -x -C "$source"
  ln -sfn "$PWD/target/arm" "$source/target/arm"
  (cd "$source" && bash firmware/arm/programs.sh "$target" engawa)
  cp "$source/target/out/$arch/engawa" "$work/old"
  changed=$(grep -rlF "\"$line\"" "$source/edge-agent/agent/src" | head -1)
  sed -i "s/\"$line\"/\"$line, and looked after\"/" "${changed:?the line that the bench changes is gone: choose another in $0}"
  (cd "$source" && bash firmware/arm/programs.sh "$target" engawa)
  cp "$source/target/out/$arch/engawa" "$work/new"
  OLD=$work/old NEW=$work/new what="one changed line of the agent, $target"
fi
if cmp -s "$OLD" "$NEW"; then echo "bench-update: the two builds are the same" >&2; exit 1; fi
cd "$work/run"
full=$(stat -c %s "$NEW")

# Runs a command, and leaves its seconds and its peak memory (KiB) in `took`. Its output goes to `said`.
measure() {
  command time -f '%e %M' -o took "$@" >said 2>log || { echo "bench-update: $* failed:" >&2; tail -5 log >&2; exit 1; }
}
rows=()
row() { # tool, way, bytes of the whole release, bytes of the change, seconds, KiB
  rows+=("$1|$2|$3|$4|$5|$6")
}

# Engawa: the release at once, and the change by each of its two ways.
"$delta" "$OLD" "$NEW" --json >delta
while read -r way whole change seconds kib; do
  row engawa "$way" "$whole" "$change" "$seconds" "$kib"
done < <(python3 - <<'P'
import json
for line in open("delta"):
    way = json.loads(line)
    if way["way"] != "whole": print(way["way"], way["full"], way["bytes"], way["seconds"], way["peak_kib"])
P
)

# RAUC: a bundle whose only image is the agent, into a raw slot. Its memory is the service's, which does the work.
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=bench -days 2 2>/dev/null
mkdir -p content mount
cp "$NEW" content/app.img
truncate -s %4096 content/app.img
cat >content/manifest.raucm <<'M'
[update]
compatible=engawa-bench
version=2
[bundle]
format=plain
[image.app]
filename=app.img
M
cat >system.conf <<C
[system]
compatible=engawa-bench
bootloader=noop
statusfile=$PWD/status
mountprefix=$PWD/mount
bundle-formats=plain
[keyring]
path=$PWD/cert.pem
[slot.app.0]
device=$PWD/slot-a
type=raw
bootname=A
[slot.app.1]
device=$PWD/slot-b
type=raw
bootname=B
C
truncate -s $((full * 2)) slot-a slot-b
rauc --cert=cert.pem --key=key.pem --mksquashfs-args='-comp zstd -Xcompression-level 19' bundle content bundle.raucb >log 2>&1
cat >rauc.sh <<'R'
# On a bus of its own, not the machine's.
export DBUS_STARTER_BUS_TYPE=session
rauc --conf=system.conf --override-boot-slot=A service >service.log 2>&1 &
service=$!
for _ in $(seq 100); do rauc --conf=system.conf status >/dev/null 2>&1 && break; sleep 0.1; done
begun=$(date +%s.%N)
rauc --conf=system.conf install bundle.raucb >log 2>&1 || { cat log service.log >&2; exit 1; }
ended=$(date +%s.%N)
awk -v a="$begun" -v b="$ended" -v m="$(sed -n 's/VmHWM:[^0-9]*\([0-9]*\).*/\1/p' /proc/$service/status)" 'BEGIN { printf "%.2f %d\n", b - a, m }' >took
kill $service
R
dbus-run-session -- bash rauc.sh 2>bus || { cat bus >&2; exit 1; }
cmp -n "$full" "$NEW" slot-b
read -r seconds memory <took
bundle=$(stat -c %s bundle.raucb)
row RAUC bundle "$bundle" "$bundle" "$seconds" "$memory"
# Its adaptive mode fetches blocks of 4 KiB that the running slot lacks. That needs NBD and dm-verity in the kernel, so only
# the bytes are told, by its rule: what is fetched, compressed in one piece, which is less than RAUC could.
blocks=$(python3 - "$OLD" "$NEW" missing <<'P'
import hashlib, sys
cut = lambda name: [block for data in [open(name, "rb").read()] for block in (data[at:at + 4096] for at in range(0, len(data), 4096))]
had = {hashlib.sha256(block).digest() for block in cut(sys.argv[1])}
new = cut(sys.argv[2])
lacks = [block for block in new if hashlib.sha256(block).digest() not in had]
open(sys.argv[3], "wb").write(b"".join(lacks))
print(len(new) * 32)
P
)
adaptive=$(($(zstd -q -19 -c missing | wc -c) + blocks))
row RAUC 'adaptive, by its rule' "$bundle" "$adaptive" - -

# casync: chunks of the file over HTTP, the old file as seed. What the server has sent is counted.
casync make --store=store.castr old.caibx "$OLD" >log 2>&1
casync make --store=store.castr new.caibx "$NEW" >log 2>&1
cat >serve.py <<'P'
import functools, http.server, os, sys
class Counting(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def copyfile(self, source, out):
        data = source.read()
        with open("sent", "a") as sent: sent.write(f"{len(data)}\n")
        out.write(data)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting)
with open("port.new", "w") as port: port.write(str(server.server_port))
os.rename("port.new", "port")
server.serve_forever()
P
python3 serve.py &
server=$!
trap 'kill $server' EXIT
for _ in $(seq 100); do [ -e port ] && break; sleep 0.1; done
at=http://127.0.0.1:$(cat port)
sent() { awk '{ sum += $1 } END { print sum + 0 }' sent; rm -f sent; }
measure casync extract --store="$at/store.castr" "$at/new.caibx" whole.casync
cmp "$NEW" whole.casync
whole=$(sent)
cp "$OLD" seed
measure casync extract --store="$at/store.castr" --seed=seed "$at/new.caibx" new.casync
cmp "$NEW" new.casync
read -r seconds memory <took
row casync 'chunks over HTTP' "$whole" "$(sent)" "$seconds" "$memory"

if [ "${JSON:-}" != 1 ]; then
  echo
  echo "$what ($full bytes):"
  printf '%-8s %-22s %14s %14s %10s %8s %9s\n' tool way 'whole, bytes' 'change, bytes' 'of whole' seconds 'peak MiB'
fi
for row in "${rows[@]}"; do
  IFS='|' read -r tool way whole change seconds memory <<<"$row"
  awk -v json="${JSON:-}" -v t="$tool" -v y="$way" -v w="$whole" -v c="$change" -v s="$seconds" -v m="$memory" 'BEGIN {
    share = 100 * c / w
    if (json == 1) printf "{\"tool\":\"%s\",\"way\":\"%s\",\"whole\":%d,\"change\":%d,\"seconds\":%s,\"peak_kib\":%s}\n", t, y, w, c, s == "-" ? "null" : s, m == "-" ? "null" : m
    else printf "%-8s %-22s %14d %14d %9.1f%% %8s %9s\n", t, y, w, c, share, s, m == "-" ? "-" : sprintf("%.1f", m / 1024) }'
done
best=$(printf '%s\n' "${rows[@]}" | awk -F'|' '$1 == "engawa" { s = 100 * $4 / $3; if (!b || s < b) b = s } END { printf "%.1f", b }')
if awk -v b="$best" 'BEGIN { exit b < 10 }'; then
  echo "bench-update: the small change is $best % of the whole release; below 10 % is what is promised" >&2
  exit 1
fi
