FROM toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    sh -c '! grep -q exclude_bars "$1/include/linux/pci.h" || sed -i '\''s/\(pci_resize_resource(pci_dev, NV_GPU_BAR1, requested_size\))/\1, 0)/'\'' nvidia/nv-pci.c' sh /lib/modules/6.1.0-56-amd64/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /kmodforge/source CONFIG_DEBUG_INFO_BTF_MODULES='' SYSOUT=/usr/src/linux-headers-6.1.0-56-amd64 SYSSRC=/lib/modules/6.1.0-56-amd64/source modules
RUN mkdir -p /modules/opt/lib/modules/6.1.0-56-amd64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/nvidia-open/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
    }; \
    take nvidia.ko nvidia.ko extra; \
    take nvidia-uvm.ko 'nvidia[-_]uvm.ko' extra; \
    take nvidia-modeset.ko 'nvidia[-_]modeset.ko' extra; \
    take nvidia-drm.ko 'nvidia[-_]drm.ko' extra; \
    depmod -b /modules/opt 6.1.0-56-amd64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

LABEL \
      io.kmodforge.arch="amd64" \
      io.kmodforge.distro="debian:bookworm" \
      io.kmodforge.driver="nvidia-open" \
      io.kmodforge.kernel="6.1.0-56-amd64" \
      io.kmodforge.modules="nvidia nvidia-uvm nvidia-modeset nvidia-drm" \
      io.kmodforge.version="550.163.01" \
      org.opencontainers.image.description="NVIDIA's driver for GPUs from Turing on" \
      org.opencontainers.image.licenses="MIT OR GPL-2.0-only" \
      org.opencontainers.image.title="nvidia-open 550.163.01 for 6.1.0-56-amd64" \
      org.opencontainers.image.url="https://github.com/NVIDIA/open-gpu-kernel-modules" \
      org.opencontainers.image.version="550.163.01"
