FROM toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /kmodforge/source CONFIG_DEBUG_INFO_BTF_MODULES='' BUILD_KERNEL=6.1.0-56-amd64
RUN mkdir -p /modules/opt/lib/modules/6.1.0-56-amd64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/ixgbe/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
    }; \
    take '' ixgbe.ko extra; \
    depmod -b /modules/opt 6.1.0-56-amd64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

LABEL \
      io.kmodforge.arch="amd64" \
      io.kmodforge.distro="debian:bookworm" \
      io.kmodforge.driver="ixgbe" \
      io.kmodforge.kernel="6.1.0-56-amd64" \
      io.kmodforge.modules="ixgbe" \
      io.kmodforge.version="6.3.4" \
      org.opencontainers.image.description="Intel's own driver for its 10 Gbit Ethernet controllers" \
      org.opencontainers.image.licenses="GPL-2.0-only" \
      org.opencontainers.image.title="ixgbe 6.3.4 for 6.1.0-56-amd64" \
      org.opencontainers.image.url="https://github.com/intel/ethernet-linux-ixgbe" \
      org.opencontainers.image.version="6.3.4"
