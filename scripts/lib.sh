# shellcheck shell=bash
# Functions that several scripts share. Sourced, never run.

readonly TOOLS=${KMODFORGE_TOOLS:-$HOME/.cache/kmodforge-tools}
# Debian keeps daemons and iptables where an ordinary user's PATH does not look.
export PATH="$TOOLS/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }

die() {
    printf 'error: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf '  help  %s\n' "$hint" >&2; done
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

need_root() { [ "$(id -u)" = 0 ] || die "$1 needs root" "run it with sudo -E"; }

# The one-line form `URI SUITE` of every enabled source of the machine's apt that has the component main.
apt_sources() {
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        sed -n 's/^deb[[:space:]]\+\(\[[^]]*\][[:space:]]*\)\?//p' "$file" |
            awk '{ for (i = 3; i <= NF; i++) if ($i == "main") print $1, $2 }'
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        grep -v '^#' "$file" | awk '
            function flush(    u, s, i, j) {
                if (enabled && types ~ /(^| )deb( |$)/ && components ~ /(^| )main( |$)/) {
                    split(uris, u, " "); split(suites, s, " ")
                    for (i = 1; i in u; i++) for (j = 1; j in s; j++) print u[i], s[j]
                }
                types = uris = suites = components = ""; enabled = 1
            }
            BEGIN { enabled = 1 }
            /^[[:space:]]*$/ { flush(); next }
            { key = tolower($1); $1 = ""; sub(/^ /, "") }
            key == "types:" { types = $0 }
            key == "uris:" { uris = $0 }
            key == "suites:" { suites = $0 }
            key == "components:" { components = $0 }
            key == "enabled:" { enabled = tolower($0) != "no" }
            END { flush() }'
    done
}

machine_suite() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release | tr -d '"'; }

# debian_mirror main|security: where this machine gets Debian from, without the trailing slash.
debian_mirror() {
    local codename found
    codename=$(machine_suite)
    case $1 in
    main) found=$(apt_sources | awk -v s="$codename" '$1 ~ /^https?:.*\/debian\/?$/ && ($2 == s || $2 == "stable") { print $1; exit }') ;;
    security) found=$(apt_sources | awk -v s="$codename" '$1 ~ /^https?:/ && ($2 == s "-security" || $2 == "stable-security") { print $1; exit }') ;;
    esac
    case $1:$found in
    main:) found=http://ftp.debian.org/debian ;;
    security:) found=http://security.debian.org/debian-security ;;
    esac
    printf '%s\n' "${found%/}"
}

digest_of() { sha256sum "$1" | cut -d' ' -f1; }

add_blob() { # LAYOUT FILE: moves the file to its place and prints `sha256:… SIZE`
    local digest size
    digest=$(digest_of "$2")
    size=$(stat -c %s "$2")
    mv "$2" "$1/blobs/sha256/$digest"
    echo "sha256:$digest $size"
}

# write_layout TAR LAYOUT NAME: makes an OCI layout with an image of one layer; the tar is used up.
write_layout() {
    local tar=$1 layout=$2 diff layer layer_size config config_size manifest manifest_size
    mkdir -p "$layout/blobs/sha256"
    diff=$(digest_of "$tar")
    gzip -n -6 <"$tar" >"$layout/layer"
    rm "$tar"
    read -r layer layer_size < <(add_blob "$layout" "$layout/layer")
    cat >"$layout/config" <<JSON
{"architecture":"$ARCH","os":"linux","created":"2023-11-14T22:13:20Z","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Cmd":["bash"]},"rootfs":{"type":"layers","diff_ids":["sha256:$diff"]}}
JSON
    read -r config config_size < <(add_blob "$layout" "$layout/config")
    cat >"$layout/manifest" <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"$config","size":$config_size},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"$layer","size":$layer_size}]}
JSON
    read -r manifest manifest_size < <(add_blob "$layout" "$layout/manifest")
    echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
    cat >"$layout/index.json" <<JSON
{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"$manifest","size":$manifest_size,"annotations":{"org.opencontainers.image.ref.name":"$3"}}]}
JSON
}
