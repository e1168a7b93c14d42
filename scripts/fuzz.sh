#!/usr/bin/env bash
# Runs the fuzz targets of fuzz/, each for a while, on a stable compiler and without cargo-fuzz.
#
#     scripts/fuzz.sh [SECONDS] [TARGET…]      30 seconds and all targets if nothing else is said
#
# Each begins with the corpus in fuzz/corpus/TARGET and with files of the tests; what it learns is kept in target/fuzz/TARGET. A crash ends
# with status 1, and leaves its input in target/fuzz/crashes.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$HERE")
OUT=${CARGO_TARGET_DIR:-$ROOT/target}/fuzz
HOST=$(rustc -vV | sed -n 's/^host: //p')

# What cargo-fuzz passes, without a sanitizer of memory: there is no unsafe code here. Not for build scripts, hence --target.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"

targets() { sed -n 's/^name = "\([a-z]*\)"$/\1/p' "$ROOT/fuzz/Cargo.toml"; }

seeds() { # TARGET
    case $1 in
        module) find "$ROOT/tests/fixtures/kmod" -name '*.ko' ;;
        kernel) find "$ROOT/tests/fixtures/kmod" -name config -o -name Module.symvers ;;
        yaml) find "$ROOT/drivers" "$ROOT/distros" "$ROOT/tests/errors" -name '*.yaml' ;;
        pki) find "$ROOT/tests/fixtures/sign" -name '*.crt' -o -name '*.der' -o -name '*.p7s' ;;
    esac
}

seconds=${1:-30}
[ $# = 0 ] || shift
[ $# -gt 0 ] || mapfile -t all < <(targets)
cd "$ROOT/fuzz"
# The versions that the program itself is built with.
cp "$ROOT/Cargo.lock" Cargo.lock
cargo build --quiet --target "$HOST" --target-dir "$OUT/build"
mkdir -p "$OUT/crashes"
for target in "${@:-${all[@]}}"; do
    mkdir -p "$OUT/$target" "$OUT/seeds/$target"
    seeds "$target" | while read -r file; do cp "$file" "$OUT/seeds/$target/$(sha1sum "$file" | cut -c1-16)"; done
    echo "fuzz: $target, $seconds s" >&2
    "$OUT/build/$HOST/debug/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="$OUT/crashes/$target-" "$OUT/$target" "$OUT/seeds/$target" "$ROOT/fuzz/corpus/$target" 2>"$OUT/$target.log" || {
        tail -30 "$OUT/$target.log" >&2
        echo "error: $target fails on an input in $OUT/crashes" >&2
        exit 1
    }
    sed -n 's/^stat::\(number_of_executed_units\|peak_rss_mb\): */  \1 /p' "$OUT/$target.log"
done
