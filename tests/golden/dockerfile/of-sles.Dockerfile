# v4l2loopback 0.15.4 for 5.14.21-150500.55.49-default (sles 15-sp5, amd64)
#
# Rendered by kmodforge. Needs nothing but `docker build --target loader .`: the driver's source lies beside this file.
# base ─┬─ usual ─┬─ toolchain ─┬─ kernel ─┐
#       ├─ headers ┴────────────┴─ build ──┼─ loader
#       └─ tools ──────────────────────────┘

# The repositories that kmodforge reads, and what unpacks packages, where the image lacks it.
FROM registry.suse.com/bci/bci-base:15.5 AS base
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN --mount=type=cache,id=kmodforge-installer-sles-15-sp5-amd64,target=/var/cache/kmodforge-installer,sharing=locked \
    --mount=type=secret,id=client-certificate,target=/etc/kmodforge/client.pem \
    mkdir -p /etc/kmodforge/repositories; \
    printf '%s\n' \
      '[basesystem]' \
      name=basesystem \
      baseurl=https://updates.suse.com/SUSE/Products/SLE-Module-Basesystem/15-SP5/x86_64/product \
      enabled=1 \
      gpgcheck=1 \
      autorefresh=1 \
      '' \
      '[basesystem-update]' \
      name=basesystem-update \
      baseurl=https://updates.suse.com/SUSE/Updates/SLE-Module-Basesystem/15-SP5/x86_64/update \
      enabled=1 \
      gpgcheck=1 \
      autorefresh=1 \
      '' \
      '[development-tools]' \
      name=development-tools \
      baseurl=https://updates.suse.com/SUSE/Products/SLE-Module-Development-Tools/15-SP5/x86_64/product \
      enabled=1 \
      gpgcheck=1 \
      autorefresh=1 \
      '' \
      '[development-tools-update]' \
      name=development-tools-update \
      baseurl=https://updates.suse.com/SUSE/Updates/SLE-Module-Development-Tools/15-SP5/x86_64/update \
      enabled=1 \
      gpgcheck=1 \
      autorefresh=1 \
      '' > /etc/kmodforge/repositories/kmodforge.repo; \
    printf '%s\n' '#!/bin/bash' \
      'exec zypper --non-interactive --reposd-dir /etc/kmodforge/repositories --cache-dir /var/cache/kmodforge-installer install --no-recommends "$@"' \
      > /usr/local/bin/kmodforge-install; \
    chmod 755 /usr/local/bin/kmodforge-install; \
    printf '%s\n' 'is_signed() {' '  said=$(rpmkeys --dbpath /etc/kmodforge/keys --checksig "$1" 2>&1) || true' \
      '  case $said in *" signatures OK"*|*" pgp "*OK*) ;; *) echo "${said#*: }"; return 1;; esac' '}' \
      'extract() { file=$1; shift; [ $# = 0 ] || set -- -f "$@"; rpm2cpio "$file" | cpio -idm --quiet --no-absolute-filenames "$@"; }' \
      > /etc/kmodforge/packages.sh; \
    mkdir -p /etc/kmodforge/keys; \
    set -- /usr/lib/rpm/gnupg/keys; for key in "$@"; do \
      for file in "$key" "$key"/*; do \
        [ ! -f "$file" ] || rpmkeys --dbpath /etc/kmodforge/keys --import "$file"; [ ! -f "$file" ] || rpmkeys --import "$file"; \
      done; \
    done; \
    set --; for need in cpio:cpio curl:curl find:findutils; do type -P "${need%:*}" > /dev/null || set -- "$@" "${need#*:}"; done; \
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
    for pattern in usr/bin/kmod usr/bin/bash usr/bin/basename usr/bin/cat usr/bin/chmod usr/bin/chown usr/bin/cp usr/bin/cut usr/bin/dirname usr/bin/echo usr/bin/env usr/bin/false usr/bin/head usr/bin/id usr/bin/ln usr/bin/ls usr/bin/mkdir usr/bin/mv usr/bin/printf usr/bin/readlink usr/bin/rm usr/bin/rmdir usr/bin/seq usr/bin/sleep usr/bin/sort usr/bin/stat usr/bin/sync usr/bin/tail usr/bin/tee usr/bin/test usr/bin/touch usr/bin/tr usr/bin/true usr/bin/uname usr/bin/wc usr/bin/find usr/bin/xargs 'usr/lib64/libkmod.so.2*' 'usr/lib64/liblzma.so.5*' 'usr/lib64/libz.so.1*' 'usr/lib64/libtinfo.so.6*' 'usr/lib64/libacl.so.1*' 'usr/lib64/libattr.so.1*' 'usr/lib64/libcap.so.2*' 'usr/lib64/libselinux.so.1*' 'usr/lib64/libpcre*.so.*' 'usr/lib64/libcrypto.so.*' 'usr/lib64/libreadline.so.*' 'usr/lib64/libzstd.so.1*' 'usr/lib64/libc[-.]*' 'usr/lib64/libdl[-.]*' 'usr/lib64/libm[-.]*' 'usr/lib64/libpthread[-.]*' 'usr/lib*/ld-*'; do \
      found=; for file in $pattern; do [ -e "$file" ] || continue; found=1; cp -a --parents "$file" /tools; done; \
      [ -n "$found" ] || { echo "no package of the image's programs has $pattern" >&2; exit 1; }; \
    done; \
    cd /tools; mkdir -p tmp usr/bin usr/sbin; chmod 1777 tmp; \
    while read -r to link; do ln -sfn "$to" "$link"; done < <(printf '%s %s\n' \
      usr/bin bin \
      usr/lib lib \
      usr/lib64 lib64 \
      usr/sbin sbin \
      kmod usr/bin/lsmod \
      bash usr/bin/sh \
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
RUN --mount=type=cache,id=kmodforge-installer-sles-15-sp5-amd64,target=/var/cache/kmodforge-installer,sharing=locked \
    --mount=type=secret,id=client-certificate,target=/etc/kmodforge/client.pem \
    kmodforge-install gcc binutils diffutils findutils gawk kmod libelf1 make; \
    rm -rf /usr/lib/modules; ln -s /usr/src/.modules /usr/lib/modules

