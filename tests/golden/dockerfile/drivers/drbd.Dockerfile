FROM toolchain AS driver-toolchain
RUN --mount=type=cache,id=kmodforge-apt-debian-bookworm-amd64,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=kmodforge-lists-debian-bookworm-amd64,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=apt-auth,target=/etc/apt/auth.conf.d/kmodforge.conf \
    [ -n "$(ls /var/lib/apt/lists/*_InRelease 2>/dev/null)" ] || apt-get -q -o APT::Sandbox::User=root -o Acquire::Languages=none update; \
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o APT::Sandbox::User=root -o Dpkg::Options::=--force-unsafe-io \
      satisfy --no-install-recommends coccinelle

FROM driver-toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /kmodforge/source CONFIG_DEBUG_INFO_BTF_MODULES='' KDIR=/usr/src/linux-headers-6.1.0-56-amd64 KVER=6.1.0-56-amd64 SPAAS=false module
RUN mkdir -p /modules/opt/lib/modules/6.1.0-56-amd64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/drbd/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
    }; \
    take '' drbd.ko extra; \
    take '' 'drbd[-_]transport[-_]tcp.ko' extra; \
    take '' 'drbd[-_]transport[-_]lb[-_]tcp.ko' extra; \
    take '' 'drbd[-_]transport[-_]rdma.ko' extra; \
    depmod -b /modules/opt 6.1.0-56-amd64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

LABEL \
      io.kmodforge.arch="amd64" \
      io.kmodforge.distro="debian:bookworm" \
      io.kmodforge.driver="drbd" \
      io.kmodforge.kernel="6.1.0-56-amd64" \
      io.kmodforge.modules="drbd drbd_transport_tcp drbd_transport_lb-tcp" \
      io.kmodforge.version="9.3.4" \
      org.opencontainers.image.description="Block devices that are mirrored over the network" \
      org.opencontainers.image.licenses="GPL-2.0-or-later" \
      org.opencontainers.image.title="drbd 9.3.4 for 6.1.0-56-amd64" \
      org.opencontainers.image.url="https://linbit.com/drbd/" \
      org.opencontainers.image.version="9.3.4"
