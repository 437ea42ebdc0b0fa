#!/usr/bin/env bash
# Changes the code of the model and the PMS link one place at a time and looks whether a test notices: cargo-mutants.
# Below 5 % of the mutants that compile may survive; those that do are listed.
#   MUTANTS_FILES="guests.rs resync.rs"   only these files; all of both crates where empty
#   MUTANTS_SHARD=0/8                     only this part of them
set -euo pipefail
cd "$(dirname "$0")/.."
# A slice of the days is enough: a mutant that breaks the house breaks the first of them.
export DAYS=${MUTANTS_DAYS:-200} CARGO_PROFILE_DEV_DEBUG=0
cargo=${CARGO:-cargo}
most=5
out=${MUTANTS_OUT:-target/mutants}

command -v cargo-mutants >/dev/null || "$cargo" install cargo-mutants --locked
# The random days are tests of both crates that live beside them.
args=(--package engawa-model --package engawa-pms --test-package engawa-model --test-package engawa-pms --test-package engawa-days
  --sharding round-robin --jobs 1 --timeout 60 --minimum-test-timeout 30 --output "$out" --no-shuffle --colors never)
for file in ${MUTANTS_FILES:-}; do args+=(--file "$file"); done
[ -z "${MUTANTS_SHARD:-}" ] || args+=(--shard "$MUTANTS_SHARD")
mkdir -p "$out"
# 2: some survived; 3: some timed out, which is noticed, too.
status=0
"$cargo" mutants "${args[@]}" || status=$?
case $status in 0 | 2 | 3) ;; *) exit "$status" ;; esac

count() { wc -l <"$out/mutants.out/$1.txt"; }
survived=$(count missed)
tried=$((survived + $(count caught) + $(count timeout)))
[ "$tried" -gt 0 ] || { echo "mutants: none was tried; are the files named right?"; exit 1; }
echo "mutants: $tried tried, $survived survived (below $most % may)"
cat "$out/mutants.out/missed.txt"
[ $((survived * 100)) -lt $((tried * most)) ]
