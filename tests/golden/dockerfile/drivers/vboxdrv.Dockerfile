FROM toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /usr/src/linux-headers-6.1.0-56-amd64 M=/kmodforge/source/vboxdrv CONFIG_DEBUG_INFO_BTF_MODULES='' VBOX_KBUILD_TARGET_ARCH=amd64 modules
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /usr/src/linux-headers-6.1.0-56-amd64 M=/kmodforge/source/vboxnetflt KBUILD_EXTRA_SYMBOLS=/kmodforge/source/vboxdrv/Module.symvers CONFIG_DEBUG_INFO_BTF_MODULES='' VBOX_KBUILD_TARGET_ARCH=amd64 modules
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /usr/src/linux-headers-6.1.0-56-amd64 M=/kmodforge/source/vboxnetadp KBUILD_EXTRA_SYMBOLS=/kmodforge/source/vboxdrv/Module.symvers CONFIG_DEBUG_INFO_BTF_MODULES='' VBOX_KBUILD_TARGET_ARCH=amd64 modules
RUN mkdir -p /modules/opt/lib/modules/6.1.0-56-amd64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/vboxdrv/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
    }; \
    take vboxdrv/vboxdrv.ko vboxdrv.ko extra; \
    take vboxnetflt/vboxnetflt.ko vboxnetflt.ko extra; \
    take vboxnetadp/vboxnetadp.ko vboxnetadp.ko extra; \
    depmod -b /modules/opt 6.1.0-56-amd64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

LABEL \
      io.kmodforge.arch="amd64" \
      io.kmodforge.distro="debian:bookworm" \
      io.kmodforge.driver="vboxdrv" \
      io.kmodforge.kernel="6.1.0-56-amd64" \
      io.kmodforge.modules="vboxdrv vboxnetflt vboxnetadp" \
      io.kmodforge.version="7.2.22" \
      org.opencontainers.image.description="Virtual machines of VirtualBox and their networks, on the host; guests find their drivers in the kernel" \
      org.opencontainers.image.licenses="GPL-3.0-only OR CDDL-1.0" \
      org.opencontainers.image.title="vboxdrv 7.2.22 for 6.1.0-56-amd64" \
      org.opencontainers.image.url="https://www.virtualbox.org/" \
      org.opencontainers.image.version="7.2.22"
