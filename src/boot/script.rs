//! What runs inside: the first process of the virtual machine, a POSIX shell script that only needs programs of the image.
//!
//! It speaks through `/dev/kmsg`, so that its words stand in order among the kernel's, whole lines each:
//!
//! ```text
//! kmodforge: up                        the kernel runs programs
//! kmodforge: begin load v4l2loopback   a step begins
//! kmodforge: said modprobe: ERROR: …   what its program printed
//! kmodforge: end 1 load v4l2loopback   it ended with this exit status
//! kmodforge: state v4l2loopback live   what /sys/module says; `absent` if nothing
//! kmodforge: bound edu_driver 0000:00:02.0
//! kmodforge: taint 12288
//! kmodforge: done
//! ```

use std::fmt::Write as _;

use super::Plan;
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

/// The script for a plan.
pub(super) fn script(plan: &Plan, own: &OwnModules, programs: &Programs) -> String {
    let Programs { shell, mount, modprobe, depmod, .. } = programs;
    let mut text = format!(
        "#!{shell}\n\
         PATH=/usr/sbin:/usr/bin:/sbin:/bin\n\
         {mount} -t proc proc /proc\n\
         {mount} -t sysfs sysfs /sys\n\
         echo 8 >/proc/sys/kernel/printk\n\
         exec 3>/dev/kmsg </dev/null\n\
         {FUNCTIONS}\
         say up\n"
    );
    if !own.is_empty() {
        let depmod = depmod.as_deref().unwrap_or("depmod");
        let _ = writeln!(text, "echo /{FOLDER}/modprobe >/proc/sys/kernel/modprobe\nrun index {depmod} -b {NODE} {}", quote_shell(plan.kernel.as_str()));
    }
    if plan.firmware {
        text.push_str("printf %s /firmware >/sys/module/firmware_class/parameters/path\n");
    }
    let mut run = |step: &str, module: &str, arguments: &str| {
        let name = kernel_name(module);
        let _ = writeln!(text, "run '{step} {name}' {modprobe} {arguments} {}", quote_shell(module));
    };
    for module in &own.remove {
        run("node", module, &format!("-d {NODE}"));
    }
    for module in &own.remove {
        run("remove", module, &format!("-d {NODE} -r"));
    }
    for module in &own.first {
        run("first", module, &format!("-d {NODE}"));
    }
    for module in &own.needed {
        run("need", module, &format!("-d {NODE}"));
    }
    text.push_str(&rounds(plan, programs));
    text.push_str("say done\necho o >/proc/sysrq-trigger\n");
    text
}

/// Loading, unloading as a node does before a container stops, and loading again.
fn rounds(plan: &Plan, Programs { modprobe, cat, .. }: &Programs) -> String {
    let base = quote_shell(&plan.base);
    let load = |step: &str| -> String {
        let lines = plan.modules.iter().map(|module| {
            let parameters = module.parameters.iter().map(|(name, value)| format!(" {}", quote_shell(&parameter(name, value))));
            let name = kernel_name(&module.name);
            format!("run '{step} {name}' {modprobe} -d {base} {}{}\nstate {name}\n", quote_shell(&module.name), parameters.collect::<String>())
        });
        lines.collect()
    };
    let mut text = load("load");
    for module in &plan.modules {
        let _ = writeln!(text, "bound {}", kernel_name(&module.name));
    }
    if let Some(cat) = cat {
        // Not the shell's `read`, which reads single bytes: the kernel gives the first digit and no more.
        let _ = writeln!(text, "say \"taint $({cat} /proc/sys/kernel/tainted)\"");
    }
    if plan.load.unload {
        for module in plan.modules.iter().rev() {
            let name = kernel_name(&module.name);
            let _ = writeln!(
                text,
                "[ -e /sys/module/{name}/initstate ] && run 'unload {name}' {modprobe} -d {base} -r {} && state {name}",
                quote_shell(&module.name)
            );
        }
        text.push_str(&load("reload"));
    }
    text
}

/// What the kernel runs when it asks for a module itself.
pub(super) fn helper(programs: &Programs) -> String {
    format!("#!{}\nexec {} -d {NODE} \"$@\"\n", programs.shell, programs.modprobe)
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
        }
    }

    fn programs() -> Programs {
        Programs { shell: "/bin/sh".into(), mount: "/usr/bin/busybox mount".into(), modprobe: "/usr/sbin/modprobe".into(), depmod: None, cat: None }
    }

    #[test]
    fn modules_are_loaded_in_order_and_unloaded_in_reverse() {
        let text = script(&plan(), &OwnModules::default(), &programs());
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
        let text = script(&plan(), &own, &Programs { depmod: Some("/usr/sbin/depmod".into()), ..programs() });
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
        let text = script(&plan, &OwnModules::default(), &programs());
        assert!(!text.contains("unload ") && !text.contains("reload "));
    }
}
