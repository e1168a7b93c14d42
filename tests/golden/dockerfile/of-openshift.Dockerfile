# v4l2loopback 0.15.4 for 5.14.0-427.13.1.el9_4.x86_64 (openshift 9, amd64)
#
# Rendered by kmodforge. Needs nothing but `docker build --target loader .`: the driver's source lies beside this file.
# base ─┬─ usual ─┬─ toolchain ─┬─ kernel ─┐
#       ├─ headers ┴────────────┴─ build ──┼─ loader
#       └─ tools ──────────────────────────┘

# The repositories that kmodforge reads, and what unpacks packages, where the image lacks it.
FROM registry.access.redhat.com/ubi9/ubi:latest AS base
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN --mount=type=cache,id=kmodforge-installer-openshift-9-amd64,target=/var/cache/kmodforge-installer,sharing=locked \
    --mount=type=secret,id=client-certificate,target=/etc/kmodforge/client.pem \
    mkdir -p /etc/kmodforge/repositories; \
    printf '%s\n' \
      '[ubi-baseos]' \
      name=ubi-baseos \
      baseurl=https://cdn-ubi.redhat.com/content/public/ubi/dist/ubi9/9/x86_64/baseos/os \
      enabled=1 \
      gpgcheck=1 \
      gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release \
      skip_if_unavailable=1 \
      '' \
      '[ubi-appstream]' \
      name=ubi-appstream \
      baseurl=https://cdn-ubi.redhat.com/content/public/ubi/dist/ubi9/9/x86_64/appstream/os \
      enabled=1 \
      gpgcheck=1 \
      gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release \
      skip_if_unavailable=1 \
      '' > /etc/kmodforge/repositories/kmodforge.repo; \
    printf '%s\n' '[main]' reposdir=/etc/kmodforge/repositories repodir=/etc/kmodforge/repositories cachedir=/var/cache/kmodforge-installer keepcache=1 metadata_expire=3600 \
      plugins=0 install_weak_deps=0 tsflags=nodocs > /etc/kmodforge/dnf.conf; \
    printf '%s\n' '#!/bin/bash' 'set -- -y -c /etc/kmodforge/dnf.conf install "$@"' \
      '[ ! -e /etc/kmodforge/client.pem ] || set -- --setopt=sslclientcert=/etc/kmodforge/client.pem --setopt=sslclientkey=/etc/kmodforge/client.pem "$@"' \
      '[ ! -e /etc/kmodforge/client.pem ] || [ ! -e /etc/rhsm/ca/redhat-uep.pem ] || set -- --setopt=sslcacert=/etc/rhsm/ca/redhat-uep.pem "$@"' \
      'exec "$(type -P dnf || type -P tdnf || type -P yum)" "$@"' > /usr/local/bin/kmodforge-install; \
    chmod 755 /usr/local/bin/kmodforge-install; \
    printf '%s\n' 'is_signed() {' '  said=$(rpmkeys --dbpath /etc/kmodforge/keys --checksig "$1" 2>&1) || true' \
      '  case $said in *" signatures OK"*|*" pgp "*OK*) ;; *) echo "${said#*: }"; return 1;; esac' '}' \
      'extract() { file=$1; shift; [ $# = 0 ] || set -- -f "$@"; rpm2cpio "$file" | cpio -idm --quiet --no-absolute-filenames "$@"; }' \
      > /etc/kmodforge/packages.sh; \
    mkdir -p /etc/kmodforge/keys; \
    set -- /etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release; for key in "$@"; do \
      for file in "$key" "$key"/*; do \
        [ ! -f "$file" ] || rpmkeys --dbpath /etc/kmodforge/keys --import "$file"; \
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
    for pattern in usr/bin/kmod usr/bin/bash usr/bin/coreutils usr/bin/find usr/bin/xargs 'usr/lib64/libkmod.so.2*' 'usr/lib64/libzstd.so.1*' 'usr/lib64/liblzma.so.5*' 'usr/lib64/libcrypto.so.*' 'usr/lib64/libz.so.1*' 'usr/lib64/libtinfo.so.6*' 'usr/lib64/libacl.so.1*' 'usr/lib64/libattr.so.1*' 'usr/lib64/libcap.so.2*' 'usr/lib64/libselinux.so.1*' 'usr/lib64/libpcre2-8.so.0*' 'usr/lib64/libc[-.]*' 'usr/lib64/libdl[-.]*' 'usr/lib64/libm[-.]*' 'usr/lib64/libpthread[-.]*' 'usr/lib*/ld-*'; do \
      found=; for file in $pattern; do [ -e "$file" ] || continue; found=1; cp -a --parents "$file" /tools; done; \
      [ -n "$found" ] || { echo "no package of the image's programs has $pattern" >&2; exit 1; }; \
    done; \
    cd /tools; mkdir -p tmp usr/bin usr/sbin; chmod 1777 tmp; \
    while read -r to link; do ln -sfn "$to" "$link"; done < <(printf '%s %s\n' \
      usr/bin bin \
      usr/lib lib \
      usr/lib64 lib64 \
      usr/sbin sbin \
      coreutils 'usr/bin/[' \
      coreutils usr/bin/basename \
      coreutils usr/bin/cat \
      coreutils usr/bin/chmod \
      coreutils usr/bin/chown \
      coreutils usr/bin/cp \
      coreutils usr/bin/cut \
      coreutils usr/bin/date \
      coreutils usr/bin/dirname \
      coreutils usr/bin/echo \
      coreutils usr/bin/env \
      coreutils usr/bin/expr \
      coreutils usr/bin/false \
      coreutils usr/bin/head \
      coreutils usr/bin/id \
      coreutils usr/bin/ln \
      coreutils usr/bin/ls \
      kmod usr/bin/lsmod \
      coreutils usr/bin/mkdir \
      coreutils usr/bin/mv \
      coreutils usr/bin/printf \
      coreutils usr/bin/readlink \
      coreutils usr/bin/realpath \
      coreutils usr/bin/rm \
      coreutils usr/bin/rmdir \
      coreutils usr/bin/seq \
      bash usr/bin/sh \
      coreutils usr/bin/sleep \
      coreutils usr/bin/sort \
      coreutils usr/bin/stat \
      coreutils usr/bin/sync \
      coreutils usr/bin/tail \
      coreutils usr/bin/tee \
      coreutils usr/bin/test \
      coreutils usr/bin/touch \
      coreutils usr/bin/tr \
      coreutils usr/bin/true \
      coreutils usr/bin/uname \
      coreutils usr/bin/wc \
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