# Headers of 5.14.21-150500.55.49-default, unpacked without running any of their scripts.
FROM base AS headers
RUN --mount=type=cache,id=kmodforge-packages,target=/var/cache/kmodforge \
    --mount=type=secret,id=client-certificate,target=/etc/kmodforge/client.pem \
    . /etc/kmodforge/packages.sh; cd /var/cache/kmodforge; set --; new=$(mktemp -d -p .); certificate=(); \
    [ ! -e /etc/kmodforge/client.pem ] || certificate=(--cert /etc/kmodforge/client.pem); \
    [ ! -e /etc/kmodforge/client.pem ] || [ ! -e /etc/rhsm/ca/redhat-uep.pem ] || certificate+=(--cacert /etc/rhsm/ca/redhat-uep.pem); \
    packages=( \
      'd43d522e4d2b30459b63e676ef6aeb86e6dacd3600cd5373270ad8e35c96097e signed 'http://ftp.debian.org/debian/pool/main/l/linux/linux-headers-5.14.21-150500.55.49-default.deb \
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
      extract "$file" './usr/src/linux-*/include/config/[A-Z]*' './usr/src/linux-*/arch/alpha/*' './usr/src/linux-*/arch/arc/*' './usr/src/linux-*/arch/csky/*' './usr/src/linux-*/arch/hexagon/*' './usr/src/linux-*/arch/ia64/*' './usr/src/linux-*/arch/loongarch/*' './usr/src/linux-*/arch/m68k/*' './usr/src/linux-*/arch/microblaze/*' './usr/src/linux-*/arch/mips/*' './usr/src/linux-*/arch/nios2/*' './usr/src/linux-*/arch/openrisc/*' './usr/src/linux-*/arch/parisc/*' './usr/src/linux-*/arch/powerpc/*' './usr/src/linux-*/arch/riscv/*' './usr/src/linux-*/arch/s390/*' './usr/src/linux-*/arch/sh/*' './usr/src/linux-*/arch/sparc/*' './usr/src/linux-*/arch/um/*' './usr/src/linux-*/arch/xtensa/*'; \
    done; \
    for name in bin sbin lib lib64; do \
      [ -L "$name" ] || [ ! -d "$name" ] || { mkdir -p "usr/$name"; cp -a "$name/." "usr/$name/"; rm -r "$name"; }; \
    done; \
    mkdir -p usr/src usr/lib/modules /facts /compiler; mv usr/lib/modules usr/src/.modules; ln -s ../src/.modules usr/lib/modules; \
    mkdir -p usr/src/.modules/5.14.21-150500.55.49-default; \
    cd usr/src/.modules/5.14.21-150500.55.49-default; \
    [ -e build ] || ln -sfn /usr/src/linux-5.14.21-150500.55.49-obj/x86_64/default build; \
    [ -e source ] || ln -sfn /usr/src/linux-5.14.21-150500.55.49 source; \
    cd /headers/usr/src/linux-5.14.21-150500.55.49-obj/x86_64/default; \
    grep -qF '"5.14.21-150500.55.49-default"' include/generated/utsrelease.h || { \
      echo "the headers are not of 5.14.21-150500.55.49-default: $(grep UTS_RELEASE include/generated/utsrelease.h)" >&2; exit 1; }; \
    cp .config /facts/config; cp Module.symvers /facts/Module.symvers; \
    gcc=$(sed -n 's/^CONFIG_GCC_VERSION=//p' .config); \
    printf '%s\n' "${gcc:+$((gcc / 10000))}" "$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\(.*\)"$/\1/p' .config)" > /compiler/version

# The compiler that compiled the kernel, or none: its configuration says which.
FROM usual AS toolchain
RUN --mount=type=bind,from=headers,source=/compiler,target=/compiler \
    --mount=type=cache,id=kmodforge-installer-sles-15-sp5-amd64,target=/var/cache/kmodforge-installer,sharing=locked \
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
        echo "the kernel was compiled by $text; registry.suse.com/bci/bci-base:15.5 has gcc $usual, and its repositories no gcc $wanted" >&2; exit 1; }; \
      printf '#!/bin/sh\nexec %s "$@"\n' "$program" > /usr/local/bin/gcc; chmod 755 /usr/local/bin/gcc; \
    }


