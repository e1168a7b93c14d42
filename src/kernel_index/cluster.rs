//! Kernels of a cluster's nodes, as the kubelets report them: `status.nodeInfo` is the only place that has a release as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config};

use crate::arch::Arch;
use crate::deploy::nodes::label_value;
use crate::env;
use crate::error::{Exit, Failure};
use crate::kernel::KernelRelease;

/// Nodes per answer, as kubectl asks for them.
const PAGE: u32 = 500;

/// How long an API server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which cluster is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClusterRequest<'a> {
    /// The file that names it; without one, `KUBECONFIG`, `~/.kube/config`, and then the cluster that this runs in.
    pub kubeconfig: Option<&'a Path>,
    /// The file's context; without one, its current.
    pub context: Option<&'a str>,
}

/// A node that runs Linux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its name.
    pub name: String,
    /// Its kernel, as `uname -r` prints it.
    pub kernel: KernelRelease,
    /// Its architecture.
    pub arch: Arch,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub os_image: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A cluster's nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// By their names.
    pub nodes: Vec<ClusterNode>,
    /// Nodes that nothing can be built for, and why.
    pub others: Vec<(String, String)>,
}

/// Why a cluster's nodes cannot be listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// Nothing says which cluster.
    #[error("there is no cluster to ask: no kubeconfig was found")]
    NoKubeconfig {
        /// Where it was looked for.
        looked_in: Vec<String>,
    },
    /// A file cannot be used.
    #[error("the kubeconfig {files} cannot be used: {reason}")]
    Kubeconfig {
        /// Files.
        files: String,
        /// Why.
        reason: String,
        /// Names of the contexts that there are.
        contexts: Vec<String>,
    },
    /// 401.
    #[error("the cluster at {server} does not accept the login")]
    Login {
        /// Its API server.
        server: String,
        /// Its words.
        answer: String,
    },
    /// 403.
    #[error("the cluster at {server} does not let this login list its nodes")]
    Forbidden {
        /// Its API server.
        server: String,
        /// Its words.
        answer: String,
    },
    /// It does not answer, or not as it should.
    #[error("the nodes of the cluster at {server} cannot be listed: {reason}")]
    Unreachable {
        /// Its API server.
        server: String,
        /// Why.
        reason: String,
    },
    /// There is none that runs Linux.
    #[error("the cluster at {server} has no node that could be built for")]
    NoNodes {
        /// Its API server.
        server: String,
        /// Nodes that it has, and why they are none.
        others: Vec<(String, String)>,
    },
}

