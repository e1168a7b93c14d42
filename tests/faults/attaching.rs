//! What is attached to images, when something is wrong with the key, the licence or the registry.

use base64::Engine as _;
use http::Method;
use kmodforge::record::{Outcome, Record};
use kmodforge::reference::Digest;
use serde_json::Value;
use snapbox::{assert_data_eq, str};

use crate::registry::Effect;
use crate::world::World;

/// `PKCS#8`, made for these tests.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWS17NKZK4/qf/Tgq\n\
    cOf5/1d3glEL4CRj08T3yVWHMD+hRANCAAT4OlbrcLThK3L4fiIZAGUZTNAi7QjI\nWyR0qvuv1o3qhE8ELP0VaFxJ2868g9Wxw990MlHGWi1/YF1at+zaEk+e\n-----END PRIVATE KEY-----\n";

/// Its public half, and another key's.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+DpW63C04Sty+H4iGQBlGUzQIu0I\nyFskdKr7r9aN6oRPBCz9FWhcSdvOvIPVscPfdDJRxlotf2BdWrfs2hJPng==\n-----END PUBLIC KEY-----\n";
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGtQzGXgaBmgZ8pIO6RGZNbSd+/lt\nLME7NJDKutct99c0RC1y+O8Jjxh/bRLwoBWChd77SHol6AYu+tmcdWzbyA==\n-----END PUBLIC KEY-----\n";

async fn world() -> World {
    let world = World::new().await;
    world.write("key.pem", KEY);
    world
}

fn kinds(record: &Record) -> Vec<&str> {
    record.targets[0].attachments.iter().map(|attachment| attachment.kind.as_str()).collect()
}

