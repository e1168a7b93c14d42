//! Registries that are down, full, closed to us, or die in the middle.

use http::Method;
use kmodforge::record::Outcome;
use snapbox::{assert_data_eq, str};

use crate::registry::{Effect, Login};
use crate::world::World;

const ALL: &str = "6.1.0-5*-amd64";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens() {
    let world = World::new().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ran = world.build("latest", &["--jobs", "1"]);
    drop(ran);
    let repository = format!("{free}/drivers");
    let ran = world.run(&["build", "--driver", "kmf", "--kernel", "latest", "--repo", &repository, "--push"]).await.ended(1);
    assert_data_eq!(
        ran.errors().replace(&free, "REGISTRY"),
        str![[r"
error: cannot reach the registry `REGISTRY`: connection refused
  help      is it running, and is its name right?
  help      run again: what is uploaded stays, and no tag points to anything incomplete
exit 1

"]]
    );
    assert!(world.bench.solved("artifacts").is_empty(), "nothing is built that cannot be pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn full() {
    for (status, body) in [
        (507, "quota exceeded"),
        (
            500,
            r#"{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{"DriverName":"filesystem","Enclosed":{"Op":"write","Path":"/x","Err":28}}}]}"#,
        ),
    ] {
        let world = World::new().await;
        world.registry.fail(Method::PUT, "/blobs/uploads/", usize::MAX, Effect::Answer(status, Vec::new(), body));
        let ran = world.build("latest", &[]).await.ended(1);
        let answer = if status == 507 { "quota exceeded" } else { "UNKNOWN: unknown error" };
        assert_data_eq!(
            ran.errors().replace(answer, "ANSWER"),
            str![[r"
error: the registry `REGISTRY` has no space left
  answer    ANSWER
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      free some space there
  help      run again: what is uploaded stays, and no tag points to anything incomplete
exit 1

"]]
        );
        assert!(world.tags().is_empty());
        world.registry.state().faults.clear();
        world.build("latest", &[]).await.ended(0);
        assert_eq!(world.tags(), ["1.0-6.1.0-56-amd64"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wants_a_login() {
    let world = World::new().await;
    world.registry.state().login = Login::Basic;
    assert_data_eq!(
        world.build("latest", &[]).await.ended(1).errors(),
        str![[r"
error: the registry `REGISTRY` wants a login to pull from `drivers/kmf`
  answer    UNAUTHORIZED: authentication required
  help      log in first: docker login REGISTRY
exit 1

"]]
    );
    let docker = world.path("home/.docker");
    std::fs::create_dir(&docker).unwrap();
    let config = |auth: &str| format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, world.registry.address);
    std::fs::write(docker.join("config.json"), config("Y2k6d3Jvbmc=")).unwrap();
    assert_data_eq!(
        world.build("latest", &[]).await.ended(1).errors(),
        str![[r"
error: the registry `REGISTRY` refuses the credentials of `ci`
  answer    UNAUTHORIZED: authentication required
  help      log in first: docker login REGISTRY
exit 1

"]]
    );
    std::fs::write(docker.join("config.json"), config("Y2k6c2VjcmV0")).unwrap();
    world.build("latest", &[]).await.ended(0);
    assert_eq!(world.tags(), ["1.0-6.1.0-56-amd64"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn may_not_push() {
    let world = World::new().await;
    let denied = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    world.registry.fail(Method::POST, "/blobs/uploads/", usize::MAX, Effect::Answer(403, Vec::new(), denied));
    assert_data_eq!(
        world.build("latest", &[]).await.ended(1).errors(),
        str![[r"
error: not allowed to push to `REGISTRY/drivers/kmf`
  answer    DENIED: requested access to the resource is denied
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      ask for the right to push to it, or choose another repository
exit 1

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dies_in_the_middle_of_a_push() {
    for (method, path) in [(Method::PUT, "/uploads/"), (Method::PUT, "/manifests/sha"), (Method::PUT, "/manifests/1.0")] {
        let world = World::new().await;
        world.registry.fail(method, path, usize::MAX, Effect::HangUp(100));
        let ran = world.build(ALL, &["--jobs", "1"]).await.ended(1);
        assert!(ran.errors().contains("run again: what is uploaded stays, and no tag points to anything incomplete"), "{}", ran.err);
        assert!(world.tags().is_empty());
        assert!(world.record().targets.iter().all(|target| target.outcome == Outcome::Failed));
        world.registry.state().faults.clear();
        world.build(ALL, &[]).await.ended(0);
        assert_eq!(world.tags().len(), 3);
        assert!(world.record().targets.iter().all(|target| target.outcome == Outcome::Built));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_broke_is_told_in_full() {
    let world = World::new().await;
    world.registry.fail(Method::PUT, "/uploads/", usize::MAX, Effect::HangUp(100));
    assert_data_eq!(
        world.build("latest", &[]).await.ended(1).errors(),
        str![[r"
error: the connection to the registry `REGISTRY` broke: connection closed before message completed
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      run again: what is uploaded stays, and no tag points to anything incomplete
exit 1

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_passes_is_not_noticed() {
    let world = World::new().await;
    world.registry.fail(Method::POST, "/blobs/uploads/", 1, Effect::Answer(503, Vec::new(), ""));
    world.registry.fail(Method::PUT, "/uploads/", 1, Effect::HangUp(10));
    world.registry.fail(Method::PUT, "/manifests/1.0", 1, Effect::Answer(500, Vec::new(), ""));
    let ran = world.build("latest", &[]).await.ended(0);
    assert!(!ran.err.contains("error"), "{}", ran.err);
    assert_eq!(world.tags(), ["1.0-6.1.0-56-amd64"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn something_that_is_no_registry() {
    let world = World::new().await;
    let repository = format!("{}/drivers", world.site.address);
    let ran = world.run(&["build", "--driver", "kmf", "--kernel", "latest", "--repo", &repository, "--push"]).await.ended(1);
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: `SITE` is no registry
  found     `/v2/` answers 404
  expected  200 or 401
exit 1

"]]
    );
}
