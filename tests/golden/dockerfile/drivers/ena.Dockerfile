FROM toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /kmodforge/source/kernel/linux/ena CONFIG_DEBUG_INFO_BTF_MODULES='' BUILD_KERNEL=6.1.0-56-amd64 KERNEL_BUILD_DIR=/usr/src/linux-headers-6.1.0-56-amd64
RUN mkdir -p /modules/opt/lib/modules/6.1.0-56-amd64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/ena/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
    }; \
    take kernel/linux/ena/ena.ko ena.ko extra; \
    depmod -b /modules/opt 6.1.0-56-amd64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

LABEL \
      io.kmodforge.arch="amd64" \
      io.kmodforge.distro="debian:bookworm" \
      io.kmodforge.driver="ena" \
      io.kmodforge.kernel="6.1.0-56-amd64" \
      io.kmodforge.modules="ena" \
      io.kmodforge.version="2.17.3" \
      org.opencontainers.image.description="Amazon's own driver for the network interfaces of EC2 instances" \
      org.opencontainers.image.licenses="GPL-2.0-only OR BSD-2-Clause" \
      org.opencontainers.image.title="ena 2.17.3 for 6.1.0-56-amd64" \
      org.opencontainers.image.url="https://github.com/amzn/amzn-drivers" \
      org.opencontainers.image.version="2.17.3"
