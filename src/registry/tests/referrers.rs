use http::Method;

use super::*;
use crate::attest::{Document, has_referrer};
use crate::image::manifest::{Blob, INDEX, Index};
use crate::registry::fake::Effect;

const PREDICATE: &str = "https://spdx.dev/Document";

fn document(text: &str) -> Document {
    Document { kind: "sbom", file: "sbom.spdx.json", predicate_type: Some(PREDICATE.into()), blob: Blob::new("application/spdx+json", text.into()) }
}

/// A published image with a document attached to it.
async fn attach(fake: &Fake, image: &Image, text: &str) -> Result<(), RegistryError> {
    let referrer = document(text).referrer(&image.manifest.descriptor());
    registry().attach(&fake.reference("drivers/x:1"), &image.manifest.digest, &referrer).await
}

async fn listed(fake: &Fake, image: &Image) -> Vec<crate::image::manifest::Descriptor> {
    registry().referrers(&fake.reference("drivers/x:1"), &image.manifest.digest).await.unwrap()
}

fn fallback_tag(image: &Image) -> String {
    format!("sha256-{}", image.manifest.digest.hex())
}

#[tokio::test]
async fn a_registry_with_the_api_keeps_the_list_itself() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    fake.state().has_referrers = true;
    push(&registry(), &fake, "drivers/x:1", &image).await.unwrap();
    attach(&fake, &image, "{}").await.unwrap();
    let found = listed(&fake, &image).await;
    assert!(found.len() == 1 && has_referrer(&found, "application/spdx+json", PREDICATE), "{found:?}");
    assert!(!fake.state().manifests.contains_key(&("drivers/x".into(), fallback_tag(&image))), "no tag beside it");
}

#[tokio::test]
async fn a_registry_without_the_api_gets_a_tag_with_the_list() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    push(&registry(), &fake, "drivers/x:1", &image).await.unwrap();
    assert_eq!(listed(&fake, &image).await, []);
    for text in ["{}", "[]", "{}"] {
        attach(&fake, &image, text).await.unwrap();
    }
    let found = listed(&fake, &image).await;
    assert_eq!(found.len(), 2, "the same document once: {found:?}");
    assert!(has_referrer(&found, "application/spdx+json", PREDICATE) && !has_referrer(&found, "application/spdx+json", "other"));
    let (media_type, _) = &fake.state().manifests[&("drivers/x".into(), fallback_tag(&image))];
    assert_eq!(media_type, INDEX);
}

#[tokio::test]
async fn a_list_that_another_client_writes_meanwhile_is_written_again() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    push(&registry(), &fake, "drivers/x:1", &image).await.unwrap();
    let other = document("other").referrer(&image.manifest.descriptor()).descriptor;
    fake.state().rival = Some((INDEX.into(), Index::of(vec![other]).to_blob().bytes.into()));
    attach(&fake, &image, "{}").await.unwrap();
    assert_eq!(listed(&fake, &image).await.len(), 2);
}

#[tokio::test]
async fn attaching_again_writes_nothing() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    push(&registry(), &fake, "drivers/x:1", &image).await.unwrap();
    attach(&fake, &image, "{}").await.unwrap();
    let before = fake.state().manifests.clone();
    attach(&fake, &image, "{}").await.unwrap();
    assert_eq!(fake.state().manifests, before);
}

#[tokio::test]
async fn a_list_that_is_no_index_is_named() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    fake.state().manifests.insert(("drivers/x".into(), fallback_tag(&image)), (INDEX.into(), "[]".into()));
    let error = registry().referrers(&fake.reference("drivers/x:1"), &image.manifest.digest).await.unwrap_err();
    assert!(shown(error, &fake).starts_with("error: the registry `HOST` gave an answer that makes no sense: list of referrers: "));
}

#[tokio::test]
async fn a_refusal_is_told_as_for_an_image() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    push(&registry(), &fake, "drivers/x:1", &image).await.unwrap();
    let answer = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"artifactType is not allowed"}]}"#;
    fake.fail(Method::PUT, "/manifests/", 1, Effect::Answer(400, vec![], answer));
    let error = attach(&fake, &image, "{}").await.unwrap_err();
    assert_eq!(
        shown(error, &fake),
        "error: the registry `HOST` refuses to push to `drivers/x` with status 400\n  answer    MANIFEST_INVALID: artifactType is not allowed"
    );
}
