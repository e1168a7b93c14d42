use super::*;
use crate::boot::PlannedModule;
use crate::boot::transcript::transcript;
use crate::profile::driver::Load;

fn plan(modules: &[&str], load: Load) -> Plan {
    Plan {
        kernel: "6.1.0-56-amd64".parse().unwrap(),
        base: "/opt".into(),
        remove_first: Vec::new(),
        load_first: Vec::new(),
        modules: modules.iter().map(|name| PlannedModule { name: (*name).to_owned(), parameters: std::collections::BTreeMap::new() }).collect(),
        load,
        firmware: false,
        optional_firmware: Some(vec!["kmf/optional-*".into()]),
    }
}

fn findings(text: &str, load: Load, ending: &Ending) -> Vec<String> {
    let text = format!("kmodforge: up\n{text}");
    let show = |finding: Finding| {
        let found = finding.found.map(|found| format!(": {}", found.replace('\n', " / "))).unwrap_or_default();
        format!("{} {} {}{found}", finding.severity, finding.check, finding.message)
    };
    judge(&plan(&["v4l2loopback"], load), &transcript(&text), 0, ending).into_iter().map(show).collect()
}

const GOOD: &str = "kmodforge: begin load v4l2loopback\nkmodforge: end 0 load v4l2loopback\nkmodforge: state v4l2loopback live\n\
    kmodforge: begin unload v4l2loopback\nkmodforge: end 0 unload v4l2loopback\nkmodforge: state v4l2loopback absent\n\
    kmodforge: begin reload v4l2loopback\nkmodforge: end 0 reload v4l2loopback\nkmodforge: state v4l2loopback live\nkmodforge: done\n";

fn refused(kernel: &str, said: &str) -> String {
    format!(
        "kmodforge: begin load v4l2loopback\n{kernel}\nkmodforge: said modprobe: ERROR: could not insert 'v4l2loopback': {said}\n\
         kmodforge: end 1 load v4l2loopback\nkmodforge: state v4l2loopback absent\n\
         kmodforge: begin reload v4l2loopback\nkmodforge: said modprobe: ERROR: could not insert 'v4l2loopback': {said}\n\
         kmodforge: end 1 reload v4l2loopback\nkmodforge: done\n"
    )
}

#[test]
fn a_module_that_comes_and_goes_leaves_no_finding() {
    assert_eq!(findings(GOOD, Load::default(), &Ending::Done), [""; 0]);
}

#[test]
fn what_the_kernel_was_asked_for_in_vain_is_named() {
    let text = refused("kmodforge: asked ipt_tcp\nkmodforge: asked xt_tcp", "Invalid argument");
    let found = judge(&plan(&["v4l2loopback"], Load::default()), &transcript(&format!("kmodforge: up\n{text}")), 0, &Ending::Done);
    assert_eq!(
        found[0].help.as_deref(),
        Some("it asked for `ipt_tcp`, `xt_tcp`, which nobody has loaded: where the kernel has such a module, name it in `load_first` of the driver's profile")
    );
}

#[test]
fn the_kernel_s_reason_comes_before_modprobe_s() {
    for (kernel, said) in [
        ("v4l2loopback: Unknown symbol video_ioctl2 (err -2)", "Unknown symbol in module, or unknown parameter (see dmesg)"),
        ("v4l2loopback: disagrees about version of symbol module_layout", "Invalid argument"),
        ("v4l2loopback: version magic '6.1.0-55-amd64 ' should be '6.1.0-56-amd64 '", "Invalid module format"),
        ("Loading of unsigned module is rejected", "Key was rejected by service"),
    ] {
        let expected =
            format!("error boot-load `v4l2loopback` does not load into 6.1.0-56-amd64: {kernel} / modprobe: ERROR: could not insert 'v4l2loopback': {said}");
        assert_eq!(findings(&refused(kernel, said), Load::default(), &Ending::Done), [expected]);
    }
}

#[test]
fn the_declared_answer_is_expected_and_another_one_is_not() {
    let without = |answer| Load { without_hardware: answer, ..Load::default() };
    assert_eq!(findings(&refused("NVRM: No NVIDIA GPU found.", "No such device"), without(Answer::NoDevice), &Ending::Done), [""; 0]);
    let other = findings(&refused("v4l2loopback: Unknown symbol x (err -2)", "Unknown symbol in module"), without(Answer::NoDevice), &Ending::Done);
    assert_eq!(other.len(), 1);
    assert_eq!(findings(GOOD, without(Answer::NoDevice), &Ending::Done), ["note boot-load `v4l2loopback` loads without its hardware: loaded"]);
}

#[test]
fn with_a_device_the_driver_must_load_and_bind_it() {
    let load = || Load { without_hardware: Answer::NoDevice, devices: vec!["edu".into()], ..Load::default() };
    assert_eq!(findings(GOOD, load(), &Ending::Done), ["error boot-device the driver does not bind the devices that it is for on 6.1.0-56-amd64: none"]);
    assert_eq!(findings(&format!("kmodforge: bound v4l2loopback 0000:00:03.0\n{GOOD}"), load(), &Ending::Done), [""; 0]);
    assert_eq!(findings(&refused("", "No such device"), load(), &Ending::Done).len(), 2);
}

