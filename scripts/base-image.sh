#!/usr/bin/env bash
# base-image.sh SUITE: bootstraps a Debian base image for machines that can pull none, and prints the folder with its OCI layout.
#
# It behaves like Docker's official image (same apt settings, no package lists, no documentation) but its packages come from
# this machine's mirror. Kept in the tools cache, and made anew after KMODFORGE_BASE_DAYS (30) days.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$HERE/lib.sh"

SUITE=${1:?usage: base-image.sh SUITE}
case $SUITE in *[!a-z]*) die "\`$SUITE\` is no suite of Debian" ;; esac
ARCH=$(dpkg --print-architecture)
MAIN=$(debian_mirror main)
SECURITY=$(debian_mirror security)
# Every file carries a time not later than this one, so that equal packages give an equal image.
export SOURCE_DATE_EPOCH=1700000000

# Settings without which this machine's mirror, proxy or clock would be refused inside the image as well.
machine_apt_options() {
    apt-config dump --format '%f "%v";%n' Acquire::Check-Valid-Until Acquire::Check-Date Acquire::http::Proxy Acquire::https::Proxy
}

sources_of() { # as deb822, the way Debian's images have them
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg suites=$SUITE
    case $SUITE in sid | unstable) ;; *) suites="$SUITE $SUITE-updates" ;; esac
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$MAIN" "$suites" "$keyring"
    case $SUITE in sid | unstable) return ;; esac
    printf '\nTypes: deb\nURIs: %s\nSuites: %s-security\nComponents: main\nSigned-By: %s\n' "$SECURITY" "$SUITE" "$keyring"
}

one_line_sources() {
    sources_of | awk '/^URIs:/ { uri = $2 } /^Suites:/ { for (i = 2; i <= NF; i++) print "deb", uri, $i, "main" }'
}

# What the official images' /etc/apt/apt.conf.d/docker-* say; a Dockerfile that works here works there.
docker_apt_conf() {
    cat <<'CONF'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
CONF
}

docker_small_conf() {
    printf 'Acquire::GzipIndexes "true";\nAcquire::Languages "none";\nApt::AutoRemove::SuggestsImportant "false";\n'
}

# The image's name in the cache: everything that decides about its content, except the packages' versions.
recipe_key() { { sources_of; machine_apt_options; docker_apt_conf; docker_small_conf; sed 1,3d "$0"; } | sha256sum | cut -c1-16; }

is_fresh() { [ -f "$1/index.json" ] && [ -z "$(find "$1/index.json" -mtime "+${KMODFORGE_BASE_DAYS:-30}")" ]; }

bootstrap() { # WORK: leaves WORK/rootfs.tar
    local work=$1 options=() merged=() line
    # Else bookworm merges /usr with a perl program, and keeps perl.
    [ "$SUITE" != bookworm ] || merged=(--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include=usr-is-merged)
    while read -r line; do [ -z "$line" ] || options+=("--aptopt=$line"); done < <(machine_apt_options)
    sources_of >"$work/debian.sources"
    docker_apt_conf >"$work/docker-clean"
    docker_small_conf >"$work/docker-small"
    # shellcheck disable=SC2016  # $1 is for mmdebstrap's shell
    one_line_sources | mmdebstrap --quiet --variant=minbase --mode=root --architectures="$ARCH" \
        "${merged[@]}" "${options[@]}" --aptopt='Acquire::Languages "none"' \
        --aptopt='Dir::Cache::pkgcache ""' --aptopt='Dir::Cache::srcpkgcache ""' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --customize-hook="upload $work/debian.sources /etc/apt/sources.list.d/debian.sources" \
        --customize-hook="upload $work/docker-clean /etc/apt/apt.conf.d/docker-clean" \
        --customize-hook="upload $work/docker-small /etc/apt/apt.conf.d/docker-small" \
        --customize-hook='rm -f "$1/etc/apt/sources.list" "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$1/etc/hostname" "$1/etc/resolv.conf"' \
        --customize-hook='rm -rf "$1"/var/log/* "$1"/var/cache/ldconfig/*' \
        "$SUITE" "$work/rootfs.tar" - >"$work/log" 2>&1
}

LAYOUT=$TOOLS/base/$SUITE-$ARCH-$(recipe_key)
# One at a time, and whoever waited finds it done.
if ! is_fresh "$LAYOUT"; then
    need_root "bootstrapping a base image"
    mkdir -p "$TOOLS/base"
    exec 9>"$TOOLS/base/.$SUITE.lock"
    flock 9
fi
if ! is_fresh "$LAYOUT"; then
    WORK=$(mktemp -d "$TOOLS/base/work.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
    say "bootstrapping debian:$SUITE, once"
    bootstrap "$WORK" || {
        tail -20 "$WORK/log" >&2
        die "debian:$SUITE could not be bootstrapped from $MAIN"
    }
    write_layout "$WORK/rootfs.tar" "$WORK/layout" "$SUITE"
    rm -rf "$LAYOUT"
    mv "$WORK/layout" "$LAYOUT"
    find "$TOOLS/base" -mindepth 1 -maxdepth 1 -name "$SUITE-*" -mtime "+${KMODFORGE_BASE_DAYS:-30}" ! -path "$LAYOUT" -exec rm -rf {} +
fi
echo "$LAYOUT"
