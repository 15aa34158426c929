#!/bin/sh
# Compiles a crate of the workspace so that the search sees which way it went. Cargo calls this in
# place of the compiler, for our crates only (RUSTC_WORKSPACE_WRAPPER).
exec "$@" \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
