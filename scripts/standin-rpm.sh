#!/usr/bin/env bash
# standin-rpm.sh: makes repositories and a base image that stand in for those of RPM distributions, and prints their folder.
#
# Their package managers are the real ones: Debian's dnf and zypper, in a root of Debian. Their packages are real RPMs: the headers of Debian's kernel under
# each distribution's names, releases and layout, and Debian's programs under the names that the profiles ask for. All are signed.
#
# FOLDER/base            OCI layout of the base image, called after the keys of all of these distributions
# FOLDER/site/<host>/…   what is to be served in place of the distributions' own servers
# FOLDER/profiles        keyrings with the stand-in's key in place of those of distributions that sign their indexes
# FOLDER/kernels         lines `DISTRO RELEASE KERNEL`: what is to be found there
# Kept in the tools cache, and made anew after KMODFORGE_BASE_DAYS (30) days.
set -euo pipefail
# shellcheck source=scripts/standin.sh
. "$(dirname "${BASH_SOURCE[0]}")/standin.sh"

readonly RPM_ARCH=x86_64 REVISION=1 LIBRARIES=usr/lib64

# DISTRO RELEASE PACKAGE VERSION-REVISION REPOSITORIES (the first has the headers) COMPILER: what each distribution publishes.
# `usual` is gcc 12, which Debian's kernel was compiled by; with `other:NAME:PROGRAM`, gcc is 11 and 12 is to be installed beside it.
readonly DISTRIBUTIONS='
fedora        43   kernel-devel     6.17.7-300.fc43                dl.fedoraproject.org/pub/fedora/linux/updates/43/Everything/x86_64,dl.fedoraproject.org/pub/fedora/linux/releases/43/Everything/x86_64/os usual
centos-stream 10   kernel-devel     6.12.0-150.el10                mirror.stream.centos.org/10-stream/AppStream/x86_64/os,mirror.stream.centos.org/10-stream/BaseOS/x86_64/os usual
rocky         9    kernel-rt-devel  5.14.0-570.12.1.el9_6          dl.rockylinux.org/pub/rocky/9/RT/x86_64/os,dl.rockylinux.org/pub/rocky/9/BaseOS/x86_64/os usual
almalinux     9    kernel-devel     5.14.0-503.11.1.el9_5          repo.almalinux.org/almalinux/9/AppStream/x86_64/os,repo.almalinux.org/almalinux/9/BaseOS/x86_64/os usual
oracle        8    kernel-uek-devel 5.15.0-313.189.5.el8uek        yum.oracle.com/repo/OracleLinux/OL8/UEKR7/x86_64,yum.oracle.com/repo/OracleLinux/OL8/baseos/latest/x86_64 other:gcc-toolset-12-gcc:/opt/rh/gcc-toolset-12/root/usr/bin/gcc
azurelinux    3.0  kernel-devel     6.6.134.1-2.azl3               packages.microsoft.com/azurelinux/3.0/prod/base/x86_64 usual
opensuse-leap 15.6 kernel-default-devel 6.4.0-150600.23.25.2       download.opensuse.org/update/leap/15.6/sle,download.opensuse.org/update/leap/15.6/oss,download.opensuse.org/distribution/leap/15.6/repo/oss usual
amazon-2023   2023 kernel6.12-devel 6.12.64-87.122.amzn2023        cdn.amazonlinux.com/al2023/core/guids/0/x86_64 other:gcc12:/usr/bin/gcc12-gcc
'
# Keys that the profiles name, in the base image.
readonly KEYS='fedora-43-primary centosofficial-SHA256 Rocky-9 AlmaLinux-9 oracle amazon-linux-2023 redhat-release'

