FROM toolchain AS build
ADD source.tar /kmodforge/source/
WORKDIR /kmodforge/source
RUN --mount=type=bind,from=headers,source=/headers/usr/src,target=/usr/src \
    make -j"$(nproc)" -C /usr/src/linux-headers-6.1.0-56-amd64 M=/kmodforge/source CONFIG_DEBUG_INFO_BTF_MODULES='' CONFIG_LTTNG=m modules
RUN mkdir -p /modules/opt/lib/modules/6.1.0-56-amd64 /evidence; \
    for text in COPYING* LICEN[CS]E* copyright; do \
      [ ! -f "$text" ] || install -D -m 644 "$text" "/modules/usr/share/licenses/lttng-modules/${text##*/}"; \
    done; \
    find . -name '*.ko' -type f -printf '%P\n' | sort > /evidence/built-modules; \
    take() { \
      file=$1; [ -n "$file" ] || file=$(find . -name "$2" -type f -printf '%P\n' | sort | head -n 1); \
      [ -f "$file" ] || { echo "the build left no ${1:-$2}"; return 0; }; \
      install -D -m 644 "$file" "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
      strip --strip-debug "/modules/opt/lib/modules/6.1.0-56-amd64/$3/${file##*/}"; \
    }; \
    take src/lttng-wrapper.ko 'lttng[-_]wrapper.ko' extra; \
    take src/lib/lttng-lib-ring-buffer.ko 'lttng[-_]lib[-_]ring[-_]buffer.ko' extra; \
    take src/lib/lttng-counter.ko 'lttng[-_]counter.ko' extra; \
    take src/lttng-clock.ko 'lttng[-_]clock.ko' extra; \
    take src/lttng-statedump.ko 'lttng[-_]statedump.ko' extra; \
    take src/lttng-tracer.ko 'lttng[-_]tracer.ko' extra; \
    take src/lttng-ring-buffer-client-discard.ko 'lttng[-_]ring[-_]buffer[-_]client[-_]discard.ko' extra; \
    take src/lttng-ring-buffer-client-overwrite.ko 'lttng[-_]ring[-_]buffer[-_]client[-_]overwrite.ko' extra; \
    take src/lttng-ring-buffer-client-mmap-discard.ko 'lttng[-_]ring[-_]buffer[-_]client[-_]mmap[-_]discard.ko' extra; \
    take src/lttng-ring-buffer-client-mmap-overwrite.ko 'lttng[-_]ring[-_]buffer[-_]client[-_]mmap[-_]overwrite.ko' extra; \
    take src/lttng-ring-buffer-metadata-client.ko 'lttng[-_]ring[-_]buffer[-_]metadata[-_]client.ko' extra; \
    take src/lttng-ring-buffer-metadata-mmap-client.ko 'lttng[-_]ring[-_]buffer[-_]metadata[-_]mmap[-_]client.ko' extra; \
    take src/lttng-ring-buffer-event-notifier-client.ko 'lttng[-_]ring[-_]buffer[-_]event[-_]notifier[-_]client.ko' extra; \
    take src/lttng-counter-client-percpu-32-modular.ko 'lttng[-_]counter[-_]client[-_]percpu[-_]32[-_]modular.ko' extra; \
    take src/lttng-counter-client-percpu-64-modular.ko 'lttng[-_]counter[-_]client[-_]percpu[-_]64[-_]modular.ko' extra; \
    take src/probes/lttng-probe-9p.ko 'lttng[-_]probe[-_]9p.ko' extra; \
    take src/probes/lttng-probe-asoc.ko 'lttng[-_]probe[-_]asoc.ko' extra; \
    take src/probes/lttng-probe-block.ko 'lttng[-_]probe[-_]block.ko' extra; \
    take src/probes/lttng-probe-dma-fence.ko 'lttng[-_]probe[-_]dma[-_]fence.ko' extra; \
    take src/probes/lttng-probe-gpio.ko 'lttng[-_]probe[-_]gpio.ko' extra; \
    take src/probes/lttng-probe-i2c.ko 'lttng[-_]probe[-_]i2c.ko' extra; \
    take src/probes/lttng-probe-irq.ko 'lttng[-_]probe[-_]irq.ko' extra; \
    take src/probes/lttng-probe-jbd2.ko 'lttng[-_]probe[-_]jbd2.ko' extra; \
    take src/probes/lttng-probe-kvm.ko 'lttng[-_]probe[-_]kvm.ko' extra; \
    take src/probes/lttng-probe-module.ko 'lttng[-_]probe[-_]module.ko' extra; \
    take src/probes/lttng-probe-napi.ko 'lttng[-_]probe[-_]napi.ko' extra; \
    take src/probes/lttng-probe-net.ko 'lttng[-_]probe[-_]net.ko' extra; \
    take src/probes/lttng-probe-power.ko 'lttng[-_]probe[-_]power.ko' extra; \
    take src/probes/lttng-probe-printk.ko 'lttng[-_]probe[-_]printk.ko' extra; \
    take src/probes/lttng-probe-rcu.ko 'lttng[-_]probe[-_]rcu.ko' extra; \
    take src/probes/lttng-probe-regulator.ko 'lttng[-_]probe[-_]regulator.ko' extra; \
    take src/probes/lttng-probe-sched.ko 'lttng[-_]probe[-_]sched.ko' extra; \
    take src/probes/lttng-probe-scsi.ko 'lttng[-_]probe[-_]scsi.ko' extra; \
    take src/probes/lttng-probe-signal.ko 'lttng[-_]probe[-_]signal.ko' extra; \
    take src/probes/lttng-probe-skb.ko 'lttng[-_]probe[-_]skb.ko' extra; \
    take src/probes/lttng-probe-sock.ko 'lttng[-_]probe[-_]sock.ko' extra; \
    take src/probes/lttng-probe-statedump.ko 'lttng[-_]probe[-_]statedump.ko' extra; \
    take src/probes/lttng-probe-sunrpc.ko 'lttng[-_]probe[-_]sunrpc.ko' extra; \
    take src/probes/lttng-probe-timer.ko 'lttng[-_]probe[-_]timer.ko' extra; \
    take src/probes/lttng-probe-udp.ko 'lttng[-_]probe[-_]udp.ko' extra; \
    take src/probes/lttng-probe-vmscan.ko 'lttng[-_]probe[-_]vmscan.ko' extra; \
    take src/probes/lttng-probe-workqueue.ko 'lttng[-_]probe[-_]workqueue.ko' extra; \
    take src/probes/lttng-probe-writeback.ko 'lttng[-_]probe[-_]writeback.ko' extra; \
    take src/probes/lttng-probe-x86-exceptions.ko 'lttng[-_]probe[-_]x86[-_]exceptions.ko' extra; \
    take src/probes/lttng-probe-x86-irq-vectors.ko 'lttng[-_]probe[-_]x86[-_]irq[-_]vectors.ko' extra; \
    depmod -b /modules/opt 6.1.0-56-amd64 2>&1 | grep -v 'could not open modules' >&2 || [ "${PIPESTATUS[0]}" = 0 ]

