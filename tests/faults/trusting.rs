//! Package repositories without a signature, or with one that does not count.

use kmodforge::reference::Digest;
use snapbox::{assert_data_eq, str};

use crate::site::Page;
use crate::world::World;

const IN_RELEASE: &str = "/debian/dists/bookworm/InRelease";

/// A world whose repository has lost its signature.
async fn unsigned() -> World {
    let world = World::new().await;
    let signed = String::from_utf8(world.site.get(IN_RELEASE)).unwrap();
    let text = kmodforge::openpgp::Clearsigned::parse(&signed).unwrap().text;
    world.site.put(IN_RELEASE, Page::Bytes(text.into_bytes()));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_repository_is_refused_before_anything_is_built() {
    let world = unsigned().await;
    assert_data_eq!(
        world.build("latest", &[]).await.ended(1).errors(),
        str![[r"
error: the repository `bookworm` of http://SITE/debian is not signed
  found     `InRelease` without a signature
  expected  a signature by a key of the keyring `archive`
  help      a private mirror that cannot sign needs `trusted: true` beside its `url` in `mirrors` of the project file
exit 1

"]]
    );
    assert!(world.bench.solved("artifacts").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_changes_an_index_is_refused() {
    let world = World::new().await;
    let signed = String::from_utf8(world.site.get(IN_RELEASE)).unwrap();
    let packages = "/debian/dists/bookworm/main/binary-amd64/Packages";
    let (old, new) = (world.site.get(packages), b"Package: evil\n".to_vec());
    world.site.put(packages, Page::Bytes(new.clone()));
    world.site.put(IN_RELEASE, Page::Bytes(signed.replace(Digest::of(&old).hex(), Digest::of(&new).hex()).into_bytes()));
    let said = world.build("latest", &[]).await.ended(1).errors();
    assert!(said.starts_with("error: `InRelease` of the repository `bookworm` of http://SITE/debian is not what was signed\n  key       "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_without_the_key_knows_nobody() {
    let world = World::new().await;
    let other = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/keyrings/debian.asc")).unwrap();
    std::fs::write(world.path("profiles/keyrings/archive.asc"), other).unwrap();
    let said = world.build("latest", &[]).await.ended(1).errors();
    assert!(said.starts_with("error: the repository `bookworm` of http://SITE/debian is signed by unknown keys\n  found     "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_mirror_is_believed_and_recorded() {
    let world = unsigned().await;
    let site = world.site.url();
    world.write("kmodforge.yaml", &format!("mirrors: {{packages: {{\"{site}/debian\": {{url: \"{site}/debian\", trusted: true}}}}}}\n"));
    let ran = world.build("latest", &["--provenance"]).await.ended(0);
    assert!(ran.err.contains("bookworm of http://SITE/debian is trusted without a signature\n"), "{}", ran.err);
    assert_eq!(world.record().targets[0].unverified, [format!("bookworm of {site}/debian")]);
    let planned = world.run(&["plan", "--driver", "kmf", "--kernel", "latest", "--repo", "REPO", "--format", "json"]).await.ended(0);
    let plan: serde_json::Value = serde_json::from_str(&planned.out).unwrap();
    assert_eq!(plan["targets"][0]["unverified"][0], "bookworm of http://SITE/debian");
    assert_eq!(plan["targets"][0]["state"], "published");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_must_say_who_signs() {
    let world = World::new().await;
    let profile = std::fs::read_to_string(world.path("profiles/distros/debian.yaml")).unwrap();
    let with = |line: &str| std::fs::write(world.path("profiles/distros/debian.yaml"), profile.replace("keyring: archive\n", line)).unwrap();
    with("");
    let said = world.build("latest", &[]).await.ended(2).errors();
    assert!(said.starts_with("error: nothing says who signs the repository `bookworm`\n"), "{said}");
    with("keyring: archiv\n");
    assert_data_eq!(
        world.build("latest", &[]).await.ended(2).errors(),
        str![[r"
error: unknown keyring `archiv`
  --> DIR/profiles/distros/debian.yaml:7:10
   |
 7 | keyring: archiv
   |          ^^^^^^ expected `archive`, `debian`, `suse`, `ubuntu`
  help      did you mean `archive`?
  help      add it: --profiles DIR with keyrings/archiv.asc
exit 2

"]]
    );
    with("keyring: archive\n");
    std::fs::write(world.path("profiles/keyrings/archive.asc"), "no key\n").unwrap();
    assert_data_eq!(
        world.build("latest", &[]).await.ended(2).errors(),
        str![[r"
error: `DIR/profiles/keyrings/archive.asc` is no keyring: it holds no public key
  expected  OpenPGP public keys, as `gpg --export` writes them
exit 2

"]]
    );
}
