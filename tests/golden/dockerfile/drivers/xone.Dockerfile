FROM toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /usr/src/linux-headers-6.12.0-1-amd64 M=/kmodforge/source CONFIG_DEBUG_INFO_BTF_MODULES='' modules
RUN mkdir -p /modules/opt/lib/modules/6.12.0-1-amd64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/xone/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/6.12.0-1-amd64/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/6.12.0-1-amd64/$3/${file##*/}"; \
    }; \
    take '' 'xone[-_]gip.ko' extra; \
    take '' 'xone[-_]gip[-_]gamepad.ko' extra; \
    take '' 'xone[-_]gip[-_]headset.ko' extra; \
    take '' 'xone[-_]gip[-_]chatpad.ko' extra; \
    take '' 'xone[-_]gip[-_]madcatz[-_]strat.ko' extra; \
    take '' 'xone[-_]gip[-_]madcatz[-_]glam.ko' extra; \
    take '' 'xone[-_]gip[-_]pdp[-_]jaguar.ko' extra; \
    take '' 'xone[-_]wired.ko' extra; \
    take '' 'xone[-_]dongle.ko' extra; \
    depmod -b /modules/opt 6.12.0-1-amd64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

LABEL \
      io.kmodforge.arch="amd64" \
      io.kmodforge.distro="debian:bookworm" \
      io.kmodforge.driver="xone" \
      io.kmodforge.kernel="6.12.0-1-amd64" \
      io.kmodforge.modules="xone_gip xone_gip_gamepad xone_gip_headset xone_gip_chatpad xone_gip_madcatz_strat xone_gip_madcatz_glam xone_gip_pdp_jaguar xone_wired xone_dongle" \
      io.kmodforge.version="0.5.8" \
      org.opencontainers.image.description="Xbox controllers and accessories, by cable and by wireless dongle" \
      org.opencontainers.image.licenses="GPL-2.0-or-later" \
      org.opencontainers.image.title="xone 0.5.8 for 6.12.0-1-amd64" \
      org.opencontainers.image.url="https://github.com/dlundqvist/xone" \
      org.opencontainers.image.version="0.5.8"
