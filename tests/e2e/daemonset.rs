//! The commands of a generated manifest, run in a virtual machine with the image's root and what the manifest mounts into it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::files::{layers, unpack};
use crate::forge::{Forge, image, newest, oldest};
use crate::kubernetes::{documents, find};
use crate::node::{Node, kernel_image};
use crate::stack::{run, scratch, skopeo_copy};

pub(crate) const DRIVER: &str = "v4l2loopback";
/// A module of the kernel that the test's driver takes the place of.
const RIVAL: &str = "dummy";
/// One that it wants to be loaded before it.
const FRIEND: &str = "ifb";
/// One that it needs.
const NEEDED: &str = "videodev";

pub(crate) const REPOSITORY: &str = "deploy";

/// What is deployed: the driver for two kernels, published once.
pub(crate) fn built() -> &'static Forge {
    static BUILT: OnceLock<Forge> = OnceLock::new();
    BUILT.get_or_init(|| {
        let kernels = format!("[\"{}\", \"{}\"]", newest(), oldest());
        let forge = Forge::new(REPOSITORY, &format!("  - {{drivers: [{DRIVER}], distros: [debian], kernels: {kernels}}}\n"));
        forge.run(&["build", "--push"]).expect(0).says("deploy    kmodforge deploy daemonset kmodforge-record.json | kubectl apply -f -");
        forge
    })
}

/// The image of the newest kernel.
fn pushed() -> String {
    image(REPOSITORY, DRIVER, &built().target(DRIVER, newest()).target.version, newest())
}

/// A pod as the manifest has it.
struct Pod(Value);

impl Pod {
    /// Of the `DaemonSet` for a kernel, deployed from a record that says more about the driver than its profile.
    fn of(kernel: &str) -> Self {
        let mut record = serde_json::to_value(built().record()).unwrap();
        for target in record["targets"].as_array_mut().unwrap() {
            let rollout = &mut target["rollout"];
            rollout["loads"][0]["parameters"] = json!({ "video_nr": "7", "card_label": "it's two" });
            rollout["remove_first"] = json!([RIVAL]);
            rollout["load_first"] = json!([FRIEND]);
            rollout["firmware"] = json!(true);
            rollout["firmware_directory"] = json!("/var/lib/firmware");
        }
        let forge = Forge::new(REPOSITORY, "");
        fs::write(forge.path("record.json"), record.to_string()).unwrap();
        let manifest = forge.run(&["deploy", "daemonset", "record.json"]).expect(0).stdout;
        let sets = documents(&manifest).into_iter().filter(|object| object["kind"] == "DaemonSet");
        let pods = sets.map(|set| set["spec"]["template"].clone());
        Self(pods.into_iter().find(|pod| pod["metadata"]["annotations"]["kmodforge.io/kernel"] == kernel).unwrap())
    }

