#!/usr/bin/env bash
# host-root.sh: bootstraps a Debian 13 with systemd and skopeo for a virtual machine, and prints the folder with it.
#
# Kept in the tools cache, and made anew after KMODFORGE_BASE_DAYS (30) days. Tests take a copy and add a kernel.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$HERE/lib.sh"

SUITE=trixie
PACKAGES=systemd-sysv,kmod,skopeo,iproute2
ROOT=$TOOLS/host/$SUITE-$(sed 1,3d "$0" | sha256sum | cut -c1-16)

is_fresh() { [ -f "$ROOT/usr/lib/os-release" ] && [ -z "$(find "$ROOT" -maxdepth 0 -mtime "+${KMODFORGE_BASE_DAYS:-30}")" ]; }

bootstrap() { # FOLDER
    local options=() line
    while read -r line; do [ -z "$line" ] || options+=("--aptopt=$line"); done < <(
        apt-config dump --format '%f "%v";%n' Acquire::Check-Valid-Until Acquire::Check-Date Acquire::http::Proxy Acquire::https::Proxy
    )
    # shellcheck disable=SC2016  # $1 is for mmdebstrap's shell
    echo "deb $(debian_mirror main) $SUITE main" | mmdebstrap --quiet --variant=minbase --mode=root --include=$PACKAGES \
        "${options[@]}" --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/* "$1"/usr/share/zoneinfo' \
        $SUITE "$1" -
}

if ! is_fresh; then
    need_root "bootstrapping a host"
    mkdir -p "$TOOLS/host"
    exec 9>"$TOOLS/host/.lock"
    flock 9
fi
if ! is_fresh; then
    say "bootstrapping a Debian host, once"
    WORK=$(mktemp -d "$TOOLS/host/work.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
    bootstrap "$WORK/root" >"$WORK/log" 2>&1 || {
        tail -20 "$WORK/log" >&2
        die "a Debian host could not be bootstrapped from $(debian_mirror main)"
    }
    rm -rf "$ROOT"
    touch "$WORK/root"
    mv "$WORK/root" "$ROOT"
    find "$TOOLS/host" -mindepth 1 -maxdepth 1 -name "$SUITE-*" ! -path "$ROOT" -exec rm -rf {} +
fi
echo "$ROOT"
