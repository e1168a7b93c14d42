use std::sync::Mutex;

use futures::StreamExt as _;

use super::*;
use crate::image::manifest::{DOCKER_MANIFEST, INDEX, Index, Manifest};
use crate::reference::Digest;
use crate::registry::Published;

async fn published(fake: &Fake, name: &str) -> Option<Published> {
    registry().published(&fake.reference(name)).await.unwrap()
}

#[tokio::test]
async fn a_tag_tells_in_one_request_what_was_published() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    assert_eq!(published(&fake, "drivers/x:1").await, None);
    let pushed = push(&registry(), &fake, "drivers/x:1", &image).await.unwrap();
    assert_eq!((pushed.uploaded_bytes + image.manifest.size(), pushed.existing_bytes), (image.total_size, 0));
    fake.state().log.clear();
    let published = published(&fake, "drivers/x:1").await.unwrap();
    assert_eq!(fake.state().log, ["GET /v2/", "GET /v2/drivers/x/manifests/1"]);
    assert_eq!(published.digest, pushed.index);
    let found = published.image(Arch::Amd64).unwrap();
    assert_eq!((&found.digest, found.input_digest.as_deref()), (&image.manifest.digest, Some("sha256:input-of-m")));
    assert_eq!(published.image(Arch::Arm64), None);
}

#[tokio::test]
async fn understands_tags_of_other_tools() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    let bytes = image.manifest.bytes.clone();
    fake.state().manifests.insert(("drivers/x".into(), "1".into()), (DOCKER_MANIFEST.into(), bytes.into()));
    let found = published(&fake, "drivers/x:1").await.unwrap();
    assert_eq!((found.digest, found.images[0].arch), (image.manifest.digest.clone(), None));
    push(&registry(), &fake, "drivers/x:1", &image).await.unwrap();
    assert_eq!(published(&fake, "drivers/x:1").await.unwrap().images[0].arch, Some(Arch::Amd64), "replaced by an index");
}

#[tokio::test]
async fn keeps_images_of_other_architectures_under_a_tag() {
    let fake = Fake::start().await;
    let ((_a, amd64), (_b, arm64), (_c, newer)) = (small(Arch::Amd64, "a"), small(Arch::Arm64, "b"), small(Arch::Amd64, "c"));
    for image in [&amd64, &arm64, &newer] {
        push(&registry(), &fake, "drivers/x:1", image).await.unwrap();
    }
    let found = published(&fake, "drivers/x:1").await.unwrap();
    assert_eq!(found.images.len(), 2);
    assert_eq!(found.image(Arch::Amd64).unwrap().digest, newer.manifest.digest);
    assert_eq!(found.image(Arch::Arm64).unwrap().digest, arm64.manifest.digest);
    assert_whole(&fake, "drivers/x", "1");
}

#[tokio::test]
async fn merges_again_when_another_client_writes_the_tag_meanwhile() {
    let fake = Fake::start().await;
    let ((_a, amd64), (_b, arm64)) = (small(Arch::Amd64, "a"), small(Arch::Arm64, "b"));
    fake.state().rival = Some((INDEX.into(), Index::of(vec![arm64.descriptor()]).to_blob().bytes.into()));
    push(&registry(), &fake, "drivers/x:1", &amd64).await.unwrap();
    assert_eq!(published(&fake, "drivers/x:1").await.unwrap().images.len(), 2);
}

#[tokio::test]
async fn sends_nothing_twice() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    push(&registry(), &fake, "drivers/x:1", &image).await.unwrap();
    fake.state().log.clear();
    let again = push(&registry(), &fake, "drivers/x:2", &image).await.unwrap();
    assert_eq!((again.uploaded_bytes, again.mounted_bytes, again.existing_bytes + image.manifest.size()), (0, 0, image.total_size));
    assert_eq!(fake.count("POST"), 0);
    fake.state().log.clear();
    push(&registry(), &fake, "drivers/x:2", &image).await.unwrap();
    assert_eq!(fake.count("PUT /v2/drivers/x/manifests/2"), 0, "the tag is right already");
}

#[tokio::test]
async fn mounts_layers_of_sibling_repositories() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (image(dir.path(), Arch::Amd64, "one"), image(dir.path(), Arch::Amd64, "two"));
    let registry = registry();
    push(&registry, &fake, "drivers/one:1", &one).await.unwrap();
    let pushed = push(&registry, &fake, "drivers/two:1", &two).await.unwrap();
    assert_eq!(pushed.mounted_bytes, one.layers[0].size);
    assert_eq!(pushed.uploaded_bytes, two.layers[1].size + two.config.size());
    assert_whole(&fake, "drivers/two", "1");
}

