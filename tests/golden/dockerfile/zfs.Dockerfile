# zfs 2.4.4 for 6.1.0-56-amd64 (debian bookworm, amd64)
#
# Rendered by kmodforge. Needs nothing but `docker build --target loader .`: the driver's source lies beside this file.
# base ─┬─ toolchain ─┬─ kernel ─┐
#       ├─ headers ───┴─ build ──┼─ loader
#       └─ tools ────────────────┘

FROM docker.io/library/debian:bookworm AS base
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# Compiler and build tools: the same for all kernels that were compiled by gcc-12.
FROM base AS toolchain
RUN --mount=type=cache,id=kmodforge-apt-debian-bookworm-amd64,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=kmodforge-lists-debian-bookworm-amd64,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=apt-auth,target=/etc/apt/auth.conf.d/kmodforge.conf \
    rm -f /etc/apt/apt.conf.d/docker-clean /etc/apt/sources.list.d/*; \
    printf '%s\n' \
      'deb http://security.debian.org/debian-security bookworm-security main' \
      'deb http://ftp.debian.org/debian bookworm-updates main' \
      'deb http://ftp.debian.org/debian bookworm main' \
      'deb http://ftp.debian.org/debian bookworm-backports main' > /etc/apt/sources.list; \
    apt-get -q -o APT::Sandbox::User=root -o Acquire::Languages=none update; \
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o APT::Sandbox::User=root -o Dpkg::Options::=--force-unsafe-io \
      -o Dpkg::Options::=--path-exclude='/usr/share/doc/*' -o Dpkg::Options::=--path-exclude='/usr/share/man/*' \
      install --no-install-recommends gcc-12 make kmod libelf1; \
    rm -rf /usr/lib/modules; ln -s /usr/src/.modules /usr/lib/modules

# What only zfs needs.
FROM toolchain AS driver-toolchain
RUN --mount=type=cache,id=kmodforge-apt-debian-bookworm-amd64,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=kmodforge-lists-debian-bookworm-amd64,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=apt-auth,target=/etc/apt/auth.conf.d/kmodforge.conf \
    [ -n "$(ls /var/lib/apt/lists/*_InRelease 2>/dev/null)" ] || apt-get -q -o APT::Sandbox::User=root -o Acquire::Languages=none update; \
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o APT::Sandbox::User=root -o Dpkg::Options::=--force-unsafe-io \
      satisfy --no-install-recommends libc6-dev

# Programs of the image: packages unpacked, files picked, nothing run. The same for every kernel of the release.
FROM base AS tools
RUN --mount=type=cache,id=kmodforge-packages,target=/var/cache/kmodforge \
    --mount=type=secret,id=apt-auth,target=/etc/apt/auth.conf.d/kmodforge.conf \
    mkdir -p /unpacked/usr/{bin,sbin,lib,lib64} /tools; \
    for link in bin sbin lib lib64; do ln -s usr/$link /unpacked/$link; done; \
    cd /var/cache/kmodforge; set --; missing=(); new=$(mktemp -d -p .); \
    for package in \
      '43908ec50e3d1107c06035715db493e61e1f903ace33144190d01ffc48e00971 'http://ftp.debian.org/debian/pool/main/l/linux/kmod.deb; do \
      set -- "$@" "${package%% *}"; \
      [ -e "${package%% *}" ] || missing+=("${package#* }" "$new/${package%% *}" "SHA256:${package%% *}"); \
    done; \
    [ -z "${missing[*]}" ] || /usr/lib/apt/apt-helper -q -o APT::Sandbox::User=root download-file "${missing[@]}"; \
    find "$new" -type f -exec mv -t . {} +; rmdir "$new"; \
    for file in "$@"; do \
      dpkg-deb --fsys-tarfile "$file" | tar -x --keep-directory-symlink --no-same-owner -C /unpacked; \
    done; \
    cd /unpacked; \
    for pattern in usr/bin/kmod usr/bin/dash usr/bin/busybox 'usr/lib/*-linux-gnu/libkmod.so.2*' 'usr/lib/*-linux-gnu/libzstd.so.1*' 'usr/lib/*-linux-gnu/liblzma.so.5*' 'usr/lib/*-linux-gnu/libcrypto.so.3' 'usr/lib/*-linux-gnu/libz.so.1*' 'usr/lib/*-linux-gnu/libc.so.6' 'usr/lib/*-linux-gnu/ld-linux-*.so.*' 'usr/lib*/ld-linux-*.so.*'; do \
      found=; for file in $pattern; do [ -e "$file" ] || continue; found=1; cp -a --parents "$file" /tools; done; \
      [ -n "$found" ] || { echo "no package of the image's programs has $pattern" >&2; exit 1; }; \
    done; \
    cd /tools; mkdir -p tmp usr/bin usr/sbin; chmod 1777 tmp; \
    while read -r to link; do ln -sfn "$to" "$link"; done < <(printf '%s %s\n' \
      usr/bin bin \
      usr/lib lib \
      usr/lib64 lib64 \
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
      ../bin/kmod usr/sbin/depmod \
      ../bin/kmod usr/sbin/insmod \
      ../bin/kmod usr/sbin/lsmod \
      ../bin/kmod usr/sbin/modinfo \
      ../bin/kmod usr/sbin/modprobe \
      ../bin/kmod usr/sbin/rmmod); \
    for package in kmod; do \
      text=/unpacked/usr/share/doc/$package/copyright; \
      [ ! -e "$text" ] || install -D -m 644 "$text" "/tools/usr/share/licenses/$package/copyright"; \
    done; \
    for text in $(grep -rhoE '/usr/share/common-licenses/[A-Za-z0-9.+-]*[A-Za-z0-9]' /tools/usr/share/licenses 2>/dev/null | sort -u); do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/tools$text"; \
    done

