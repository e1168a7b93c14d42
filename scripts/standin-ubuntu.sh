#!/usr/bin/env bash
# standin-ubuntu.sh: makes repositories and a base image that stand in for Ubuntu's, and prints their folder.
#
# apt is the real one: the base image is that of this machine's Debian, with the stand-in's key. The repositories have Ubuntu's suites, signed; in them are
# the headers of Debian's kernel in Ubuntu's packages and layout, called like a kernel of jammy's HWE, and Debian's own packages of compiler and programs.
#
# FOLDER/base            OCI layout of the base image
# FOLDER/site/<host>/…   what is to be served in place of Ubuntu's own servers
# FOLDER/profiles        a keyring with the stand-in's key in place of Ubuntu's
# FOLDER/kernels         lines `DISTRO RELEASE KERNEL`: what is to be found there
# Kept in the tools cache, and made anew after KMODFORGE_BASE_DAYS (30) days.
set -euo pipefail
# shellcheck source=scripts/standin.sh
. "$(dirname "${BASH_SOURCE[0]}")/standin.sh"

# DISTRO RELEASE KERNEL: the profile names gcc-12 for this one, and gcc-11 for jammy's others.
readonly DISTRIBUTIONS='
ubuntu jammy 6.5.0-45-generic
'
readonly NUMBERS=6.5.0-45 VERSION=6.5.0-45.45~22.04.1
# What the profile has installed, and what it unpacks.
readonly INSTALLED='gcc-12 make kmod libelf1' UNPACKED='kmod libkmod2 libzstd1 liblzma5 libssl3 zlib1g libc6 dash busybox-static'

# Debian's base image, one layer, with the key.
make_base() {
    local layout layer
    layout=$("$HERE/base-image.sh" "$(machine_suite)")
    layer=$(find "$layout/blobs/sha256" -type f -size +1M | head -1)
    gzip -dc "$layer" >"$WORK/rootfs.tar"
    mkdir -p "$WORK/more/etc/apt/trusted.gpg.d"
    cp "$WORK/key" "$WORK/more/etc/apt/trusted.gpg.d/standin.asc"
    tar --append --owner=0 --group=0 --mtime="@$SOURCE_DATE_EPOCH" --directory "$WORK/more" --file "$WORK/rootfs.tar" ./etc/apt/trusted.gpg.d/standin.asc
    write_layout "$WORK/rootfs.tar" "$WORK/out/base" base
}

# Debian's packages with everything that they depend on.
fetch_packages() { # POOL
    local pool=$1 file
    mkdir -p "$pool"
    # shellcheck disable=SC2086  # lists
    {
        apt-get -qq -o Dir::State::status=/dev/null -o APT::Install-Recommends=0 --print-uris install $INSTALLED $UNPACKED | sed "s/ .*//; s/'//g" >"$WORK/urls"
        (cd "$pool" && xargs -n 1 curl -fsSL --retry 3 --remote-name <"$WORK/urls")
    }
    # Servers know files by their own names.
    for file in "$pool"/*%*; do mv "$file" "$(printf '%b' "${file//%/\\x}")"; done
}

package() { # NAME ARCH DEPENDS POOL: of the files below WORK/stage/NAME
    local root=$WORK/stage/$1
    mkdir -p "$root/DEBIAN"
    printf 'Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: kmodforge\nDescription: a stand-in\n%s' "$1" "$VERSION" "$2" "${3:+Depends: $3
}" >"$root/DEBIAN/control"
    dpkg-deb --root-owner-group -Zgzip -z1 --build "$root" "$4" >>"$WORK/log"
}

# What is the same for all flavours is in one package, what is not in another, which is full of links to the first.
make_headers() { # KERNEL POOL
    local name=linux-headers-$1 common=linux-hwe-6.5-headers-$NUMBERS shared own file
    shared=$WORK/stage/$common/usr/src/$common own=$WORK/stage/$name/usr/src/$name
    mkdir -p "${shared%/*}" "$own/arch/x86/include" "$own/include" "$WORK/stage/$name/usr/lib/modules/$1"
    mv "$WORK/headers" "$shared"
    for file in .config Module.symvers include/generated include/config arch/x86/include/generated; do
        mv "$shared/$file" "$own/$file"
    done
    link_all() { (cd "$shared/$1" && find . -mindepth 1 -maxdepth 1 -printf '%P\n') | while read -r file; do [ -e "$own/$1/$file" ] || ln -s "$2$common/$1/$file" "$own/$1/$file"; done; }
    link_all . ../
    link_all include ../../
    link_all arch ../../
    link_all arch/x86 ../../../
    link_all arch/x86/include ../../../../
    rename_kernel "$own" "$1" 'x86_64-linux-gnu-gcc-12 (Ubuntu 12.2.0-1ubuntu1~22.04) 12.2.0'
    ln -s "/usr/src/$name" "$WORK/stage/$name/usr/lib/modules/$1/build"
    package "$common" all '' "$2"
    package "$name" amd64 "$common, libc6 (>= 2.34)" "$2"
}

index() { # SITE SUITE: with the packages below SITE/pool
    local folder=$1/dists/$2
    mkdir -p "$folder/main/binary-amd64" "$folder/universe/binary-amd64"
    (cd "$1" && dpkg-scanpackages --hash sha256 pool 2>>"$WORK/log") >"$folder/main/binary-amd64/Packages"
    : >"$folder/universe/binary-amd64/Packages"
    # apt looks for what is not compressed, and then takes what is.
    xz --keep "$folder"/{main,universe}/binary-amd64/Packages
    (
        cd "$folder"
        printf 'Origin: Ubuntu\nSuite: %s\nCodename: jammy\nDate: %s\nArchitectures: amd64\nComponents: main universe\nSHA256:\n' "$2" "$(LC_ALL=C date -u '+%a, %d %b %Y %T UTC')"
        find main universe -type f | while read -r file; do echo " $(digest_of "$file") $(stat -c %s "$file") $file"; done
    ) >"$WORK/Release"
    gpg --batch --quiet --clearsign --output "$folder/InRelease" "$WORK/Release" 2>>"$WORK/log"
}

make_all() {
    local archive=$WORK/out/site/archive.ubuntu.com/ubuntu security=$WORK/out/site/security.ubuntu.com/ubuntu
    make_key
    make_base
    fetch_headers "$WORK"
    mkdir -p "$archive/pool" "$security/pool" "$WORK/out/profiles/keyrings"
    fetch_packages "$archive/pool"
    # A kernel's name does not tell its release, so that all of them are looked into.
    index "$archive" jammy
    index "$archive" noble
    mkdir "$archive/pool/hwe"
    make_headers "$(awk 'NF { print $3; exit }' <<<"$DISTRIBUTIONS")" "$archive/pool/hwe"
    mv "$archive/pool" "$archive/pool.all"
    mkdir -p "$archive/pool"
    mv "$archive/pool.all/hwe" "$archive/pool/hwe"
    index "$archive" jammy-updates
    mv "$archive/pool.all"/*.deb "$archive/pool/"
    rm -r "$archive/pool.all"
    index "$security" jammy-security
    cp "$WORK/key" "$WORK/out/profiles/keyrings/ubuntu.asc"
    awk NF <<<"$DISTRIBUTIONS" >"$WORK/out/kernels"
}

publish_standin ubuntu Ubuntu
