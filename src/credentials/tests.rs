use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn basic(username: &str, password: &str) -> Credential {
    Credential::Basic { username: username.to_owned(), password: password.to_owned() }
}

fn configured(json: &str) -> (tempfile::TempDir, Credentials) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), json).unwrap();
    let config = config::Config::read(&dir.path().join("config.json")).unwrap();
    let credentials = Credentials::new(config, vec![dir.path().to_owned()]);
    (dir, credentials)
}

fn install_helper(dir: &tempfile::TempDir, name: &str, script: &str) {
    let path = dir.path().join(format!("docker-credential-{name}"));
    // Written under another name first: a file still open for writing cannot be executed.
    let draft = dir.path().join("draft");
    fs::write(&draft, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&draft, &path).unwrap();
}

#[tokio::test]
async fn finds_what_docker_login_wrote() {
    let (_dir, credentials) = configured(
        r#"{"auths": {
            "registry.example:5000": {"auth": "Y2k6czNjcmV0OndpdGg6Y29sb25z"},
            "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
            "https://old.example/v1/": {"username": "u", "password": "p"},
            "token.example": {"identitytoken": "refresh"},
            "helper.example": {}
        }}"#,
    );
    assert_eq!(credentials.for_host("registry.example:5000").await.unwrap(), Some(basic("ci", "s3cret:with:colons")));
    for hub in ["docker.io", "registry-1.docker.io", "index.docker.io"] {
        assert_eq!(credentials.for_host(hub).await.unwrap(), Some(basic("hub", "pw")));
    }
    assert_eq!(credentials.for_host("old.example").await.unwrap(), Some(basic("u", "p")));
    assert_eq!(credentials.for_host("token.example").await.unwrap(), Some(Credential::IdentityToken("refresh".to_owned())));
    assert_eq!(credentials.for_host("helper.example").await.unwrap(), None);
    assert_eq!(credentials.for_host("registry.example").await.unwrap(), None, "another port is another registry");
}

#[tokio::test]
async fn asks_the_helper_of_the_registry_before_the_general_one() {
    let (dir, credentials) = configured(r#"{"credsStore": "general", "credHelpers": {"cloud.example": "cloud"}, "auths": {"file.example": {"auth": "Zjpw"}}}"#);
    install_helper(&dir, "cloud", r#"[ "$1" = get ] && read -r host; echo "{\"ServerURL\": \"$host\", \"Username\": \"<token>\", \"Secret\": \"for $host\"}""#);
    install_helper(
        &dir,
        "general",
        r#"read -r host
        case $host in
          hub.example) echo '{"Username": "me", "Secret": "pw"}' ;;
          https://index.docker.io/v1/) echo '{"Username": "hub", "Secret": "pw"}' ;;
          *) echo 'credentials not found in native keychain'; exit 1 ;;
        esac"#,
    );
    assert_eq!(credentials.for_host("cloud.example").await.unwrap(), Some(Credential::IdentityToken("for cloud.example".to_owned())));
    assert_eq!(credentials.for_host("hub.example").await.unwrap(), Some(basic("me", "pw")));
    assert_eq!(credentials.for_host("docker.io").await.unwrap(), Some(basic("hub", "pw")));
    assert_eq!(credentials.for_host("nobody.example").await.unwrap(), None);
    assert_eq!(credentials.for_host("file.example").await.unwrap(), Some(basic("f", "p")));
}

#[tokio::test]
async fn asks_a_helper_once_for_each_host() {
    let (dir, credentials) = configured(r#"{"credsStore": "counting"}"#);
    install_helper(&dir, "counting", &format!("echo >> {0}/calls; echo '{{\"Username\": \"u\", \"Secret\": \"p\"}}'", dir.path().display()));
    for _ in 0..3 {
        assert_eq!(credentials.clone().for_host("r.example").await.unwrap(), Some(basic("u", "p")));
    }
    assert_eq!(fs::read_to_string(dir.path().join("calls")).unwrap(), "\n");
}

#[tokio::test]
async fn tells_what_a_helper_complains_about() {
    let (dir, credentials) = configured(r#"{"credHelpers": {"a.example": "locked", "b.example": "chatty", "c.example": "absent"}}"#);
    install_helper(&dir, "locked", "echo 'the keyring is locked' >&2; exit 3");
    install_helper(&dir, "chatty", "echo hello");
    let failure = Failure::from(credentials.for_host("a.example").await.unwrap_err());
    assert_eq!(
        failure.to_string(),
        "error: the credentials for `a.example` cannot be read\n  helper    docker-credential-locked\n  found     the keyring is locked\n  \
         help      see what it says itself: echo a.example | docker-credential-locked get"
    );
    let error = credentials.for_host("b.example").await.unwrap_err();
    assert_eq!(error.to_string(), "credential helper `docker-credential-chatty` failed for `b.example`: its answer is not JSON with credentials");
    let failure = Failure::from(credentials.for_host("c.example").await.unwrap_err());
    assert_eq!(
        failure.to_string(),
        "error: the credentials for `c.example` cannot be read\n  found     no program `docker-credential-absent` on PATH\n  \
         help      install `docker-credential-absent`, or remove it from `credsStore` and `credHelpers` in Docker's config.json"
    );
}

#[test]
fn refuses_a_file_docker_did_not_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let complaint = |text: &str| {
        fs::write(&path, text).unwrap();
        let failure = Failure::from(Credentials::load(Some(dir.path())).unwrap_err());
        failure.to_string().replace(&path.display().to_string(), "config.json")
    };
    assert_eq!(
        complaint(r#"{"auths": {"r.example": {"auth": "s3cret"}}}"#),
        "error: the registry credentials cannot be read\n  file      config.json\n  found     `auth` of `r.example` is not `user:password` in base64\n  \
         help      `docker login REGISTRY` writes this file; `DOCKER_CONFIG` names another folder"
    );
    assert!(complaint("{").contains("not the JSON that Docker writes: line 1, column 1"));
}

#[test]
fn works_without_a_file_and_shows_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Credentials::load(Some(dir.path())).is_ok());
    assert_eq!(format!("{:?}", basic("me", "s3cret")), "Basic(me, …)");
    assert_eq!(format!("{:?}", Credential::IdentityToken("s3cret".to_owned())), "IdentityToken(…)");
}
