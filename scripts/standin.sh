# shellcheck shell=bash
# standin.sh: what the scripts have in common that make repositories and a base image in place of a distribution's own.
#
# A script sets DISTRIBUTIONS and make_all, which makes WORK/out, and calls publish_standin.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$HERE/lib.sh"

ARCH=$(dpkg --print-architecture)
[ "$ARCH" = amd64 ] || die "the stand-in is made of packages for amd64"
export SOURCE_DATE_EPOCH=1700000000

recipe_key() { { machine_suite; cat "$0" "$HERE/standin.sh" "$HERE/lib.sh"; } | sha256sum | cut -c1-16; }

is_fresh() { [ -f "$1/kernels" ] && [ -z "$(find "$1/kernels" -mtime "+${KMODFORGE_BASE_DAYS:-30}")" ]; }

# Debian's root with a family's package manager.
make_root() { # WORK PACKAGES
    local work=$1 suite mirror
    suite=$(machine_suite)
    mirror=$(debian_mirror main)
    mmdebstrap --quiet --variant=minbase --mode=root --format=directory --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
        --include="$2,binutils,busybox-static,ca-certificates,findutils,gcc-12,kmod,libelf1,make" \
        "$suite" "$work/root" "deb $mirror $suite main" </dev/null >"$work/log" 2>&1
}

fetch_headers() { # WORK: leaves WORK/headers, in one directory, and KERNEL, their release
    local work=$1 release abi
    mkdir -p "$work/debs"
    release=$(apt-cache depends linux-headers-amd64 | sed -n 's/.*Depends: linux-headers-\(6.*-amd64\)$/\1/p' | head -1)
    [ -n "$release" ] || die "this machine's apt knows no linux-headers-amd64"
    abi=${release%-amd64}
    (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download "linux-headers-$release" "linux-headers-$abi-common" "linux-kbuild-${release%.0-*}") >&2
    for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/unpacked"; done
    cp -a "$work/unpacked/usr/src/linux-headers-$abi-common" "$work/headers"
    (cd "$work/headers" && rm scripts tools && find arch -mindepth 1 -maxdepth 1 ! -name x86 ! -name arm ! -name Kconfig -exec rm -r {} +)
    cp -a "$work"/unpacked/usr/lib/linux-kbuild-*/{scripts,tools} "$work/headers/"
    (cd "$work/unpacked/usr/src/linux-headers-$release" && cp -a --parents .config Module.symvers arch include "$work/headers/")
    KERNEL=$release
}

stage() { # NAME FILE…: files of the root, with libraries in LIBRARIES
    local name=$1 file to
    shift
    mkdir -p "$STAGE/$name"
    for file in "$@"; do
        case $file in
        */x86_64-linux-gnu/*) to=$LIBRARIES/${file##*/} ;;
        /lib*) to=usr$file ;;
        *) to=${file#/} ;;
        esac
        mkdir -p "$(dirname "$STAGE/$name/$to")"
        cp -a "$WORK/root$file" "$STAGE/$name/$to"
    done
}

library() { (cd "$WORK/root" && find usr/lib/x86_64-linux-gnu -maxdepth 1 -name "$1" -printf '/%p\n'); }

make_key() {
    export GNUPGHOME=$WORK/gnupg
    mkdir -m 700 "$GNUPGHOME"
    gpg --batch --quiet --passphrase '' --quick-gen-key standin rsa2048 sign never 2>>"$WORK/log"
    gpg --armor --export standin >"$WORK/key"
}

link_program() { # NAME PATH TARGET
    mkdir -p "$(dirname "$STAGE/$1$2")"
    ln -s "$3" "$STAGE/$1$2"
}

rename_kernel() { # DIRECTORY RELEASE COMPILER
    local file
    for file in include/generated/utsrelease.h include/config/kernel.release .config include/config/auto.conf include/generated/autoconf.h; do
        [ ! -e "$1/$file" ] || sed --in-place "s/$KERNEL/$2/g; s/\\(CONFIG_CC_VERSION_TEXT[= ]\"\\)[^\"]*/\\1$3/" "$1/$file"
    done
}

# Makes what the tools cache lacks, and prints its folder.
publish_standin() { # FAMILY WHAT
    local folder status
    folder=$TOOLS/standin/$1-$(recipe_key)
    if ! is_fresh "$folder"; then
        need_root "making the stand-in"
        mkdir -p "$TOOLS/standin"
        exec 9>"$TOOLS/standin/.$1.lock"
        flock 9
    fi
    if ! is_fresh "$folder"; then
        WORK=$(mktemp -d "$TOOLS/standin/work-$1.XXXXXX")
        STAGE=$WORK/stage
        trap 'rm -rf --one-file-system "$WORK"' EXIT
        say "making a stand-in for $2, once, about a minute"
        # Not `(make_all) || …`: there, the shell would go on after whatever fails.
        set +e
        (
            set -e
            make_all
        )
        status=$?
        set -e
        [ $status = 0 ] || {
            tail -20 "$WORK/log" >&2
            die "the stand-in could not be made"
        }
        rm -rf "$folder"
        mv "$WORK/out" "$folder"
        find "$TOOLS/standin" -mindepth 1 -maxdepth 1 -name "$1-*" -mtime "+${KMODFORGE_BASE_DAYS:-30}" ! -path "$folder" -exec rm -rf {} +
    fi
    echo "$folder"
}