# The kernel's headers and its compiler.
FROM registry.example/devel:1 AS image
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# Headers of 5.14.0-427.13.1.el9_4.x86_64, in the places where packages would put them.
FROM image AS headers
RUN mkdir -p /headers/usr/{src,lib} /facts; \
    tree=; for place in /usr/src/kernels/5.14.0-427.13.1.el9_4.x86_64 /lib/modules/5.14.0-427.13.1.el9_4.x86_64/build; do \
      [ -n "$tree" ] || [ ! -e "$place/include/generated/utsrelease.h" ] || tree=$place; \
    done; \
    [ -n "$tree" ] || { \
      set --; for place in /usr/src/*/ /usr/src/kernels/*/ /lib/modules/*/build; do [ ! -e "$place" ] || set -- "$@" "$place"; done; \
      echo "registry.example/devel:1 has no headers of 5.14.0-427.13.1.el9_4.x86_64; what it has: ${*:-none}" >&2; exit 1; }; \
    cp -a /usr/src/. /headers/usr/src/; mkdir -p /headers/usr/src/.modules; ln -s ../src/.modules /headers/usr/lib/modules; \
    [ -d /headers/usr/src/kernels/5.14.0-427.13.1.el9_4.x86_64 ] || { directory=/headers/usr/src/kernels/5.14.0-427.13.1.el9_4.x86_64; mkdir -p "${directory%/*}"; cp -a "$(readlink -f "$tree")" "$directory"; }; \
    mkdir -p /headers/usr/src/.modules/5.14.0-427.13.1.el9_4.x86_64; \
    cd /headers/usr/src/.modules/5.14.0-427.13.1.el9_4.x86_64; \
    [ -e build ] || ln -sfn /usr/src/kernels/5.14.0-427.13.1.el9_4.x86_64 build; \
    [ -e source ] || ln -sfn /usr/src/kernels/5.14.0-427.13.1.el9_4.x86_64 source; \
    cd /headers/usr/src/kernels/5.14.0-427.13.1.el9_4.x86_64; \
    grep -qF '"5.14.0-427.13.1.el9_4.x86_64"' include/generated/utsrelease.h || { \
      echo "the headers are not of 5.14.0-427.13.1.el9_4.x86_64: $(grep UTS_RELEASE include/generated/utsrelease.h)" >&2; exit 1; }; \
    cp .config /facts/config; cp Module.symvers /facts/Module.symvers

FROM image AS toolchain
RUN rm -rf /usr/lib/modules; ln -s /usr/src/.modules /usr/lib/modules
COPY --from=base /etc/kmodforge /etc/kmodforge
COPY --from=base /usr/local/bin/kmodforge-install /usr/local/bin/


# An object with what every module has, compiled like the driver: what a module for this kernel must look like.
FROM toolchain AS kernel
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    mkdir -p /facts /reference; cd /reference; \
    echo 'obj-m := kmodforge_reference.o' > Kbuild; \
    printf '%s\n' '#include <linux/module.h>' '#define INCLUDE_VERMAGIC' '#include <linux/vermagic.h>' 'MODULE_INFO(vermagic, VERMAGIC_STRING);' \
      'struct module __this_module __section(".gnu.linkonce.this_module") = { .name = KBUILD_MODNAME };' > kmodforge_reference.c; \
    make -C /usr/src/kernels/5.14.0-427.13.1.el9_4.x86_64 M=/reference CONFIG_DEBUG_INFO_BTF_MODULES='' kmodforge_reference.o; \
    strip --strip-debug -o /facts/reference.ko kmodforge_reference.o; \
    gcc --version | head -n 1 > /facts/compiler; \
    if command -v rpm > /dev/null; then rpm -qa --queryformat '%{NAME}\t%{VERSION}-%{RELEASE}\n'; \
      elif command -v pacman > /dev/null; then pacman -Q; else dpkg-query -W; fi | sort > /facts/packages

FROM toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /usr/src/kernels/5.14.0-427.13.1.el9_4.x86_64 M=/kmodforge/source CONFIG_DEBUG_INFO_BTF_MODULES='' modules
RUN mkdir -p /modules/opt/lib/modules/5.14.0-427.13.1.el9_4.x86_64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/v4l2loopback/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/5.14.0-427.13.1.el9_4.x86_64/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/5.14.0-427.13.1.el9_4.x86_64/$3/${file##*/}"; \
    }; \
    take '' v4l2loopback.ko extra; \
    depmod -b /modules/opt 5.14.0-427.13.1.el9_4.x86_64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

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
      io.kmodforge.distro="openshift:9" \
      io.kmodforge.driver="v4l2loopback" \
      io.kmodforge.kernel="5.14.0-427.13.1.el9_4.x86_64" \
      io.kmodforge.modules="v4l2loopback" \
      io.kmodforge.version="0.15.4" \
      org.opencontainers.image.description="Virtual video devices that programs feed with pictures" \
      org.opencontainers.image.licenses="GPL-2.0-or-later" \
      org.opencontainers.image.title="v4l2loopback 0.15.4 for 5.14.0-427.13.1.el9_4.x86_64" \
      org.opencontainers.image.url="https://github.com/v4l2loopback/v4l2loopback" \
      org.opencontainers.image.version="0.15.4"
CMD ["sleep", "infinity"]
