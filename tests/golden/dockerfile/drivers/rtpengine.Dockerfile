FROM toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    sh -c '! grep -A1 '\''const struct nft_expr [*]expr,$'\'' "$1/include/net/netfilter/nf_tables.h" | grep -q '\''bool reset'\'' || sed -i '\''s/KERNEL_VERSION(6,2,0) ||/KERNEL_VERSION(6,1,0) ||/'\'' *.c' sh /lib/modules/6.1.0-56-amd64/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /usr/src/linux-headers-6.1.0-56-amd64 M=/kmodforge/source CONFIG_DEBUG_INFO_BTF_MODULES='' RTPENGINE_VERSION=26.0.1.26 modules
RUN mkdir -p /modules/opt/lib/modules/6.1.0-56-amd64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/rtpengine/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
    }; \
    take '' 'nft[-_]rtpengine.ko' extra; \
    depmod -b /modules/opt 6.1.0-56-amd64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

LABEL \
      io.kmodforge.arch="amd64" \
      io.kmodforge.distro="debian:bookworm" \
      io.kmodforge.driver="rtpengine" \
      io.kmodforge.kernel="6.1.0-56-amd64" \
      io.kmodforge.modules="nft_rtpengine" \
      io.kmodforge.version="26.0.1.26" \
      org.opencontainers.image.description="RTP streams of Sipwise's media proxy, forwarded in the kernel" \
      org.opencontainers.image.licenses="GPL-3.0-or-later" \
      org.opencontainers.image.title="rtpengine 26.0.1.26 for 6.1.0-56-amd64" \
      org.opencontainers.image.url="https://github.com/sipwise/rtpengine" \
      org.opencontainers.image.version="26.0.1.26"
