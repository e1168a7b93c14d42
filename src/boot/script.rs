//! What runs inside: the first process of the virtual machine, a POSIX shell script that only needs programs of the image.
//!
//! It speaks through `/dev/kmsg`, so that its words stand in order among the kernel's, whole lines each:
//!
//! ```text
//! kmodforge: up                        the kernel runs programs
//! kmodforge: image                     the first image's turn begins, or the next one's
//! kmodforge: before 0                  the kernel's taint flags
//! kmodforge: begin load v4l2loopback   a step begins
//! kmodforge: said modprobe: ERROR: …   what its program printed
//! kmodforge: asked ipt_tcp             the kernel asked for a module that is not there
//! kmodforge: end 1 load v4l2loopback   it ended with this exit status
//! kmodforge: state v4l2loopback live   what /sys/module says; `absent` if nothing
//! kmodforge: bound edu_driver 0000:00:02.0
//! kmodforge: flags v4l2loopback OE     a module's own taint flags, as letters
//! kmodforge: taint 12288               the kernel's with everything loaded
//! kmodforge: done
//! ```

use std::fmt::Write as _;

use super::{Plan, PlannedModule};
use crate::kmod::{kernel_name, parameter};
use crate::template::quote_shell;

/// Where the script and its files are in the virtual machine.
pub(super) const FOLDER: &str = "kmodforge";
/// The kernel's own modules: a node's `/lib/modules`, apart from what the image may have there.
pub(super) const NODE: &str = "/node";
/// How lines of the script begin.
pub(super) const MARK: &str = "kmodforge: ";

/// Programs of the image, as absolute paths: some shells prefer an applet of their own to what `PATH` finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Programs {
    pub(super) shell: String,
    /// With arguments, if it is an applet.
    pub(super) mount: String,
    pub(super) modprobe: String,
    pub(super) depmod: Option<String>,
    pub(super) cat: Option<String>,
    /// With arguments, if it is an applet; without it an image cannot share a boot.
    pub(super) chroot: Option<String>,
}

/// What of the kernel's own modules there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnModules {
    /// Those of the plan's `remove_first` that this kernel has.
    pub(super) remove: Vec<String>,
    /// Those of the plan's `load_first` that this kernel has.
    pub(super) first: Vec<String>,
    /// What the image's modules need.
    pub(super) needed: Vec<String>,
}

impl OwnModules {
    pub(super) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.first.is_empty() && self.needed.is_empty()
    }
}

/// An image in the virtual machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guest<'a> {
    pub(super) plan: &'a Plan,
    pub(super) own: &'a OwnModules,
    pub(super) programs: &'a Programs,
}

/// Where the root of an image is, by its position: the first one's is that of the machine.
pub(super) fn root(position: usize) -> String {
    if position == 0 { String::new() } else { format!("/{FOLDER}/root-{position}") }
}

