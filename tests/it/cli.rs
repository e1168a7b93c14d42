//! The command line as users meet it: help, mistakes, completions, manual pages, signals of a closed pipe.

use std::process::{Command, Output, Stdio};

use clap::CommandFactory as _;

const BIN: &str = env!("CARGO_BIN_EXE_kmodforge");

fn kmodforge(args: &[&str]) -> Output {
    Command::new(BIN).args(args).env_clear().output().unwrap()
}

#[test]
fn help_and_mistakes_read_as_written_down() {
    trycmd::TestCases::new().register_bin("kmodforge", std::path::Path::new(BIN)).env("COLUMNS", "100").case("tests/cmd/*.md").run();
}

#[test]
fn the_version_is_the_crates() {
    let output = kmodforge(&["--version"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("kmodforge {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_verb_and_option_is_in_the_docs() {
    fn check(command: &clap::Command, page: &str, missing: &mut Vec<String>) {
        for verb in command.get_subcommands() {
            if !page.contains(&format!("{} {}", command.get_name(), verb.get_name())) {
                missing.push(verb.get_name().to_owned());
            }
            check(verb, page, missing);
        }
        let options = command.get_arguments().filter_map(clap::Arg::get_long).map(|long| format!("--{long}"));
        missing.extend(options.filter(|option| !page.contains(&format!("`{option}"))));
    }
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")).unwrap();
    let mut missing = Vec::new();
    check(&kmodforge::cli::Cli::command(), &page, &mut missing);
    assert!(missing.is_empty(), "docs/cli.md says nothing about {missing:?}");
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = kmodforge(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("kernels-from") && script.contains("tag-template"), "{shell}");
    }
    let script = Command::new(BIN).args(["completions", "bash"]).output().unwrap().stdout;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("script"), script).unwrap();
    let try_it = "source ./script; COMP_WORDS=(kmodforge build --fail); COMP_CWORD=2; _kmodforge kmodforge --fail build; echo ${COMPREPLY[@]}";
    let answer = Command::new("bash").args(["-c", try_it]).current_dir(dir.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "--fail-fast\n");
}

#[test]
fn manual_pages_exist_for_every_verb() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("share/man1");
    assert!(kmodforge(&["-q", "man", pages.to_str().unwrap()]).status.success());
    for page in ["kmodforge.1", "kmodforge-build.1", "kmodforge-kernels-list.1", "kmodforge-profile-schema.1"] {
        assert!(std::fs::read_to_string(pages.join(page)).unwrap().contains(".SH SYNOPSIS"), "{page}");
    }
    let page = String::from_utf8(kmodforge(&["man"]).stdout).unwrap();
    assert!(page.contains(".TH kmodforge 1") && page.contains("130  interrupted"), "{page}");
}

#[test]
fn a_reader_that_leaves_is_no_mistake() {
    let mut child = Command::new(BIN).args(["completions", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn a_full_disk_is_told() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(BIN).args(["completions", "bash"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error: standard output could not be written: No space left on device (os error 28)\n");
}

#[test]
fn a_bad_log_filter_is_told() {
    let output = Command::new(BIN).arg("man").env("KMODFORGE_LOG", "a=b=c").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.starts_with("error: `KMODFORGE_LOG` is not understood: ") && told.contains("  found     a=b=c\n"), "{told}");
}

/// Starts the program so that it waits for standard input, and sends it a signal as soon as it listens for signals.
fn interrupted(verb: &[&str], signal: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [verb, &["--driver", "zfs", "--kernels-from", "-"]].concat();
    let mut child =
        Command::new(BIN).args(arguments).env("KMODFORGE_CACHE", dir.path()).current_dir(&dir).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take();
    while !listens(child.id()) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Command::new("kill").args([signal, child.id().to_string().as_str()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    drop(input);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Whether a process catches SIGINT (2) and SIGTERM (15): `SigCgt` of `proc_pid_status(5)`.
fn listens(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
    u64::from_str_radix(caught, 16).unwrap() & 0x4002 == 0x4002
}

#[test]
fn one_signal_is_enough_to_stop() {
    for signal in ["-INT", "-TERM"] {
        assert_eq!(interrupted(&["plan"], signal), (Some(130), "stopping; once more to stop at once\nerror: interrupted\n".into()));
    }
    let build = interrupted(&["build", "--output", "oci:out"], "-INT");
    assert_eq!(build, (Some(130), "stopping; once more to stop at once\nerror: interrupted before anything was built\n".into()));
}

/// What the program says about options that do not fit together, without the folder of the test keys.
fn refusal(args: &[&str]) -> (Option<i32>, String) {
    const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sign/");
    let args: Vec<String> = args.iter().map(|arg| arg.replace("KEYS/", KEYS)).collect();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(BIN).args(&args).env_clear().current_dir(folder.path()).output().unwrap();
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8(output.stderr).unwrap().replace(KEYS, ""))
}

#[test]
fn signing_options_that_do_not_fit_are_refused_before_anything_is_done() {
    let key = ["--sign-key", "KEYS/rsa.key"];
    let both = ["--sign-key", "KEYS/rsa.key", "--sign-cert", "KEYS/rsa.crt"];
    for (args, stderr) in [
        (
            [&["build", "--output", "docker"][..], &key].concat(),
            "error: there is a key to sign with, but no certificate\n  help      name the key's certificate: --sign-cert FILE, or `certificate` below `sign` in the project file\n",
        ),
        (
            vec!["build", "--output", "docker", "--sign-cert", "KEYS/rsa.crt"],
            "error: there is a certificate to sign with, but no key\n  help      name the certificate's key: --sign-key FILE|pkcs11:…|exec:COMMAND, or `key` below `sign` in the project file\n",
        ),
        (
            vec!["sign", "registry.example/x:1"],
            "error: there is no key to sign with\n  help      name key and certificate: --sign-key FILE|pkcs11:…|exec:COMMAND --sign-cert FILE, or `sign` in the project file\n",
        ),
        (
            vec!["sign", "registry.example/x:1", "--sign-key", "pkcs11:token=t;slot-id=1?pin-value=sesame", "--sign-cert", "KEYS/rsa.crt"],
            "error: `--sign-key` is not understood\n  expected  `token`, `serial`, `manufacturer`, `model`, `object` or `id`, not `slot-id`\n",
        ),
        (
            [&["sign", "registry.example/x"][..], &both].concat(),
            "error: `registry.example/x` has no tag that the signed image could get\n  help      name one: --tag TAG\n",
        ),
        (
            [&["sign", "oci:x", "--tag", "1"][..], &both].concat(),
            "error: `--tag` is for images in a registry\n  help      leave it out: images of a layout keep their names\n",
        ),
        (
            [&["sign", "oci-archive:x", "--tag", "1"][..], &both].concat(),
            "error: `--tag` is for images in a registry\n  help      leave it out: images of a layout keep their names\n",
        ),
        (
            [&["sign", "oci:x", "--sign-hash", "md5"][..], &both].concat(),
            "error: invalid value 'md5' for '--sign-hash <HASH>': expected `sha256`, `sha384` or `sha512`\n\nFor more information, try '--help'.\n",
        ),
    ] {
        assert_eq!(refusal(&args), (Some(2), stderr.to_owned()), "{args:?}");
    }
}
