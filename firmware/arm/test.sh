#!/usr/bin/env bash
# The tests that another processor could break, under qemu-user: `test.sh TRIPLE..`. 32-bit numbers, unaligned and slow
# processors are what they look for, so fewer random cases do (PROPTEST_CASES).
#
# CRATES="engawa-model .."   which crates
set -euo pipefail
cd "$(dirname "$0")/../.."
read -ra crates <<<"${CRATES:-engawa-model engawa-protocol engawa-tuf engawa-release engawa-slots engawa-store}"
packages=()
for crate in "${crates[@]}"; do packages+=(-p "$crate"); done
export PROPTEST_CASES=${PROPTEST_CASES:-16}

for triple; do
  (
    PROFILE=dev
    . firmware/arm/env.sh "$triple"
    # Started and told its version: what an emulator of another architecture would have refused.
    "$emulator" -L "/usr/$gnu" -E LD_LIBRARY_PATH="$libs" "target/out/$arch/engawa" --version
    "$emulator" -L "/usr/$gnu" -E LD_LIBRARY_PATH="$libs" "target/out/$arch/engawa" check deploy/engawa.example.toml >/dev/null
    # Left out: a test that starts itself again, which has no emulator then.
    "${CARGO:-cargo}" test --locked --no-fail-fast "${cargo_flags[@]}" --target "$triple" "${packages[@]}" --lib --tests -- \
      --skip many_stores_are_opened_at_once
  )
done
