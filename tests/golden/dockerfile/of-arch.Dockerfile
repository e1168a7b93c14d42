# v4l2loopback 0.15.4 for 6.16.8-arch3-1 (arch rolling, amd64)
#
# Rendered by kmodforge. Needs nothing but `docker build --target loader .`: the driver's source lies beside this file.
# base ─┬─ usual ─┬─ toolchain ─┬─ kernel ─┐
#       ├─ headers ┴────────────┴─ build ──┼─ loader
#       └─ tools ──────────────────────────┘

# The repositories that kmodforge reads, the keys that count, and what unpacks packages. Installing brings the image up to date: pacman knows no other way.
FROM docker.io/library/archlinux:base AS base
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN mkdir -p /etc/kmodforge/keys /var/cache/kmodforge-installer; \
    printf '%s\n' '[options]' 'Architecture = auto' 'CacheDir = /var/cache/kmodforge-installer' 'GPGDir = /etc/kmodforge/keys' \
      'NoExtract = usr/share/doc/* usr/share/man/* usr/share/info/* usr/share/locale/*' '' \
      '[core]' \
      'SigLevel = Required DatabaseOptional' \
      'Server = https://geo.mirror.pkgbuild.com/core/os/x86_64' \
      '' \
      '[extra]' \
      'SigLevel = Required DatabaseOptional' \
      'Server = https://geo.mirror.pkgbuild.com/extra/os/x86_64' \
      '' > /etc/kmodforge/pacman.conf; \
    printf '%s\n' '#!/bin/bash' 'exec pacman --config /etc/kmodforge/pacman.conf --noconfirm --needed -Syu "$@"' > /usr/local/bin/kmodforge-install; \
    chmod 755 /usr/local/bin/kmodforge-install; \
    printf '%s\n' 'is_signed() {' '  [ -e "$1.sig" ] || curl -fsSL --retry 3 -o "$1.sig" "$2.sig" || { echo "cannot fetch $2.sig"; return 1; }' \
      '  pacman-key --gpgdir /etc/kmodforge/keys --verify "$1.sig" "$1" || { rm "$1.sig"; return 1; }' '}' \
      'extract() { file=$1; shift; tar -x --no-same-owner --exclude=./.* "${@/#/--exclude=}" --file "$file"; }' > /etc/kmodforge/packages.sh; \
    set -- /usr/share/pacman/keyrings/archlinux.gpg; \
    [ $# = 0 ] || pacman-key --gpgdir /etc/kmodforge/keys --init; \
    for key in "$@"; do pacman-key --gpgdir /etc/kmodforge/keys --populate "$(basename "$key" .gpg)"; done; \
    set --; for need in curl:curl find:findutils tar:tar zstd:zstd; do type -P "${need%:*}" > /dev/null || set -- "$@" "${need#*:}"; done; \
    [ $# = 0 ] || kmodforge-install "$@"

# Programs of the image: packages unpacked, files picked, nothing run. The same for every kernel of the release.
FROM base AS tools
RUN --mount=type=cache,id=kmodforge-packages,target=/var/cache/kmodforge \
    --mount=type=secret,id=client-certificate,target=/etc/kmodforge/client.pem \
    . /etc/kmodforge/packages.sh; cd /var/cache/kmodforge; set --; new=$(mktemp -d -p .); certificate=(); \
    [ ! -e /etc/kmodforge/client.pem ] || certificate=(--cert /etc/kmodforge/client.pem); \
    [ ! -e /etc/kmodforge/client.pem ] || [ ! -e /etc/rhsm/ca/redhat-uep.pem ] || certificate+=(--cacert /etc/rhsm/ca/redhat-uep.pem); \
    packages=( \
      '43908ec50e3d1107c06035715db493e61e1f903ace33144190d01ffc48e00971 signed 'http://ftp.debian.org/debian/pool/main/l/linux/kmod.deb); \
    for package in "${packages[@]}"; do \
      read -r file proof url <<< "$package"; set -- "$@" "$PWD/$file"; \
      [ -e "$file" ] || { \
        curl -fsSL --retry 3 "${certificate[@]}" -o "$new/$file" "$url" || { echo "cannot fetch $url" >&2; exit 1; }; \
        echo "$file  $new/$file" | sha256sum -c --quiet || { echo "$url is not what its repository listed" >&2; exit 1; }; \
        mv "$new/$file" .; \
      }; \
      [ "$proof" = listed ] || { \
        said=$(is_signed "$file" "$url" 2>&1) || { echo "$url is not signed by a key of the distribution: $said" >&2; exit 1; }; \
      }; \
    done; \
    rmdir "$new"; mkdir -p /unpacked; cd /unpacked; \
    for file in "$@"; do \
      extract "$file"; \
    done; \
    for name in bin sbin lib lib64; do \
      [ -L "$name" ] || [ ! -d "$name" ] || { mkdir -p "usr/$name"; cp -a "$name/." "usr/$name/"; rm -r "$name"; }; \
    done; \
    mkdir /tools; \
    for pattern in usr/bin/kmod usr/bin/busybox usr/bin/dash 'usr/lib/libkmod.so.2*' 'usr/lib/libzstd.so.1*' 'usr/lib/liblzma.so.5*' 'usr/lib/libz.so.1*' 'usr/lib/libcrypto.so.*' 'usr/lib/libc[-.]*' 'usr/lib/libm[-.]*' 'usr/lib/ld-linux*'; do \
      found=; for file in $pattern; do [ -e "$file" ] || continue; found=1; cp -a --parents "$file" /tools; done; \
      [ -n "$found" ] || { echo "no package of the image's programs has $pattern" >&2; exit 1; }; \
    done; \
    cd /tools; mkdir -p tmp usr usr/bin usr/sbin; chmod 1777 tmp; \
    while read -r to link; do ln -sfn "$to" "$link"; done < <(printf '%s %s\n' \
      usr/bin bin \
      usr/lib lib \
      usr/lib lib64 \
      usr/sbin sbin \
      busybox 'usr/bin/[' \
      busybox usr/bin/awk \
      busybox usr/bin/basename \
      busybox usr/bin/cat \
      busybox usr/bin/chmod \
      busybox usr/bin/chown \
      busybox usr/bin/cp \
      busybox usr/bin/cut \
      busybox usr/bin/date \
      busybox usr/bin/dirname \
      busybox usr/bin/dmesg \
      busybox usr/bin/echo \
      busybox usr/bin/env \
      busybox usr/bin/expr \
      busybox usr/bin/false \
      busybox usr/bin/find \
      busybox usr/bin/grep \
      busybox usr/bin/head \
      busybox usr/bin/id \
      busybox usr/bin/ln \
      busybox usr/bin/ls \
      kmod usr/bin/lsmod \
      busybox usr/bin/mkdir \
      busybox usr/bin/mv \
      busybox usr/bin/printf \
      busybox usr/bin/readlink \
      busybox usr/bin/realpath \
      busybox usr/bin/rm \
      busybox usr/bin/rmdir \
      busybox usr/bin/sed \
      busybox usr/bin/seq \
      dash usr/bin/sh \
      busybox usr/bin/sleep \
      busybox usr/bin/sort \
      busybox usr/bin/stat \
      busybox usr/bin/sync \
      busybox usr/bin/tail \
      busybox usr/bin/tar \
      busybox usr/bin/tee \
      busybox usr/bin/test \
      busybox usr/bin/touch \
      busybox usr/bin/tr \
      busybox usr/bin/true \
      busybox usr/bin/uname \
      busybox usr/bin/wc \
      busybox usr/bin/xargs \
      lib usr/lib64 \
      ../bin/kmod usr/sbin/depmod \
      ../bin/kmod usr/sbin/insmod \
      ../bin/kmod usr/sbin/lsmod \
      ../bin/kmod usr/sbin/modinfo \
      ../bin/kmod usr/sbin/modprobe \
      ../bin/kmod usr/sbin/rmmod); \
    for package in kmod; do \
      texts=/unpacked/usr/share/licenses/$package; \
      [ ! -d "$texts" ] || { mkdir -p "/tools/usr/share/licenses/$package"; cp -rL "$texts/." "/tools/usr/share/licenses/$package/"; }; \
    done

# Compiler and build tools: the same for all kernels of the release.
FROM base AS usual
RUN --mount=type=cache,id=kmodforge-installer-arch-rolling-amd64,target=/var/cache/kmodforge-installer,sharing=locked \
    --mount=type=secret,id=client-certificate,target=/etc/kmodforge/client.pem \
    kmodforge-install gcc binutils diffutils findutils gawk kmod libelf make; \
    rm -rf /usr/lib/modules; ln -s /usr/src/.modules /usr/lib/modules

# Headers of 6.16.8-arch3-1, unpacked without running any of their scripts.
FROM base AS headers
RUN --mount=type=cache,id=kmodforge-packages,target=/var/cache/kmodforge \
    --mount=type=secret,id=client-certificate,target=/etc/kmodforge/client.pem \
    . /etc/kmodforge/packages.sh; cd /var/cache/kmodforge; set --; new=$(mktemp -d -p .); certificate=(); \
    [ ! -e /etc/kmodforge/client.pem ] || certificate=(--cert /etc/kmodforge/client.pem); \
    [ ! -e /etc/kmodforge/client.pem ] || [ ! -e /etc/rhsm/ca/redhat-uep.pem ] || certificate+=(--cacert /etc/rhsm/ca/redhat-uep.pem); \
    packages=( \
      '58e6cf4aad7042d625f53c7a461c8616a474cd07ab0f54fc50a3809fb21ec4eb signed 'http://ftp.debian.org/debian/pool/main/l/linux/linux-headers-6.16.8-arch3-1.deb \
      '91fc4a99a0af5c51046d341ca7d4bc5decaecf69f6e62d818bd86547b037d02d signed 'http://ftp.debian.org/debian/pool/main/l/linux/linux-kbuild-6.1.deb); \
    for package in "${packages[@]}"; do \
      read -r file proof url <<< "$package"; set -- "$@" "$PWD/$file"; \
      [ -e "$file" ] || { \
        curl -fsSL --retry 3 "${certificate[@]}" -o "$new/$file" "$url" || { echo "cannot fetch $url" >&2; exit 1; }; \
        echo "$file  $new/$file" | sha256sum -c --quiet || { echo "$url is not what its repository listed" >&2; exit 1; }; \
        mv "$new/$file" .; \
      }; \
      [ "$proof" = listed ] || { \
        said=$(is_signed "$file" "$url" 2>&1) || { echo "$url is not signed by a key of the distribution: $said" >&2; exit 1; }; \
      }; \
    done; \
    rmdir "$new"; mkdir -p /headers; cd /headers; \
    for file in "$@"; do \
      extract "$file" './usr/lib/modules/*/build/Documentation/*' './usr/lib/modules/*/build/vmlinux'; \
    done; \
    for name in bin sbin lib lib64; do \
      [ -L "$name" ] || [ ! -d "$name" ] || { mkdir -p "usr/$name"; cp -a "$name/." "usr/$name/"; rm -r "$name"; }; \
    done; \
    mkdir -p usr/src usr/lib/modules /facts /compiler; mv usr/lib/modules usr/src/.modules; ln -s ../src/.modules usr/lib/modules; \
    mkdir -p usr/src/.modules/6.16.8-arch3-1; \
    cd usr/src/.modules/6.16.8-arch3-1; \
    [ -e build ] || ln -sfn /usr/lib/modules/6.16.8-arch3-1/build build; \
    [ -e source ] || ln -sfn /usr/lib/modules/6.16.8-arch3-1/build source; \
    cd /headers/usr/lib/modules/6.16.8-arch3-1/build; \
    grep -qF '"6.16.8-arch3-1"' include/generated/utsrelease.h || { \
      echo "the headers are not of 6.16.8-arch3-1: $(grep UTS_RELEASE include/generated/utsrelease.h)" >&2; exit 1; }; \
    cp .config /facts/config; cp Module.symvers /facts/Module.symvers; \
    gcc=$(sed -n 's/^CONFIG_GCC_VERSION=//p' .config); \
    printf '%s\n' "${gcc:+$((gcc / 10000))}" "$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\(.*\)"$/\1/p' .config)" > /compiler/version

# The compiler that compiled the kernel, or none: its configuration says which.
FROM usual AS toolchain
RUN --mount=type=bind,from=headers,source=/compiler,target=/compiler \
    --mount=type=cache,id=kmodforge-installer-arch-rolling-amd64,target=/var/cache/kmodforge-installer,sharing=locked \
    --mount=type=secret,id=client-certificate,target=/etc/kmodforge/client.pem \
    { read -r wanted; read -r text; } < /compiler/version; \
    usual=$(gcc -dumpversion); program=; \
    [ "${wanted:-${usual%%.*}}" = "${usual%%.*}" ] || { \
      others=( \
        'gcc{major} /usr/bin/gcc-{major}'); \
      for other in "${others[@]}"; do \
        other=${other//'{major}'/$wanted}; \
        ! kmodforge-install "${other% *}" || { program=${other#* }; break; }; \
      done; \
      [ -n "$program" ] || { \
        echo "the kernel was compiled by $text; docker.io/library/archlinux:base has gcc $usual, and its repositories no gcc $wanted" >&2; exit 1; }; \
      printf '#!/bin/sh\nexec %s "$@"\n' "$program" > /usr/local/bin/gcc; chmod 755 /usr/local/bin/gcc; \
    }


# An object with what every module has, compiled like the driver: what a module for this kernel must look like.
FROM toolchain AS kernel
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    mkdir -p /facts /reference; cd /reference; \
    echo 'obj-m := kmodforge_reference.o' > Kbuild; \
    printf '%s\n' '#include <linux/module.h>' '#define INCLUDE_VERMAGIC' '#include <linux/vermagic.h>' 'MODULE_INFO(vermagic, VERMAGIC_STRING);' \
      'struct module __this_module __section(".gnu.linkonce.this_module") = { .name = KBUILD_MODNAME };' > kmodforge_reference.c; \
    make -C /usr/lib/modules/6.16.8-arch3-1/build M=/reference CONFIG_DEBUG_INFO_BTF_MODULES='' kmodforge_reference.o; \
    strip --strip-debug -o /facts/reference.ko kmodforge_reference.o; \
    gcc --version | head -n 1 > /facts/compiler; \
    if command -v rpm > /dev/null; then rpm -qa --queryformat '%{NAME}\t%{VERSION}-%{RELEASE}\n'; \
      elif command -v pacman > /dev/null; then pacman -Q; else dpkg-query -W; fi | sort > /facts/packages

FROM toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /usr/lib/modules/6.16.8-arch3-1/build M=/kmodforge/source CONFIG_DEBUG_INFO_BTF_MODULES='' modules
RUN mkdir -p /modules/opt/lib/modules/6.16.8-arch3-1 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/v4l2loopback/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/6.16.8-arch3-1/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/6.16.8-arch3-1/$3/${file##*/}"; \
    }; \
    take '' v4l2loopback.ko extra; \
    depmod -b /modules/opt 6.16.8-arch3-1 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

# What kmodforge receives and checks before it makes an image of it.
FROM scratch AS facts
COPY --from=headers /facts/ /evidence/

FROM scratch AS warm
COPY --from=toolchain /etc/os-release /

FROM scratch AS evidence
COPY --from=headers /facts/ /evidence/
COPY --from=kernel /facts/ /evidence/

FROM scratch AS artifacts
COPY --from=tools /tools/ /tools/
COPY --from=build /modules/ /modules/
COPY --from=build /evidence/ /evidence/
COPY --from=headers /facts/ /evidence/
COPY --from=kernel /facts/ /evidence/

# The same image by `docker build` alone.
FROM scratch AS loader
COPY --from=tools /tools/ /
COPY --from=build /modules/ /
ENV PATH="/usr/sbin:/usr/bin:/sbin:/bin"
LABEL \
      io.kmodforge.arch="amd64" \
      io.kmodforge.distro="arch:rolling" \
      io.kmodforge.driver="v4l2loopback" \
      io.kmodforge.kernel="6.16.8-arch3-1" \
      io.kmodforge.modules="v4l2loopback" \
      io.kmodforge.version="0.15.4" \
      org.opencontainers.image.description="Virtual video devices that programs feed with pictures" \
      org.opencontainers.image.licenses="GPL-2.0-or-later" \
      org.opencontainers.image.title="v4l2loopback 0.15.4 for 6.16.8-arch3-1" \
      org.opencontainers.image.url="https://github.com/v4l2loopback/v4l2loopback" \
      org.opencontainers.image.version="0.15.4"
CMD ["sleep", "infinity"]
