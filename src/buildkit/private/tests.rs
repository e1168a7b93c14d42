use super::*;

fn alive(pid: &str) -> bool {
    // A zombie has no command line.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn sleeping(dir: &Path) -> Keeper {
    let mut command = Command::new("sleep");
    command.arg("600");
    let keeper = Keeper::start(command, &dir.join("pid")).unwrap();
    // The command line appears a moment after the process.
    while !alive(&fs::read_to_string(dir.join("pid")).unwrap()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    keeper
}

#[test]
fn ends_the_daemon_when_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = sleeping(dir.path());
    let pid = fs::read_to_string(dir.path().join("pid")).unwrap();
    assert!(alive(&pid) && keeper.exited().is_none());
    drop(keeper);
    assert!(!alive(&pid) && !dir.path().join("pid").exists());
}

#[test]
fn notices_a_daemon_that_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "exit 3"]);
    let keeper = Keeper::start(command, &dir.path().join("pid")).unwrap();
    while keeper.exited().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(keeper.exited().and_then(|status| status.code()), Some(3));
    assert!(Keeper::start(Command::new("/nonexistent/daemon"), &dir.path().join("pid")).is_err());
}

#[test]
fn ends_what_a_killed_run_left_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("orphan");
    let keeper = sleeping(dir.path());
    let pid = fs::read_to_string(dir.path().join("pid")).unwrap();
    fs::write(&pid_file, &pid).unwrap();
    keeper::end_orphan(&pid_file, Path::new("/state/of/another"));
    assert!(alive(&pid), "the id belongs to somebody else now");
    fs::write(&pid_file, &pid).unwrap();
    keeper::end_orphan(&pid_file, Path::new("600"));
    assert!(!alive(&pid) && !pid_file.exists());
    drop(keeper);
}

#[test]
fn keeps_its_state_unless_another_run_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("builder");
    let first = Folders::create(&base, "buildkitd").unwrap();
    let second = Folders::create(&base, "buildkitd").unwrap();
    assert_eq!(first.state, base.join("buildkitd"));
    assert!(second.state.starts_with(second.runtime.path()));
    drop(first);
    // A process that another test is just starting may hold the lock until it runs.
    let freed = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        Folders::create(&base, "dockerd").unwrap().state == base.join("dockerd")
    });
    assert!(freed);
}

#[test]
fn tells_the_daemons_of_registries_without_tls() {
    let dir = tempfile::tempdir().unwrap();
    let folders = Folders::create(dir.path(), "x").unwrap();
    let insecure = ["127.0.0.1:5000".to_owned()];
    buildkitd_arguments(&folders, &insecure).unwrap();
    dockerd_arguments(&folders, &insecure).unwrap();
    let read = |name: &str| fs::read_to_string(folders.runtime.path().join(name)).unwrap();
    assert_eq!(read("buildkitd.toml"), "insecure-entitlements = [\"network.host\"]\n[registry.\"127.0.0.1:5000\"]\n  http = true\n");
    assert_eq!(read("daemon.json"), r#"{"insecure-registries":["127.0.0.1:5000"]}"#);
}

#[test]
fn shows_the_end_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    fs::write(&log, (1..=20).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n")).unwrap();
    let text = with_log("it ended at once: exit status: 1", &log);
    assert_eq!(text.lines().count(), 1 + TAIL);
    assert!(text.starts_with("it ended at once: exit status: 1\n  line 13") && text.ends_with("line 20"));
}
