#!/usr/bin/env bash
# The compiler for Engawa's own crates in a fuzzer, as cargo's RUSTC_WORKSPACE_WRAPPER: `rustc.sh RUSTC ARGUMENTS..`.
#
# Coverage as libFuzzer wants it, which needs no nightly compiler: counters of edges, and the values that are compared. The
# checks of a debug build stay on. Crates of others are taken as `cargo test` has built them: what is built anew are five
# crates, and what is looked for are faults of ours.
exec "$@" -Cpasses=sancov-module \
  -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares \
  -Copt-level=1
