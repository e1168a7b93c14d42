FROM toolchain AS driver-toolchain
RUN --mount=type=cache,id=kmodforge-apt-debian-bookworm-amd64,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=kmodforge-lists-debian-bookworm-amd64,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=apt-auth,target=/etc/apt/auth.conf.d/kmodforge.conf \
    [ -n "$(ls /var/lib/apt/lists/*_InRelease 2>/dev/null)" ] || apt-get -q -o APT::Sandbox::User=root -o Acquire::Languages=none update; \
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o APT::Sandbox::User=root -o Dpkg::Options::=--force-unsafe-io \
      satisfy --no-install-recommends gcc libc6-dev dpkg-dev patch; \
    mv /usr/src /usr/src.packages; mkdir /usr/src

FROM source AS build
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src,rw \
    bash /kmodforge/dkms.sh build kernel=6.1.0-56-amd64 kernel_dir=/usr/src/linux-headers-6.1.0-56-amd64 machine=x86_64 compiler=gcc-12 cross= source=/kmodforge/source name=nvidia-470 version=470.256.02 destination=updates/dkms variables=CONFIG_DEBUG_INFO_BTF_MODULES= limit=30
RUN mkdir -p /modules/opt/lib/modules/6.1.0-56-amd64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/nvidia-470/${text##*/}"; \
    done; \
    cd /kmodforge/source; find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
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
    take nvidia-peermem.ko 'nvidia[-_]peermem.ko' extra; \
    depmod -b /modules/opt 6.1.0-56-amd64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

LABEL \
      io.kmodforge.arch="amd64" \
      io.kmodforge.distro="debian:bookworm" \
      io.kmodforge.driver="nvidia-470" \
      io.kmodforge.kernel="6.1.0-56-amd64" \
      io.kmodforge.modules="nvidia nvidia-uvm nvidia-modeset nvidia-drm" \
      io.kmodforge.version="470.256.02" \
      org.opencontainers.image.description="NVIDIA's driver for GPUs from Kepler on, its last branch with them" \
      org.opencontainers.image.licenses="LicenseRef-NVIDIA" \
      org.opencontainers.image.title="nvidia-470 470.256.02 for 6.1.0-56-amd64" \
      org.opencontainers.image.url="https://www.nvidia.com/drivers" \
      org.opencontainers.image.version="470.256.02"
