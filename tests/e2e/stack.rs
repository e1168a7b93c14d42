//! The private daemons, the tools beside them, and what is kept between tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kmodforge::env;
use tempfile::TempDir;

/// What `scripts/stack.sh` says about the stack.
pub(crate) fn setting(name: &str) -> String {
    env::var(name).unwrap_or_else(|| panic!("{name} is not set: these tests need private daemons and base images; `make test` starts them"))
}

pub(crate) fn registry() -> String {
    setting("KMODFORGE_TEST_REGISTRY")
}

/// The `mirrors:` section of a project file. Frozen: a test machine's copy of sid may be months old.
pub(crate) fn mirrors() -> String {
    let text = fs::read_to_string(setting("KMODFORGE_TEST_MIRRORS")).unwrap();
    if text.contains("frozen:") { text } else { format!("{}\n  frozen: true\n", text.trim_end()) }
}

/// The URL that is reachable here in place of an official one.
pub(crate) fn mirrored(url: &str) -> String {
    for line in mirrors().lines() {
        let words: Vec<_> = line.split('"').collect();
        if let [_, from, _, to, ..] = words[..]
            && let Some(rest) = url.strip_prefix(from)
        {
            return format!("{to}{rest}");
        }
    }
    url.to_owned()
}

/// A folder that outlives the run, for what is expensive to fetch.
pub(crate) fn kept(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A folder that goes away, on the same file system as [`kept`].
pub(crate) fn scratch() -> TempDir {
    TempDir::new_in(kept("scratch")).unwrap()
}

/// Runs a program that must succeed; what it prints.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The Engine's own client.
pub(crate) fn docker(arguments: &[&str]) -> String {
    run(Command::new("docker").env("DOCKER_HOST", setting("KMODFORGE_TEST_DOCKER")).args(arguments))
}

/// A plain build of a folder, as a user without kmodforge makes it; the image is loaded into the Engine.
pub(crate) fn plain_build(folder: &Path, image: &str) {
    let mut build = Command::new("docker-buildx");
    build.env("DOCKER_HOST", setting("KMODFORGE_TEST_DOCKER")).args(["build", "--load", "--tag", image]).arg(folder);
    run(&mut build);
}

/// An independent client's view of an image in the registry.
pub(crate) fn skopeo_inspect(image: &str, options: &[&str]) -> serde_json::Value {
    let text = run(Command::new("skopeo").args(["inspect", "--tls-verify=false"]).args(options).arg(format!("docker://{image}")));
    serde_json::from_str(&text).unwrap()
}

/// Copies an image of the registry to an OCI layout, by an independent client.
pub(crate) fn skopeo_copy(image: &str, layout: &Path) {
    run(Command::new("skopeo")
        .args(["copy", "--quiet", "--src-tls-verify=false"])
        .arg(format!("docker://{image}"))
        .arg(format!("oci:{}:it", layout.display())));
}
