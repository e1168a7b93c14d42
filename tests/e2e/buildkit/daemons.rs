//! Daemons that the tests start themselves: private ones by kmodforge's own hand, and ones behind TLS.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use kmodforge::buildkit::{BuilderChoice, Options, connect};

use super::*;

/// A run of [`child`] in a process of its own, as the environment cannot be changed in this one.
struct Run {
    report: PathBuf,
    process: Child,
}

/// Starts a private builder with nothing but these programs to choose from.
fn start(dir: &Path, programs: &[&str], scenario: &str) -> Run {
    start_with(dir, programs, scenario, &[])
}

fn start_with(dir: &Path, programs: &[&str], scenario: &str, variables: &[(&str, &str)]) -> Run {
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    for program in programs {
        let path = env::program(program).unwrap_or_else(|| panic!("no {program} on PATH"));
        let link = bin.join(program);
        if !link.exists() {
            std::os::unix::fs::symlink(path, link).unwrap();
        }
    }
    let temporary = dir.join("tmp");
    fs::create_dir_all(&temporary).unwrap();
    let report = temporary.with_file_name(format!("report-{}", unique()));
    let process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "buildkit::daemons::child", "--nocapture"])
        .env("PATH", &bin)
        .env("TMPDIR", &temporary)
        .env("KMODFORGE_TEST_CHILD", scenario)
        .env("KMODFORGE_TEST_REPORT", &report)
        .envs(variables.iter().copied())
        .env("KMODFORGE_CACHE", dir.join("cache"))
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    Run { report, process }
}

impl Run {
    /// What the child has to say.
    fn output(self) -> Vec<String> {
        let output = self.process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        fs::read_to_string(self.report).unwrap().lines().map(str::to_owned).collect()
    }
}

fn command_lines(mark: &str) -> Vec<String> {
    let lines = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(mark)).collect()
}

