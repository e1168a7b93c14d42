#!/usr/bin/env bash
# Runs the fuzz targets of fuzz/, each for a while, on a stable compiler and without cargo-fuzz.
#
#     scripts/fuzz.sh [SECONDS] [TARGET…]      30 seconds and all targets if nothing else is said
#
# FUZZ_JOBS run at once; as many as there are processors if it is not set. Each begins with the corpus in fuzz/corpus/TARGET and with files of the tests; what it learns is kept in target/fuzz/TARGET. A crash ends
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
        openpgp) find "$ROOT/tests/fixtures/openpgp" -name '*.asc' -o -name '*.gpg' ;;
        pki) find "$ROOT/tests/fixtures/sign" -name '*.crt' -o -name '*.der' -o -name '*.p7s' ;;
    esac
}

# What is left when one stops is its log; what it has learnt stays.
fuzz() { # TARGET
    local target=$1 status=0
    mkdir -p "$OUT/$target" "$OUT/seeds/$target"
    seeds "$target" | while read -r file; do cp "$file" "$OUT/seeds/$target/$(sha1sum "$file" | cut -c1-16)"; done
    "$OUT/build/$HOST/debug/$target" -max_total_time="$SECONDS_EACH" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="$OUT/crashes/$target-" "$OUT/$target" "$OUT/seeds/$target" "$ROOT/fuzz/corpus/$target" 2>"$OUT/$target.log" || status=$?
    if [ $status != 0 ]; then
        tail -30 "$OUT/$target.log" >&2
        echo "error: $target fails on an input in $OUT/crashes" >&2
        return 1
    fi
    printf 'fuzz: %-12s %4s s, %9s inputs, %5s MB\n' "$target" "$SECONDS_EACH" "$(stat_of number_of_executed_units)" "$(stat_of peak_rss_mb)" >&2
}

stat_of() { sed -n "s/^stat::$1: *//p" "$OUT/$target.log"; }

SECONDS_EACH=${1:-30}
[ $# = 0 ] || shift
[ $# -gt 0 ] || mapfile -t all < <(targets)
cd "$ROOT/fuzz"
# The versions that the program itself is built with.
cp "$ROOT/Cargo.lock" Cargo.lock
cargo build --quiet --target "$HOST" --target-dir "$OUT/build"
mkdir -p "$OUT/crashes"
export ROOT OUT HOST SECONDS_EACH
export -f fuzz seeds stat_of
# shellcheck disable=SC2016  # for the shell that is started
printf '%s\n' "${@:-${all[@]}}" | xargs -P "${FUZZ_JOBS:-$(nproc)}" -I '{}' bash -c 'set -euo pipefail; fuzz "$1"' fuzz '{}'
