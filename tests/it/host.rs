//! The runner of `deploy systemd` on a host of fakes: what it decides, whatever tools a host has.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const RUNNER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/systemd/kmodforge-node");
const KERNEL: &str = "6.1.0-56-amd64";
const NEXT: &str = "6.1.0-57-amd64";

/// Programs that the runner may use, as they are on this machine.
const COREUTILS: [&str; 22] = [
    "basename", "cat", "chmod", "cp", "cut", "flock", "grep", "head", "mkdir", "mktemp", "mv", "printf", "rm", "rmdir", "sed", "sleep", "sort", "tail", "tar",
    "tr", "true", "ln",
];

/// `modprobe` of a kernel that keeps its modules in `proc/modules`. The image's modules are files `extra/NAME.ko`; everything else is the kernel's own.
const MODPROBE: &str = r#"
base='' verb=load
while :; do
    case $1 in
    -d) base=$2; shift 2 ;;
    -S) shift 2 ;;
    -r) verb=remove; shift ;;
    --show-depends) verb=show; shift ;;
    --dry-run) verb=dry; shift ;;
    --quiet) shift ;;
    *) break ;;
    esac
done
name=$1; shift
file=$base/lib/modules/$(uname -r)/extra/$name.ko
case $verb in
show) echo "insmod $file "; exit ;;
dry) [ -n "$base" ] && [ -e "$file" ]; exit ;;
esac
[ -z "$base" ] || [ -e "$file" ] || { echo "modprobe: FATAL: Module $name not found" >&2; exit 1; }
echo "modprobe $verb ${base:+image }$name${1:+ [$*]}" >>"$LOG"
[ ! -e "$KMODFORGE_ROOT/refuse-$verb-$name" ] || exit 1
spelled=$(printf %s "$name" | tr - _)
grep -v "^$spelled " "$KMODFORGE_ROOT/proc/modules" >"$KMODFORGE_ROOT/proc/modules.new"
[ $verb = remove ] || echo "$spelled 4096 0 - Live 0x0" >>"$KMODFORGE_ROOT/proc/modules.new"
mv "$KMODFORGE_ROOT/proc/modules.new" "$KMODFORGE_ROOT/proc/modules"
"#;

/// Each module needs `videodev`; builds differ by what is in the file.
const MODINFO: &str = r#"
case "$*" in
*"-F depends"*) echo videodev ;;
*"-F srcversion"*) cat "$2/lib/modules/$4/extra/$7.ko" ;;
esac
"#;

const SKOPEO: &str = r#"
echo "skopeo $*" >>"$LOG"
echo "logins ${REGISTRY_AUTH_FILE:-none}" >>"$LOG"
[ ! -e "$OFFLINE" ] || exit 1
into=${5#dir:}
mkdir "$into"
tar -cf "$into/aaa1" -C "$IMAGE" opt
if [ -d "$IMAGE/firmware" ]; then tar -cf "$into/aaa2" -C "$IMAGE" firmware; else tar -cf "$into/aaa2" -T /dev/null; fi
printf '{ "config": {"digest": "sha256:ccc0"},\n "layers": [ {"digest": "sha256:aaa1", "size": 3}, {"digest":"sha256:aaa2"} ] }' >"$into/manifest.json"
"#;

const ENGINE: &str = r#"
name=${0##*/}
echo "$name $*" >>"$LOG"
[ ! -e "$OFFLINE" ] || exit 1
case $1 in
image) exit 1 ;;
create) echo container ;;
cp) cp -RP "$IMAGE${2#container:}" "$3" ;;
esac
"#;

