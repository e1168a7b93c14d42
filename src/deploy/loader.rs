//! What runs on a node: POSIX shell commands for a container with the root of a `ModuleLoader` image.
//!
//! The container sees the node's own modules below [`NODE`], and loads with the image's `modprobe -d /opt`. Each command looks at `uname -r` itself:
//! labels of nodes are late, and two releases can share one.
//!
//! ```text
//! firmware    /firmware → the node's firmware directory; before `load`
//! load        the kernel's modules out of the way, what ours need, ours; then sleeps until it is told to stop
//! ready       succeeds while all modules are live
//! unload      takes away what nobody uses; before the container stops
//! wait        sleeps until all modules are live: the gate before a device plugin
//! ```

use std::fmt::Write as _;

use crate::kernel::KernelRelease;
use crate::kmod::{kernel_name, parameter};
use crate::rollout::Rollout;
use crate::template::quote_shell;

/// Where the container sees the node: `/lib/modules` at `/host/lib/modules`, read-only.
pub const NODE: &str = "/host";
/// Where the container sees the node's firmware directory.
pub const FIRMWARE: &str = "/host/firmware";
/// Where the container sees [`SEARCH_PATH_DIRECTORY`], if [`Loader::search_path`] is to be set.
pub const SEARCH_PATH: &str = "/host/firmware-search";
/// The node's directory with the file `path`: where its kernel looks for firmware first (`Documentation/driver-api/firmware/fw_search_path.rst`).
pub const SEARCH_PATH_DIRECTORY: &str = "/sys/module/firmware_class/parameters";

/// Directories that every kernel looks into; the second is the first where `/lib` is a link.
const SEARCHED_ANYWAY: [&str; 2] = ["/lib/firmware", "/usr/lib/firmware"];

/// The commands for one image.
#[derive(Clone, Copy, Debug)]
pub struct Loader<'a> {
    /// What a node does with the image.
    pub rollout: &'a Rollout,
    /// The image's kernel.
    pub kernel: &'a KernelRelease,
    /// Other kernels whose nodes look the same to whoever places the container, and which have an image of their own.
    pub neighbours: &'a [KernelRelease],
}

impl Loader<'_> {
    /// Loads the modules, then sleeps; fails when they cannot be loaded. What is loaded already, from the same image, stays.
    ///
    /// On a node with another kernel it sleeps without having done anything.
    #[must_use]
    pub fn load(&self) -> String {
        let names = self.names();
        let reversed: Vec<_> = names.iter().rev().map(String::as_str).collect();
        let mut script = format!(
            "set -eu\n\
             idle() {{ trap 'exit 0' INT TERM; sleep infinity & wait; }}\n\
             {}{IS_OURS}{LOAD}",
            self.guard("idle; exit 0"),
        );
        for module in self.rollout.remove_first.iter().map(|name| kernel_name(name)).filter(|name| !names.contains(name)) {
            let _ = writeln!(script, "remove {}", quote_shell(&module));
        }
        for module in &reversed {
            let _ = writeln!(script, "replace {}", quote_shell(module));
        }
        for module in &self.rollout.load_first {
            let _ = writeln!(script, "need {}", quote_shell(&kernel_name(module)));
        }
        let _ = writeln!(script, "needs {}", quote_shell(&format!("/opt/lib/modules/{}", self.kernel.directory())));
        for load in &self.rollout.loads {
            let parameters = load.parameters.iter().map(|(name, value)| format!(" {}", quote_shell(&parameter(name, value))));
            let _ = writeln!(script, "load {}{}", quote_shell(&kernel_name(&load.module)), parameters.collect::<String>());
        }
        script.push_str("idle\n");
        script
    }

    /// Succeeds while every module is live, and is the image's own build of it. A node whose kernel has another image is not this one's to report: it succeeds there as well.
    #[must_use]
    pub fn ready(&self) -> String {
        let neighbours: Vec<_> = self.neighbours.iter().map(|kernel| quote_shell(kernel.as_str())).collect();
        let elsewhere = if neighbours.is_empty() { String::new() } else { format!("{}) exit 0 ;;\n", neighbours.join(" | ")) };
        format!(
            "case $(uname -r) in\n\
             {}) ;;\n\
             {elsewhere}\
             *) echo \"no image for $(uname -r)\"; exit 1 ;;\n\
             esac\n\
             {IS_OURS}for module in {}; do\n    \
                 {LIVE} || {{ echo \"$module is not loaded\"; exit 1; }}\n    \
                 is_ours \"$module\" || {{ echo \"$module is loaded from another build\"; exit 1; }}\n\
             done\n",
            quote_shell(self.kernel.as_str()),
            self.list()
        )
    }

    /// Unloads the modules in reverse order, and always succeeds: what is in use stays. `None` if they cannot be unloaded.
    #[must_use]
    pub fn unload(&self) -> Option<String> {
        let reversed: Vec<_> = self.names().iter().rev().map(|name| quote_shell(name)).collect();
        self.rollout.unload.then(|| {
            format!(
                "[ \"$(uname -r)\" = {} ] || exit 0\n\
                 for module in {}; do\n    \
                     [ ! -e \"/sys/module/$module/initstate\" ] || modprobe -d /opt -r \"$module\" || echo \"$module is in use and stays\"\n\
                 done\n",
                quote_shell(self.kernel.as_str()),
                reversed.join(" ")
            )
        })
    }

    /// Copies the image's firmware to the node, file by file and never half; tells the kernel where it is, if that is needed. `None` if there is none.
    #[must_use]
    pub fn firmware(&self) -> Option<String> {
        self.rollout.firmware.then(|| {
            let search = self.search_path().map(|path| format!("search {}\n", quote_shell(path))).unwrap_or_default();
            format!("set -eu\n{}{COPY}{search}", self.guard("exit 0"))
        })
    }

    /// The path that the node's kernel must be told to look for firmware in; `None` if it looks there anyway.
    #[must_use]
    pub fn search_path(&self) -> Option<&str> {
        let directory = self.rollout.firmware_directory.trim_end_matches('/');
        (self.rollout.firmware && !SEARCHED_ANYWAY.contains(&directory)).then_some(directory)
    }

    /// Ends when every module is live. Needs nothing but `/proc`.
    #[must_use]
    pub fn wait(&self) -> String {
        format!("for module in {}; do\n    until {LIVE}; do sleep 2; done\ndone\n", self.list())
    }

    fn guard(&self, otherwise: &str) -> String {
        let kernel = quote_shell(self.kernel.as_str());
        format!(
            "if [ \"$(uname -r)\" != {kernel} ]; then\n    \
                 echo \"the node runs $(uname -r), not {}: nothing to do\"\n    \
                 {otherwise}\n\
             fi\n",
            self.kernel
        )
    }

    /// Names by the kernel's spelling, in load order.
    fn names(&self) -> Vec<String> {
        self.rollout.loads.iter().map(|load| kernel_name(&load.module)).collect()
    }

    fn list(&self) -> String {
        self.names().iter().map(|name| quote_shell(name)).collect::<Vec<_>>().join(" ")
    }
}

