//! What happens when nothing is wrong: the ground on which the faults stand.

use kmodforge::record::Outcome;
use serde_json::Value;
use snapbox::{assert_data_eq, str};

use crate::site::Page;
use crate::world::{KERNELS, World};

const ALL: &str = "6.1.0-5*-amd64";

#[tokio::test(flavor = "multi_thread")]
async fn builds_pushes_and_records() {
    let world = World::new().await;
    let ran = world.build(ALL, &["--jobs", "1"]).await.ended(0);
    assert_data_eq!(
        ran.out.as_str(),
        str![[r"
REGISTRY/drivers/kmf:1.0-6.1.0-56-amd64@sha256:DIGEST
REGISTRY/drivers/kmf:1.0-6.1.0-55-amd64@sha256:DIGEST
REGISTRY/drivers/kmf:1.0-6.1.0-54-amd64@sha256:DIGEST

"]]
    );
    assert_data_eq!(
        ran.calm(),
        str![[r"
builder: buildkitd 0.32.2 at unix://BUILDER
TIME run started, 3 targets
TIME kmf@1.0/6.1.0-56-amd64 started
TIME kmf@1.0/6.1.0-56-amd64 headers started
TIME kmf@1.0/6.1.0-56-amd64 headers [build 3/4] RUN make modules started
TIME kmf@1.0/6.1.0-56-amd64 headers [build 3/4] RUN make modules done SOMEs
TIME kmf@1.0/6.1.0-56-amd64 fetch started
TIME kmf@1.0/6.1.0-56-amd64 compile started
TIME kmf@1.0/6.1.0-56-amd64 compile [build 3/4] RUN make modules started
TIME kmf@1.0/6.1.0-56-amd64 compile [build 3/4] RUN make modules done SOMEs
TIME kmf@1.0/6.1.0-56-amd64 check started
TIME kmf@1.0/6.1.0-56-amd64 assemble started
TIME kmf@1.0/6.1.0-56-amd64 publish started
TIME kmf@1.0/6.1.0-56-amd64 done built, 18 checks passed SOMEs +SOME B sha256:DIGEST
TIME kmf@1.0/6.1.0-55-amd64 started
TIME kmf@1.0/6.1.0-55-amd64 headers started
TIME kmf@1.0/6.1.0-55-amd64 headers [build 3/4] RUN make modules started
TIME kmf@1.0/6.1.0-55-amd64 headers [build 3/4] RUN make modules done SOMEs
TIME kmf@1.0/6.1.0-55-amd64 fetch started
TIME kmf@1.0/6.1.0-55-amd64 compile started
TIME kmf@1.0/6.1.0-55-amd64 compile [build 3/4] RUN make modules started
TIME kmf@1.0/6.1.0-55-amd64 compile [build 3/4] RUN make modules done SOMEs
TIME kmf@1.0/6.1.0-55-amd64 check started
TIME kmf@1.0/6.1.0-55-amd64 assemble started
TIME kmf@1.0/6.1.0-55-amd64 publish started
TIME kmf@1.0/6.1.0-55-amd64 done built, 18 checks passed SOMEs +SOME B sha256:DIGEST
TIME kmf@1.0/6.1.0-54-amd64 started
TIME kmf@1.0/6.1.0-54-amd64 headers started
TIME kmf@1.0/6.1.0-54-amd64 headers [build 3/4] RUN make modules started
TIME kmf@1.0/6.1.0-54-amd64 headers [build 3/4] RUN make modules done SOMEs
TIME kmf@1.0/6.1.0-54-amd64 fetch started
TIME kmf@1.0/6.1.0-54-amd64 compile started
TIME kmf@1.0/6.1.0-54-amd64 compile [build 3/4] RUN make modules started
TIME kmf@1.0/6.1.0-54-amd64 compile [build 3/4] RUN make modules done SOMEs
TIME kmf@1.0/6.1.0-54-amd64 check started
TIME kmf@1.0/6.1.0-54-amd64 assemble started
TIME kmf@1.0/6.1.0-54-amd64 publish started
TIME kmf@1.0/6.1.0-54-amd64 done built, 18 checks passed SOMEs +SOME B sha256:DIGEST
DRIVER DISTRO KERNEL ARCH RESULT TIME SIZE NEW DIGEST
kmf 1.0 debian bookworm 6.1.0-56-amd64 amd64 built SOMEs SOME B +SOME B sha256:SHORT…
kmf 1.0 debian bookworm 6.1.0-55-amd64 amd64 built SOMEs SOME B +SOME B sha256:SHORT…
kmf 1.0 debian bookworm 6.1.0-54-amd64 amd64 built SOMEs SOME B +SOME B sha256:SHORT…
3 targets done
record kmodforge-record.json
deploy kmodforge deploy daemonset kmodforge-record.json | kubectl apply -f -

"]]
    );
    assert_eq!(world.tags(), ["1.0-6.1.0-54-amd64", "1.0-6.1.0-55-amd64", "1.0-6.1.0-56-amd64"]);
    assert_eq!(world.bench.solved("facts").len(), 3, "the headers are asked before anything compiles");
    let record = world.record();
    assert_eq!(record.builder, "buildkitd 0.32.2");
    for target in &record.targets {
        assert_eq!((target.outcome, target.why.as_str()), (Outcome::Built, "built"));
        assert!(target.digest.is_some() && target.index_digest.is_some() && target.checks > 10 && target.image_bytes > 0 && target.findings.is_empty());
        assert_eq!(target.headers, [format!("linux-headers-{} 6.1.192-2", target.target.kernel), "linux-kbuild-6.1 6.1.192-2".into()]);
        assert_eq!(target.compiler.as_deref(), Some("gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0"));
        assert_eq!(target.modules, ["kmf_core"]);
        assert!(target.source.as_ref().unwrap().starts_with(&format!("{}/kmf-1.0.tar sha256:", world.site.url())));
        assert!(world.path("work").join(target.log.as_ref().unwrap()).exists());
    }
    assert!(world.files("tmp").is_empty(), "{:?}", world.files("tmp"));
}

#[tokio::test(flavor = "multi_thread")]
async fn does_nothing_twice() {
    let world = World::new().await;
    world.build(ALL, &[]).await.ended(0);
    world.bench.clear();
    world.registry.state().log.clear();
    let ran = world.build(ALL, &[]).await.ended(0);
    assert_data_eq!(
        ran.calm(),
        str![[r"
TIME run started, 3 targets
TIME kmf@1.0/6.1.0-56-amd64 done already published SOMEs sha256:DIGEST
TIME kmf@1.0/6.1.0-55-amd64 done already published SOMEs sha256:DIGEST
TIME kmf@1.0/6.1.0-54-amd64 done already published SOMEs sha256:DIGEST
DRIVER DISTRO KERNEL ARCH RESULT TIME SIZE NEW DIGEST
kmf 1.0 debian bookworm 6.1.0-56-amd64 amd64 already published sha256:SHORT…
kmf 1.0 debian bookworm 6.1.0-55-amd64 amd64 already published sha256:SHORT…
kmf 1.0 debian bookworm 6.1.0-54-amd64 amd64 already published sha256:SHORT…
3 targets done (3 already published)
record kmodforge-record.json
deploy kmodforge deploy daemonset kmodforge-record.json | kubectl apply -f -

"]]
    );
    assert!(world.bench.solved("artifacts").is_empty());
    assert_eq!(world.registry.count("PUT") + world.registry.count("POST"), 0);
    assert!(world.record().targets.iter().all(|target| target.outcome == Outcome::Published && target.digest.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn needs_no_builder_when_all_is_published() {
    let mut world = World::new().await;
    world.build(ALL, &[]).await.ended(0);
    world.builder = None;
    world.build(ALL, &["--builder", "unix:///nowhere"]).await.ended(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn force_builds_again_and_uploads_nothing_new() {
    let world = World::new().await;
    world.build("latest", &[]).await.ended(0);
    world.bench.clear();
    let ran = world.build("latest", &["--force"]).await.ended(0);
    assert_eq!(world.bench.solved("artifacts"), ["6.1.0-56-amd64"]);
    assert!(ran.err.contains("done built"), "{}", ran.err);
    assert_eq!(world.record().targets[0].pushed_bytes, 0, "the same image again");
}

async fn plan(world: &World, arguments: &[&str]) -> String {
    let ran = world.run(&[&["plan", "--driver", "kmf", "--kernel", ALL, "--repo", "REPO"], arguments].concat()).await.ended(0);
    regex::Regex::new("sha256:[0-9a-f]{6}…").unwrap().replace_all(&(ran.out + &ran.err), "sha256:SHORT…").into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_why_it_builds_again() {
    let world = World::new().await;
    world.build("6.1.0-5[56]-amd64", &[]).await.ended(0);
    assert_data_eq!(
        plan(&world, &[]).await,
        str![[r"
DRIVER   DISTRO           KERNEL          ARCH   STATE      WHY
kmf 1.0  debian bookworm  6.1.0-56-amd64  amd64  published  sha256:SHORT…
kmf 1.0  debian bookworm  6.1.0-55-amd64  amd64  published  sha256:SHORT…
kmf 1.0  debian bookworm  6.1.0-54-amd64  amd64  build      not published
1 to build · 2 published

"]]
    );
    world.source("obj-m := kmf_core.o # changed\n");
    assert_data_eq!(
        plan(&world, &[]).await,
        str![[r"
DRIVER   DISTRO           KERNEL          ARCH   STATE  WHY
kmf 1.0  debian bookworm  6.1.0-56-amd64  amd64  build  driver source changed
kmf 1.0  debian bookworm  6.1.0-55-amd64  amd64  build  driver source changed
kmf 1.0  debian bookworm  6.1.0-54-amd64  amd64  build  not published
3 to build

"]]
    );
    world.source("obj-m := kmf_core.o\n");
    world.site.publish(KERNELS, "6.1.200-1");
    assert_data_eq!(
        plan(&world, &["--cache-dir", "DIR/cache2"]).await,
        str![[r"
DRIVER   DISTRO           KERNEL          ARCH   STATE  WHY
kmf 1.0  debian bookworm  6.1.0-56-amd64  amd64  build  kernel headers changed
kmf 1.0  debian bookworm  6.1.0-55-amd64  amd64  build  kernel headers changed
kmf 1.0  debian bookworm  6.1.0-54-amd64  amd64  build  not published
3 to build

"]]
    );
    world.site.publish(KERNELS, "6.1.192-2");
    let mut driver = std::fs::read_to_string(world.path("profiles/drivers/kmf.yaml")).unwrap();
    driver = driver.replace("steps: [{kbuild: {}}]", "steps: [{kbuild: {variables: {V: '1'}}}]");
    world.profile("drivers/kmf.yaml", &driver);
    assert_data_eq!(
        plan(&world, &["--cache-dir", "DIR/cache3"]).await,
        str![[r"
DRIVER   DISTRO           KERNEL          ARCH   STATE  WHY
kmf 1.0  debian bookworm  6.1.0-56-amd64  amd64  build  build recipe changed
kmf 1.0  debian bookworm  6.1.0-55-amd64  amd64  build  build recipe changed
kmf 1.0  debian bookworm  6.1.0-54-amd64  amd64  build  not published
3 to build

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_somebody_else_is_replaced_and_that_is_said() {
    let world = World::new().await;
    let manifest = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:DIGEST","size":SIZE,"platform":{"os":"linux","architecture":"amd64"}}]}"#;
    let image = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;
    let digest = kmodforge::reference::Digest::of(image.as_bytes());
    let index = manifest.replace("sha256:DIGEST", digest.as_str()).replace("SIZE", &image.len().to_string());
    {
        let mut state = world.registry.state();
        let kind = |kind: &str| format!("application/vnd.oci.image.{kind}.v1+json");
        let key = |name: &str| ("drivers/kmf".to_owned(), name.to_owned());
        state.manifests.insert(key(digest.as_str()), (kind("manifest"), image.as_bytes().to_vec().into()));
        state.manifests.insert(key("1.0-6.1.0-56-amd64"), (kind("index"), index.into_bytes().into()));
        state.blobs.insert(("drivers/kmf".into(), "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a".into()), (&b"{}"[..]).into());
    }
    assert_data_eq!(
        plan(&world, &[]).await,
        str![[r"
DRIVER   DISTRO           KERNEL          ARCH   STATE  WHY
kmf 1.0  debian bookworm  6.1.0-56-amd64  amd64  build  tag exists, but holds an image that was not made by kmodforge
kmf 1.0  debian bookworm  6.1.0-55-amd64  amd64  build  not published
kmf 1.0  debian bookworm  6.1.0-54-amd64  amd64  build  not published
3 to build

"]]
    );
    world.build("latest", &[]).await.ended(0);
    assert_eq!(world.tags(), ["1.0-6.1.0-56-amd64"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_for_programs() {
    let world = World::new().await;
    world.build("6.1.0-56-amd64", &[]).await.ended(0);
    let planned = |format: &'static str| world.run_plan(format);
    let json: Value = serde_json::from_str(&planned("json").await).unwrap();
    assert_eq!(json["targets"].as_array().unwrap().len(), 3);
    let states: Vec<_> = json["targets"].as_array().unwrap().iter().map(|target| target["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["published", "build", "build"]);
    assert_eq!(json["targets"][1]["headers"][0]["name"], "linux-headers-6.1.0-55-amd64");
    assert_data_eq!(
        planned("github").await,
        str![[r#"
{"include":[{"name":"kmf 1.0 6.1.0-55-amd64","options":"--driver=kmf@1.0 --distro=debian:bookworm --arch=amd64 --kernel=6.1.0-55-amd64"},{"name":"kmf 1.0 6.1.0-54-amd64","options":"--driver=kmf@1.0 --distro=debian:bookworm --arch=amd64 --kernel=6.1.0-54-amd64"}]}

"#]]
    );
    assert_data_eq!(
        planned("gitlab").await,
        str![[r#"
{
  "kmf 1.0 6.1.0-55-amd64": {
    "script": [
      "kmodforge build --push --driver=kmf@1.0 --distro=debian:bookworm --arch=amd64 --kernel=6.1.0-55-amd64"
    ]
  },
  "kmf 1.0 6.1.0-54-amd64": {
    "script": [
      "kmodforge build --push --driver=kmf@1.0 --distro=debian:bookworm --arch=amd64 --kernel=6.1.0-54-amd64"
    ]
  }
}

"#]]
    );
}

impl World {
    async fn run_plan(&self, format: &str) -> String {
        self.run(&["plan", "--driver", "kmf", "--kernel", ALL, "--repo", "REPO", "--format", format]).await.ended(0).out
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_in_json_is_what_its_schema_says() {
    let world = World::new().await;
    world.site.put("/kmf-1.0.tar", Page::Bytes(world.source("obj-m := kmf_core.o\n")));
    world.bench.set("6.1.0-54", "artifacts", crate::bench::Act::Fail("[build 3/4] RUN make", vec!["kmf.c:1:1: error: no"], 2));
    let ran = world.build(ALL, &["--progress", "json"]).await.ended(1);
    let schema = serde_json::to_value(kmodforge::ui::progress_schema()).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let mut events = std::collections::BTreeSet::new();
    for line in ran.err.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if let Err(error) = schema.validate(&event) {
            panic!("{error}: {line}");
        }
        events.insert(event["event"].as_str().unwrap().to_owned());
    }
    for event in ["started", "note", "target-started", "phase", "step-started", "step-done", "log", "target-finished", "summary"] {
        assert!(events.contains(event), "{event} is not among {events:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn architectures_share_a_tag() {
    let world = World::new().await;
    let template = ["--tag-template", "{{ driver.version }}-{{ distro.release }}"];
    world.build("6.1.0-56-amd64", &template).await.ended(0);
    world.build("6.1.0-56-arm64", &template).await.ended(0);
    assert_eq!(world.tags(), ["1.0-bookworm"]);
    let index = world.registry.state().manifests[&("drivers/kmf".to_owned(), "1.0-bookworm".to_owned())].1.clone();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let arches: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|one| one["platform"]["architecture"].as_str().unwrap()).collect();
    assert_eq!(arches, ["amd64", "arm64"]);
    world.bench.clear();
    let both = ["--kernel", "6.1.0-56-arm64", "--tag-template", "{{ driver.version }}-{{ distro.release }}"];
    world.build("6.1.0-56-amd64", &both).await.ended(0);
    assert!(world.bench.solved("artifacts").is_empty(), "both are published");
}

#[tokio::test(flavor = "multi_thread")]
async fn works_on_as_many_at_once_as_it_is_told() {
    for jobs in [1, 3] {
        let world = World::new().await;
        world.build(ALL, &["--jobs", &jobs.to_string()]).await.ended(0);
        let busiest = world.bench.busiest();
        assert!(if jobs == 1 { busiest == 1 } else { busiest <= 3 }, "{busiest} of {jobs}");
    }
}
