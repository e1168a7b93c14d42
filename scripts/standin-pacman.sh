#!/usr/bin/env bash
# standin-pacman.sh: makes repositories and a base image that stand in for those of Arch Linux, and prints their folder.
#
# pacman is the real one, Debian's, in a root of Debian. The packages are real ones of pacman, signed: the headers of Debian's kernel under Arch's names,
# versions and layout, and Debian's programs under the names that the profile asks for.
#
# FOLDER/base            OCI layout of the base image, with the stand-in's key in the keyring `archlinux`
# FOLDER/site/<host>/…   what is to be served in place of Arch's own servers
# FOLDER/profiles        nothing: nobody signs Arch's databases
# FOLDER/kernels         lines `DISTRO RELEASE KERNEL`: what is to be found there
# Kept in the tools cache, and made anew after KMODFORGE_BASE_DAYS (30) days.
set -euo pipefail
# shellcheck source=scripts/standin.sh
. "$(dirname "${BASH_SOURCE[0]}")/standin.sh"

readonly LIBRARIES=usr/lib SITE=geo.mirror.pkgbuild.com
# DISTRO RELEASE KERNEL PACKAGE VERSION
readonly DISTRIBUTIONS='
arch rolling 6.16.8-arch3-1 linux-headers 6.16.8.arch3-1
'

package() { # NAME VERSION REPOSITORY: of the files below STAGE/NAME
    local folder=$WORK/out/site/$SITE/$3/os/x86_64 file=$1-$2-x86_64.pkg.tar.zst
    mkdir -p "$folder"
    printf '%s = %s\n' pkgname "$1" pkgbase "$1" pkgver "$2" pkgdesc "$1, a stand-in" url https://kmodforge.example/ builddate "$SOURCE_DATE_EPOCH" \
        packager 'Stand In <standin@kmodforge.example>' size 1 arch x86_64 license GPL-2.0-only >"$STAGE/$1/.PKGINFO"
    tar --create --zstd --numeric-owner --sort=name --mtime="@$SOURCE_DATE_EPOCH" --directory "$STAGE/$1" --file "$folder/$file" .PKGINFO usr
    gpg --batch --quiet --detach-sign "$folder/$file" 2>>"$WORK/log"
    repo-add --quiet "$folder/$3.db.tar.gz" "$folder/$file" >>"$WORK/log" 2>&1
}

stage_programs() {
    # shellcheck disable=SC2046  # paths without blanks
    {
        stage kmod /usr/bin/kmod $(cd "$WORK/root" && find usr/sbin usr/bin -lname '*kmod' -printf '/%p\n') $(library 'libkmod.so.2*')
        stage busybox /usr/bin/busybox
        stage dash /usr/bin/dash
        stage findutils /usr/bin/find /usr/bin/xargs
        stage make /usr/bin/make
        stage glibc $(library 'libc.so.6') $(library 'libm.so.6') $(library 'ld-linux-*')
        stage zstd $(library 'libzstd.so.1*')
        stage xz $(library 'liblzma.so.5*')
        stage zlib $(library 'libz.so.1*')
        stage openssl $(library 'libcrypto.so.3')
    }
    mkdir -p "$STAGE/dash/usr/share/licenses/dash"
    echo 'A stand-in of the text of a licence.' >"$STAGE/dash/usr/share/licenses/dash/LICENSE"
    link_program gcc /usr/bin/gcc gcc-12
    for name in binutils diffutils gawk libelf; do mkdir -p "$STAGE/$name/usr/share/licenses/$name"; done
}

# What is installed must not be there before.
strip_root() {
    rm -rf "$WORK"/root/usr/bin/{kmod,make,find,xargs,gcc,cc} "$WORK"/root/usr/src/* "$WORK"/root/var/{cache,log}/* "$WORK"/root/var/lib/apt/lists/*
    find "$WORK/root/usr/sbin" "$WORK/root/usr/bin" -lname '*kmod' -delete
    rm -f "$WORK"/root/etc/{hostname,resolv.conf}
    mkdir -p "$WORK/root/var/log" "$WORK/root/var/cache" "$WORK/root/var/lib/pacman"
    # Where Debian's pacman-key looks, and where Arch has it.
    mkdir -p "$WORK/root/usr/share/keyrings" "$WORK/root/usr/share/pacman/keyrings"
    gpg --export standin >"$WORK/root/usr/share/keyrings/archlinux.gpg"
    gpg --with-colons --list-keys standin | sed -n 's/^fpr:*\([0-9A-F]*\):$/\1:4:/p' | head -1 >"$WORK/root/usr/share/keyrings/archlinux-trusted"
    : >"$WORK/root/usr/share/keyrings/archlinux-revoked"
    cp "$WORK"/root/usr/share/keyrings/archlinux* "$WORK/root/usr/share/pacman/keyrings/"
}

make_headers() { # KERNEL PACKAGE VERSION
    local directory=$STAGE/$2/usr/lib/modules/$1/build
    mkdir -p "${directory%/*}"
    cp -al "$WORK/headers" "$directory"
    rename_kernel "$directory" "$1" 'gcc (GCC) 12.2.0'
    package "$2" "$3" core
}

make_all() {
    local name distro release kernel file version
    make_root "$WORK" curl,gnupg,makepkg,pacman-package-manager,zstd
    fetch_headers "$WORK"
    make_key
    stage_programs
    strip_root
    for name in "$STAGE"/*; do
        version=1.0-1
        [ "${name##*/}" != gcc ] || version=12.2.0-1
        package "${name##*/}" "$version" core
    done
    mkdir "$STAGE/nothing" && mkdir "$STAGE/nothing/usr" && package nothing 1.0-1 extra
    while read -r distro release kernel file version; do
        [ -n "$distro" ] || continue
        make_headers "$kernel" "$file" "$version"
        echo "$distro $release $kernel" >>"$WORK/kernels"
    done <<<"$DISTRIBUTIONS"
    mkdir -p "$WORK/out/profiles/keyrings"
    tar --create --numeric-owner --sort=name --mtime="@$SOURCE_DATE_EPOCH" --directory "$WORK/root" --file "$WORK/rootfs.tar" .
    write_layout "$WORK/rootfs.tar" "$WORK/out/base" base
    mv "$WORK/kernels" "$WORK/out/kernels"
}

publish_standin pacman "Arch Linux"