    fn commands(&self) -> [(&'static str, &Value); 4] {
        let spec = &self.0["spec"];
        let loader = find(&spec["containers"], "loader");
        [
            ("firmware", &find(&spec["initContainers"], "firmware")["command"]),
            ("load", &loader["command"]),
            ("ready", &loader["readinessProbe"]["exec"]["command"]),
            ("unload", &loader["lifecycle"]["preStop"]["exec"]["command"]),
        ]
    }

    /// Writes each command, argument by argument.
    fn write(&self, folder: &Path) {
        for (name, command) in self.commands() {
            fs::create_dir_all(folder.join(name)).unwrap();
            for (at, argument) in command.as_array().unwrap().iter().enumerate() {
                fs::write(folder.join(name).join(at.to_string()), argument.as_str().unwrap()).unwrap();
            }
        }
    }

    /// `host path, path in the container, options` of every mount.
    fn mounts(&self) -> Vec<[String; 3]> {
        let spec = &self.0["spec"];
        let containers = ["initContainers", "containers"].into_iter().flat_map(|list| spec[list].as_array().unwrap());
        let mounts = containers.flat_map(|container| container["volumeMounts"].as_array().unwrap()).map(|mount| {
            let volume = find(&spec["volumes"], mount["name"].as_str().unwrap());
            let options = if mount["readOnly"] == true { "bind,ro" } else { "bind" };
            [volume["hostPath"]["path"].as_str().unwrap(), mount["mountPath"].as_str().unwrap(), options].map(str::to_owned)
        });
        mounts.collect()
    }
}

/// The first process of the machine. What belongs to the node is below `/node`, but for the kernel's own file systems.
const BEGIN: &str = r#"#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
busybox mkdir -p /proc /sys /dev /node
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
echo 1 >/proc/sys/kernel/printk
mounted() {
    case $1 in /sys/*) from=$1 ;; *) from=/node$1; mkdir -p "$from" ;; esac
    mkdir -p "$2"
    busybox mount -o bind "$from" "$2"
    case $3 in *ro) busybox mount -o "remount,$3" "$2" ;; esac
}
run() {
    folder=$1 name=$2
    set --
    for argument in "$folder/$name"/*; do set -- "$@" "$(cat "$argument")"; done
    "$@"
}
start() {
    folder=$1 name=$2
    set --
    for argument in "$folder/$name"/*; do set -- "$@" "$(cat "$argument")"; done
    exec "$@"
}
step() { run "$1" "$2" 2>&1 | sed "s/^/$2: /"; run "$1" "$2" >/dev/null 2>&1; echo "step $3: $?"; }
modules() { echo "modules $1:$(for it in dummy ifb videodev v4l2loopback; do grep -q "^$it " /proc/modules && echo " $it"; done | tr -d '\n')"; }
until_ready() { tries=0; until run /commands ready >/dev/null || [ $tries = 60 ]; do sleep 1; tries=$((tries + 1)); done; }
"#;

const STORY: &str = r#"
modprobe -d /host dummy
insmod /other/v4l2loopback.ko 2>/dev/null || { modprobe -d /host videodev; insmod /other/v4l2loopback.ko; }
echo "other build: $(cat /sys/module/v4l2loopback/srcversion)"
modules before

start /elsewhere load >/said 2>&1 &
sleep 2
sed 's/^/elsewhere: /' /said
kill $!; wait $!; echo "step elsewhere-load: $?"
step /elsewhere ready elsewhere-ready
step /elsewhere unload elsewhere-unload
modules elsewhere

rmmod v4l2loopback videodev mc
step /commands ready not-yet
insmod /other/v4l2loopback.ko 2>/dev/null || { modprobe -d /host videodev; insmod /other/v4l2loopback.ko; }
run /commands firmware; echo "step firmware: $?"
echo "firmware: $(cat /node/var/lib/firmware/vendor/blob.bin) at $(cat /sys/module/firmware_class/parameters/path)"
run /commands firmware; echo "step firmware-again: $?"

start /commands load >/said 2>&1 &
first=$!
until_ready
sed 's/^/load: /' /said
step /commands ready loaded
modules loaded
echo "our build: $(cat /sys/module/v4l2loopback/srcversion)"
echo "name: $(cat /sys/class/video4linux/video7/name)"

start /commands load >/said 2>&1 &
sleep 3
sed 's/^/again: /' /said
kill $!; wait $!

exec 9<>/dev/video7
run /commands unload 2>/dev/null; echo "step unload-in-use: $?"
step /commands ready in-use
exec 9>&-
run /commands unload; echo "step unload: $?"
modules unloaded
kill -0 $first && echo "the container still runs"
kill $first; wait $first; echo "step end: $?"
echo "kmodforge: the end"
busybox poweroff -f
"#;

/// What the machine said. One boot serves all tests.
fn said() -> &'static str {
    static SAID: OnceLock<String> = OnceLock::new();
    SAID.get_or_init(|| {
        let (ours, elsewhere) = (Pod::of(newest()), Pod::of(oldest()));
        let root = scratch();
        let node = Node::new(&pushed(), newest());
        let layout = scratch();
        skopeo_copy(&pushed(), layout.path());
        unpack(&layers(layout.path()), root.path());
        let modules = format!("lib/modules/{}", newest());
        for file in node.kernel_files(&[RIVAL, FRIEND, NEEDED]) {
            put(&root.path().join("node").join(&modules).join(&file), &fs::read(node.path(&format!("usr/{modules}/{file}"))).unwrap());
        }
        let module = fs::read(root.path().join(format!("opt/{modules}/extra/{DRIVER}.ko"))).unwrap();
        put(&root.path().join(format!("other/{DRIVER}.ko")), &another_build(module));
        put(&root.path().join("firmware/vendor/blob.bin"), b"a blob");
        ours.write(&root.path().join("commands"));
        elsewhere.write(&root.path().join("elsewhere"));
        let mounts: String = ours.mounts().iter().map(|mount| ["mounted ", &mount.join(" "), "\n"].concat()).collect();
        let init = root.path().join("init");
        put(&init, format!("{BEGIN}{mounts}{STORY}").as_bytes());
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).unwrap();
        boot(root.path())
    })
}

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The same module with another checksum of its source.
fn another_build(mut module: Vec<u8>) -> Vec<u8> {
    let wanted = b"srcversion=";
    let at = module.windows(wanted.len()).position(|window| window == wanted).unwrap() + wanted.len();
    module[at..at + 4].copy_from_slice(b"0000");
    module
}

fn boot(root: &Path) -> String {
    let folder = scratch();
    let archive = folder.path().join("initramfs");
    let mut cpio = Command::new("sh");
    cpio.args(["-c", "find . -print0 | cpio --quiet -0 -o -H newc"]).current_dir(root).stdin(Stdio::null()).stdout(fs::File::create(&archive).unwrap());
    assert!(cpio.status().unwrap().success());
    let mut machine = Command::new("timeout");
    machine.args(["400", "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-nodefaults", "-no-reboot"]);
    machine.args(["-display", "none", "-serial", "stdio", "-append", "console=ttyS0 panic=-1 quiet"]);
    let output = machine.arg("-kernel").arg(kernel_image(newest())).arg("-initrd").arg(&archive).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert!(said.contains("kmodforge: the end"), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[track_caller]
fn says(lines: &[&str]) {
    for line in lines {
        assert!(said().lines().any(|said| said.trim_end() == *line), "`{line}` is not in\n{}", said());
    }
}

#[test]
fn the_commands_load_report_and_unload() {
    says(&[
        "step not-yet: 1",
        "ready: v4l2loopback is not loaded",
        "load: loaded v4l2loopback",
        "step loaded: 0",
        "modules loaded: ifb videodev v4l2loopback",
        "name: it's two",
        "step unload: 0",
        "modules unloaded: ifb videodev",
        "the container still runs",
        "step end: 0",
    ]);
}

#[test]
fn what_is_in_the_way_goes_first() {
    let build = run(Command::new("/sbin/modinfo").args(["-F", "srcversion"]).arg(built_module()));
    let build = build.trim();
    says(&["load: unloading dummy of the kernel", "load: unloading another build of v4l2loopback"]);
    says(&[&format!("other build: 0000{}", &build[4..]), &format!("our build: {build}")]);
}

fn built_module() -> std::path::PathBuf {
    let (layout, root) = (scratch(), scratch());
    skopeo_copy(&pushed(), layout.path());
    unpack(&layers(layout.path()), root.path());
    let kept = crate::stack::kept("scratch").join("the-module.ko");
    fs::copy(root.path().join(format!("opt/lib/modules/{}/extra/{DRIVER}.ko", newest())), &kept).unwrap();
    kept
}

#[test]
fn what_is_loaded_or_in_use_stays() {
    says(&["again: v4l2loopback is loaded already", "v4l2loopback is in use and stays", "step unload-in-use: 0", "step in-use: 0"]);
}

#[test]
fn firmware_comes_before_and_its_place_is_told() {
    says(&["step firmware: 0", "firmware: a blob at /var/lib/firmware", "step firmware-again: 0"]);
}

/// The pod of another kernel, on this node by an ambiguous label: it idles, is not ready, and touches nothing.
#[test]
fn on_another_kernel_nothing_is_done() {
    says(&[
        &format!("elsewhere: the node runs {}, not {}: nothing to do", newest(), oldest()),
        &format!("ready: no image for {}", newest()),
        "step elsewhere-load: 0",
        "step elsewhere-ready: 1",
        "step elsewhere-unload: 0",
        "modules elsewhere: dummy videodev v4l2loopback",
    ]);
}