# An object with what every module has, compiled like the driver: what a module for this kernel must look like.
FROM toolchain AS kernel
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    mkdir -p /facts /reference; cd /reference; \
    echo 'obj-m := kmodforge_reference.o' > Kbuild; \
    printf '%s\n' '#include <linux/module.h>' '#define INCLUDE_VERMAGIC' '#include <linux/vermagic.h>' 'MODULE_INFO(vermagic, VERMAGIC_STRING);' \
      'struct module __this_module __section(".gnu.linkonce.this_module") = { .name = KBUILD_MODNAME };' > kmodforge_reference.c; \
    make -C /usr/src/linux-5.14.21-150500.55.49-obj/x86_64/default M=/reference CONFIG_DEBUG_INFO_BTF_MODULES='' kmodforge_reference.o; \
    strip --strip-debug -o /facts/reference.ko kmodforge_reference.o; \
    gcc --version | head -n 1 > /facts/compiler; \
    if command -v rpm > /dev/null; then rpm -qa --queryformat '%{NAME}\t%{VERSION}-%{RELEASE}\n'; \
      elif command -v pacman > /dev/null; then pacman -Q; else dpkg-query -W; fi | sort > /facts/packages

FROM toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /usr/src/linux-5.14.21-150500.55.49-obj/x86_64/default M=/kmodforge/source CONFIG_DEBUG_INFO_BTF_MODULES='' modules
RUN mkdir -p /modules/opt/lib/modules/5.14.21-150500.55.49-default /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/v4l2loopback/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/5.14.21-150500.55.49-default/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/5.14.21-150500.55.49-default/$3/${file##*/}"; \
    }; \
    take '' v4l2loopback.ko extra; \
    depmod -b /modules/opt 5.14.21-150500.55.49-default 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

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
      io.kmodforge.distro="sles:15-sp5" \
      io.kmodforge.driver="v4l2loopback" \
      io.kmodforge.kernel="5.14.21-150500.55.49-default" \
      io.kmodforge.modules="v4l2loopback" \
      io.kmodforge.version="0.15.4" \
      org.opencontainers.image.description="Virtual video devices that programs feed with pictures" \
      org.opencontainers.image.licenses="GPL-2.0-or-later" \
      org.opencontainers.image.title="v4l2loopback 0.15.4 for 5.14.21-150500.55.49-default" \
      org.opencontainers.image.url="https://github.com/v4l2loopback/v4l2loopback" \
      org.opencontainers.image.version="0.15.4"
CMD ["sleep", "infinity"]
