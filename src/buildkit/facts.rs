//! What a daemon can do, asked once after connecting.

use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::types::WorkerRecord;
use bollard_buildkit_proto::moby::buildkit::v1::{InfoRequest, ListWorkersRequest};
use bollard_buildkit_proto::pb::Platform;
use tonic::{Code, Status};

use super::connect::Line;
use super::endpoint::Endpoint;
use super::solve;
use crate::builder::BuilderInfo;

/// How long a daemon may take to introduce itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// With more solves at once, Docker 20.10 fails at times with `flightcontrol: exceeded retry timeout`.
const OLD_LIMIT: usize = 16;

/// Set by `buildkitd`, and by an Engine that keeps its images in containerd.
const SNAPSHOTTER: &str = "org.mobyproject.buildkit.worker.snapshotter";

/// What is known about a daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The Engine's version (may be empty), if it is the `BuildKit` of a Docker Engine.
    pub(super) engine: Option<String>,
    /// `0.25.2`, if the daemon tells.
    pub(super) buildkit: Option<String>,
    /// Older than 0.11: no `Info`, and silent about whatever it does not know.
    pub(super) old: bool,
    /// Keeps results where registry caches can be made from.
    pub(super) snapshotter: bool,
    /// Started for this run by us, so that its default network is the host's.
    pub(super) host_network: bool,
    pub(super) platforms: Vec<String>,
}

/// Asks the daemon. The error is what it, or the connection, said.
pub(super) async fn learn(line: &Line) -> Result<Facts, String> {
    let questions = async {
        let mut client = solve::client(line.channel.clone());
        let version = match client.info(InfoRequest {}).await {
            Ok(answer) => Some(answer.into_inner().buildkit_version.unwrap_or_default().version),
            Err(status) if status.code() == Code::Unimplemented => None,
            Err(status) => return Err(status),
        };
        let workers = client.list_workers(ListWorkersRequest { filter: Vec::new() }).await?.into_inner().record;
        Ok((version, workers))
    };
    let answer = tokio::time::timeout(PATIENCE, questions).await.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
    let (version, workers) = answer.map_err(|status| said(&status))?;
    let worker = workers.into_iter().next().ok_or("the daemon has no worker that could build")?;
    Ok(Facts::new(line.engine.as_ref().map(|engine| engine.version.clone()), version.as_deref(), &worker))
}

fn said(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => super::connect::chain(cause),
        None => status.message().to_owned(),
    }
}

impl Facts {
    /// `version` is the answer to `Info`; `None` if there is no such method.
    fn new(engine: Option<String>, version: Option<&str>, worker: &WorkerRecord) -> Self {
        let mut platforms = Vec::new();
        for platform in worker.platforms.iter().map(name_of) {
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        Self {
            engine,
            buildkit: version.and_then(known_version),
            old: version.is_none(),
            snapshotter: worker.labels.contains_key(SNAPSHOTTER),
            host_network: false,
            platforms,
        }
    }

    /// The facts that matter outside.
    pub(super) fn info(&self, endpoint: &Endpoint) -> BuilderInfo {
        BuilderInfo { name: self.name(), endpoint: endpoint.to_string(), platforms: self.platforms.clone(), max_parallel: self.old.then_some(OLD_LIMIT) }
    }

    /// `Docker Engine 28.5.2, BuildKit 0.25.2`, or `buildkitd 0.32.2`.
    pub(super) fn name(&self) -> String {
        let buildkit = self.buildkit.as_deref().unwrap_or_default();
        match &self.engine {
            None => format!("buildkitd {buildkit}").trim_end().to_owned(),
            Some(engine) if buildkit.is_empty() => format!("Docker Engine {engine}").trim_end().to_owned(),
            Some(engine) if engine.is_empty() => format!("Docker Engine, BuildKit {buildkit}"),
            Some(engine) => format!("Docker Engine {engine}, BuildKit {buildkit}"),
        }
    }
}

/// The version without its `v`; daemons built without one say `v0.0.0+unknown`.
fn known_version(text: &str) -> Option<String> {
    let version = text.strip_prefix('v').unwrap_or(text);
    (!version.is_empty() && !version.starts_with("0.0.0")).then(|| version.to_owned())
}

fn name_of(platform: &Platform) -> String {
    let Platform { os, architecture, variant, .. } = platform;
    if variant.is_empty() { format!("{os}/{architecture}") } else { format!("{os}/{architecture}/{variant}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(label: Option<&str>, platforms: &[(&str, &str)]) -> WorkerRecord {
        let platform = |(architecture, variant): &(&str, &str)| Platform {
            os: "linux".to_owned(),
            architecture: (*architecture).to_owned(),
            variant: (*variant).to_owned(),
            ..Platform::default()
        };
        WorkerRecord {
            labels: label.map(|label| (label.to_owned(), "overlayfs".to_owned())).into_iter().collect(),
            platforms: platforms.iter().map(platform).collect(),
            ..WorkerRecord::default()
        }
    }

    #[test]
    fn names_a_builder_as_far_as_it_tells() {
        let name = |engine: Option<&str>, version: Option<&str>| Facts::new(engine.map(str::to_owned), version, &worker(None, &[])).name();
        assert_eq!(name(Some("28.5.2"), Some("v0.25.2")), "Docker Engine 28.5.2, BuildKit 0.25.2");
        assert_eq!(name(Some("20.10.24"), None), "Docker Engine 20.10.24");
        assert_eq!(name(None, Some("v0.32.2")), "buildkitd 0.32.2");
        assert_eq!(name(None, Some("v0.0.0+unknown")), "buildkitd");
        assert_eq!(name(None, None), "buildkitd");
    }

    #[test]
    fn limits_solves_on_old_daemons_only() {
        let endpoint = Endpoint::Unix("/run/b.sock".into());
        let old = Facts::new(Some("20.10.24".to_owned()), None, &worker(None, &[]));
        assert!(old.info(&endpoint).max_parallel.is_some_and(|limit| (1..=16).contains(&limit)));
        let unknown = Facts::new(None, Some("v0.0.0+unknown"), &worker(Some(SNAPSHOTTER), &[]));
        assert_eq!(unknown.info(&endpoint).max_parallel, None, "a version nobody knows is not an old one");
        assert!(unknown.snapshotter && !old.snapshotter);
    }

    #[test]
    fn lists_each_platform_once_in_the_daemons_order() {
        let facts = Facts::new(None, None, &worker(None, &[("amd64", ""), ("amd64", "v2"), ("amd64", ""), ("arm64", "")]));
        assert_eq!(facts.platforms, ["linux/amd64", "linux/amd64/v2", "linux/arm64"]);
    }
}
