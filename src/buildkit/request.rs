//! What is sent to `Control.Solve`.

use std::collections::HashMap;

use bollard_buildkit_proto::moby::buildkit::v1 as control;
use bollard_buildkit_proto::pb::Definition;

use super::cache;
use super::context::{Tree, single_file};
use super::facts::Facts;
use crate::builder::{Network, SolveError, SolveRequest};
use crate::env;

/// The sum of files that travel inside the request. Daemons before 0.14 refuse messages above 4 MiB.
const INLINE_LIMIT: u64 = 5 << 19;

/// How the context gets to the builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Inside the request: equal in all solves, so that they share the work.
    Inline,
    /// Asked for through the session.
    FileSync,
}

/// Small contexts go inside the request.
pub(super) fn delivery(request: &SolveRequest, tree: &Tree) -> Delivery {
    if tree.size() + request.dockerfile.len() as u64 <= INLINE_LIMIT { Delivery::Inline } else { Delivery::FileSync }
}

/// The names under which a solve and its session are known.
pub(super) struct Names<'a> {
    pub(super) solve: &'a str,
    pub(super) session: &'a str,
}

/// Puts the request into the daemon's words.
pub(super) async fn compose(request: &SolveRequest, tree: &Tree, facts: &Facts, names: Names<'_>) -> Result<control::SolveRequest, SolveError> {
    let network = if facts.host_network && request.options.network == Network::Sandbox { Network::Host } else { request.options.network };
    let mut inputs = HashMap::from([dockerfile(request)]);
    if delivery(request, tree) == Delivery::Inline {
        inputs.insert("context".to_owned(), tree.definition("[internal] load build context").await?);
    }
    let exports = cache::exports(&request.options.cache_to, facts, &env::var)?;
    Ok(control::SolveRequest {
        r#ref: names.solve.to_owned(),
        session: names.session.to_owned(),
        frontend: "dockerfile.v0".to_owned(),
        frontend_attrs: attributes(request, network, facts)?,
        frontend_inputs: inputs,
        // Daemons before 0.13 know the first form only, and newer ones prefer the second.
        exporter_deprecated: "tar".to_owned(),
        exporters: vec![control::Exporter { r#type: "tar".to_owned(), attrs: HashMap::new() }],
        cache: Some(control::CacheOptions { exports, ..Default::default() }),
        entitlements: (network == Network::Host).then(|| "network.host".to_owned()).into_iter().collect(),
        ..Default::default()
    })
}

fn dockerfile(request: &SolveRequest) -> (String, Definition) {
    ("dockerfile".to_owned(), single_file("Dockerfile", request.dockerfile.as_bytes(), "[internal] load build definition"))
}

/// `frontend/dockerui/config.go`: everything that the Dockerfile frontend is told.
fn attributes(request: &SolveRequest, network: Network, facts: &Facts) -> Result<HashMap<String, String>, SolveError> {
    let mut attributes = HashMap::from([("filename".to_owned(), "Dockerfile".to_owned()), ("target".to_owned(), request.stage.clone())]);
    let mut set = |name: &str, value: &str| attributes.insert(name.to_owned(), value.to_owned());
    if let Some(platform) = &request.platform {
        set("platform", platform);
    }
    for (name, value) in request.build_args.iter().chain(&request.options.proxies) {
        set(&format!("build-arg:{name}"), value);
    }
    if request.options.no_cache {
        set("no-cache", "");
    }
    match network {
        Network::Sandbox => {}
        Network::Host => _ = set("force-network-mode", "host"),
        Network::None => _ = set("force-network-mode", "none"),
    }
    if let Some(imports) = cache::imports(&request.options.cache_from, facts, &env::var)? {
        set("cache-imports", &imports);
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::builder::{Content, ContextFile, SolveOptions};

    fn request(size: usize, options: SolveOptions) -> SolveRequest {
        SolveRequest {
            name: "t".to_owned(),
            dockerfile: "FROM scratch AS out\n".into(),
            stage: "out".to_owned(),
            build_args: vec![("KERNEL".to_owned(), "6.1.0-56-amd64".to_owned())],
            context: vec![ContextFile { path: "src".to_owned(), content: Content::Bytes(vec![0; size].into()) }],
            platform: Some("linux/amd64".to_owned()),
            options: Arc::new(options),
        }
    }

    async fn composed(request: &SolveRequest, facts: &Facts) -> control::SolveRequest {
        let tree = Tree::new(&request.context).await.unwrap();
        compose(request, &tree, facts, Names { solve: "r", session: "s" }).await.unwrap()
    }

    #[tokio::test]
    async fn asks_for_one_stage_as_a_tar() {
        let sent = composed(&request(10, SolveOptions::default()), &Facts::default()).await;
        let mut attributes: Vec<_> = sent.frontend_attrs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        attributes.sort();
        assert_eq!(attributes, ["build-arg:KERNEL=6.1.0-56-amd64", "filename=Dockerfile", "platform=linux/amd64", "target=out"]);
        assert_eq!((sent.exporter_deprecated.as_str(), sent.exporters.len(), sent.exporters[0].r#type.as_str()), ("tar", 1, "tar"));
        assert!(sent.entitlements.is_empty());
        assert!(sent.frontend_inputs.contains_key("dockerfile") && sent.frontend_inputs.contains_key("context"));
    }

    #[tokio::test]
    async fn large_contexts_do_not_travel_inside_the_request() {
        let sent = composed(&request(3 << 20, SolveOptions::default()), &Facts::default()).await;
        assert!(!sent.frontend_inputs.contains_key("context"));
        assert!(sent.frontend_inputs.contains_key("dockerfile"));
    }

    #[tokio::test]
    async fn network_modes_bring_their_entitlements() {
        let mode = async |network, host_network| {
            let facts = Facts { host_network, ..Facts::default() };
            let sent = composed(&request(1, SolveOptions { network, no_cache: true, ..SolveOptions::default() }), &facts).await;
            assert_eq!(sent.frontend_attrs["no-cache"], "");
            (sent.frontend_attrs.get("force-network-mode").cloned().unwrap_or_default(), sent.entitlements)
        };
        let host = vec!["network.host".to_owned()];
        assert_eq!(mode(Network::Sandbox, false).await, (String::new(), vec![]));
        assert_eq!(mode(Network::Host, false).await, ("host".to_owned(), host.clone()));
        assert_eq!(mode(Network::None, false).await, ("none".to_owned(), vec![]));
        assert_eq!(mode(Network::Sandbox, true).await, ("host".to_owned(), host), "a private Engine has no other network");
        assert_eq!(mode(Network::None, true).await, ("none".to_owned(), vec![]));
    }
}
