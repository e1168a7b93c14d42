FROM toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /usr/src/linux-headers-6.1.0-56-amd64 M=/kmodforge/source CONFIG_DEBUG_INFO_BTF_MODULES='' modules
RUN mkdir -p /modules/opt/lib/modules/6.1.0-56-amd64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/digimend/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
    }; \
    take '' 'hid[-_]digimend[-_]kye.ko' extra; \
    take '' 'hid[-_]digimend[-_]uclogic.ko' extra; \
    take '' 'hid[-_]digimend[-_]polostar.ko' extra; \
    take '' 'hid[-_]digimend[-_]viewsonic.ko' extra; \
    depmod -b /modules/opt 6.1.0-56-amd64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

LABEL \
      io.kmodforge.arch="amd64" \
      io.kmodforge.distro="debian:bookworm" \
      io.kmodforge.driver="digimend" \
      io.kmodforge.kernel="6.1.0-56-amd64" \
      io.kmodforge.modules="hid-digimend-kye hid-digimend-uclogic hid-digimend-polostar hid-digimend-viewsonic" \
      io.kmodforge.version="13" \
      org.opencontainers.image.description="Graphics tablets of Huion, XP-Pen, UGEE and others, before the kernel knows them" \
      org.opencontainers.image.licenses="GPL-2.0-or-later" \
      org.opencontainers.image.title="digimend 13 for 6.1.0-56-amd64" \
      org.opencontainers.image.url="https://digimend.github.io/" \
      org.opencontainers.image.version="13"
