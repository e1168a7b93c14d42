#!/usr/bin/env bash
# compare.sh DKMS: builds every sample of this directory by the real DKMS (path of its program) and by templates/dkms/dkms.sh, and compares.
#
# Both run with a `make` that takes down how it was called and leaves modules; what they call, what they leave, and whether they refuse must
# be the same. Prints a line per sample; ends with 1 when one differs.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DKMS=$1
OURS=$HERE/../../templates/dkms/dkms.sh
MODULE=$HERE/../fixtures/kmod/6.1.0-56-amd64/kmf_core.ko
KERNEL=6.1.0-56-amd64

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$WORK/bin" "$WORK/kernel/include/config"
printf 'CONFIG_PCI=y\nCONFIG_NET=m\n' | tee "$WORK/kernel/.config" > "$WORK/kernel/include/config/auto.conf"
cat > "$WORK/bin/make" <<MAKE
#!/bin/bash
printf '%s\n' "in \${PWD#"\$TREE"}" "\$@" >> "\$LOG"
cat file generated >> "\$LOG" 2> /dev/null
mkdir -p src sub/dir
for module in a b c d only-location src/a sub/dir/b; do cp '$MODULE' \$module.ko; done
MAKE
chmod 755 "$WORK/bin/make"
export PATH=$WORK/bin:$PATH

# What a build has left below its tree: copies of modules, what make was told, files that patches and scripts change.
left() { # TREE LOG
    (cd "$1" && find . -path '*/module/*.ko' -type f -exec sha256sum {} + | sort -k 2)
    sed "s#$1#TREE#g" "$2"
}

# The exit status of DKMS as one of four words.
outcome() {
    case $1 in 0) echo built ;; 77) echo excluded ;; 10 | 7 | 6 | 5 | 13) echo failed ;; *) echo refused ;; esac
}

by_dkms() { # SAMPLE
    local dir=$WORK/dkms status=0 name
    rm -rf "$dir"
    mkdir -p "$dir"/{tree,source,modules}
    local options=(--dkmstree "$dir/tree" --sourcetree "$dir/source" --installtree "$dir/modules")
    export TREE=$dir/tree LOG=$dir/log
    : > "$LOG"
    bash "$DKMS" add "$1" "${options[@]}" > "$dir/out" 2>&1 || status=$?
    if [ "$status" = 0 ]; then
        name=$(cd "$dir/tree" && echo */*)
        bash "$DKMS" build "$name" -k "$KERNEL" -a x86_64 --kernelsourcedir "$WORK/kernel" "${options[@]}" >> "$dir/out" 2>&1 || status=$?
    fi
    outcome "$status"
    left "$dir/tree" "$LOG"
}

by_ours() { # SAMPLE
    local dir=$WORK/ours
    rm -rf "$dir"
    mkdir -p "$dir"/{tree,usr}
    cp -a "$1" "$dir/source"
    local settings=("kernel=$KERNEL" "kernel_dir=$WORK/kernel" machine=x86_64 compiler=gcc cross= "source=$dir/source" "name=$(basename "$1")" version=0
        destination= variables= limit=10 "dkms_tree=$dir/tree" "source_tree=$dir/usr" "evidence=$dir/evidence" "state=$dir/state")
    export TREE=$dir/tree LOG=$dir/log
    : > "$LOG"
    if ! bash "$OURS" read "${settings[@]}" > "$dir/out" 2>&1; then
        echo refused
    elif [ -e "$dir/evidence/unsupported" ]; then
        echo excluded
    elif bash "$OURS" build "${settings[@]}" >> "$dir/out" 2>&1; then
        echo built
    else
        echo failed
    fi
    left "$dir/tree" "$LOG"
}

differ=0
for sample in "$HERE"/samples/*/; do
    sample=${sample%/}
    by_dkms "$sample" > "$WORK/expected"
    by_ours "$sample" > "$WORK/found"
    if diff "$WORK/expected" "$WORK/found" > "$WORK/diff"; then
        printf '%-24s %s\n' "$(basename "$sample")" "$(head -n 1 "$WORK/found")"
    else
        differ=1
        printf '%-24s differs\n' "$(basename "$sample")"
        sed 's/^/    /' "$WORK/diff"
        sed 's/^/    dkms: /' "$WORK/dkms/out"
        sed 's/^/    ours: /' "$WORK/ours/out"
    fi
done
exit "$differ"
