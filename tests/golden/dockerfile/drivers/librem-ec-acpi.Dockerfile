FROM toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    sh -c '! grep -q '\''struct power_supply .*, struct acpi_battery_hook'\'' "$1/include/acpi/battery.h" || sed -i '\''1,300s/KERNEL_VERSION(6,2,0)/KERNEL_VERSION(5,2,0)/'\'' librem_ec_acpi.c' sh /lib/modules/6.1.0-56-amd64/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /usr/src/linux-headers-6.1.0-56-amd64 M=/kmodforge/source CONFIG_DEBUG_INFO_BTF_MODULES='' modules
RUN mkdir -p /modules/opt/lib/modules/6.1.0-56-amd64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/librem-ec-acpi/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
    }; \
    take '' 'librem[-_]ec[-_]acpi.ko' extra; \
    depmod -b /modules/opt 6.1.0-56-amd64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

LABEL \
      io.kmodforge.arch="amd64" \
      io.kmodforge.distro="debian:bookworm" \
      io.kmodforge.driver="librem-ec-acpi" \
      io.kmodforge.kernel="6.1.0-56-amd64" \
      io.kmodforge.modules="librem_ec_acpi" \
      io.kmodforge.version="0.9.2" \
      org.opencontainers.image.description="Battery thresholds, lights and sensors of Purism's Librem 14" \
      org.opencontainers.image.licenses="GPL-2.0-only" \
      org.opencontainers.image.title="librem-ec-acpi 0.9.2 for 6.1.0-56-amd64" \
      org.opencontainers.image.url="https://source.puri.sm/nicole.faerber/librem-ec-acpi-dkms" \
      org.opencontainers.image.version="0.9.2"
