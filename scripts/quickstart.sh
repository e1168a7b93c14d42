#!/usr/bin/env bash
# Builds real driver images for real kernels, from nothing, and shows what came out.
#
# A Docker Engine or buildkitd that answers is used as it is; where none does, a private one is started, and stopped at the end.
# Likewise the registry: KMODFORGE_REGISTRY, else one on 127.0.0.1:5000, else a private one. KMODFORGE_BINARY spares the compilation.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$HERE/lib.sh"

readonly DRIVER=v4l2loopback KERNELS=latest:2 BASE=docker.io/library/debian:bookworm

# Sets BUILDER to the first that answers; one that is named but silent is an error, not passed over.
find_builder() {
    BUILDER=''
    if [ -n "${BUILDKIT_HOST:-}" ]; then
        buildkit_answers "$BUILDKIT_HOST" || die "BUILDKIT_HOST is $BUILDKIT_HOST, but nothing answers there"
        BUILDER=$BUILDKIT_HOST
    elif [ -n "${DOCKER_HOST:-}" ]; then
        docker version >/dev/null 2>&1 || die "DOCKER_HOST is $DOCKER_HOST, but no Docker Engine answers there"
        BUILDER=docker
    elif [ -S /var/run/docker.sock ] && DOCKER_HOST=unix:///var/run/docker.sock docker version >/dev/null 2>&1; then
        BUILDER=docker
    elif buildkit_answers unix:///run/buildkit/buildkitd.sock; then
        BUILDER=unix:///run/buildkit/buildkitd.sock
    fi
}

# gRPC is HTTP/2, so any HTTP/2 answer will do. Other addresses than sockets are for kmodforge to try.
buildkit_answers() {
    case $1 in
    unix://*) curl -s -m 3 -o /dev/null --http2-prior-knowledge --unix-socket "${1#unix://}" http://localhost/ ;;
    esac
}

find_registry() {
    REGISTRY=''
    for address in "${KMODFORGE_REGISTRY:-}" 127.0.0.1:5000; do
        [ -n "$address" ] || continue
        if curl -fsS -m 3 "http://$address/v2/" >/dev/null 2>&1; then
            REGISTRY=$address
            return
        fi
    done
}

# A registry in the way may take a minute to say no.
base_can_be_pulled() { timeout 15 skopeo inspect --raw "docker://$BASE" >/dev/null 2>&1; }

start_what_is_missing() {
    local options=()
    [ -n "$BUILDER" ] || options+=(--docker)
    [ -n "$REGISTRY" ] || options+=(--registry)
    if ! base_can_be_pulled; then
        say "$BASE cannot be pulled here: bootstrapping it from this machine's mirror"
        BOOTSTRAP=yes
        [ -n "$REGISTRY" ] || options+=(--base bookworm)
    fi
    [ ${#options[@]} -gt 0 ] || return 0
    say "starting a private stack: ${options[*]}"
    "$HERE/stack.sh" start "$WORK/stack" "${options[@]}"
    # shellcheck disable=SC1091  # written by stack.sh
    . "$WORK/stack/env"
    if [ -z "$BUILDER" ]; then
        export DOCKER_HOST=$KMODFORGE_TEST_DOCKER
        BUILDER=docker
    fi
    REGISTRY=${REGISTRY:-$KMODFORGE_TEST_REGISTRY}
}

push_base_to_existing_registry() {
    local layout
    layout=$("$HERE/base-image.sh" bookworm)
    skopeo copy --quiet --dest-tls-verify=false "oci:$layout:bookworm" "docker://$REGISTRY/library/debian:bookworm"
}

write_project() {
    echo "repository: $REGISTRY/drivers"
    if [ -n "$BOOTSTRAP" ]; then "$HERE/mirrors.sh" "$REGISTRY"; else "$HERE/mirrors.sh"; fi
}

clean_up() {
    "$HERE/stack.sh" stop "$WORK/stack"
    rm -rf "$WORK"
}

show() { # a command as a user would type it, then what it says
    printf '\n$ %s\n' "kmodforge $*"
    "$KMODFORGE" "$@"
}

show_images() {
    local repository=$REGISTRY/drivers/$DRIVER tag
    printf '\nin the registry, as skopeo sees it:\n'
    for tag in $(skopeo list-tags --tls-verify=false "docker://$repository" | sed -n 's/^ \{8\}"\(.*\)",\{0,1\}$/\1/p'); do
        printf '  %-60s %s\n' "$repository:$tag" "$(image_size "$repository:$tag")"
    done
}

raw() { skopeo inspect --tls-verify=false --raw "docker://$1"; }

# Sizes of the layers of the first image under a tag, which holds an index.
image_size() {
    local digest
    digest=$(raw "$1" | sed -n 's/.*"digest":"\(sha256:[0-9a-f]*\)".*/\1/p' | head -n 1)
    raw "${1%:*}@$digest" | grep -o '"layers":.*' | grep -o '"size":[0-9]*' | cut -d: -f2 |
        awk '{ all += $1; sizes = sizes (NR > 1 ? " + " : "") int($1 / 1000 + 0.5) " kB" } END { printf "%.1f MB: %s\n", all / 1e6, sizes }'
}

build_binary() {
    have cargo || die "there is no cargo" "install a Rust toolchain: https://rustup.rs"
    say "building the release binary"
    (cd "$HERE/.." && cargo build --release --locked --quiet)
}

main() {
    "$HERE/setup.sh"
    [ -n "${KMODFORGE_BINARY:-}" ] || build_binary
    KMODFORGE=$(realpath "${KMODFORGE_BINARY:-${CARGO_TARGET_DIR:-$HERE/../target}/release/kmodforge}")

    WORK=$(mktemp -d "${TMPDIR:-/tmp}/kmodforge.XXXXXX")
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    BOOTSTRAP=''
    find_builder
    find_registry
    local had_registry=$REGISTRY
    start_what_is_missing
    [ -z "$BOOTSTRAP" ] || [ -z "$had_registry" ] || push_base_to_existing_registry
    say "builder ${DOCKER_HOST:-$BUILDER}, registry $REGISTRY"

    cd "$WORK"
    write_project >kmodforge.yaml
    printf '\n$ cat kmodforge.yaml\n'
    cat kmodforge.yaml
    local selection=(--driver "$DRIVER" --kernel "$KERNELS" --distro debian:bookworm --repo "$REGISTRY/drivers")
    show plan "${selection[@]}"
    show build "${selection[@]}" --builder "$BUILDER" --push
    show_images
    printf '\nthe same again, all published:\n'
    show build "${selection[@]}" --builder "$BUILDER" --push
}

main
