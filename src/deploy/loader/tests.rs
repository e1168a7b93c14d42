use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::fixture;
use crate::rollout::Load;

fn rollout() -> Rollout {
    fixture::target("v4l2loopback", "6.1.0-56-amd64").rollout()
}

fn load(module: &str, parameters: &[(&str, &str)]) -> Load {
    Load { module: module.into(), parameters: parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect() }
}

fn kernel(release: &str) -> KernelRelease {
    release.parse().unwrap()
}

/// The lines of a script after the functions that all have.
fn steps(script: &str) -> Vec<&str> {
    script.rsplit("\n}\n").next().unwrap().lines().collect()
}

#[test]
fn modules_are_loaded_in_order_and_unloaded_in_reverse() {
    let rollout = Rollout {
        loads: vec![load("nvidia", &[("NVreg_A", "1"), ("options", "a b; 'c'")]), load("nvidia-uvm", &[])],
        remove_first: vec!["nouveau".into(), "nvidia-uvm".into()],
        load_first: vec!["i2c-core".into()],
        unload: true,
        ..rollout()
    };
    let kernel = kernel("6.1.0-56-amd64");
    let loader = Loader { rollout: &rollout, kernel: &kernel, neighbours: &[] };
    assert_eq!(
        steps(&loader.load()),
        [
            "remove nouveau",
            "replace nvidia_uvm",
            "replace nvidia",
            "need i2c_core",
            "needs /opt/lib/modules/6.1.0-56-amd64",
            r#"load nvidia NVreg_A=1 'options="a b; '\''c'\''"'"#,
            "load nvidia_uvm",
            "idle"
        ]
    );
    assert!(loader.unload().unwrap().contains("for module in nvidia_uvm nvidia; do\n"));
    assert!(loader.ready().contains("for module in nvidia nvidia_uvm; do\n"));
}

#[test]
fn what_cannot_be_unloaded_has_no_command_for_it() {
    let (rollout, kernel) = (Rollout { unload: false, ..rollout() }, kernel("6.1.0-56-amd64"));
    assert_eq!(Loader { rollout: &rollout, kernel: &kernel, neighbours: &[] }.unload(), None);
}

#[test]
fn a_trailing_plus_is_guarded_raw_and_looked_up_where_it_is() {
    let (rollout, kernel, neighbours) = (rollout(), kernel("5.10.109+"), [kernel("5.10.109")]);
    let loader = Loader { rollout: &rollout, kernel: &kernel, neighbours: &neighbours };
    let script = loader.load();
    assert!(script.contains("if [ \"$(uname -r)\" != 5.10.109+ ]; then\n"), "{script}");
    assert!(script.contains("\nneeds /opt/lib/modules/5.10.109\n"), "{script}");
    assert!(loader.ready().starts_with("case $(uname -r) in\n5.10.109+) ;;\n5.10.109) exit 0 ;;\n*)"), "{}", loader.ready());
}

#[test]
fn only_a_directory_that_kernels_do_not_know_is_made_known_to_them() {
    let kernel = kernel("6.1.0-56-amd64");
    for (directory, path) in [("/lib/firmware", None), ("/usr/lib/firmware/", None), ("/var/lib/firmware", Some("/var/lib/firmware"))] {
        let rollout = Rollout { firmware: true, firmware_directory: directory.into(), ..rollout() };
        let loader = Loader { rollout: &rollout, kernel: &kernel, neighbours: &[] };
        assert_eq!(loader.search_path(), path);
        assert_eq!(loader.firmware().unwrap().contains("\nsearch /var/lib/firmware\n"), path.is_some());
    }
    let rollout = rollout();
    assert_eq!(Loader { rollout: &rollout, kernel: &kernel, neighbours: &[] }.firmware(), None);
}

#[test]
fn every_command_is_a_script_for_a_posix_shell() {
    let rollout = Rollout { firmware: true, firmware_directory: "/var/lib/firmware".into(), unload: true, ..rollout() };
    let (kernel, neighbours) = (kernel("5.10.109+"), [kernel("5.10.109")]);
    let loader = Loader { rollout: &rollout, kernel: &kernel, neighbours: &neighbours };
    for script in [loader.load(), loader.ready(), loader.unload().unwrap(), loader.firmware().unwrap(), loader.wait()] {
        let mut shell = Command::new("sh").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success(), "{script}");
    }
}