# spec NAME VERSION-REVISION ARCH [LINE]: a package of the files below $STAGE/NAME; the default package of a specification is not made.
spec() {
    printf 'Name: %s\nVersion: %s\nRelease: %s\nSummary: %s, a stand-in\nLicense: GPL-2.0-only\nBuildArch: %s\nAutoReqProv: no\n' "$1" "${2%-*}" "${2#*-}" "$1" "$3"
    [ -z "${4:-}" ] || printf '%s\n' "$4"
    printf '%%description\nMade of files of Debian.\n%%install\ncp -al %s/. %%{buildroot}/\n%%files\n' "$STAGE/$1"
    (cd "$STAGE/$1" && find . -mindepth 1 -type d -printf '%%dir "/%P"\n' -o -printf '"/%P"\n')
}

# A line of the next package's specification.
DEPENDENCY=''

build_rpm() { # NAME VERSION-REVISION ARCH TARGET…: builds, signs, and links to each folder
    local name=$1 out=$WORK/rpms/$1-$2
    spec "$1" "$2" "$3" "$DEPENDENCY" >"$WORK/$name.spec"
    rpmbuild --quiet -bb --target "$3" --define "_topdir $WORK/rpmbuild" --define "_rpmdir $out" --define 'debug_package %{nil}' \
        --define '_binary_payload w1.zstdio' --define '__os_install_post %{nil}' --define '_build_id_links none' --define '_binaries_in_noarch_packages_terminate_build 0' \
        "$WORK/$name.spec" >>"$WORK/log" 2>&1
    find "$out" -name '*.rpm' -exec rpmsign --define "_gpg_name standin" --define "__gpg $(command -v gpg)" --addsign {} + >>"$WORK/log" 2>&1
    shift 3
    for target in "$@"; do mkdir -p "$target/Packages"; find "$out" -name '*.rpm' -exec ln -f -t "$target/Packages" {} +; done
}

stage_programs() {
    local name
    # shellcheck disable=SC2046  # paths without blanks
    {
        stage kmod /usr/bin/kmod $(cd "$WORK/root" && find usr/sbin usr/bin -lname '*kmod' -printf '/%p\n') $(library 'libkmod.so.2*')
        stage kmod-libs $(library 'libkmod.so.2*')
        stage bash /usr/bin/bash
        stage findutils /usr/bin/find /usr/bin/xargs
        stage make /usr/bin/make
        stage cpio /usr/bin/cpio
        stage glibc $(library 'libc.so.6') $(library 'libm.so.6') $(library 'libdl.so.2') $(library 'libpthread.so.0') $(library 'ld-linux-*')
        stage libacl $(library 'libacl.so.1*')
        stage libattr $(library 'libattr.so.1*')
        stage libcap $(library 'libcap.so.2*')
        stage libselinux $(library 'libselinux.so.1*')
        stage libzstd $(library 'libzstd.so.1*')
        stage ncurses-libs $(library 'libtinfo.so.6*')
        stage openssl-libs $(library 'libcrypto.so.3')
        stage pcre2 $(library 'libpcre2-8.so.0*')
        stage xz-libs $(library 'liblzma.so.5*')
        stage zlib $(library 'libz.so.1*')
        # As SUSE calls them.
        stage libkmod2 $(library 'libkmod.so.2*')
        stage libacl1 $(library 'libacl.so.1*')
        stage libattr1 $(library 'libattr.so.1*')
        stage libcap2 $(library 'libcap.so.2*')
        stage libncurses6 $(library 'libtinfo.so.6*')
        stage libopenssl3 $(library 'libcrypto.so.3')
        stage libpcre2-8-0 $(library 'libpcre2-8.so.0*')
        stage libreadline8 $(library 'libreadline.so.8*')
        stage libselinux1 $(library 'libselinux.so.1*')
        stage liblzma5 $(library 'liblzma.so.5*')
        stage libz1 $(library 'libz.so.1*')
        # As Azure Linux calls them.
        stage busybox /usr/bin/busybox
        stage readline $(library 'libreadline.so.8*')
        stage zstd-libs $(library 'libzstd.so.1*')
        # As SUSE calls them.
        stage libzstd1 $(library 'libzstd.so.1*')
        stage coreutils $(dpkg-query --root "$WORK/root" --listfiles coreutils | grep '/bin/' | while read -r file; do echo "/usr/bin/${file##*/}"; done)
    }
    # One program that is called by many names, like the real one.
    stage coreutils-single /usr/bin/busybox
    mv "$STAGE/coreutils-single/usr/bin/busybox" "$STAGE/coreutils-single/usr/bin/coreutils"
    mkdir -p "$STAGE/bash/usr/share/licenses/bash"
    echo 'A stand-in of the text of a licence.' >"$STAGE/bash/usr/share/licenses/bash/COPYING"
    mkdir -p "$STAGE/busybox/usr/sbin" && mv "$STAGE/busybox/usr/bin/busybox" "$STAGE/busybox/usr/sbin/"
    for name in binutils diffutils elfutils-libelf-devel gawk glibc-devel kernel-headers libelf1 libopenssl1_1; do mkdir -p "$STAGE/$name/usr/share/licenses/$name"; done
}