/// The script for images of the same kernel, one after the other. The first one's programs do what concerns the machine.
pub(super) fn script(guests: &[Guest<'_>]) -> String {
    let Some(first) = guests.first() else { return String::new() };
    let Programs { shell, mount, depmod, .. } = first.programs;
    let mut text = format!(
        "#!{shell}\n\
         PATH=/usr/sbin:/usr/bin:/sbin:/bin\n\
         {mount} -t proc proc /proc\n\
         {mount} -t sysfs sysfs /sys\n\
         echo 8 >/proc/sys/kernel/printk\n\
         exec 3>/dev/kmsg </dev/null\n\
         {FUNCTIONS}\
         echo /{FOLDER}/modprobe >/proc/sys/kernel/modprobe\n\
         say up\n"
    );
    if guests.iter().any(|guest| !guest.own.is_empty()) {
        let depmod = depmod.as_deref().unwrap_or("depmod");
        let _ = writeln!(text, "run index {depmod} -b {NODE} {}", quote_shell(first.plan.kernel.as_str()));
    }
    for (position, guest) in guests.iter().enumerate() {
        text.push_str("say image\n");
        text.push_str(&turn(position, *guest, first.programs));
        if position + 1 < guests.len() {
            text.push_str(&unloading("leave", position, *guest, first.programs));
        }
    }
    text.push_str("say done\necho o >/proc/sysrq-trigger\n");
    text
}

/// What is done with one image, in the order of a node.
fn turn(position: usize, guest: Guest<'_>, machine: &Programs) -> String {
    let (mut text, root) = (String::new(), root(position));
    if position > 0 {
        let mount = &machine.mount;
        let _ = writeln!(text, "{mount} -t proc proc {root}/proc\n{mount} -t sysfs sysfs {root}/sys");
    }
    if let Some(cat) = &machine.cat {
        // Not the shell's `read`, which reads single bytes: the kernel gives the first digit and no more.
        let _ = writeln!(text, "say \"before $({cat} /proc/sys/kernel/tainted)\"");
    }
    let search_path = "/sys/module/firmware_class/parameters/path";
    if guest.plan.firmware {
        // Before 6.5 a line feed is part of the path.
        let _ = writeln!(text, "printf %s {root}/firmware >{search_path}");
    } else if position > 0 {
        // The path that an image before this one had set must not help.
        let _ = writeln!(text, "echo >{search_path}");
    }
    let mut run = |step: &str, module: &str, arguments: &str| {
        let _ = writeln!(text, "run '{step} {}' {} {arguments} {}", kernel_name(module), machine.modprobe, quote_shell(module));
    };
    for module in &guest.own.remove {
        run("node", module, &format!("-d {NODE}"));
    }
    for module in &guest.own.remove {
        run("remove", module, &format!("-d {NODE} -r"));
    }
    for module in &guest.own.first {
        run("first", module, &format!("-d {NODE}"));
    }
    for module in &guest.own.needed {
        run("need", module, &format!("-d {NODE}"));
    }
    text + &rounds(position, guest, machine)
}

/// Loading, unloading as a node does before a container stops, and loading again.
fn rounds(position: usize, guest: Guest<'_>, machine: &Programs) -> String {
    let plan = guest.plan;
    let modprobe = modprobe(position, guest, machine);
    let load = |step: &str| -> String {
        let lines = plan.modules.iter().map(|module| {
            let parameters = module.parameters.iter().map(|(name, value)| format!(" {}", quote_shell(&parameter(name, value))));
            let name = kernel_name(&module.name);
            format!("run '{step} {name}' {modprobe} {}{}\nstate {name}\n", quote_shell(&module.name), parameters.collect::<String>())
        });
        lines.collect()
    };
    let mut text = load("load");
    for module in &plan.modules {
        let _ = writeln!(text, "bound {0}\nflags {0}", kernel_name(&module.name));
    }
    if let Some(cat) = &machine.cat {
        let _ = writeln!(text, "say \"taint $({cat} /proc/sys/kernel/tainted)\"");
    }
    if plan.load.unload {
        text.push_str(&unloading("unload", position, guest, machine));
        text.push_str(&load("reload"));
    }
    text
}

/// What is there of an image's modules goes, the last one first; not what must stay.
fn unloading(step: &str, position: usize, guest: Guest<'_>, machine: &Programs) -> String {
    let modprobe = modprobe(position, guest, machine);
    let line = |module: &PlannedModule| {
        let name = kernel_name(&module.name);
        format!("[ -e /sys/module/{name}/initstate ] && run '{step} {name}' {modprobe} -r {} && state {name}\n", quote_shell(&module.name))
    };
    if guest.plan.load.unload { guest.plan.modules.iter().rev().map(line).collect() } else { String::new() }
}

/// The image's own `modprobe` on its own files.
fn modprobe(position: usize, guest: Guest<'_>, machine: &Programs) -> String {
    let modprobe = format!("{} -d {}", guest.programs.modprobe, quote_shell(&guest.plan.base));
    if position == 0 { modprobe } else { format!("{} {} {modprobe}", machine.chroot.as_deref().unwrap_or("chroot"), root(position)) }
}

/// What the kernel runs when it asks for a module itself (`request_module` in the kernel's `kernel/module/kmod.c`), by its name, which comes last.
pub(super) fn helper(programs: &Programs) -> String {
    let Programs { shell, modprobe, .. } = programs;
    format!("#!{shell}\n{modprobe} -d {NODE} \"$@\" && exit\nfor name; do :; done\necho \"{MARK}asked $name\" >/dev/kmsg\nexit 1\n")
}

const FUNCTIONS: &str = r#"say() { echo "kmodforge: $*" >&3; }
run() {
    step=$1
    shift
    say "begin $step"
    "$@" >/kmodforge/said 2>&1
    code=$?
    while IFS= read -r line; do say "said $line"; done </kmodforge/said
    say "end $code $step"
}
state() {
    state=absent
    [ -e "/sys/module/$1/initstate" ] && read -r state <"/sys/module/$1/initstate"
    say "state $1 $state"
}
flags() {
    letters=
    [ -e "/sys/module/$1/taint" ] && read -r letters <"/sys/module/$1/taint"
    say "flags $1 $letters"
}
bound() {
    for driver in "/sys/module/$1/drivers/"*; do
        for device in "$driver/"*; do
            [ -e "$device/driver" ] && say "bound $1 ${device##*/}"
        done
    done
}
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::PlannedModule;

    fn plan() -> Plan {
        let module = |name: &str, parameters: &[(&str, &str)]| PlannedModule {
            name: name.into(),
            parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        Plan {
            kernel: "6.1.0-56-amd64".parse().unwrap(),
            base: "/opt".into(),
            remove_first: Vec::new(),
            load_first: Vec::new(),
            modules: vec![module("nvidia", &[("NVreg_Name", "a b")]), module("nvidia-uvm", &[])],
            load: crate::profile::driver::Load::default(),
            firmware: true,
            optional_firmware: None,
        }
    }

    fn programs() -> Programs {
        let program = |path: &str| Some(path.to_owned());
        Programs {
            shell: "/bin/sh".into(),
            mount: "/usr/bin/busybox mount".into(),
            modprobe: "/usr/sbin/modprobe".into(),
            depmod: program("/usr/sbin/depmod"),
            cat: None,
            chroot: program("/usr/bin/busybox chroot"),
        }
    }

    fn alone(plan: &Plan, own: &OwnModules) -> String {
        script(&[Guest { plan, own, programs: &programs() }])
    }

    #[test]
    fn modules_are_loaded_in_order_and_unloaded_in_reverse() {
        let text = alone(&plan(), &OwnModules::default());
        let steps: Vec<_> = text.lines().filter(|line| line.contains("modprobe -d")).collect();
        assert_eq!(
            steps,
            [
                "run 'load nvidia' /usr/sbin/modprobe -d /opt nvidia 'NVreg_Name=\"a b\"'",
                "run 'load nvidia_uvm' /usr/sbin/modprobe -d /opt nvidia-uvm",
                "[ -e /sys/module/nvidia_uvm/initstate ] && run 'unload nvidia_uvm' /usr/sbin/modprobe -d /opt -r nvidia-uvm && state nvidia_uvm",
                "[ -e /sys/module/nvidia/initstate ] && run 'unload nvidia' /usr/sbin/modprobe -d /opt -r nvidia && state nvidia",
                "run 'reload nvidia' /usr/sbin/modprobe -d /opt nvidia 'NVreg_Name=\"a b\"'",
                "run 'reload nvidia_uvm' /usr/sbin/modprobe -d /opt nvidia-uvm",
            ]
        );
        assert!(text.contains("printf %s /firmware >/sys/module/firmware_class/parameters/path\n"));
        assert!(text.ends_with("say done\necho o >/proc/sysrq-trigger\n"));
    }

    #[test]
    fn the_kernel_s_own_modules_go_and_come_before_those_of_the_image() {
        let own = OwnModules { remove: vec!["r8169".into()], first: vec!["i2c-core".into()], needed: vec!["videodev".into()] };
        let text = alone(&plan(), &own);
        let steps: Vec<_> = text.lines().filter(|line| line.contains("/node")).collect();
        assert_eq!(
            steps,
            [
                "run index /usr/sbin/depmod -b /node 6.1.0-56-amd64",
                "run 'node r8169' /usr/sbin/modprobe -d /node r8169",
                "run 'remove r8169' /usr/sbin/modprobe -d /node -r r8169",
                "run 'first i2c_core' /usr/sbin/modprobe -d /node i2c-core",
                "run 'need videodev' /usr/sbin/modprobe -d /node videodev",
            ]
        );
    }

    #[test]
    fn what_must_not_be_unloaded_stays() {
        let mut plan = plan();
        plan.load.unload = false;
        let text = alone(&plan, &OwnModules::default());
        assert!(!text.contains("unload ") && !text.contains("reload "));
    }
    #[test]
    fn images_that_share_a_boot_have_roots_of_their_own_and_leave_nothing() {
        let (nvidia, mut other) = (plan(), plan());
        other.modules.truncate(1);
        other.modules[0] = PlannedModule { name: "jool".into(), parameters: std::collections::BTreeMap::new() };
        other.firmware = false;
        let own = OwnModules { needed: vec!["ipv6".into()], ..OwnModules::default() };
        let (none, programs) = (OwnModules::default(), programs());
        let text = script(&[Guest { plan: &nvidia, own: &none, programs: &programs }, Guest { plan: &other, own: &own, programs: &programs }]);
        let (first, second) = text.rsplit_once("say image\n").unwrap();
        assert_eq!(first.matches("say image\n").count(), 1);
        assert!(first.contains("run index /usr/sbin/depmod -b /node 6.1.0-56-amd64\nsay image\n"), "{first}");
        let left: Vec<_> = first.lines().filter(|line| line.contains("run 'leave ")).collect();
        assert_eq!(left.len(), 2);
        assert!(left[1].contains("run 'leave nvidia' /usr/sbin/modprobe -d /opt -r nvidia"), "{left:?}");
        assert_eq!(
            second.lines().take(6).collect::<Vec<_>>(),
            [
                "/usr/bin/busybox mount -t proc proc /kmodforge/root-1/proc",
                "/usr/bin/busybox mount -t sysfs sysfs /kmodforge/root-1/sys",
                "echo >/sys/module/firmware_class/parameters/path",
                "run 'need ipv6' /usr/sbin/modprobe -d /node ipv6",
                "run 'load jool' /usr/bin/busybox chroot /kmodforge/root-1 /usr/sbin/modprobe -d /opt jool",
                "state jool",
            ]
        );
        assert!(!second.contains("leave"));
    }
}
