FROM toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /usr/src/linux-headers-6.1.0-56-amd64 M=/kmodforge/source/extensions CONFIG_DEBUG_INFO_BTF_MODULES='' XA_ABSTOPSRCDIR=/kmodforge/source XA_TOPSRCDIR=/kmodforge/source modules
RUN mkdir -p /modules/opt/lib/modules/6.1.0-56-amd64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/xtables-addons/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
    }; \
    take extensions/compat_xtables.ko 'compat[-_]xtables.ko' extra; \
    take extensions/ACCOUNT/xt_ACCOUNT.ko 'xt[-_]ACCOUNT.ko' extra; \
    take extensions/xt_CHAOS.ko 'xt[-_]CHAOS.ko' extra; \
    take extensions/xt_DELUDE.ko 'xt[-_]DELUDE.ko' extra; \
    take extensions/xt_DHCPMAC.ko 'xt[-_]DHCPMAC.ko' extra; \
    take extensions/xt_DNETMAP.ko 'xt[-_]DNETMAP.ko' extra; \
    take extensions/xt_ECHO.ko 'xt[-_]ECHO.ko' extra; \
    take extensions/xt_IPMARK.ko 'xt[-_]IPMARK.ko' extra; \
    take extensions/xt_LOGMARK.ko 'xt[-_]LOGMARK.ko' extra; \
    take extensions/xt_PROTO.ko 'xt[-_]PROTO.ko' extra; \
    take extensions/xt_SYSRQ.ko 'xt[-_]SYSRQ.ko' extra; \
    take extensions/xt_TARPIT.ko 'xt[-_]TARPIT.ko' extra; \
    take extensions/xt_asn.ko 'xt[-_]asn.ko' extra; \
    take extensions/xt_condition.ko 'xt[-_]condition.ko' extra; \
    take extensions/xt_fuzzy.ko 'xt[-_]fuzzy.ko' extra; \
    take extensions/xt_geoip.ko 'xt[-_]geoip.ko' extra; \
    take extensions/xt_iface.ko 'xt[-_]iface.ko' extra; \
    take extensions/xt_ipp2p.ko 'xt[-_]ipp2p.ko' extra; \
    take extensions/xt_ipv4options.ko 'xt[-_]ipv4options.ko' extra; \
    take extensions/xt_length2.ko 'xt[-_]length2.ko' extra; \
    take extensions/xt_lscan.ko 'xt[-_]lscan.ko' extra; \
    take extensions/pknock/xt_pknock.ko 'xt[-_]pknock.ko' extra; \
    take extensions/xt_psd.ko 'xt[-_]psd.ko' extra; \
    take extensions/xt_quota2.ko 'xt[-_]quota2.ko' extra; \
    depmod -b /modules/opt 6.1.0-56-amd64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

LABEL \
      io.kmodforge.arch="amd64" \
      io.kmodforge.distro="debian:bookworm" \
      io.kmodforge.driver="xtables-addons" \
      io.kmodforge.kernel="6.1.0-56-amd64" \
      io.kmodforge.modules="xt_ACCOUNT xt_DELUDE xt_DHCPMAC xt_ECHO xt_IPMARK xt_LOGMARK xt_PROTO xt_SYSRQ xt_TARPIT xt_asn xt_condition xt_fuzzy xt_geoip xt_iface xt_ipp2p xt_ipv4options xt_length2 xt_lscan xt_psd xt_quota2" \
      io.kmodforge.version="3.31" \
      org.opencontainers.image.description="Matches and targets for iptables that the kernel does not have" \
      org.opencontainers.image.licenses="GPL-2.0-or-later" \
      org.opencontainers.image.title="xtables-addons 3.31 for 6.1.0-56-amd64" \
      org.opencontainers.image.url="https://inai.de/projects/xtables-addons/" \
      org.opencontainers.image.version="3.31"