/// Waits until a daemon of this run is there.
fn await_process(dir: &Path, one: &str, other: &str) {
    let begun = Instant::now();
    while !command_lines(&dir.display().to_string()).iter().any(|line| line.contains(one) || line.contains(other)) {
        assert!(begun.elapsed() < Duration::from_secs(10), "no daemon was started");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Neither processes nor mounts nor temporary files of a run.
fn assert_gone(dir: &Path) {
    let mark = dir.display().to_string();
    let begun = Instant::now();
    loop {
        let processes = command_lines(&mark);
        if processes.is_empty() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{processes:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let left: Vec<_> = mounts.lines().filter(|line| line.contains(&mark)).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn assert_tidy(dir: &Path) {
    let left: Vec<_> = fs::read_dir(dir.join("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What a child does: starts a private builder and solves something that needs the network and a shell.
#[tokio::test]
async fn child() {
    let Some(scenario) = env::var("KMODFORGE_TEST_CHILD") else { return };
    let insecure = [setting("KMODFORGE_TEST_REGISTRY")];
    let cache_dir = env::cache_dir();
    let options = Options { cache_dir: &cache_dir, insecure_registries: &insecure, credentials: Credentials::default() };
    let choice = env::var("KMODFORGE_TEST_CHOICE").map_or(BuilderChoice::Private, |text| text.parse().unwrap());
    let report = match connect(&choice, &options).await {
        Ok(connected) => {
            let report = try_out(&connected.builder, &scenario).await;
            connected.builder.stop().await;
            report
        }
        Err(error) => kmodforge::error::Failure::from(error).to_string(),
    };
    fs::write(setting("KMODFORGE_TEST_REPORT"), report).unwrap();
}

async fn try_out(builder: &BuildKit, scenario: &str) -> String {
    let run = match scenario {
        "hang" => "sleep 300",
        "large" => "ls /sys/class/net >/net && head -c 200M /dev/urandom >>/net",
        _ => "ls /sys/class/net >/net",
    };
    let solved = solve(builder, request(&format!("FROM {} AS run\nRUN {run}\nFROM scratch AS out\nCOPY --from=run /net /\n", base()))).await;
    solved.result.unwrap();
    let cached = solved.events.iter().any(|event| matches!(event, BuildEvent::StepDone { name, cached: true, .. } if name.contains("RUN")));
    if scenario == "large" {
        assert!(solved.bytes > 200 << 20);
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
        return peak.to_owned();
    }
    let interfaces = String::from_utf8_lossy(&solved.files["net"]).lines().count();
    format!("{}\ncached {cached}\ninterfaces {interfaces}", builder.info().name)
}

const BUILDKITD: [&str; 4] = ["buildkitd", "runc", "setpriv", "unshare"];
const DOCKERD: [&str; 7] = ["dockerd", "containerd", "containerd-shim-runc-v2", "runc", "setpriv", "unshare", "ps"];

#[test]
fn a_private_builder_is_started_stopped_and_keeps_its_cache() {
    for (programs, name) in [(&BUILDKITD[..], "buildkitd"), (&DOCKERD, "Docker Engine")] {
        let dir = tempfile::Builder::new().prefix("kmf-private-").tempdir().unwrap();
        for cached in ["cached false", "cached true"] {
            let begun = Instant::now();
            let output = start(dir.path(), programs, "solve").output();
            assert!(output[0].starts_with(name) && output[1] == cached, "{output:?}");
            assert_ne!(output[2], "interfaces 1", "steps have no network but loopback");
            assert_gone(dir.path());
            assert_tidy(dir.path());
            assert!(begun.elapsed() < Duration::from_secs(30), "{name}: {:?}", begun.elapsed());
        }
    }
}

#[test]
fn two_private_builders_do_not_meet() {
    let dir = tempfile::Builder::new().prefix("kmf-private-").tempdir().unwrap();
    let runs = [start(dir.path(), &BUILDKITD, "solve"), start(dir.path(), &BUILDKITD, "solve")];
    for run in runs {
        assert_eq!(run.output()[1], "cached false");
    }
    assert_gone(dir.path());
    assert_tidy(dir.path());
}

#[test]
fn a_killed_run_takes_its_private_builder_along() {
    for programs in [&BUILDKITD[..], &DOCKERD] {
        let dir = tempfile::Builder::new().prefix("kmf-private-").tempdir().unwrap();
        let mut run = start(dir.path(), programs, "hang");
        await_process(dir.path(), "--data-root", "--root");
        std::thread::sleep(Duration::from_secs(4));
        run.process.kill().unwrap();
        run.process.wait().unwrap();
        assert_gone(dir.path());
    }
}

#[test]
fn a_daemon_that_does_not_start_shows_its_log() {
    let dir = tempfile::Builder::new().prefix("kmf-private-").tempdir().unwrap();
    write_program(dir.path(), "buildkitd", "echo 'buildkitd: no space left' >&2; exit 1");
    let output = start(dir.path(), &["runc"], "solve").output();
    assert_eq!(
        output[..5],
        [
            "error: no builder answers",
            "  tried     a private buildkitd: it ended at once: exit status: 1",
            "              buildkitd: no space left",
            "            a private dockerd: no `dockerd` on PATH",
            "  help      start Docker or `buildkitd`, or name one with `--builder` or `KMODFORGE_BUILDER`",
        ]
    );
    assert_tidy(dir.path());
}

/// A program of the test's own in the folder that becomes `PATH`.
fn write_program(dir: &Path, name: &str, script: &str) {
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let draft = bin.join("draft");
    fs::write(&draft, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&draft, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::rename(&draft, bin.join(name)).unwrap();
}

/// `ssh` is a script here: what matters is how it is called, and that bytes go both ways.
#[test]
fn an_engine_behind_ssh() {
    let dir = tempfile::tempdir().unwrap();
    let options = "-o ConnectTimeout=10 -o BatchMode=yes -T -p 2222 --";
    let remote = format!(
        "[ \"$*\" = '{options} me@far docker system dial-stdio' ] || exit 9\nexec docker --host {} system dial-stdio",
        setting("KMODFORGE_TEST_DOCKER")
    );
    write_program(dir.path(), "ssh", &remote);
    let output = start_with(dir.path(), &["docker"], "solve", &[("KMODFORGE_TEST_CHOICE", "ssh://me@far:2222")]).output();
    assert!(output[0].starts_with("Docker Engine "), "{output:?}");
}

#[test]
fn a_large_result_is_not_held_in_memory() {
    for builder in ["KMODFORGE_TEST_DOCKER", "KMODFORGE_TEST_BUILDKIT"] {
        let dir = tempfile::tempdir().unwrap();
        let output = start_with(dir.path(), &[], "large", &[("KMODFORGE_TEST_CHOICE", &setting(builder))]).output();
        let peak: u64 = output[0].parse().unwrap();
        assert!(peak < 100 << 10, "{builder}: {peak} kB");
    }
}

/// Certificates for a daemon at 127.0.0.1 and for its client.
fn certificates(dir: &Path) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").current_dir(dir).args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout ca-key.pem -out ca.pem");
    fs::write(dir.join("server.ext"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n").unwrap();
    fs::write(dir.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    for (name, key, certificate) in [("server", "server-key.pem", "server.pem"), ("client", "key.pem", "cert.pem")] {
        openssl(&format!("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {key} -out {name}.csr"));
        openssl(&format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile {name}.ext -out {certificate}"));
    }
}

/// A daemon of the test, killed at its end.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both daemons on a port with TLS, client certificates demanded.
#[tokio::test]
async fn tls_in_both_directions() {
    let dir = tempfile::Builder::new().prefix("kmf-tls-").tempdir().unwrap();
    certificates(dir.path());
    let at = |name: &str| dir.path().join(name).display().to_string();
    let [config, root, exec, pid] = ["config", "root", "exec", "pid"].map(at);
    for program in ["buildkitd", "dockerd"] {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("tcp://127.0.0.1:{port}");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "slave", "--", program]);
        if program == "buildkitd" {
            fs::write(&config, "[worker.containerd]\n enabled = false\n").unwrap();
            command.args(["--config", &config, "--root", &root, "--addr", &address, "--otel-socket-path", &at("otel.sock")]);
            command.args(["--tlscacert", &at("ca.pem"), "--tlscert", &at("server.pem"), "--tlskey", &at("server-key.pem")]);
        } else {
            fs::write(&config, "{}").unwrap();
            command.args(["--config-file", &config, "--data-root", &root, "--exec-root", &exec, "--pidfile", &pid, "--host", &address]);
            command.args(["--bridge=none", "--iptables=false", "--tlsverify"]);
            command.args(["--tlscacert", &at("ca.pem"), "--tlscert", &at("server.pem"), "--tlskey", &at("server-key.pem")]);
        }
        let log = fs::File::create(at("log")).unwrap();
        let _daemon = Daemon(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        let endpoint = format!("{address}?cacert={}&cert={}&key={}", at("ca.pem"), at("cert.pem"), at("key.pem")).parse().unwrap();
        let builder = loop {
            match BuildKit::connect(&endpoint, Credentials::default()).await {
                Ok(builder) => break builder,
                Err(error) if fs::read_to_string(at("log")).unwrap().contains("fatal") => panic!("{error}\n{}", fs::read_to_string(at("log")).unwrap()),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        assert_eq!(builder.is_engine(), program == "dockerd");
        let mut copy = request("FROM scratch AS out\nCOPY a /\n");
        copy.context = vec![file("a", b"1")];
        let solved = solve(&builder, copy).await;
        solved.result.unwrap();
        assert_eq!(solved.files["a"], b"1");
        let anonymous = format!("{address}?cacert={}", at("ca.pem")).parse().unwrap();
        let Err(error) = BuildKit::connect(&anonymous, Credentials::default()).await else { panic!("{program} asks for no certificate") };
        assert!(error.to_string().contains("fatal alert") && error.help().is_some(), "{program}: {error}");
        let Err(plain) = BuildKit::connect(&address.parse().unwrap(), Credentials::default()).await else { panic!("{program} takes plain text") };
        assert!(plain.help().is_some_and(|help| help.starts_with("if the daemon wants TLS")), "{program}: {plain}");
    }
}

#[tokio::test]
async fn a_builder_killed_in_the_middle_is_lost() {
    let dir = tempfile::Builder::new().prefix("kmf-lost-").tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let registry = setting("KMODFORGE_TEST_REGISTRY");
    fs::write(at("config"), format!("[worker.containerd]\n enabled = false\n[registry.\"{registry}\"]\n http = true\n")).unwrap();
    let address = format!("unix://{}", at("b.sock"));
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "slave", "--", "buildkitd", "--config", &at("config"), "--root", &at("root"), "--addr", &address]);
    command.args(["--otel-socket-path", &at("otel.sock")]).stderr(Stdio::null());
    let mut daemon = Daemon(command.spawn().unwrap());
    let builder = loop {
        match BuildKit::connect(&address.parse().unwrap(), Credentials::default()).await {
            Ok(builder) => break builder,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let dockerfile = format!("FROM {} AS out\nRUN echo begun; sleep 15\n", base());
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let output = dir.path().join("out.tar");
    let solving = builder.solve(request(&dockerfile), &output, sender, CancellationToken::new());
    let killing = async {
        while !matches!(receiver.recv().await, Some(BuildEvent::Log { line, .. }) if line == "begun") {}
        daemon.0.kill().unwrap();
        Instant::now()
    };
    let (result, killed) = tokio::join!(solving, killing);
    assert!(matches!(result, Err(SolveError::Lost(_))), "{result:?}");
    assert!(killed.elapsed() < Duration::from_secs(3), "{:?}", killed.elapsed());
    assert!(!output.exists());
}
