#!/usr/bin/env bash
# Asks KMM's own code what the Modules of tests/kmm/cases.yaml mean, and writes its answers to tests/kmm/kmm.json; `--check` compares instead,
# and `--build` only compiles what asks.
#
# KMM's packages are internal, so the asking program (tools/kmm/mappings.go) is compiled inside of a copy of KMM's Go module, of the version that
# tools/kmm/go.mod pins. What it is compiled with comes from the Go module proxy; a few minutes, once.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$HERE/lib.sh"
readonly CASES=$HERE/../tests/kmm/cases.yaml ANSWERS=$HERE/../tests/kmm/kmm.json
readonly KMM=github.com/rh-ecosystem-edge/kernel-module-management

build() {
    local key work
    key=$(cat "$HERE"/tools/kmm/* | sha256sum | cut -d' ' -f1)
    [ ! -x "$TOOLS/bin/kmm-mappings" ] || [ "$(cat "$TOOLS/bin/.kmm-mappings.key" 2>/dev/null)" != "$key" ] || return 0
    export PATH="$PATH:$TOOLS/go/current/bin"
    have go || die "there is no Go" "run scripts/setup.sh"
    say "compiling KMM's mapper, once, some minutes"
    mkdir -p "$TOOLS/bin"
    work=$(mktemp -d "$TOOLS/build.XXXXXX")
    # shellcheck disable=SC2064  # this folder
    trap "rm -rf '$work'" EXIT
    (cd "$HERE/tools/kmm" && go mod download "$KMM" && cp -r "$(go list -m -f '{{.Dir}}' "$KMM")" "$work/kmm")
    chmod -R u+w "$work/kmm"
    rm -rf "$work/kmm/vendor"
    mkdir "$work/kmm/cmd/mappings"
    cp "$HERE/tools/kmm/mappings.go" "$work/kmm/cmd/mappings/main.go"
    (cd "$work/kmm" && GOTOOLCHAIN=auto GOFLAGS=-mod=readonly go build -p 2 -buildvcs=false -o "$work/kmm-mappings" ./cmd/mappings)
    mv "$work/kmm-mappings" "$TOOLS/bin/kmm-mappings"
    echo "$key" >"$TOOLS/bin/.kmm-mappings.key"
}

build
case ${1-} in
--build) ;;
--check) "$TOOLS/bin/kmm-mappings" <"$CASES" | diff -u "$ANSWERS" - || die "KMM answers otherwise" "write its answers: scripts/kmm-mappings.sh" ;;
'') "$TOOLS/bin/kmm-mappings" <"$CASES" >"$ANSWERS.new" && mv "$ANSWERS.new" "$ANSWERS" ;;
*) die "unknown option $1" "--check, --build, or nothing" ;;
esac
