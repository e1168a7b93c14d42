FROM toolchain AS driver-toolchain
RUN --mount=type=cache,id=kmodforge-apt-debian-bookworm-amd64,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=kmodforge-lists-debian-bookworm-amd64,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=apt-auth,target=/etc/apt/auth.conf.d/kmodforge.conf \
    [ -n "$(ls /var/lib/apt/lists/*_InRelease 2>/dev/null)" ] || apt-get -q -o APT::Sandbox::User=root -o Acquire::Languages=none update; \
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o APT::Sandbox::User=root -o Dpkg::Options::=--force-unsafe-io \
      satisfy --no-install-recommends libc6-dev

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
