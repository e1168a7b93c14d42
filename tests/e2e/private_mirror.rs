//! A mirror with a private certificate authority that wants a login: kmodforge and the build reach it in the same way.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::forge::{Forge, newest};
use crate::stack::{mirrored, mirrors, run, scratch, setting};

const DEBIAN: &str = "http://ftp.debian.org/debian";
const SECURITY: &str = "http://security.debian.org/debian-security";

/// The server; it ends when this is dropped.
struct Mirror {
    server: Child,
    address: String,
}

impl Mirror {
    fn start(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name).display().to_string();
        let request = || {
            let mut openssl = Command::new("openssl");
            openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
            openssl
        };
        run(request().args(["-subj", "/CN=authority", "-keyout", &file("ca.key"), "-out", &file("ca.pem")]));
        let mut leaf = request();
        leaf.args(["-subj", "/CN=mirror", "-CA", &file("ca.pem"), "-CAkey", &file("ca.key"), "-addext", "subjectAltName=IP:127.0.0.1"]);
        run(leaf.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &file("key.pem"), "-out", &file("server.pem")]));
        let upstreams = [format!("debian={}", mirrored(DEBIAN)), format!("security={}", mirrored(SECURITY))];
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/tls_mirror.py");
        let mut command = Command::new("python3");
        command.args([script, &file("server.pem"), &file("key.pem"), "robot:s3cret"]).args(upstreams).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut server = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { server, address: format!("https://127.0.0.1:{}", port.trim()) }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_private_authority_and_a_login_serve_the_program_and_the_build() {
    let folder = scratch();
    let mirror = Mirror::start(folder.path());
    let line = |line: &str| match [(DEBIAN, "debian"), (SECURITY, "security")].iter().find(|(official, _)| line.contains(&format!("\"{official}\""))) {
        Some((official, folder)) => format!("    \"{official}\": \"{}/{folder}\"\n", mirror.address),
        None => format!("{line}\n"),
    };
    let lines: String = mirrors().lines().map(line).collect();
    let rows = format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{}\"]}}\n", newest());
    let forge = Forge::mirrored("private", &rows, &lines).with_builder(setting("KMODFORGE_TEST_BUILDKIT")).with_own_cache();
    let auth = folder.path().join("auth.conf");
    fs::write(&auth, format!("machine {} login robot password s3cret\n", mirror.address)).unwrap();
    let ca = folder.path().join("ca.pem");
    let (ca, auth) = (("KMODFORGE_CA", ca.to_str().unwrap()), ("KMODFORGE_APT_AUTH", auth.to_str().unwrap()));

    forge.run_with(&["plan"], &[auth]).expect(1).says("no trusted TLS connection");
    forge.run_with(&["plan"], &[ca]).expect(1).says("was refused: 401 Unauthorized");
    let build = forge.run_with(&["build", "--no-cache", "--output", "oci:image"], &[ca, auth]).expect(0);
    build.does_not_say("s3cret");
    for log in fs::read_dir(forge.path(".kmodforge/logs")).unwrap() {
        assert!(!fs::read_to_string(log.unwrap().path()).unwrap().contains("s3cret"));
    }
}