const CTR: &str = r#"
echo "${0##*/} $*" >>"$LOG"
[ ! -e "$OFFLINE" ] || exit 1
case $4 in
mount) cp -RP "$IMAGE/." "$6/" ;;
unmount) rm -rf "${6:?}"/* ;;
esac
"#;

struct Host {
    folder: TempDir,
}

impl Host {
    /// A Debian 12 with these tools for images, and a described image of `v4l2loopback` for its kernel.
    fn new(tools: &[&str]) -> Self {
        let host = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(host.path("bin")).unwrap();
        for program in COREUTILS {
            let found = ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists()).unwrap();
            symlink(found, host.path("bin").join(program)).unwrap();
        }
        host.program("uname", &format!("case $1 in -m) echo x86_64 ;; *) echo {KERNEL} ;; esac"));
        host.program("modprobe", MODPROBE);
        host.program("modinfo", MODINFO);
        host.program("rmmod", "echo \"rmmod $*\" >>\"$LOG\"");
        for tool in tools {
            let text = match *tool {
                "skopeo" => SKOPEO,
                "podman" | "docker" => ENGINE,
                _ => CTR,
            };
            host.program(tool, text);
        }
        host.write("root/etc/os-release", "NAME=Debian\nID=debian\nVERSION_ID=\"12\"\n");
        host.write("root/proc/modules", "ext4 900000 1 - Live 0x0\n");
        host.write(&format!("image/opt/lib/modules/{KERNEL}/extra/v4l2loopback.ko"), "one\n");
        host.write(&format!("image/opt/lib/modules/{KERNEL}/modules.dep"), "extra/v4l2loopback.ko:\n");
        host.describe(KERNEL, &image(1), "load v4l2loopback\nparameter card_label=two words\nparameter devices=2\n");
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn program(&self, name: &str, text: &str) {
        self.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{text}"));
        fs::set_permissions(self.path("bin").join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn describe(&self, kernel: &str, image: &str, instructions: &str) {
        self.describe_for("debian-12", kernel, image, instructions);
    }

    fn describe_for(&self, system: &str, kernel: &str, image: &str, instructions: &str) {
        let text = format!("# v4l2loopback 0.15.3\nimage {image}\narch amd64\n{instructions}");
        self.write(&format!("root/etc/kmodforge/drivers/v4l2loopback/{system}/{kernel}"), &text);
    }

    /// An image that is here, as far as the runner sees.
    fn put_here(&self, number: u8, kernel: &str) {
        let folder = format!("root/var/lib/kmodforge/images/{}/lib/modules/{kernel}/extra", hex(number));
        self.write(&format!("{folder}/v4l2loopback.ko"), "one\n");
    }

    fn has(&self, number: u8) -> bool {
        self.path(&format!("root/var/lib/kmodforge/images/{}", hex(number))).exists()
    }

    fn run_in(&self, shell: &[&str], arguments: &[&str]) -> Output {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg(RUNNER).args(arguments).env_clear();
        command.env("PATH", self.path("bin")).env("KMODFORGE_ROOT", self.path("root")).env("KMODFORGE_TRIES", "2").env("KMODFORGE_WAIT", "0");
        command.env("LOG", self.path("log")).env("IMAGE", self.path("image")).env("OFFLINE", self.path("offline"));
        command.output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run_in(&["/bin/dash"], arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap(), text)
    }

    /// What was called since the last time.
    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        text.lines().map(|line| line.replace(&self.folder.path().display().to_string(), "")).collect()
    }

    fn modprobes(&self) -> Vec<String> {
        self.log().into_iter().filter(|line| line.starts_with("modprobe") || line.starts_with("rmmod")).collect()
    }
}

fn hex(number: u8) -> String {
    format!("{number:02x}").repeat(32)
}

fn image(number: u8) -> String {
    format!("registry.example/drivers/v4l2loopback@sha256:{}", hex(number))
}

#[test]
fn modules_are_fetched_by_digest_and_loaded() {
    let host = Host::new(&["skopeo"]);
    let (status, said) = host.run(&["start", "v4l2loopback"]);
    assert_eq!((status, said.as_str()), (0, format!("loaded v4l2loopback from {}\n", image(1)).as_str()));
    let log = host.log();
    assert!(log[0].starts_with(&format!("skopeo copy --quiet --dest-decompress docker://{} dir:", image(1))), "{log:?}");
    assert_eq!(log[1..], ["logins none", "modprobe load videodev", "modprobe load image v4l2loopback [card_label=two words devices=2]"]);
    let here: Vec<_> = fs::read_dir(host.path("root/var/lib/kmodforge/images")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(here, [hex(1).as_str()]);
    let mut inside: Vec<_> =
        fs::read_dir(host.path(&format!("root/var/lib/kmodforge/images/{}", hex(1)))).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    inside.sort();
    assert_eq!(inside, ["lib"]);
}

#[test]
fn every_shell_does_the_same() {
    for shell in [["/bin/bash", "--posix"].as_slice(), &["/bin/bash"], &["/bin/dash"]] {
        let host = Host::new(&["skopeo"]);
        let output = host.run_in(shell, &["start", "v4l2loopback"]);
        assert!(output.status.success(), "{shell:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(host.modprobes().len(), 2, "{shell:?}");
    }
}

/// A boot without a network.
#[test]
fn what_is_here_is_not_fetched_again() {
    let host = Host::new(&["skopeo"]);
    assert_eq!(host.run(&["fetch"]).0, 0);
    host.log();
    host.write("offline", "");
    assert_eq!(host.run(&["start", "v4l2loopback"]).0, 0);
    assert!(host.log().iter().all(|line| !line.starts_with("skopeo")));
}

/// What an extension brings lies below `/usr`, its description too.
#[test]
fn an_extension_is_enough() {
    let host = Host::new(&[]);
    fs::create_dir_all(host.path("root/usr/lib")).unwrap();
    fs::rename(host.path("root/etc/kmodforge"), host.path("root/usr/lib/kmodforge")).unwrap();
    host.write(&format!("root/usr/lib/kmodforge/images/{}/lib/modules/{KERNEL}/extra/v4l2loopback.ko", hex(1)), "one\n");
    assert_eq!(host.run(&["start", "v4l2loopback"]).0, 0);
}

#[test]
fn every_tool_brings_the_same() {
    for (tools, calls) in [
        (
            ["podman"].as_slice(),
            ["image inspect", "pull --quiet", "create --network none", "cp container:/opt", "cp container:/firmware", "rm container", "rmi"].as_slice(),
        ),
        (&["docker"], &["image inspect", "pull --quiet", "create --network none", "cp container:/opt", "cp container:/firmware", "rm container", "rmi"]),
        (&["ctr"], &["images pull", "images mount", "images unmount --rm", "images remove"]),
        (&["ctr", "nerdctl"], &["pull --quiet", "images mount", "images unmount --rm", "images remove"]),
    ] {
        let host = Host::new(tools);
        host.write("image/firmware/a.bin", "firmware");
        host.write("root/sys/module/firmware_class/parameters/path", "");
        assert_eq!(host.run(&["start", "v4l2loopback"]).0, 0, "{tools:?}");
        let folder = host.path(&format!("root/var/lib/kmodforge/images/{}", hex(1)));
        assert!(folder.join(format!("lib/modules/{KERNEL}/modules.dep")).is_file() && folder.join("firmware/a.bin").is_file(), "{tools:?}");
        assert!(!folder.join("work").exists());
        let log: Vec<_> = host.log().into_iter().filter(|line| !line.starts_with("modprobe")).collect();
        assert_eq!(log.len(), calls.len(), "{log:?}");
        for (line, call) in log.iter().zip(calls) {
            assert!(line.contains(call), "{tools:?}: {line}: {call}");
        }
    }
}

#[test]
fn a_tool_that_fails_is_followed_by_the_next() {
    let host = Host::new(&["podman"]);
    host.program("skopeo", "echo 'skopeo: no route to host' >&2; exit 1");
    let (status, said) = host.run(&["start", "v4l2loopback"]);
    assert!(status == 0 && said.starts_with(&format!("skopeo: no route to host\nskopeo could not fetch {}\n", image(1))), "{said}");
}

#[test]
fn a_registry_that_does_not_answer_is_told_after_some_tries() {
    let host = Host::new(&["skopeo"]);
    host.write("offline", "");
    let (status, said) = host.run(&["start", "v4l2loopback"]);
    let image = image(1);
    let expected = format!(
        "skopeo could not fetch {image}\ntrying again in 0 s\nskopeo could not fetch {image}\nerror: {image} could not be fetched\n  \
         help  is the network up, and the registry allowed to be read? logins: /etc/kmodforge/config.json\n"
    );
    assert_eq!((status, said), (1, expected));
    assert_eq!(fs::read_dir(host.path("root/var/lib/kmodforge/images")).unwrap().count(), 0);
}

#[test]
fn a_host_that_cannot_fetch_is_told() {
    let (status, said) = Host::new(&[]).run(&["start", "v4l2loopback"]);
    assert!(
        status == 1 && said.contains("error: nothing here can fetch an image\n  help  install one of skopeo, podman, docker, ctr (containerd)\n"),
        "{said}"
    );
}

#[test]
fn logins_are_passed_on() {
    let host = Host::new(&["skopeo"]);
    host.write("root/etc/kmodforge/config.json", "{}");
    host.run(&["start", "v4l2loopback"]);
    assert_eq!(host.log()[1], "logins /root/etc/kmodforge/config.json");
}

#[test]
fn a_kernel_without_an_image_is_told_once() {
    let host = Host::new(&["skopeo"]);
    host.program("uname", "case $1 in -m) echo x86_64 ;; *) echo 6.1.0-99-amd64 ;; esac");
    let (status, said) = host.run(&["start", "v4l2loopback"]);
    let expected = format!(
        "error: there is no image of v4l2loopback for 6.1.0-99-amd64 (debian-12)\n  help  there are images for: {KERNEL} \n  \
         help  build one, and write the descriptions again: kmodforge build --push; kmodforge deploy systemd\n"
    );
    assert_eq!((status, said), (78, expected));
}

#[test]
fn an_image_for_another_machine_is_refused() {
    let host = Host::new(&["skopeo"]);
    host.program("uname", &format!("case $1 in -m) echo aarch64 ;; *) echo {KERNEL} ;; esac"));
    let (status, said) = host.run(&["start", "v4l2loopback"]);
    assert!(status == 78 && said.starts_with(&format!("error: {} is not for arm64\n", image(1))), "{said}");
}

#[test]
fn an_image_without_a_digest_is_refused() {
    let host = Host::new(&["skopeo"]);
    host.describe(KERNEL, "registry.example/drivers/v4l2loopback:latest", "load v4l2loopback\n");
    let (status, said) = host.run(&["start", "v4l2loopback"]);
    assert!(status == 78 && said.starts_with("error: `registry.example/drivers/v4l2loopback:latest` names no digest\n"), "{said}");
    assert_eq!(host.log(), [""; 0]);
}

/// The image of `5.10.109+` has its modules below the name without `+`, and a link; that of `5.10.109` has no link.
#[test]
fn an_image_of_another_kernel_is_refused() {
    let host = Host::new(&["skopeo"]);
    host.program("uname", "case $1 in -m) echo x86_64 ;; *) echo 5.10.109+ ;; esac");
    host.describe("5.10.109+", &image(2), "load v4l2loopback\n");
    host.write("image/opt/lib/modules/5.10.109/extra/v4l2loopback.ko", "one\n");
    let (status, said) = host.run(&["start", "v4l2loopback"]);
    assert!(status == 1 && said.contains(&format!("error: `{}` has no modules for 5.10.109+\n", image(2))), "{said}");
    symlink("5.10.109", host.path("image/opt/lib/modules/5.10.109+")).unwrap();
    assert_eq!(host.run(&["start", "v4l2loopback"]).0, 0);
}

#[test]
fn modules_of_the_kernel_go_and_come_first() {
    let host = Host::new(&["skopeo"]);
    host.write("root/proc/modules", "r8169 1 0 - Live 0x0\n");
    host.describe(KERNEL, &image(1), "remove r8169\nremove r8168\nfirst mii\nload v4l2loopback\n");
    assert_eq!(host.run(&["start", "v4l2loopback"]).0, 0);
    assert_eq!(host.modprobes(), ["modprobe remove r8169", "modprobe load mii", "modprobe load videodev", "modprobe load image v4l2loopback"]);
}

#[test]
fn a_module_that_does_not_load_fails() {
    let host = Host::new(&["skopeo"]);
    host.write("root/refuse-load-v4l2loopback", "");
    assert_eq!(host.run(&["start", "v4l2loopback"]).0, 1);
    host.write("root/refuse-load-videodev", "");
    host.modprobes();
    assert_eq!(host.run(&["start", "v4l2loopback"]).0, 1);
    assert_eq!(host.modprobes(), ["modprobe load videodev"]);
}

#[test]
fn another_build_makes_room() {
    let host = Host::new(&["skopeo"]);
    host.write("root/proc/modules", "v4l2loopback 1 0 - Live 0x0\n");
    host.write("root/sys/module/v4l2loopback/srcversion", "another\n");
    let (status, said) = host.run(&["start", "v4l2loopback"]);
    assert!(status == 0 && said.starts_with("another build of v4l2loopback is loaded; unloading it\n"), "{said}");
    assert_eq!(host.modprobes()[0], "modprobe remove v4l2loopback");
    host.write("root/sys/module/v4l2loopback/srcversion", "one\n");
    assert_eq!(host.run(&["start", "v4l2loopback"]).0, 0);
    assert!(host.modprobes().iter().all(|line| !line.contains("remove")));
}

#[test]
fn firmware_is_where_the_kernel_looks() {
    let host = Host::new(&["skopeo"]);
    host.write("image/firmware/nvidia/a.bin", "firmware");
    host.write("root/sys/module/firmware_class/parameters/path", "");
    assert_eq!(host.run(&["start", "v4l2loopback"]).0, 0);
    assert_eq!(fs::read_to_string(host.path("root/sys/module/firmware_class/parameters/path")).unwrap(), "/var/lib/kmodforge/firmware");
    assert!(host.path("root/var/lib/kmodforge/firmware/nvidia/a.bin").is_file());
    host.write("root/sys/module/firmware_class/parameters/path", "/etc/firmware\n");
    assert_eq!(host.run(&["start", "v4l2loopback"]).0, 0);
    assert!(host.path("root/etc/firmware/nvidia/a.bin").is_file());
}

#[test]
fn modules_are_unloaded_in_reverse_order() {
    let host = Host::new(&["skopeo"]);
    host.write(&format!("image/opt/lib/modules/{KERNEL}/extra/second-one.ko"), "one\n");
    host.describe(KERNEL, &image(1), "load v4l2loopback\nload second-one\n");
    assert_eq!(host.run(&["start", "v4l2loopback"]).0, 0);
    host.modprobes();
    assert_eq!(host.run(&["stop", "v4l2loopback"]), (0, String::new()));
    assert_eq!(host.modprobes(), ["modprobe remove image second-one", "modprobe remove image v4l2loopback"]);
    assert_eq!(host.run(&["stop", "v4l2loopback"]).0, 0);
    assert_eq!(host.modprobes(), [""; 0]);
}

#[test]
fn a_module_in_use_is_told() {
    let host = Host::new(&["skopeo"]);
    host.run(&["start", "v4l2loopback"]);
    host.write("root/refuse-remove-v4l2loopback", "");
    assert_eq!(host.run(&["stop", "v4l2loopback"]).0, 1);
}

#[test]
fn what_must_stay_stays() {
    let host = Host::new(&["skopeo"]);
    host.run(&["start", "v4l2loopback"]);
    host.log();
    host.program("systemctl", "echo stopping; exit 1");
    assert_eq!(host.run(&["stop", "v4l2loopback"]), (0, String::new()));
    host.program("systemctl", "echo running");
    host.describe(KERNEL, &image(1), "load v4l2loopback\nunload no\n");
    assert_eq!(host.run(&["stop", "v4l2loopback"]), (0, "v4l2loopback cannot be unloaded; it stays until the machine is rebooted\n".into()));
    assert_eq!(host.modprobes(), [""; 0]);
}

#[test]
fn modules_outlive_their_image() {
    let host = Host::new(&["skopeo"]);
    host.run(&["start", "v4l2loopback"]);
    host.log();
    fs::remove_dir_all(host.path("root/var/lib/kmodforge/images")).unwrap();
    assert_eq!(host.run(&["stop", "v4l2loopback"]).0, 0);
    assert_eq!(host.modprobes(), ["rmmod v4l2loopback"]);
}

/// apt and dnf put the modules of the next kernel beside those of the running one.
#[test]
fn images_of_installed_kernels_are_fetched() {
    let host = Host::new(&["skopeo"]);
    for kernel in [KERNEL, NEXT] {
        fs::create_dir_all(host.path("root/lib/modules").join(kernel)).unwrap();
    }
    host.write(&format!("image/opt/lib/modules/{NEXT}/modules.dep"), "");
    host.describe(NEXT, &image(2), "load v4l2loopback\n");
    host.describe("6.1.0-9-amd64", &image(3), "load v4l2loopback\n");
    let (status, said) = host.run(&["fetch"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains(&format!("fetched {} for {NEXT}\n", image(2))), "{said}");
    assert_eq!((host.has(1), host.has(2), host.has(3)), (true, true, false));
}

#[test]
fn a_next_kernel_without_an_image_is_told() {
    let host = Host::new(&["skopeo"]);
    for kernel in ["6.1.0-9-amd64", KERNEL, NEXT] {
        fs::create_dir_all(host.path("root/lib/modules").join(kernel)).unwrap();
    }
    let (status, said) = host.run(&["fetch"]);
    let expected = format!(
        "fetched {} for {KERNEL}\nwarning: there is no image of v4l2loopback for {NEXT} (debian-12), which may be what the next boot starts\n",
        image(1)
    );
    assert_eq!((status, said), (1, expected));
}

#[test]
fn images_that_no_kernel_needs_make_room() {
    let host = Host::new(&["skopeo"]);
    fs::create_dir_all(host.path("root/lib/modules").join(KERNEL)).unwrap();
    host.put_here(1, KERNEL);
    host.put_here(7, "6.1.0-9-amd64");
    host.put_here(8, KERNEL);
    // Loaded before the description named another one.
    host.write("root/run/kmodforge/v4l2loopback.loaded", &format!("/var/lib/kmodforge/images/{}\n", hex(8)));
    assert_eq!(host.run(&["fetch"]).0, 0);
    assert_eq!((host.has(1), host.has(7), host.has(8)), (true, false, true));
}

/// rpm-ostree and bootc: the next system is a folder of its own, of a newer release perhaps.
#[test]
fn images_of_deployments_are_fetched() {
    let host = Host::new(&["skopeo"]);
    let deployment = "root/ostree/deploy/fedora/deploy/abc.0/usr/lib";
    host.write(&format!("{deployment}/os-release"), "ID=fedora\nVERSION_ID=43\n");
    fs::create_dir_all(host.path(&format!("{deployment}/modules/6.17.1-300.fc43.x86_64"))).unwrap();
    host.write("image/opt/lib/modules/6.17.1-300.fc43.x86_64/modules.dep", "");
    host.describe_for("fedora-43", "6.17.1-300.fc43.x86_64", &image(4), "load v4l2loopback\n");
    assert_eq!(host.run(&["fetch"]).0, 0);
    assert!(host.has(4));
}

/// Flatcar: the next `/usr` is on the other partition, once the update engine waits for a reboot.
#[test]
fn images_of_the_other_partition_are_fetched() {
    let host = Host::new(&["skopeo"]);
    host.write("root/etc/os-release", "ID=flatcar\nVERSION_ID=4081.2.0\n");
    host.describe_for("flatcar-4081.2.0", KERNEL, &image(1), "load v4l2loopback\n");
    host.write("usr-b/lib/os-release", "ID=flatcar\nVERSION_ID=4081.3.0\n");
    fs::create_dir_all(host.path("usr-b/lib/modules/6.6.74-flatcar")).unwrap();
    host.write("image/opt/lib/modules/6.6.74-flatcar/modules.dep", "");
    host.describe_for("flatcar-4081.3.0", "6.6.74-flatcar", &image(5), "load v4l2loopback\n");
    let usr = host.path("usr-b");
    host.program("mount", &format!("case $3 in */USR-B) cp -R {}/. \"$4\" ;; *) exit 32 ;; esac", usr.display()));
    host.program("umount", "rm -rf \"$1\"/*");
    host.program("update_engine_client", "echo CURRENT_OP=UPDATE_STATUS_IDLE");
    assert_eq!(host.run(&["fetch"]).0, 0);
    assert!(!host.has(5));
    host.program("update_engine_client", "echo CURRENT_OP=UPDATE_STATUS_UPDATED_NEED_REBOOT");
    assert_eq!(host.run(&["fetch"]).0, 0);
    assert!(host.has(5) && host.has(1));
}

#[test]
fn what_there_is_can_be_listed() {
    let host = Host::new(&["skopeo"]);
    let line = |state: &str| (0, format!("v4l2loopback\t{state}\t{}\n", image(1)));
    assert_eq!(host.run(&["list"]), line("not here"));
    host.run(&["fetch"]);
    assert_eq!(host.run(&["list"]), line("here"));
    host.run(&["start", "v4l2loopback"]);
    assert_eq!(host.run(&["list"]), line("loaded"));
    host.program("uname", "case $1 in -m) echo x86_64 ;; *) echo 6.1.0-99-amd64 ;; esac");
    assert_eq!(host.run(&["list"]), (0, "v4l2loopback\tno image for 6.1.0-99-amd64\t-\n".into()));
}

#[test]
fn wrong_calls_are_told() {
    let host = Host::new(&[]);
    for arguments in [["start"].as_slice(), &["frob", "x"], &[]] {
        let (status, said) = host.run(arguments);
        let expected = format!("error: expected `start DRIVER`, `stop DRIVER`, `fetch` or `list`, not `{}`\n", arguments.join(" "));
        assert_eq!((status, said), (1, expected));
    }
}
