use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::*;
use crate::fetch::testing::{Server, status};

fn node(name: &str, kernel: &str, arch: &str, system: &str) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/arch": arch } },
        "status": { "nodeInfo": {
            "kernelVersion": kernel, "architecture": arch, "operatingSystem": system, "osImage": "Debian GNU/Linux 12 (bookworm)", "bootID": "", "machineID": "",
            "systemUUID": "", "containerRuntimeVersion": "", "kubeletVersion": "v1.34.1", "kubeProxyVersion": "",
        } },
    })
}

fn list(nodes: &[Value], token: &str) -> Response {
    axum::Json(json!({ "apiVersion": "v1", "kind": "NodeList", "metadata": { "continue": token }, "items": nodes })).into_response()
}

fn refusal(code: u16, message: &str) -> Response {
    let body = json!({ "apiVersion": "v1", "kind": "Status", "status": "Failure", "message": message, "code": code, "metadata": {} });
    (axum::http::StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}

fn kubeconfig(url: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters: [{{name: test, cluster: {{server: '{url}'}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: reader}}}}]\nusers: [{{name: reader, user: {{token: secret}}}}]\n"
    )
}

async fn ask(text: &str, context: Option<&str>) -> Result<Cluster, ClusterError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    std::fs::write(&file, text).unwrap();
    read_nodes(ClusterRequest { kubeconfig: Some(&file), context }).await
}

async fn failure(text: &str, context: Option<&str>) -> String {
    let failure = Failure::from(ask(text, context).await.unwrap_err()).to_string();
    // The file lies in a folder of this test alone.
    let Some((before, rest)) = failure.split_once("kubeconfig `/") else { return failure };
    format!("{before}kubeconfig `{}", rest.split_once("/config`").map_or(rest.to_owned(), |(_, rest)| format!("FILE`{rest}")))
}

#[tokio::test]
async fn nodes_are_read_page_by_page_with_the_login() {
    let server = Server::start(|request, _| {
        assert_eq!(request.headers()["authorization"], "Bearer secret");
        match request.uri().query() {
            Some(query) if query.contains("continue=next") => list(&[node("a", "6.1.0-56-amd64", "amd64", "linux")], ""),
            _ => list(&[node("b", "5.10.109+", "arm64", "linux"), node("w", "10.0.20348", "amd64", "windows"), node("p", "6.1.0", "ppc64le", "linux")], "next"),
        }
    })
    .await;
    let cluster = ask(&kubeconfig(&server.url), None).await.unwrap();
    let names: Vec<_> = cluster.nodes.iter().map(|node| (node.name.as_str(), node.kernel.as_str(), node.arch)).collect();
    assert_eq!(names, [("a", "6.1.0-56-amd64", Arch::Amd64), ("b", "5.10.109+", Arch::Arm64)]);
    assert_eq!(cluster.nodes[0].os_image, "Debian GNU/Linux 12 (bookworm)");
    let others: Vec<_> = cluster.others.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    assert_eq!(others, ["w: it runs windows", "p: unknown architecture `ppc64le`; expected `amd64` or `arm64`"]);
    assert_eq!(cluster.arches(), [Arch::Amd64, Arch::Arm64]);
    assert_eq!(server.asked(), ["/api/v1/nodes", "/api/v1/nodes"]);
}

#[tokio::test]
async fn kernels_that_share_a_label_are_told_apart() {
    let server = Server::start(|_, _| {
        list(&[node("a", "5.10.109", "amd64", "linux"), node("b", "5.10.109+", "amd64", "linux"), node("c", "6.1.0-56-amd64", "amd64", "linux")], "")
    })
    .await;
    let cluster = ask(&kubeconfig(&server.url), None).await.unwrap();
    let shared = cluster.shared_labels();
    assert_eq!(shared.len(), 1);
    assert_eq!(shared["5.10.109"], BTreeMap::from([("5.10.109".to_owned(), vec!["a"]), ("5.10.109+".to_owned(), vec!["b"])]));
}

#[tokio::test]
async fn a_refused_login_and_a_missing_permission_are_told_apart() {
    let server = Server::start(|_, _| refusal(401, "Unauthorized")).await;
    assert_eq!(
        failure(&kubeconfig(&server.url), None).await,
        format!(
            "error: the cluster at {} does not accept the login\n  answer    Unauthorized\n  help      the login of the kubeconfig may have expired: log in again, then `kubectl get nodes`",
            server.url
        )
    );
    let answer = "nodes is forbidden: User \"reader\" cannot list resource \"nodes\" in API group \"\" at the cluster scope";
    let server = Server::start(move |_, _| refusal(403, answer)).await;
    assert_eq!(
        failure(&kubeconfig(&server.url), None).await,
        format!(
            "error: the cluster at {} does not let this login list its nodes\n  answer    {answer}\n  help      it takes the verb `list` on `nodes`: kubectl create clusterrole node-reader --verb=list --resource=nodes",
            server.url
        )
    );
}

#[tokio::test]
async fn a_cluster_that_is_none_is_told() {
    let server = Server::start(|_, _| status(404)).await;
    let told = failure(&kubeconfig(&server.url), None).await;
    assert!(told.starts_with(&format!("error: the nodes of the cluster at {} cannot be listed: it answers 404", server.url)), "{told}");
    let server = Server::start(|_, _| list(&[node("w", "10.0.20348", "amd64", "windows")], "")).await;
    assert_eq!(
        failure(&kubeconfig(&server.url), None).await,
        format!("error: the cluster at {} has no node that could be built for\n  nodes     w: it runs windows", server.url)
    );
    let told = failure(&kubeconfig("http://127.0.0.1:1"), None).await;
    assert!(told.starts_with("error: the nodes of the cluster at http://127.0.0.1:1 cannot be listed: ") && told.contains("refused"), "{told}");
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_told() {
    assert_eq!(
        failure(&kubeconfig("http://127.0.0.1:1"), Some("other")).await,
        "error: the kubeconfig `FILE` cannot be used: it has no context `other`\n  contexts  test\n  help      name one: --context NAME"
    );
    assert!(failure("clusters: 7", None).await.starts_with("error: the kubeconfig `FILE` cannot be used: it is no kubeconfig: "));
    let error = read_nodes(ClusterRequest { kubeconfig: Some(Path::new("/nowhere/config")), context: None }).await.unwrap_err();
    assert_eq!(
        Failure::from(error).to_string(),
        "error: there is no cluster to ask: no kubeconfig was found\n  looked in  /nowhere/config\n  help       name one: --kubeconfig FILE, or the variable KUBECONFIG"
    );
}