# Headers of 6.1.0-56-amd64, unpacked without running any of their scripts.
FROM base AS headers
RUN --mount=type=cache,id=kmodforge-packages,target=/var/cache/kmodforge \
    --mount=type=secret,id=apt-auth,target=/etc/apt/auth.conf.d/kmodforge.conf \
    mkdir -p /headers/usr/{src,lib/modules} /facts; ln -s usr/lib /headers/lib; \
    cd /var/cache/kmodforge; set --; missing=(); new=$(mktemp -d -p .); \
    for package in \
      '342d9a9355c340feb6577a3ac116f774fc764dddc3a4e4c801a44f811d60481a 'http://ftp.debian.org/debian/pool/main/l/linux/linux-headers-6.1.0-56-amd64.deb \
      '91fc4a99a0af5c51046d341ca7d4bc5decaecf69f6e62d818bd86547b037d02d 'http://ftp.debian.org/debian/pool/main/l/linux/linux-kbuild-6.1.deb; do \
      set -- "$@" "${package%% *}"; \
      [ -e "${package%% *}" ] || missing+=("${package#* }" "$new/${package%% *}" "SHA256:${package%% *}"); \
    done; \
    [ -z "${missing[*]}" ] || /usr/lib/apt/apt-helper -q -o APT::Sandbox::User=root download-file "${missing[@]}"; \
    find "$new" -type f -exec mv -t . {} +; rmdir "$new"; \
    for file in "$@"; do \
      dpkg-deb --fsys-tarfile "$file" | tar -x --keep-directory-symlink --no-same-owner --exclude='./usr/share/*' --exclude='./usr/src/*/include/config/[A-Z]*' --exclude='./usr/src/*/arch/alpha/*' --exclude='./usr/src/*/arch/arc/*' --exclude='./usr/src/*/arch/ia64/*' --exclude='./usr/src/*/arch/loongarch/*' --exclude='./usr/src/*/arch/m68k/*' --exclude='./usr/src/*/arch/mips/*' --exclude='./usr/src/*/arch/parisc/*' --exclude='./usr/src/*/arch/powerpc/*' --exclude='./usr/src/*/arch/riscv/*' --exclude='./usr/src/*/arch/s390/*' --exclude='./usr/src/*/arch/sh/*' --exclude='./usr/src/*/arch/sparc/*' --exclude='./usr/src/*/vmlinux' -C /headers; \
    done; \
    cd /headers/usr; mv lib/modules src/.modules; mv lib src/.lib; \
    find src -maxdepth 2 -type l -lname '*../lib/*' -printf '%p %l\n' | while read -r link to; do ln -sfn "/usr/src/.lib/${to##*../lib/}" "$link"; done; \
    cd /headers/usr/src/linux-headers-6.1.0-56-amd64; \
    grep -qF '"6.1.0-56-amd64"' include/generated/utsrelease.h || { \
      echo "the headers are not of 6.1.0-56-amd64: $(grep UTS_RELEASE include/generated/utsrelease.h)" >&2; exit 1; }; \
    cp .config /facts/config; cp Module.symvers /facts/Module.symvers