#[tokio::test]
async fn uploads_where_a_registry_does_not_mount() {
    let fake = Fake::start().await;
    fake.state().no_mounts = true;
    let (_dir, image) = small(Arch::Amd64, "m");
    let registry = registry();
    push(&registry, &fake, "drivers/one:1", &image).await.unwrap();
    let pushed = push(&registry, &fake, "drivers/two:1", &image).await.unwrap();
    assert_eq!((pushed.mounted_bytes, pushed.uploaded_bytes + image.manifest.size()), (0, image.total_size));
    assert_whole(&fake, "drivers/two", "1");
}

#[tokio::test]
async fn of_parallel_pushes_one_uploads_a_shared_layer() {
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let images: Vec<_> = (0..8).map(|n| image(dir.path(), Arch::Amd64, &n.to_string())).collect();
    let registry = registry();
    let uploads = images.iter().enumerate().map(|(n, image)| {
        let (registry, fake) = (registry.clone(), fake.clone());
        async move { push(&registry, &fake, &format!("drivers/x:{n}"), image).await.unwrap() }
    });
    let pushed = futures::future::join_all(uploads).await;
    let tools = images[0].layers[0].size;
    let times = pushed.iter().zip(&images).filter(|(pushed, image)| pushed.uploaded_bytes > image.total_size - image.manifest.size() - tools).count();
    assert_eq!(times, 1);
    assert_eq!(fake.count("POST"), 1 + 8 * 2, "the tools once; modules and configuration of every image");
    for n in 0..8 {
        assert_whole(&fake, "drivers/x", &n.to_string());
    }
}

#[tokio::test]
async fn parallel_pushes_of_two_architectures_share_a_tag() {
    let fake = Fake::start().await;
    let ((_a, amd64), (_b, arm64)) = (small(Arch::Amd64, "a"), small(Arch::Arm64, "b"));
    let registry = registry();
    let (one, other) = tokio::join!(push(&registry, &fake, "drivers/x:1", &amd64), push(&registry, &fake, "drivers/x:1", &arm64));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(published(&fake, "drivers/x:1").await.unwrap().images.len(), 2);
}

#[tokio::test]
async fn tells_how_far_an_upload_is() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    let seen = Mutex::new(Vec::new());
    registry().push(&fake.reference("drivers/x:1"), &image, &|done, total| seen.lock().unwrap().push((done, total))).await.unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted(), "{seen:?}");
    let total = image.total_size - image.manifest.size();
    assert_eq!(seen.last(), Some(&(total, total)));
}

#[tokio::test]
async fn reads_images_back() {
    let (fake, (dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    let (registry, reference) = (registry(), fake.reference("drivers/x:1"));
    push(&registry, &fake, "drivers/x:1", &image).await.unwrap();
    let stored = registry.image(&reference, Arch::Amd64).await.unwrap().unwrap();
    assert_eq!(stored.manifest, serde_json::from_slice::<Manifest>(&image.manifest.bytes).unwrap());
    assert_eq!(stored.config.architecture, "amd64");
    assert!(registry.image(&reference, Arch::Arm64).await.unwrap().is_none());
    let file = dir.path().join("layer");
    registry.download(&reference, &stored.manifest.layers[1], &file).await.unwrap();
    assert_eq!(read(&file), read(&image.layers[1].path));
    let by_digest = reference.with_digest(image.manifest.digest.clone());
    assert_eq!(registry.image(&by_digest, Arch::Amd64).await.unwrap().unwrap().digest, image.manifest.digest);
}

#[tokio::test]
async fn resolves_tags_and_lists_them() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    let registry = registry();
    let mut index = None;
    for tag in ["a", "b", "c", "d", "e"] {
        index = Some(push(&registry, &fake, &format!("drivers/x:{tag}"), &image).await.unwrap().index);
    }
    assert_eq!(registry.resolve(&fake.reference("drivers/x:c")).await.unwrap(), index);
    assert_eq!(registry.resolve(&fake.reference("drivers/x:z")).await.unwrap(), None::<Digest>);
    assert_eq!(registry.tags(&fake.reference("drivers/x")).await.unwrap(), ["a", "b", "c", "d", "e"]);
    assert!(registry.tags(&fake.reference("drivers/y")).await.unwrap().is_empty());
}

#[tokio::test]
async fn asks_about_a_thousand_tags_over_few_connections() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    let registry = registry();
    push(&registry, &fake, "drivers/x:1", &image).await.unwrap();
    let started = std::time::Instant::now();
    let reference = &fake.reference("drivers/x:1");
    let asked = futures::stream::iter(0..1000).map(|_| registry.published(reference)).buffer_unordered(16);
    let found: Vec<_> = asked.collect().await;
    assert!(found.into_iter().all(|published| published.unwrap().is_some()));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