const ALL_KINDS: [&str; 11] = [
    "sbom",
    "provenance",
    "checks",
    // Of the image, and of the index.
    "attestation",
    "attestation",
    "attestation",
    "attestation",
    "attestation",
    "attestation",
    "signature",
    "signature",
];

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_attached_once() {
    let world = world().await;
    world.registry.state().has_referrers = true;
    world.build("latest", &["--cosign-key", "key.pem"]).await.ended(0);
    assert_eq!(kinds(&world.record()), ALL_KINDS);
    let tags = world.registry.state().manifests.keys().filter(|(_, name)| name.starts_with("sha256-")).count();
    assert_eq!(tags, 4, "signatures and attestations of image and index, and no list of referrers");

    let before = world.registry.state().manifests.clone();
    let ran = world.build("latest", &["--cosign-key", "key.pem"]).await.ended(0);
    assert!(ran.err.contains("1 already published"), "{}", ran.err);
    world.build("latest", &["--cosign-key", "key.pem", "--force"]).await.ended(0);
    assert_eq!(world.registry.state().manifests, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_attached_unasked() {
    let world = world().await;
    world.build("latest", &[]).await.ended(0);
    assert_eq!(world.tags(), ["1.0-6.1.0-56-amd64"]);
    assert!(world.record().targets[0].attachments.is_empty());
    world.build("latest", &["--sbom"]).await.ended(0);
    assert_eq!(kinds(&world.record()), ["sbom", "checks"], "the published image gets what it lacks");
    world.build("latest", &["--sbom=false", "--provenance"]).await.ended(0);
    assert_eq!(kinds(&world.record()), ["provenance", "checks"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_refuses_documents_leaves_an_image_and_says_what_it_lacks() {
    let world = world().await;
    let denied = r#"{"errors":[{"code":"DENIED","message":"no such tags here"}]}"#;
    world.registry.fail(Method::PUT, ".att", usize::MAX, Effect::Answer(403, Vec::new(), denied));
    assert_data_eq!(
        world.build("latest", &["--cosign-key", "key.pem"]).await.ended(1).errors(),
        str![[r"
error: kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64) is published, but not everything is attached to it
  image     REGISTRY/drivers/kmf:1.0-6.1.0-56-amd64
  attached  sbom, provenance, checks
  missing   attestations, attestations of the index, signatures
  reason    not allowed to push to `REGISTRY/drivers/kmf`
  answer    DENIED: no such tags here
  help      run again: what is attached stays, and the rest is added
exit 1

"]]
    );
    let record = world.record();
    assert_eq!((record.targets[0].outcome, kinds(&record)), (Outcome::Failed, ALL_KINDS[..3].to_vec()));
    world.registry.state().faults.clear();
    world.build("latest", &["--cosign-key", "key.pem"]).await.ended(0);
    assert_eq!(kinds(&world.record()), ALL_KINDS);
}

/// The reason that `plan` gives, and the one that `build` then acts on: what it says first is what it builds.
async fn why(world: &World, options: &[&str]) -> String {
    let plan = ["plan", "--driver", "kmf", "--kernel", "latest", "--repo", "REPO", "--format", "json"];
    let planned = world.run(&[&plan[..], options].concat()).await.ended(0);
    let plan: Value = serde_json::from_str(&planned.out).unwrap();
    format!("{} {}", plan["targets"][0]["state"].as_str().unwrap(), plan["targets"][0]["why"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_what_is_not_attached_yet() {
    let world = world().await;
    world.write("key.pub", PUBLIC);
    world.write("other.pub", OTHER);
    world.build("latest", &[]).await.ended(0);
    assert!(why(&world, &[]).await.starts_with("published sha256:"));
    for (options, reason) in [
        (&["--sbom"][..], "build has no bill of materials"),
        (&["--provenance"], "build has no provenance"),
        (&["--cosign-key", "key.pem"], "build not signed yet"),
        (&["--cosign-key", "key.pub"], "build not signed yet"),
        (&["--cosign-key", "key.pub", "--sbom=false", "--provenance=false"], "build not signed yet"),
    ] {
        assert_eq!(why(&world, options).await, reason, "{options:?}");
    }
    world.build("latest", &["--cosign-key", "key.pem"]).await.ended(0);
    for key in ["key.pem", "key.pub"] {
        assert!(why(&world, &["--cosign-key", key]).await.starts_with("published "), "{key}");
    }
    assert_eq!(why(&world, &["--cosign-key", "other.pub"]).await, "build not signed with this key");

    let broken = ["plan", "--driver", "kmf", "--kernel", "latest", "--repo", "REPO", "--cosign-key", "nowhere.pub"];
    let said = "error: the cosign key `nowhere.pub` cannot be read: No such file or directory (os error 2)\nexit 2\n";
    assert_eq!(world.run(&broken).await.ended(2).errors(), said);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_project_file_says_what_is_attached_and_the_command_line_wins() {
    let world = world().await;
    world.write("kmodforge.yaml", "attach: {sbom: true}\n");
    world.build("latest", &[]).await.ended(0);
    assert_eq!(kinds(&world.record()), ["sbom", "checks"]);
    assert!(why(&world, &[]).await.starts_with("published "));
    world.write("kmodforge.yaml", "attach: {cosign_key: key.pem}\n");
    assert_eq!(why(&world, &[]).await, "build not signed yet");
    assert!(why(&world, &["--no-attach"]).await.starts_with("published "));
    world.build("latest", &["--no-attach", "--force"]).await.ended(0);
    assert!(world.record().targets[0].attachments.is_empty());
    world.build("latest", &[]).await.ended(0);
    assert_eq!(kinds(&world.record()), ALL_KINDS);
    world.run(&["build", "--driver", "kmf", "--kernel", "latest", "--output", "oci:out"]).await.ended(0);
    world.write("kmodforge.yaml", "attach: {cosign_key: env://KEY}\n");
    assert_eq!(world.build("latest", &[]).await.ended(2).errors(), "error: the cosign key's variable `KEY` is not set\nexit 2\n");
    world.build("latest", &["--cosign-key", "key.pem"]).await.ended(0);
}

/// The statements under a tag of attestations: predicate type and subjects.
fn statements(world: &World, digest: &str) -> Vec<(String, Vec<String>)> {
    let state = world.registry.state();
    let tag = format!("{}.att", digest.replace(':', "-"));
    let manifest: Value = serde_json::from_slice(&state.manifests[&("drivers/kmf".to_owned(), tag)].1).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    let statement = layers.map(|layer| {
        let blob = &state.blobs[&("drivers/kmf".to_owned(), layer["digest"].as_str().unwrap().to_owned())];
        let envelope: Value = serde_json::from_slice(blob).unwrap();
        let payload = base64::engine::general_purpose::STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
        let statement: Value = serde_json::from_slice(&payload).unwrap();
        let subjects = statement["subject"].as_array().unwrap().iter().map(|subject| format!("sha256:{}", subject["digest"]["sha256"].as_str().unwrap()));
        (statement["predicateType"].as_str().unwrap().to_owned(), subjects.collect())
    });
    statement.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_says_what_holds_for_each_architecture() {
    let template = ["--tag-template", "{{ driver.version }}-{{ distro.release }}", "--cosign-key", "key.pem"];
    let both = [&template[..], &["--kernel", "6.1.0-56-arm64"]].concat();
    for together in [true, false] {
        let world = world().await;
        if together {
            world.build("6.1.0-56-amd64", &both).await.ended(0);
        } else {
            world.build("6.1.0-56-amd64", &template).await.ended(0);
            world.build("6.1.0-56-arm64", &template).await.ended(0);
        }
        let index = world.registry.state().manifests[&("drivers/kmf".to_owned(), "1.0-bookworm".to_owned())].1.clone();
        let of_index = Digest::of(&index).to_string();
        let index: Value = serde_json::from_slice(&index).unwrap();
        let images: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|image| image["digest"].as_str().unwrap().to_owned()).collect();
        assert_eq!(images.len(), 2);
        let mut said = statements(&world, &of_index);
        said.sort();
        let mut expected = Vec::new();
        for image in &images {
            let own = statements(&world, image);
            assert_eq!(own.len(), 3, "an image's own statements are about nothing else");
            assert!(own.iter().all(|(_, subjects)| subjects == std::slice::from_ref(image)));
            expected.extend(own.into_iter().map(|(kind, _)| (kind, vec![of_index.clone(), image.clone()])));
        }
        expected.sort();
        assert_eq!(said, expected, "together: {together}");
        let signed = format!("{}.sig", of_index.replace(':', "-"));
        assert!(world.registry.state().manifests.contains_key(&("drivers/kmf".to_owned(), signed)));

        let before = world.registry.state().manifests.clone();
        let ran = world.build("6.1.0-56-amd64", &both).await.ended(0);
        assert!(ran.err.contains("2 already published"), "{}", ran.err);
        world.build("6.1.0-56-amd64", &[&both[..], &["--force"]].concat()).await.ended(0);
        assert_eq!(world.registry.state().manifests, before, "nothing is said twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_used_are_told_before_anything_is_built() {
    let world = world().await;
    world.write("public.pem", "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n");
    for (key, said) in [
        ("nowhere.pem", "error: the cosign key `nowhere.pem` cannot be read: No such file or directory (os error 2)\n"),
        ("env://KEY", "error: the cosign key's variable `KEY` is not set\n"),
        (
            "public.pem",
            "error: the cosign key cannot be used: it holds `PUBLIC KEY`\n  key       public.pem\n  help      that is the public half, for those who verify; the other file signs\n",
        ),
    ] {
        assert_eq!(world.build("latest", &["--cosign-key", key]).await.ended(2).errors(), format!("{said}exit 2\n"));
    }
    assert!(world.bench.solved("artifacts").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_pushed_gets_nothing_attached() {
    let world = world().await;
    for (option, value) in [("--cosign-key", "--cosign-key=key.pem"), ("--sbom", "--sbom"), ("--provenance", "--provenance")] {
        let ran = world.run(&["build", "--driver", "kmf", "--kernel", "latest", "--output", "oci:out", value]).await.ended(2);
        assert_eq!(
            ran.errors(),
            format!("error: `{option}` needs `--push`\n  help      documents and signatures are attached to images in a registry\nexit 2\n")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_simply_be_passed_on_is_not_pushed() {
    let world = world().await;
    let profile = std::fs::read_to_string(world.path("profiles/drivers/kmf.yaml")).unwrap();
    std::fs::write(world.path("profiles/drivers/kmf.yaml"), format!("{profile}redistribution: forbidden\n")).unwrap();
    assert_data_eq!(
        world.build("latest", &[]).await.ended(2).errors(),
        str![[r"
error: driver `kmf` may not be passed on without an agreement
  licence   GPL-2.0-only
  help      if you may publish it: --accept-licence GPL-2.0-only, or `accept_licences` in the project file
  help      or build it for this machine alone: --output docker in place of --push
exit 2

"]]
    );
    world.build("latest", &["--accept-licence", "GPL-2.0-only"]).await.ended(0);
    world.write("kmodforge.yaml", "accept_licences: [GPL-2.0-only]\n");
    world.build("latest", &["--force"]).await.ended(0);
    world.run(&["build", "--driver", "kmf", "--kernel", "latest", "--output", "oci:out"]).await.ended(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_something_else_is_refused() {
    let world = world().await;
    world.write("text.json", "{}");
    world.write("newer.json", r#"{"schema":9,"tool":"kmodforge 9.0","started":0,"seconds":0,"builder":"","targets":[]}"#);
    for (file, said) in [
        ("nowhere.json", "error: the record `nowhere.json` cannot be read: No such file or directory (os error 2)\n"),
        (
            "text.json",
            "error: `text.json` is no record of kmodforge: missing field `schema` at line 1 column 2\n  \
             help      expected what `kmodforge build` writes: kmodforge-record.json\n",
        ),
        (
            "newer.json",
            "error: `newer.json` is no record of kmodforge: its schema is 9, and this program knows 1\n  \
             help      expected what `kmodforge build` writes: kmodforge-record.json\n  help      kmodforge 9.0 wrote it: use that, or a newer one\n",
        ),
    ] {
        assert_eq!(world.run(&["report", file]).await.ended(2).errors(), format!("{said}exit 2\n"));
    }
}