/// Asks a cluster for its nodes.
///
/// # Errors
/// When there is no cluster, it does not answer, or it has no nodes.
pub async fn read_nodes(request: ClusterRequest<'_>) -> Result<Cluster, ClusterError> {
    let mut config = config(request).await?;
    config.read_timeout = Some(PATIENCE);
    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let failed = |error: &kube::Error| explain(&server, error);
    let client = Client::try_from(config).map_err(|error| failed(&error))?;
    let api: Api<Node> = Api::all(client);
    let mut cluster = Cluster::default();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(|error| failed(&error))?;
        for node in page.items {
            cluster.add(node);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    cluster.nodes.sort_by(|a, b| a.name.cmp(&b.name));
    if cluster.nodes.is_empty() { Err(ClusterError::NoNodes { server, others: cluster.others }) } else { Ok(cluster) }
}

impl Cluster {
    fn add(&mut self, node: Node) {
        let name = node.metadata.name.unwrap_or_default();
        let Some(info) = node.status.and_then(|status| status.node_info) else {
            return self.others.push((name, "its kubelet has not reported yet".into()));
        };
        if !matches!(info.operating_system.as_str(), "linux" | "") {
            return self.others.push((name, format!("it runs {}", info.operating_system)));
        }
        let parsed = (info.kernel_version.parse::<KernelRelease>(), info.architecture.parse::<Arch>());
        match parsed {
            (Ok(kernel), Ok(arch)) => {
                self.nodes.push(ClusterNode { name, kernel, arch, os_image: info.os_image, labels: node.metadata.labels.unwrap_or_default() });
            }
            (Err(error), _) => self.others.push((name, error.to_string())),
            (_, Err(error)) => self.others.push((name, error.to_string())),
        }
    }

    /// Kernels whose names differ and whose labels by Node Feature Discovery do not: the label, and the kernels with their nodes.
    #[must_use]
    pub fn shared_labels(&self) -> BTreeMap<String, BTreeMap<String, Vec<&str>>> {
        let mut labels: BTreeMap<String, BTreeMap<String, Vec<&str>>> = BTreeMap::new();
        for node in &self.nodes {
            labels.entry(label_value(node.kernel.as_str())).or_default().entry(node.kernel.to_string()).or_default().push(&node.name);
        }
        labels.retain(|_, kernels| kernels.len() > 1);
        labels
    }

    /// Every kernel once.
    #[must_use]
    pub fn kernels(&self) -> Vec<KernelRelease> {
        let mut kernels: Vec<_> = self.nodes.iter().map(|node| node.kernel.clone()).collect();
        kernels.sort();
        kernels.dedup();
        kernels
    }

    /// Every architecture once.
    #[must_use]
    pub fn arches(&self) -> Vec<Arch> {
        self.nodes.iter().map(|node| node.arch).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Who to ask, as kubectl finds it.
async fn config(request: ClusterRequest<'_>) -> Result<Config, ClusterError> {
    let (files, home) = match request.kubeconfig {
        Some(file) => (vec![file.to_owned()], None),
        None => match env::var("KUBECONFIG") {
            Some(list) => (std::env::split_paths(&list).filter(|file| !file.as_os_str().is_empty()).collect(), None),
            None => (Vec::new(), env::home().map(|home| home.join(".kube/config"))),
        },
    };
    let existing: Vec<&PathBuf> = files.iter().chain(&home).filter(|file| file.exists()).collect();
    if existing.is_empty() {
        let mut looked_in: Vec<_> = files.iter().chain(&home).map(|file| file.display().to_string()).collect();
        if request.kubeconfig.is_none() {
            if let Ok(config) = Config::incluster() {
                return Ok(config);
            }
            looked_in.push("the cluster that this runs in (there is none)".into());
        }
        return Err(ClusterError::NoKubeconfig { looked_in });
    }
    let names = existing.iter().map(|file| format!("`{}`", file.display())).collect::<Vec<_>>().join(", ");
    let mut contexts = Vec::new();
    let unusable =
        |error: &KubeconfigError, contexts: &[String]| ClusterError::Kubeconfig { files: names.clone(), reason: words(error), contexts: contexts.to_vec() };
    let mut merged: Option<Kubeconfig> = None;
    for file in existing {
        let read = Kubeconfig::read_from(file).map_err(|error| unusable(&error, &[]))?;
        merged = Some(match merged {
            Some(merged) => merged.merge(read).map_err(|error| unusable(&error, &[]))?,
            None => read,
        });
    }
    let kubeconfig = merged.unwrap_or_default();
    contexts.extend(kubeconfig.contexts.iter().map(|context| context.name.clone()));
    let options = KubeConfigOptions { context: request.context.map(ToOwned::to_owned), cluster: None, user: None };
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unusable(&error, &contexts))
}

fn words(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::CurrentContextNotSet => "it has no current context".into(),
        KubeconfigError::LoadContext(name) => format!("it has no context `{name}`"),
        KubeconfigError::LoadClusterOfContext(name) => format!("it has no cluster `{name}`"),
        KubeconfigError::ReadConfig(error, _) => crate::error::io_words(error),
        KubeconfigError::Parse(error) => format!("it is no kubeconfig: {}", error.to_string().lines().next().unwrap_or_default()),
        error => error.to_string(),
    }
}

fn explain(server: &str, error: &kube::Error) -> ClusterError {
    let server = server.to_owned();
    match error {
        kube::Error::Api(status) if status.code == 401 => ClusterError::Login { server, answer: status.message.clone() },
        kube::Error::Api(status) if status.code == 403 => ClusterError::Forbidden { server, answer: status.message.clone() },
        kube::Error::Api(status) => ClusterError::Unreachable { server, reason: format!("it answers {}: {}", status.code, status.message) },
        kube::Error::Auth(error) => ClusterError::Login { server, answer: causes(error) },
        error => ClusterError::Unreachable { server, reason: causes(error) },
    }
}

/// The innermost cause, which is the one that tells.
fn causes(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let exit = if matches!(error, ClusterError::NoKubeconfig { .. } | ClusterError::Kubeconfig { .. }) { Exit::Usage } else { Exit::Failed };
        let failure = Self::new(exit, error.to_string());
        match error {
            ClusterError::NoKubeconfig { looked_in } => {
                failure.fact("looked in", looked_in.join(", ")).help("name one: --kubeconfig FILE, or the variable KUBECONFIG")
            }
            ClusterError::Kubeconfig { contexts, .. } if !contexts.is_empty() => failure.fact("contexts", contexts.join(", ")).help("name one: --context NAME"),
            ClusterError::Kubeconfig { .. } => failure.help("what kubectl can use works here too: kubectl --kubeconfig FILE get nodes"),
            ClusterError::Login { answer, .. } => {
                failure.fact("answer", answer).help("the login of the kubeconfig may have expired: log in again, then `kubectl get nodes`")
            }
            ClusterError::Forbidden { answer, .. } => {
                failure.fact("answer", answer).help("it takes the verb `list` on `nodes`: kubectl create clusterrole node-reader --verb=list --resource=nodes")
            }
            ClusterError::Unreachable { .. } => failure.help("see whether `kubectl get nodes` works; another context: --context NAME"),
            ClusterError::NoNodes { others, .. } => {
                let others = others.iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("\n");
                if others.is_empty() { failure } else { failure.fact("nodes", others) }
            }
        }
    }
}

#[cfg(test)]
#[path = "cluster/tests.rs"]
mod tests;
