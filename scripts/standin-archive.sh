#!/usr/bin/env bash
# Makes, in place of Google's and Flatcar's servers, archives with a real kernel's headers, laid out as theirs are: for each build of Container-Optimized OS
# a tar, and another with a compiler; for each release of Flatcar a disk image.
#
# Prints the folder: `site/` has what is to be served, `kernels` lists `DISTRO OS-VERSION KERNEL`.
set -euo pipefail
# shellcheck source=scripts/standin.sh
. "$(dirname "${BASH_SOURCE[0]}")/standin.sh"

COS_BUILD=18613.339.5
COS_KERNEL=6.1.93+
TOOLCHAIN=2024/01/x86_64-cros-linux-gnu-2024.01.08.tar.xz
FLATCAR_VERSION=4459.2.1
FLATCAR_KERNEL=6.1.103-flatcar
COMPILER="gcc (Debian 12.2.0-14+deb12u1) 12.2.0"

tar_tree() { tar --create --numeric-owner --owner=0 --group=0 --sort=name --mtime="@$SOURCE_DATE_EPOCH" "$@"; }

# Beside the kernel's own compiler, which is not that of the image that modules are compiled in.
make_compiler() { # FILE
    local root=$WORK/compiler version=12 triplet=x86_64-linux-gnu
    mkdir "$WORK/gcc"
    (cd "$WORK/gcc" && apt-get -qq -o APT::Sandbox::User=root download "gcc-$version" "cpp-$version" "libgcc-$version-dev") >&2
    for deb in "$WORK"/gcc/*.deb; do dpkg-deb -x "$deb" "$WORK/gcc/unpacked"; done
    mkdir -p "$root/bin" "$root/lib/gcc/$triplet" "$(dirname "$1")"
    cp "$WORK/gcc/unpacked/usr/bin/$triplet-gcc-$version" "$root/bin/x86_64-cros-linux-gnu-gcc"
    cp -a "$WORK/gcc/unpacked/usr/lib/gcc/$triplet/$version" "$root/lib/gcc/$triplet/"
    tar_tree --directory "$root" . | xz -1 --threads=0 >"$1"
}

make_cos() {
    local bucket=$WORK/out/site/storage.googleapis.com
    mkdir -p "$bucket/cos-tools/$COS_BUILD" "$WORK/cos/usr/src"
    cp -a "$WORK/headers" "$WORK/cos/usr/src/linux-headers-$COS_KERNEL"
    rename_kernel "$WORK/cos/usr/src/linux-headers-$COS_KERNEL" "$COS_KERNEL" "$COMPILER"
    tar_tree --directory "$WORK/cos" . | gzip -1 >"$bucket/cos-tools/$COS_BUILD/kernel-headers.tgz"
    make_compiler "$bucket/chromiumos-sdk/$TOOLCHAIN"
    printf 'https://storage.googleapis.com/chromiumos-sdk/%s' "$TOOLCHAIN" >"$bucket/cos-tools/$COS_BUILD/toolchain_url"
    echo "cos $COS_BUILD $COS_KERNEL" >>"$WORK/kernels"
}

# A GUID partition table whose ninth partition is a file system.
make_flatcar() {
    local folder=$WORK/out/site/stable.release.flatcar-linux.net/amd64-usr/$FLATCAR_VERSION tree=$WORK/flatcar/usr/lib/modules/$FLATCAR_KERNEL/build sectors
    mkdir -p "$folder" "$(dirname "$tree")"
    cp -a "$WORK/headers" "$tree"
    rename_kernel "$tree" "$FLATCAR_KERNEL" "$COMPILER"
    mke2fs -q -t ext4 -d "$WORK/flatcar" "$WORK/root.img" 256M 2>>"$WORK/log" >&2
    sectors=$(($(stat -c %s "$WORK/root.img") / 512))
    truncate -s $(((sectors + 8192) * 512)) "$WORK/disk"
    printf 'label: gpt\n%s9 : start=4096, size=%s, name=ROOT\n' "$WORK/disk" "$sectors" | sfdisk --quiet "$WORK/disk" >>"$WORK/log" 2>&1
    dd if="$WORK/root.img" of="$WORK/disk" bs=1M seek=2 conv=notrunc,sparse status=none
    bzip2 -1 <"$WORK/disk" >"$folder/flatcar_developer_container.bin.bz2"
    echo "flatcar $FLATCAR_VERSION $FLATCAR_KERNEL" >>"$WORK/kernels"
}

make_all() {
    fetch_headers "$WORK"
    make_cos
    make_flatcar
    mv "$WORK/kernels" "$WORK/out/kernels"
}

publish_standin archive "Container-Optimized OS and Flatcar"