#[test]
fn a_module_that_stays_is_told() {
    let text = GOOD.replace("end 0 unload", "said modprobe: FATAL: Module v4l2loopback is in use.\nkmodforge: end 1 unload").replace("absent", "live");
    assert_eq!(
        findings(&text, Load::default(), &Ending::Done),
        ["error boot-unload `v4l2loopback` cannot be unloaded from 6.1.0-56-amd64: modprobe: FATAL: Module v4l2loopback is in use."]
    );
}

#[test]
fn what_breaks_the_kernel_is_an_error_and_what_it_complains_about_a_warning() {
    let during = |words: &str| GOOD.replacen("kmodforge: end 0 unload", &format!("{words}\nkmodforge: end 0 unload"), 1);
    assert_eq!(
        findings(&during("BUG: kernel NULL pointer dereference, address: 0000000000000008"), Load::default(), &Ending::Done),
        [
            "error boot-kernel-log 6.1.0-56-amd64 broke down while `v4l2loopback` was being unloaded: BUG: kernel NULL pointer dereference, address: 0000000000000008"
        ]
    );
    assert_eq!(
        findings(&during("WARNING: CPU: 0 PID: 99 at kernel/module.c:1 x+0x1/0x2"), Load::default(), &Ending::Done),
        ["warning boot-kernel-log 6.1.0-56-amd64 complained while `v4l2loopback` was being unloaded: WARNING: CPU: 0 PID: 99 at kernel/module.c:1 x+0x1/0x2"]
    );
}

#[test]
fn a_boot_that_does_not_end_names_the_step() {
    let text = "kmodforge: begin load v4l2loopback\nkmodforge: end 0 load v4l2loopback\nkmodforge: state v4l2loopback live\n\
        kmodforge: begin unload v4l2loopback\nwaiting for a lock\n";
    assert_eq!(
        findings(text, Load::default(), &Ending::TimedOut(Duration::from_mins(2))),
        ["error boot-unload the time of 120 s was over while `v4l2loopback` was being unloaded: waiting for a lock"]
    );
    let heard = transcript("Kernel panic - not syncing: VFS: Unable to mount root fs\nRebooting");
    let found = judge(&plan(&["x"], Load::default()), &heard, 0, &Ending::Exited(String::new()));
    assert_eq!(found[0].message, "6.1.0-56-amd64 did not start: the virtual machine stopped");
    assert_eq!(found[0].found.as_deref(), Some("Kernel panic - not syncing: VFS: Unable to mount root fs"));
}

#[test]
fn firmware_that_the_kernel_does_not_find_is_told() {
    let lines = "misc kmf: Direct firmware load for kmf/a.bin failed with error -2\nmisc kmf: firmware: failed to load kmf/b.bin (-2)\n\
        misc kmf: firmware: failed to load kmf/a.bin (-2)\nmisc kmf: firmware: failed to load kmf/optional-1.bin (-2)";
    let text = GOOD.replacen("kmodforge: end 0 load", &format!("{lines}\nkmodforge: end 0 load"), 1);
    let found = findings(&text, Load::default(), &Ending::Done);
    assert_eq!(
        found,
        [
            "error boot-firmware 6.1.0-56-amd64 does not find the firmware `kmf/a.bin` that a module asks for: \
             misc kmf: Direct firmware load for kmf/a.bin failed with error -2",
            "error boot-firmware 6.1.0-56-amd64 does not find the firmware `kmf/b.bin` that a module asks for: \
             misc kmf: firmware: failed to load kmf/b.bin (-2)"
        ]
    );
    let refused = findings(&refused("misc kmf: firmware: failed to load kmf/a.bin (-2)", "No such file or directory"), Load::default(), &Ending::Done);
    assert_eq!(refused.len(), 1);
    assert!(refused[0].starts_with("error boot-load") && refused[0].contains("failed to load kmf/a.bin (-2) / modprobe"), "{refused:?}");
}

#[test]
fn of_a_driver_that_nobody_described_a_missing_device_is_no_error_and_other_refusals_are() {
    let unknown = || Load { without_hardware: Answer::Unknown, ..Load::default() };
    let tainting = "v4l2loopback: module verification failed: signature and/or required key missing - tainting kernel";
    assert_eq!(findings(GOOD, unknown(), &Ending::Done), [""; 0]);
    assert_eq!(
        findings(&refused(tainting, "No such device"), unknown(), &Ending::Done),
        [
            "note boot-load `v4l2loopback` does not load into 6.1.0-56-amd64 without its hardware: modprobe: ERROR: could not insert 'v4l2loopback': No such device"
        ]
    );
    let text = format!("kmodforge: up\n{}", refused(tainting, "Invalid argument"));
    let found = judge(&plan(&["v4l2loopback"], unknown()), &transcript(&text), 0, &Ending::Done);
    assert_eq!(found[0].severity, Severity::Error);
    assert_eq!(found[0].found.as_deref(), Some("modprobe: ERROR: could not insert 'v4l2loopback': Invalid argument"), "the kernel did not mind the signature");
    assert_eq!(found[0].help.as_deref(), Some(UNKNOWN_HELP));
}