LABEL \
      io.kmodforge.arch="amd64" \
      io.kmodforge.distro="debian:bookworm" \
      io.kmodforge.driver="lttng-modules" \
      io.kmodforge.kernel="6.1.0-56-amd64" \
      io.kmodforge.modules="lttng-statedump lttng-tracer lttng-ring-buffer-client-discard lttng-ring-buffer-client-overwrite lttng-ring-buffer-client-mmap-discard lttng-ring-buffer-client-mmap-overwrite lttng-ring-buffer-metadata-client lttng-ring-buffer-metadata-mmap-client lttng-ring-buffer-event-notifier-client lttng-counter-client-percpu-32-modular lttng-counter-client-percpu-64-modular lttng-probe-9p lttng-probe-asoc lttng-probe-block lttng-probe-dma-fence lttng-probe-gpio lttng-probe-i2c lttng-probe-irq lttng-probe-jbd2 lttng-probe-kvm lttng-probe-module lttng-probe-napi lttng-probe-net lttng-probe-power lttng-probe-printk lttng-probe-rcu lttng-probe-regulator lttng-probe-sched lttng-probe-scsi lttng-probe-signal lttng-probe-skb lttng-probe-sock lttng-probe-statedump lttng-probe-sunrpc lttng-probe-timer lttng-probe-udp lttng-probe-vmscan lttng-probe-workqueue lttng-probe-writeback lttng-probe-x86-exceptions lttng-probe-x86-irq-vectors" \
      io.kmodforge.version="2.16.0" \
      org.opencontainers.image.description="Trace points, system calls and probes of the kernel for LTTng sessions" \
      org.opencontainers.image.licenses="GPL-2.0-only AND LGPL-2.1-only AND MIT" \
      org.opencontainers.image.title="lttng-modules 2.16.0 for 6.1.0-56-amd64" \
      org.opencontainers.image.url="https://lttng.org/" \
      org.opencontainers.image.version="2.16.0"