# What is installed must not be there before.
strip_root() {
    local key
    rm -rf "$WORK"/root/usr/bin/{kmod,make,find,xargs,cpio,gcc,cc} "$WORK"/root/usr/src/* "$WORK"/root/var/{cache,log}/* "$WORK"/root/var/lib/apt/lists/*
    find "$WORK/root/usr/sbin" "$WORK/root/usr/bin" -lname '*kmod' -delete
    rm -f "$WORK"/root/etc/{hostname,resolv.conf}
    mkdir -p "$WORK/root/etc/pki/rpm-gpg" "$WORK/root/usr/lib/rpm/gnupg/keys" "$WORK/root/var/cache/dnf" "$WORK/root/var/log"
    cp "$WORK/key" "$WORK/root/usr/lib/rpm/gnupg/keys/gpg-pubkey-standin.asc"
    # Debian's rpm has its database in the home folder, where zypper does not look for keys.
    mkdir -p "$WORK/root/etc/rpm"
    echo '%_dbpath /var/lib/rpm' >"$WORK/root/etc/rpm/macros"
    cp "$WORK/key" "$WORK/root/etc/pki/rpm-gpg/MICROSOFT-RPM-GPG-KEY"
    for key in $KEYS; do cp "$WORK/key" "$WORK/root/etc/pki/rpm-gpg/RPM-GPG-KEY-$key"; done
}

# The headers as the distribution packages them: one directory, no link in /lib/modules, its own names for release and compiler.
stage_headers() { # NAME RELEASE [FOLDER]
    local directory=$STAGE/$1/${3:-usr/src/kernels/}$2 text='gcc (GCC) 12.2.0 20220819 (Red Hat 12.2.0-1)'
    rm -rf "${STAGE:?}/$1"
    mkdir -p "${directory%/*}"
    cp -al "$WORK/headers" "$directory"
    rename_kernel "$directory" "$2" "$text"
}

# As SUSE packages them: generated files of a flavour in one package, sources in another, which is asked for without the number of its rebuild.
stage_split_headers() { # NAME RELEASE
    local base=${2%-*} sources=$STAGE/kernel-devel/usr/src generated=$STAGE/$1/usr/src
    rm -rf "${STAGE:?}/$1" "$STAGE/kernel-devel"
    generated+=/linux-$base-obj/x86_64/${2##*-}
    mkdir -p "$sources" "$generated"
    cp -al "$WORK/headers" "$sources/linux-$base"
    (cd "$sources/linux-$base" && rm -rf .config Module.symvers include/generated include/config arch/x86/include/generated arch/x86/module.lds)
    (cd "$WORK/headers" && cp -a --parents .config Module.symvers include/generated include/config arch/x86/include/generated arch/x86/module.lds "$generated/")
    ln -s "../../../linux-$base/scripts" "$generated/scripts"
    ln -s "../../../linux-$base/tools" "$generated/tools"
    echo "include ../../../linux-$base/Makefile" >"$generated/Makefile"
    rename_kernel "$generated" "$2" 'gcc (SUSE Linux) 12.2.0'
}

make_distribution() { # DISTRO RELEASE PACKAGE VERSION REPOSITORIES COMPILER
    local repositories=() name release version=$4 compiler=$6
    for name in ${5//,/ }; do
        repositories+=("$WORK/out/site/$name")
        mkdir -p "$WORK/out/site/$name"
    done
    local main=${repositories[-1]}
    mkdir -p "$main/Packages"
    ln -f -t "$main/Packages" "$WORK"/rpms/common/Packages/*.rpm
    case $compiler in
    usual) ln -f -t "$main/Packages" "$WORK"/rpms/gcc12/Packages/*.rpm ;;
    other:*)
        IFS=: read -r _ name compiler <<<"$compiler"
        ln -f -t "$main/Packages" "$WORK"/rpms/gcc11/Packages/*.rpm
        link_program "$name" "$compiler" /usr/bin/gcc-12
        build_rpm "$name" 12.2.0-1 $RPM_ARCH "$main"
        ;;
    esac
    case $3:$1 in
    kernel-default-devel:*)
        release=${version%.*}-default
        stage_split_headers "$3" "$release"
        DEPENDENCY="Provides: kernel-devel = ${version%.*}"
        # Built again once less than the other.
        build_rpm kernel-devel "${version%.*}.1" noarch "${repositories[0]}"
        DEPENDENCY="Requires: kernel-devel = ${version%.*}"
        ;;
    kernel-devel:azurelinux)
        release=$version
        stage_headers "$3" "$release" usr/src/linux-headers-
        mkdir -p "$STAGE/$3/usr/lib/modules/$release"
        ln -s "/usr/src/linux-headers-$release" "$STAGE/$3/usr/lib/modules/$release/build"
        ;;
    *)
        release=$version.$RPM_ARCH
        [ "$3" != kernel-rt-devel ] || release=$release+rt
        stage_headers "$3" "$release"
        ;;
    esac
    build_rpm "$3" "$version" $RPM_ARCH "${repositories[0]}"
    DEPENDENCY=''
    for name in "${repositories[@]}"; do
        createrepo_c --quiet --general-compress-type=xz "$name" >>"$WORK/log" 2>&1
        gpg --batch --quiet --armor --detach-sign "$name/repodata/repomd.xml" 2>>"$WORK/log"
    done
    echo "$1 $2 $release" >>"$WORK/kernels"
}

make_all() {
    local name line
    make_root "$WORK" cpio,curl,dnf,gcc-11,libreadline8,rpm,rpm2cpio,zypper
    fetch_headers "$WORK"
    make_key
    stage_programs
    strip_root
    for name in "$STAGE"/*; do build_rpm "${name##*/}" 1.0-$REVISION $RPM_ARCH "$WORK/rpms/common"; done
    link_program gcc /usr/bin/gcc /usr/bin/gcc-12
    build_rpm gcc 12.2.0-1 $RPM_ARCH "$WORK/rpms/gcc12"
    ln -sf /usr/bin/gcc-11 "$STAGE/gcc/usr/bin/gcc"
    build_rpm gcc 11.3.0-1 $RPM_ARCH "$WORK/rpms/gcc11"
    while read -r line; do
        # shellcheck disable=SC2086  # words
        [ -z "$line" ] || make_distribution $line
    done <<<"$DISTRIBUTIONS"
    mkdir -p "$WORK/out/site/cdn.amazonlinux.com/al2023/core/mirrors/latest/x86_64"
    # Names the server itself: whoever serves the folder puts its address there.
    echo 'SITE/cdn.amazonlinux.com/al2023/core/guids/0/x86_64/' >"$WORK/out/site/cdn.amazonlinux.com/al2023/core/mirrors/latest/x86_64/mirror.list"
    mkdir -p "$WORK/out/profiles/keyrings"
    cp "$WORK/key" "$WORK/out/profiles/keyrings/suse.asc"
    tar --create --numeric-owner --sort=name --mtime="@$SOURCE_DATE_EPOCH" --directory "$WORK/root" --file "$WORK/rootfs.tar" .
    write_layout "$WORK/rootfs.tar" "$WORK/out/base" base
    mv "$WORK/kernels" "$WORK/out/kernels"
}

publish_standin rpm "RPM distributions"
