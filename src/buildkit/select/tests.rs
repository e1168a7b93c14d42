use std::fs;

use sha2::Digest;

use super::*;
use crate::buildkit::context::hex;

fn candidates(choice: &str, variables: &[(&str, &str)], docker_config: Option<PathBuf>) -> Result<Vec<Candidate>, SelectError> {
    let var = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    World { var: &var, docker_config }.candidates(&choice.parse().unwrap())
}

fn shown(choice: &str, variables: &[(&str, &str)]) -> Vec<String> {
    candidates(choice, variables, None).unwrap().iter().map(|found| format!("{} ({})", found.endpoint, found.origin)).collect()
}

#[test]
fn tries_the_usual_sockets_when_nobody_says_anything() {
    assert_eq!(
        shown("auto", &[("XDG_RUNTIME_DIR", "/run/user/7")]),
        [
            "unix:///var/run/docker.sock (the usual socket)",
            "unix:///run/user/7/docker.sock (the usual socket)",
            "unix:///run/buildkit/buildkitd.sock (the usual socket)",
            "unix:///run/user/7/buildkit/buildkitd.sock (the usual socket)",
        ]
    );
    assert_eq!(shown("docker", &[]), ["unix:///var/run/docker.sock (the usual socket)"]);
}

#[test]
fn obeys_the_first_variable_that_is_set() {
    let all = [("KMODFORGE_BUILDER", "docker:/d.sock"), ("BUILDKIT_HOST", "tcp://b:1"), ("DOCKER_HOST", "tcp://d:2")];
    assert_eq!(shown("auto", &all), ["unix:///d.sock (KMODFORGE_BUILDER)"]);
    assert_eq!(shown("auto", &all[1..]), ["tcp://b:1 (BUILDKIT_HOST)"]);
    assert_eq!(shown("auto", &all[2..]), ["tcp://d:2 (DOCKER_HOST)"]);
    assert_eq!(shown("docker", &all), ["tcp://d:2 (DOCKER_HOST)"]);
    assert_eq!(shown("unix:///x.sock", &all), ["unix:///x.sock (--builder)"], "what is asked for is not asked about");
    assert!(candidates("auto", &all, None).unwrap()[0].binding);
}

#[test]
fn takes_dockers_certificates_for_dockers_addresses() {
    let tls = [("DOCKER_HOST", "tcp://d:2376"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")];
    let found = candidates("auto", &tls, None).unwrap().remove(0).endpoint;
    assert_eq!(found, Endpoint::Tcp { host: "d".to_owned(), port: 2376, tls: Some(TlsFiles::in_dir("/certs")) });
    let variables = [("BUILDKIT_HOST", "tcp://b:1234"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")];
    let plain = candidates("auto", &variables, None).unwrap().remove(0).endpoint;
    assert_eq!(plain, Endpoint::Tcp { host: "b".to_owned(), port: 1234, tls: None });
}

#[test]
fn finds_the_engine_of_a_docker_context() {
    let dir = tempfile::tempdir().unwrap();
    let id = hex(&sha2::Sha256::digest("far"));
    let meta = dir.path().join("contexts/meta").join(&id);
    let tls = dir.path().join("contexts/tls").join(&id).join("docker");
    fs::create_dir_all(&meta).unwrap();
    fs::create_dir_all(&tls).unwrap();
    fs::write(tls.join("ca.pem"), "").unwrap();
    fs::write(meta.join("meta.json"), r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://far:2376","SkipTLSVerify":false}}}"#).unwrap();
    fs::write(dir.path().join("config.json"), r#"{"currentContext":"far"}"#).unwrap();
    let config = Some(dir.path().to_owned());

    let found = candidates("auto", &[], config.clone()).unwrap();
    assert_eq!((found[0].endpoint.to_string(), found[0].origin.as_str(), found[0].binding), ("tcp://far:2376".to_owned(), "docker context `far`", false));
    assert!(matches!(&found[0].endpoint, Endpoint::Tcp { tls: Some(_), .. }));
    assert!(candidates("auto", &[("DOCKER_CONTEXT", "far")], config.clone()).unwrap()[0].binding);
    let missing = candidates("auto", &[("DOCKER_CONTEXT", "near")], config).unwrap_err();
    assert_eq!(
        Failure::from(missing).to_string(),
        "error: the docker context `near` cannot be used\n  found     there is no such context\n  \
         help      see `docker context ls`, or name the builder with `--builder`"
    );
}

#[test]
fn says_which_variable_is_wrong() {
    let choice = Failure::from(candidates("auto", &[("KMODFORGE_BUILDER", "podman")], None).unwrap_err());
    assert_eq!(
        choice.to_string(),
        "error: `podman` is no builder; expected `auto`, `docker`, `docker:SOCKET`, `unix://PATH`, `tcp://HOST:PORT`, `ssh://HOST` or `private`\n  set by    KMODFORGE_BUILDER"
    );
    assert_eq!(choice.exit, Exit::Usage);
    let address = candidates("auto", &[("BUILDKIT_HOST", "docker-container://b")], None).unwrap_err();
    assert_eq!(
        address.to_string(),
        "BUILDKIT_HOST: `docker-container://b` is not a builder's address: kmodforge has no way to connect by `docker-container://`; there are `unix://`, `tcp://` and `ssh://`"
    );
}

#[test]
fn lists_what_was_tried() {
    let attempt = |what: &str, why: &str| Attempt { what: what.to_owned(), why: why.to_owned() };
    let tried = vec![attempt("unix:///var/run/docker.sock", "Connection refused (os error 111)"), attempt("a private buildkitd", "no `buildkitd` on PATH")];
    let failure = Failure::from(SelectError::Nothing { tried });
    assert_eq!(
        failure.to_string(),
        "error: no builder answers\n  tried     unix:///var/run/docker.sock: Connection refused (os error 111)\n            a private buildkitd: no `buildkitd` on PATH\n  \
         help      start Docker or `buildkitd`, or name one with `--builder` or `KMODFORGE_BUILDER`\n  \
         help      with `buildkitd` and `runc`, or `dockerd`, on PATH, kmodforge run as root starts one by itself"
    );
    assert_eq!(failure.exit, Exit::Failed);
}

#[tokio::test]
async fn a_builder_that_was_asked_for_must_answer() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("none.sock");
    let choice = BuilderChoice::Docker(Some(socket.clone()));
    let options = Options { cache_dir: dir.path(), insecure_registries: &[], credentials: Credentials::default() };
    let Err(error) = connect(&choice, &options).await else { panic!("there is no builder") };
    assert_eq!(
        Failure::from(error).to_string(),
        format!(
            "error: no builder answers at `unix://{}`\n  found     No such file or directory (os error 2)\n  asked by  --builder\n  \
             help      start it, or name another one with `--builder`; `kmodforge doctor` shows what there is",
            socket.display()
        )
    );
}