# An object with what every module has, compiled like the driver: what a module for this kernel must look like.
FROM toolchain AS kernel
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    mkdir -p /facts /reference; cd /reference; \
    echo 'obj-m := kmodforge_reference.o' > Kbuild; \
    printf '%s\n' '#include <linux/module.h>' '#define INCLUDE_VERMAGIC' '#include <linux/vermagic.h>' 'MODULE_INFO(vermagic, VERMAGIC_STRING);' \
      'struct module __this_module __section(".gnu.linkonce.this_module") = { .name = KBUILD_MODNAME };' > kmodforge_reference.c; \
    make -C /usr/src/linux-headers-6.1.0-56-amd64 M=/reference CONFIG_DEBUG_INFO_BTF_MODULES='' kmodforge_reference.o; \
    strip --strip-debug -o /facts/reference.ko kmodforge_reference.o; \
    gcc-12 --version | head -n 1 > /facts/compiler; \
    if command -v rpm > /dev/null; then rpm -qa --queryformat '%{NAME}\t%{VERSION}-%{RELEASE}\n'; \
      elif command -v pacman > /dev/null; then pacman -Q; else dpkg-query -W; fi | sort > /facts/packages

FROM driver-toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    CC=gcc-12 ./configure --disable-dependency-tracking --with-config=kernel --with-linux=/lib/modules/6.1.0-56-amd64/source --with-linux-obj=/usr/src/linux-headers-6.1.0-56-amd64
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /kmodforge/source CONFIG_DEBUG_INFO_BTF_MODULES=''
RUN mkdir -p /modules/opt/lib/modules/6.1.0-56-amd64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/zfs/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
    }; \
    take module/spl.ko spl.ko extra; \
    take module/zfs.ko zfs.ko extra; \
    depmod -b /modules/opt 6.1.0-56-amd64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

# What kmodforge receives and checks before it makes an image of it.
FROM scratch AS facts
COPY --from=headers /facts/ /evidence/

FROM scratch AS warm
COPY --from=driver-toolchain /etc/os-release /

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
      io.kmodforge.distro="debian:bookworm" \
      io.kmodforge.driver="zfs" \
      io.kmodforge.kernel="6.1.0-56-amd64" \
      io.kmodforge.modules="spl zfs" \
      io.kmodforge.version="2.4.4" \
      org.opencontainers.image.description="The ZFS file system and volume manager" \
      org.opencontainers.image.licenses="CDDL-1.0 AND GPL-2.0-or-later" \
      org.opencontainers.image.title="zfs 2.4.4 for 6.1.0-56-amd64" \
      org.opencontainers.image.url="https://openzfs.org/" \
      org.opencontainers.image.version="2.4.4"
CMD ["sleep", "infinity"]
