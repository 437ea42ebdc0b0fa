#!/usr/bin/env bash
# Builds programs for one ARM target, into target/out/ARCHITECTURE of this folder: `programs.sh TRIPLE PROGRAM..`.
#
# PROFILE=release   a quicker build than `dist`
set -euo pipefail
cd "$(dirname "$0")/../.."
export PROFILE=${PROFILE:-dist}
. firmware/arm/env.sh "$1"
cargo=${CARGO:-cargo}
for program in "${@:2}"; do
  if [ "$program" != engawa-supervisor ]; then
    "$cargo" build --locked --profile "$PROFILE" "${cargo_flags[@]}" --target "$1" -p "$program" --bin "$program"
    built=target/$1/$PROFILE/$program
  elif [ -n "$musl" ]; then
    "$cargo" build --locked --profile supervisor --target "$musl" -p engawa-supervisor
    built=target/$musl/supervisor/engawa-supervisor
  else
    std=()
    if [ ${#cargo_flags[@]} -gt 0 ]; then std=(-Zbuild-std=std,panic_abort); fi
    (
      flags=CARGO_TARGET_${upper}_RUSTFLAGS
      export "$flags=${!flags:-} -Ctarget-feature=+crt-static"
      "$cargo" build --locked --profile supervisor "${std[@]}" --target "$1" --target-dir target/static -p engawa-supervisor
    )
    built=target/static/$1/supervisor/engawa-supervisor
  fi
  install -D -m 0755 "$built" "target/out/$arch/$program"
done
