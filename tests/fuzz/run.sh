#!/usr/bin/env bash
# Builds the fuzzers and plays them.
#
#   tests/fuzz/run.sh                 each target for FUZZ_SECONDS (60), as many at once as there are processors
#   tests/fuzz/run.sh TARGET          one target
#   tests/fuzz/run.sh TARGET FILE..   plays inputs again, one by one
#
# FUZZ_SECONDS=n   how long each target is played
# FUZZ_RUNS=n      how many inputs each is played at most: with the same seed the same ones, on any machine (endless)
# FUZZ_SEED=n      the seed (20261125); the same seed and the same code try the same inputs in the same order
# FUZZ_KEEP=1      goes on with the inputs that earlier runs have found; else each run begins with the committed ones
#
# Everything is kept below target/fuzz; the committed inputs are only read.
set -euo pipefail
cd "$(dirname "$0")/../.."

targets=(profile sparkplug mqtt rtu tcp fias sync release)
seconds=${FUZZ_SECONDS:-60} most=${FUZZ_RUNS:--1} seed=${FUZZ_SEED:-20261125}
work=target/fuzz
programs=target/debug

# --workspace, though only these are built: so crates of others have the features that they have in every other build.
bins=("${targets[@]/#/--bin=fuzz-}")
RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz/rustc.sh "${CARGO:-cargo}" build --quiet --locked --workspace \
  --features engawa-fuzz/libfuzzer "${bins[@]}"

if [ $# -gt 1 ]; then
  target=$1; shift
  exec "$programs/fuzz-$target" "$@"
fi
[ $# -eq 0 ] || targets=("$1")

# One target, with its own folder for what it finds.
play() {
  local target=$1 found=$work/corpus/$1 log=$work/$1.log broken=$work/broken/$1- began=$SECONDS
  [ "${FUZZ_KEEP:-}" = 1 ] || rm -rf "$found"
  mkdir -p "$found" "$work/broken"
  local dictionary=()
  [ ! -e "tests/fuzz/$target.dict" ] || dictionary=("-dict=tests/fuzz/$target.dict")
  if ! "$programs/fuzz-$target" -seed="$seed" -max_total_time="$seconds" -runs="$most" -max_len=4096 -timeout=10 \
      -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$broken" "${dictionary[@]}" \
      "$found" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
    grep -E 'panicked at|^assertion|ERROR:' -A 4 "$log" | head -40
    echo "fuzz: $target has broken a promise with FUZZ_SEED=$seed; all of it is in $log"
    sed -n 's/.*Test unit written to \(.*\)/fuzz: play it again with  tests\/fuzz\/run.sh '"$target"' \1/p' "$log"
    return 1
  fi
  # A fuzzer without counters finds nothing, and says so nowhere else.
  local counters runs
  counters=$(sed -n 's/.*(\([0-9]*\) inline 8-bit counters).*/\1/p' "$log" | head -1)
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  if [ "${counters:-0}" -lt 1000 ]; then
    echo "fuzz: $target is built without coverage: touch tests/fuzz/src/lib.rs and try again"
    return 1
  fi
  echo "fuzz: $target held through $runs inputs in $((SECONDS - began)) s ($(grep -c . <(ls "$found")) of them new to its $counters counters)"
}
export -f play
export seconds most seed work programs
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -euo pipefail -c 'play {}'