/// Whether `$module` is loaded and initialised, by `/proc/modules` (fs/proc, `kernel/module/procfs.c`).
const LIVE: &str = r#"grep -qs "^$module .* Live " /proc/modules"#;

/// Whether a loaded module is the image's build. Both are silent about modules that have no checksum of their source.
const IS_OURS: &str = r#"is_ours() { [ "$(cat "/sys/module/$1/srcversion" 2>/dev/null)" = "$(modinfo -b /opt -F srcversion "$1")" ]; }
"#;

const LOAD: &str = r#"fail() { echo "$*" >&2; exit 1; }
is_loaded() { [ -e "/sys/module/$1/initstate" ]; }
remove() {
    is_loaded "$1" || return 0
    echo "unloading $1 of the kernel"
    rmmod "$1" || fail "$1 of the kernel is in use, and takes the place of this driver"
}
replace() {
    is_loaded "$1" && ! is_ours "$1" || return 0
    echo "unloading another build of $1"
    modprobe -d /opt -r "$1" || fail "another build of $1 is in use: end what uses it, or restart the node"
}
need() { is_loaded "$1" || modprobe -d /host "$1" || echo "$1 of the kernel could not be loaded" >&2; }
needs() {
    files=$(find "$1" -name '*.ko')
    own=$(for file in $files; do name=${file##*/}; echo "${name%.ko}"; done | tr - _)
    for name in $(for file in $files; do modinfo -F depends "$file"; modinfo -F softdep "$file"; done | tr ,- ' _'); do
        case "$name" in *:) continue ;; esac
        echo "$own" | grep -qx "$name" || need "$name"
    done
}
load() {
    if is_loaded "$1"; then echo "$1 is loaded already"; return; fi
    modprobe -d /opt "$@" || fail "$1 could not be loaded"
    echo "loaded $1"
}
"#;

const COPY: &str = r#"fail() { echo "$*" >&2; exit 1; }
find /firmware ! -type d | while IFS= read -r file; do
    place=/host/firmware${file#/firmware}
    mkdir -p "${place%/*}"
    cp -P "$file" "$place.part"
    mv "$place.part" "$place"
done
search() {
    now=$(cat /host/firmware-search/path)
    [ "$now" != "$1" ] || return 0
    [ -z "$now" ] || fail "the node's kernel looks for firmware in $now, not in $1"
    printf %s "$1" >/host/firmware-search/path
}
"#;

#[cfg(test)]
#[path = "loader/tests.rs"]
mod tests;
