#!/bin/bash
# dkms.sh read|build NAME=VALUE…: what `dkms build` of DKMS 3.2 does with a source that has a dkms.conf, for one kernel, in the builder.
#
# dkms.conf is a program. `read` runs it, for a limited time, and writes down what it has set; `build` obeys what is written down and
# never looks at dkms.conf again. Settings, none of which a source gets to see in its environment:
#   kernel kernel_dir machine compiler cross  the kernel, its build directory, `uname -m`, the compiler's program, prefix of cross tools
#   source name version                       where dkms.conf is; what to call it when dkms.conf does not tell properly
#   destination                               where the distribution has DKMS put modules, below the release; empty: where dkms.conf says
#   variables                                 NAME=value words for every make
#   limit                                     seconds that dkms.conf may take
#   dkms_tree source_tree evidence state      directories
set -euo pipefail

declare -A kmf=([dkms_tree]=/var/lib/dkms [source_tree]=/usr/src [evidence]=/evidence [state]=/kmodforge/dkms)
settings=()
for setting in "${@:2}"; do
    kmf[${setting%%=*}]=${setting#*=}
    settings+=("$setting")
done
unset setting
set -- "${1-}"
# Where DKMS finds it, and authors expect it.
[ ! -e "/lib/modules/${kmf[kernel]-}/build" ] || kmf[kernel_dir]=/lib/modules/${kmf[kernel]}/build

# Directives that matter to a build. Others are for an installation (POST_INSTALL, AUTOINSTALL, …) or obsolete (CLEAN, REMAKE_INITRD, …).
DIRECTIVES=(PACKAGE_NAME PACKAGE_VERSION BUILT_MODULE_NAME BUILT_MODULE_LOCATION DEST_MODULE_NAME DEST_MODULE_LOCATION STRIP MAKE MAKE_MATCH
    PATCH PATCH_MATCH PRE_BUILD POST_BUILD BUILD_DEPENDS OBSOLETE_BY BUILD_EXCLUSIVE_KERNEL BUILD_EXCLUSIVE_KERNEL_MIN BUILD_EXCLUSIVE_KERNEL_MAX
    BUILD_EXCLUSIVE_ARCH BUILD_EXCLUSIVE_CONFIG)
# Bytes that the values of all directives may have.
LARGEST=1048576

fail() {
    printf 'dkms.conf: %s\n' "$*" >&2
    exit 1
}

# ---- read ----------------------------------------------------------------------------------------------------------------------

# What DKMS offers to dkms.conf, and to what of it is expanded late.
offer() {
    # shellcheck disable=SC2034
    kernelver=${kmf[kernel]} arch=${kmf[machine]} kernel_source_dir=${kmf[kernel_dir]} kernel_config=$(config_file) \
        dkms_tree=${kmf[dkms_tree]} source_tree=${kmf[source_tree]} install_tree=/lib/modules tmp_location=/tmp parallel_jobs=$(nproc) \
        module=${kmf[module]} module_version=${kmf[module_version]}
}

# The shell that dkms.conf runs in, a process of its own. Values go through a second reading, as DKMS has it: words are joined by single
# spaces, a carriage return at the end is dropped, and what is still quoted then is expanded.
evaluate() {
    set +eu
    unset "${DIRECTIVES[@]}"
    offer
    set --
    (
        # shellcheck disable=SC1091
        builtin . "${kmf[source]}/dkms.conf" > /dev/null < /dev/null
        once > "${kmf[state]}/first"
    )
    local status=$?
    [ "$(tail -n 1 "${kmf[state]}/first" 2> /dev/null)" = '# end' ] || { printf '%s\n' "$status" > "${kmf[state]}/ended"; exit 1; }
    # shellcheck disable=SC1091
    builtin . "${kmf[state]}/first" > /dev/null < /dev/null
    local name index
    for name in "${DIRECTIVES[@]}"; do
        declare -n directive=$name
        for index in "${!directive[@]}"; do
            printf '%s[%s]=%s\0' "$name" "$index" "${directive[index]}"
        done
    done > "${kmf[state]}/directives"
}

# The directives as assignments, for the second reading.
once() {
    local name index value
    set -f
    IFS=$' \t\n'
    for name in "${DIRECTIVES[@]}"; do
        declare -n directive=$name
        for index in "${!directive[@]}"; do
            value=${directive[index]%$'\r'}
            # shellcheck disable=SC2206
            value=(\"$value\")
            printf '%s[%s]=%s\n' "$name" "$index" "${value[*]}"
        done
    done
    printf '# end\n'
}

# `take NAME VERSION`: runs dkms.conf and takes its directives into this shell, as arrays.
take() {
    local status=0 entry name index
    kmf[module]=$1 kmf[module_version]=$2
    rm -f "${kmf[state]}/ended" "${kmf[state]}/first" "${kmf[state]}/directives"
    timeout --signal=KILL "${kmf[limit]}" bash "$0" evaluate "${settings[@]}" "module=$1" "module_version=$2" || status=$?
    if [ "$status" = 137 ] || [ "$status" = 124 ]; then
        fail "it did not come to an end within ${kmf[limit]} s"
    elif [ -e "${kmf[state]}/ended" ]; then
        fail "it ends the shell that reads it, with status $(cat "${kmf[state]}/ended"): nothing can be known about it"
    elif [ "$status" != 0 ]; then
        fail "the shell that reads it ended with status $status"
    fi
    [ "$(stat -c %s "${kmf[state]}/directives")" -le "$LARGEST" ] || fail "its directives have more than $LARGEST bytes"
    for name in "${DIRECTIVES[@]}"; do
        unset "$name"
        declare -g -a "$name=()"
    done
    while IFS= read -r -d '' entry; do
        name=${entry%%\[*} entry=${entry#*\[}
        index=${entry%%\]*} entry=${entry#*\]=}
        [[ $index =~ ^[0-9]{1,4}$ ]] || fail "$name has an index \`$index\`; expected a small number"
        declare -n directive=$name
        # shellcheck disable=SC2034
        directive[index]=$entry
    done < "${kmf[state]}/directives"
}

config_file() {
    if [ -e "${kmf[kernel_dir]}/include/config/auto.conf" ]; then echo "${kmf[kernel_dir]}/include/config/auto.conf"; else echo "${kmf[kernel_dir]}/.config"; fi
}

# A version as a text that compares as DKMS compares versions: numbers in three digits at least.
comparable() {
    local text=$1 result=
    while [[ $text =~ ^([^0-9]*)([0-9]+)(.*)$ ]]; do
        result+=${BASH_REMATCH[1]}
        if [ ${#BASH_REMATCH[2]} -lt 3 ]; then
            result+=$(printf '%03d' "$((10#${BASH_REMATCH[2]}))")
        else
            result+=${BASH_REMATCH[2]}
        fi
        text=${BASH_REMATCH[3]}
    done
    printf '%s%s' "$result" "$text"
}

# Why the source is not for this kernel; nothing if it is.
exclusion() {
    local most=${BUILD_EXCLUSIVE_KERNEL_MAX-} rule config
    if [ -n "${BUILD_EXCLUSIVE_KERNEL-}" ] && ! [[ ${kmf[kernel]} =~ $BUILD_EXCLUSIVE_KERNEL ]]; then
        echo "the kernel does not match BUILD_EXCLUSIVE_KERNEL \`$BUILD_EXCLUSIVE_KERNEL\`"
    elif [ -n "${BUILD_EXCLUSIVE_KERNEL_MIN-}" ] && [[ $(comparable "${kmf[kernel]}") < $(comparable "$BUILD_EXCLUSIVE_KERNEL_MIN") ]]; then
        echo "needs a kernel from $BUILD_EXCLUSIVE_KERNEL_MIN on"
    elif [ -n "$most" ] && [[ $(comparable "${kmf[kernel]}") > $(comparable "$most") ]]; then
        echo "needs a kernel up to $most"
    elif [ -z "$most" ] && [ -n "${OBSOLETE_BY-}" ] && [[ $(comparable "${kmf[kernel]}") > $(comparable "$OBSOLETE_BY") ]]; then
        echo "obsolete since kernel $OBSOLETE_BY"
    elif [ -n "${BUILD_EXCLUSIVE_ARCH-}" ] && ! [[ ${kmf[machine]} =~ $BUILD_EXCLUSIVE_ARCH ]]; then
        echo "not for ${kmf[machine]}: BUILD_EXCLUSIVE_ARCH is \`$BUILD_EXCLUSIVE_ARCH\`"
    else
        config=$(config_file)
        for rule in ${BUILD_EXCLUSIVE_CONFIG-}; do
            if [ "${rule#!}" = "$rule" ]; then
                grep -q "^$rule=[ym]" "$config" || { echo "kernel has no \`$rule\`"; return; }
            else
                ! grep -q "^${rule#!}=[ym]" "$config" || { echo "kernel has \`${rule#!}\`"; return; }
            fi
        done
    fi
}

# `/kernel/../misc/` → `misc`; fails for what would leave the directory of the release.
below_release() {
    local part path=()
    local IFS=/
    for part in $1; do
        case $part in
            '' | .) ;;
            ..)
                [ ${#path[@]} -gt 0 ] || return 1
                unset 'path[-1]'
                ;;
            *) path+=("$part") ;;
        esac
    done
    [ ${#path[@]} -gt 0 ] || return 1
    printf '%s' "${path[*]}"
}

# The records of modules, as `directory name installed-name destination strip`, each ended by a zero byte.
records() {
    local index last=-1 name directory destination strip other
    for index in "${!BUILT_MODULE_NAME[@]}" "${!BUILT_MODULE_LOCATION[@]}" "${!DEST_MODULE_NAME[@]}" "${!DEST_MODULE_LOCATION[@]}"; do
        [ "$index" -le "$last" ] || last=$index
    done
    [ "$last" -ge 0 ] || fail 'it names no module: neither BUILT_MODULE_NAME nor DEST_MODULE_LOCATION is set'
    for ((index = 0; index <= last; index++)); do
        name=${BUILT_MODULE_NAME[index]-}
        [ -n "$name" ] || [ "$last" != 0 ] || name=${kmf[module]}
        [ -n "$name" ] || fail "record #$index has no BUILT_MODULE_NAME"
        for other in "$name" "${DEST_MODULE_NAME[index]-}"; do
            case $other in *.o | *.ko) fail "record #$index: \`$other\` ends in .o or .ko; expected the name alone" ;; esac
        done
        [[ $name =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ ]] || fail "record #$index: \`$name\` is not the name of a module"
        case ${DEST_MODULE_LOCATION[index]-} in
            /kernel* | /updates* | /extra*) ;;
            '') fail "record #$index has no DEST_MODULE_LOCATION" ;;
            *) fail "record #$index: DEST_MODULE_LOCATION \`${DEST_MODULE_LOCATION[index]}\` does not begin with /kernel, /updates or /extra" ;;
        esac
        destination=$(below_release "${kmf[destination]:-${DEST_MODULE_LOCATION[index]}}") ||
            fail "record #$index: DEST_MODULE_LOCATION \`${DEST_MODULE_LOCATION[index]}\` leaves the directory of the kernel's modules"
        directory=${BUILT_MODULE_LOCATION[index]-}
        case ${STRIP[index]-${STRIP[0]-}} in [nN]*) strip=no ;; *) strip=yes ;; esac
        printf '%s\0%s\0%s\0%s\0%s\0' "${directory:+${directory%/}/}" "$name" "${DEST_MODULE_NAME[index]:-$name}" "$destination" "$strip"
    done
}

# The command that compiles, with what DKMS adds to it.
make_command() {
    local index command=
    [ -n "${MAKE_MATCH[0]-}" ] || command=${MAKE[0]-}
    # As many as there are, whatever their indexes: so DKMS counts.
    for ((index = 0; index < ${#MAKE[@]}; index++)); do
        if [ -n "${MAKE[index]-}" ] && [ -n "${MAKE_MATCH[index]-}" ] && [[ ${kmf[kernel]} =~ ${MAKE_MATCH[index]} ]]; then command=${MAKE[index]}; fi
    done
    [ -n "$command" ] || command="make -C ${kmf[kernel_dir]} M=$tree/build"
    if grep -q '^CONFIG_CC_IS_CLANG=y' "$(config_file)"; then command+=' LLVM=1'; fi
    case $command in make*) command="make -j$(nproc) KERNELRELEASE=${kmf[kernel]}${command#make}" ;; esac
    printf '%s' "$command"
}

patches() {
    local index
    for ((index = 0; index < ${#PATCH[@]}; index++)); do
        [ -n "${PATCH[index]-}" ] || continue
        if [ -z "${PATCH_MATCH[index]-}" ] || [[ ${kmf[kernel]} =~ ${PATCH_MATCH[index]} ]]; then printf '%s\0' "${PATCH[index]}"; fi
    done
}

# A word for a path below DKMS_TREE, or what it is called here when dkms.conf has a placeholder or nothing there.
word() {
    if [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9._+~:-]*$ ]]; then printf '%s' "$1"; else printf '%s' "$2"; fi
}

# What packages have put below SOURCE_TREE, where this source may look for it. In a builder the headers are mounted over it, and what is added to
# them is gone after a step. No links: `find` would not follow them.
lay_out_packages() {
    local directory
    for directory in /usr/src.packages/*; do
        [ ! -e "$directory" ] || [ -e "${kmf[source_tree]}/${directory##*/}" ] || cp -a "$directory" "${kmf[source_tree]}/"
    done
}

# `lay_out FROM`: the source where `dkms add` finds it, of which the directory of the build is a copy.
lay_out() {
    local directory=${kmf[source_tree]}/${kmf[module]}-${kmf[module_version]}
    [ -e "$directory" ] || cp -aT "$1" "$directory"
}

read_conf() {
    local reason
    [ -f "${kmf[source]}/dkms.conf" ] || fail "there is none in ${kmf[source]}"
    mkdir -p "${kmf[state]}" "${kmf[evidence]}"
    lay_out_packages
    take "${kmf[name]}" "${kmf[version]}"
    kmf[module]=$(word "${PACKAGE_NAME-}" "${kmf[name]}") kmf[module_version]=$(word "${PACKAGE_VERSION-}" "${kmf[version]}")
    tree=${kmf[dkms_tree]}/${kmf[module]}/${kmf[module_version]}
    # It is read again where DKMS has it, and by the name that it gives itself.
    lay_out "${kmf[source]}"
    mkdir -p "$tree"
    ln -sfn "${kmf[source_tree]}/${kmf[module]}-${kmf[module_version]}" "$tree/source"
    take "${kmf[module]}" "${kmf[module_version]}"
    cp "${kmf[state]}/directives" "${kmf[evidence]}/dkms"
    reason=$(exclusion)
    if [ -n "$reason" ]; then
        printf '%s\n' "$reason" | tee "${kmf[evidence]}/unsupported"
        return 0
    fi
    records > "${kmf[state]}/modules"
    make_command > "${kmf[state]}/make"
    patches > "${kmf[state]}/patches"
    printf '%s' "${PRE_BUILD-}" > "${kmf[state]}/pre-build"
    printf '%s' "${POST_BUILD-}" > "${kmf[state]}/post-build"
    [ ${#BUILD_DEPENDS[@]} = 0 ] || printf '%s\0' "${BUILD_DEPENDS[@]}" > "${kmf[state]}/depends"
    printf '%s' "$tree" > "${kmf[state]}/tree"
    printf 'package %s %s\nruns    %s\n' "${kmf[module]}" "${kmf[module_version]}" "$(cat "${kmf[state]}/make")"
    # The source moves to where DKMS builds it; what follows finds it by both names.
    mv -T "${kmf[source]}" "$tree/build"
    ln -s "$tree/build" "${kmf[source]}"
}

# ---- build ---------------------------------------------------------------------------------------------------------------------

# What a machine with DKMS has and a container lacks.
furnish() {
    local tool
    lay_out_packages
    lay_out "$tree/build"
    mkdir -p "${kmf[state]}/bin"
    for tool in gcc cc; do
        command -v "$tool" > /dev/null || ln -sf "$(command -v "${kmf[compiler]}")" "${kmf[state]}/bin/$tool"
    done
    # Makefiles that ask for the running kernel get the one that is built for.
    {
        printf '#!/bin/bash\n# The kernel that is built for, not the one that this machine runs.\n'
        printf 'case "$*" in -r | --kernel-release) echo %q ;; -m | --machine) echo %q ;; *) exec %q "$@" ;; esac\n' "${kmf[kernel]}" "${kmf[machine]}" "$(command -v uname)"
    } > "${kmf[state]}/bin/uname"
    # The variables also where MAKEFLAGS has been lost: each `configure` empties it, and some sources call make by `env -i`.
    # shellcheck disable=SC2016
    printf '#!/bin/bash\n[ -n "$MAKEFLAGS" ] || export MAKEFLAGS=%q\nexec %q "$@"\n' "-- ${kmf[variables]}" "$(command -v make)" > "${kmf[state]}/bin/make"
    chmod 755 "${kmf[state]}"/bin/{uname,make}
    PATH=${kmf[state]}/bin:$PATH
    export PATH
    unset CXX CFLAGS CXXFLAGS LDFLAGS
    # Variables on the command line of every make, whoever calls it.
    export CC=${kmf[cross]}${kmf[compiler]} KERNEL_CC=${kmf[cross]}${kmf[compiler]} MAKEFLAGS="-- ${kmf[variables]}"
}

# A script of the source, with its arguments, in the directory of the build.
script() {
    local file
    file=$(cat "${kmf[state]}/$1")
    [ -n "$file" ] || return 0
    if [ ! -x "$tree/build/${file%% *}" ]; then
        echo "the $1 script \`${file%% *}\` is not executable: passed over, as DKMS does"
        return 0
    fi
    echo "$1: $file"
    # shellcheck disable=SC2086
    (cd "$tree/build" && exec "$tree/build/"$file)
}

# What must be built before, from sources that packages have left in `/usr/src`. Its modules are shipped, too: without them those of this
# source could not be loaded.
build_depends() {
    local name found state
    while IFS= read -r -d '' name; do
        [[ $name =~ ^[A-Za-z0-9][A-Za-z0-9._+-]*$ ]] || fail "BUILD_DEPENDS \`$name\` is not the name of a package"
        found=("${kmf[source_tree]}/$name"-[0-9]*/dkms.conf)
        [ -f "${found[0]}" ] || fail "BUILD_DEPENDS names \`$name\`, of which ${kmf[source_tree]} has no source; install a package with it: --build-package NAME"
        state=${kmf[state]}/before/$name
        [ ! -e "$state" ] || continue
        echo "first: $name, which BUILD_DEPENDS names"
        mkdir -p "$state"
        cp -aL "${found[0]%/dkms.conf}" "$state/source"
        local own=("${settings[@]}" "source=$state/source" "state=$state" "evidence=$state/evidence" "name=$name" version=0)
        bash "$0" read "${own[@]}"
        bash "$0" build "${own[@]}"
        cat "$state/found" >> "${kmf[state]}/found"
    done < "${kmf[state]}/depends"
}

build() {
    local command patch directory name installed destination strip file saved
    if [ -e "${kmf[evidence]}/unsupported" ]; then
        fail "not for this kernel: $(cat "${kmf[evidence]}/unsupported")"
    fi
    tree=$(cat "${kmf[state]}/tree")
    command=$(cat "${kmf[state]}/make")
    kmf[module_version]=${tree##*/} kmf[module]=$(basename "${tree%/*}")
    : > "${kmf[state]}/found"
    furnish
    [ ! -e "${kmf[state]}/depends" ] || build_depends
    cd -P "$tree/build"
    while IFS= read -r -d '' patch; do
        case /$patch/ in */../*) fail "PATCH \`$patch\` leads out of patches/" ;; esac
        [ -f "patches/$patch" ] || fail "PATCH \`$patch\` is not in patches/"
        echo "patch: $patch"
        patch -p1 < "patches/$patch" || fail "PATCH \`$patch\` does not apply"
    done < "${kmf[state]}/patches"
    script pre-build
    echo "make: $command"
    (
        set +eu
        offer
        eval "$command"
    )
    saved=${tree:?}/${kmf[kernel]}/${kmf[machine]}/module
    mkdir -p "$saved"
    [ ! -f Module.symvers ] || cp Module.symvers "$saved/"
    while IFS= read -r -d '' directory && IFS= read -r -d '' name && IFS= read -r -d '' installed && IFS= read -r -d '' destination && IFS= read -r -d '' strip; do
        file=$directory$name.ko
        [ -f "$file" ] || fail "the build left no \`$file\`"
        [ "$strip" = no ] || "${kmf[cross]}strip" -g "$file"
        # Only this copy, for scripts, gets the name that DKMS installs: the kernel knows a module by the name it was built with.
        cp "$file" "$saved/${installed##*/}.ko"
        file=$(realpath "$file")
        case $file in "${kmf[source_tree]}"/*)
            # What lies beside the headers is gone after the step.
            mkdir -p "${kmf[state]}/built"
            cp "$file" "${kmf[state]}/built/"
            file=${kmf[state]}/built/${file##*/}
            ;;
        esac
        printf '%s\t%s\n' "$file" "$destination" >> "${kmf[state]}/found"
    done < "${kmf[state]}/modules"
    script post-build
}

case ${1-} in
    read) read_conf ;;
    evaluate) evaluate "$@" ;;
    build) build ;;
    *) echo 'usage: dkms.sh read|build' >&2; exit 2 ;;
esac
