//! Who has signed a repository, and what is said when nobody has who should.

use super::*;
use crate::openpgp::Keyring;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/openpgp/", $name)).to_vec()
    };
}

/// What is served as the main suite, with everything else as usual.
fn serving(name: &str, bytes: Vec<u8>) -> Files {
    let mut files: Files = usual().into_iter().filter(|(path, _)| path != "/debian/dists/bookworm/InRelease").collect();
    files.push((format!("/debian/dists/bookworm/{name}"), bytes));
    files
}

/// The main suite's Release file without its signature.
fn unsigned() -> Vec<u8> {
    let (_, signed) = usual().into_iter().find(|(path, _)| path == "/debian/dists/bookworm/InRelease").unwrap();
    crate::openpgp::Clearsigned::parse(std::str::from_utf8(&signed).unwrap()).unwrap().text.into_bytes()
}

/// A setting in which every key of the fixtures is known.
async fn knowing(files: Files) -> Setting {
    let ring = Keyring::parse("archive", &fixture!("ring.asc")).unwrap();
    Setting { keyrings: Keyrings::from([("archive".to_owned(), ring)]), ..Setting::new(files).await }
}

/// What is said, without fingerprints, which are new whenever fixtures are made.
async fn said(setting: &Setting) -> String {
    regex::Regex::new("[0-9A-F]{40}").unwrap().replace_all(&setting.failure().await, "KEY").into_owned()
}

const TRUST: &str = "\n  help      a private mirror that cannot sign needs `trusted: true` beside its `url` in `mirrors` of the project file";

#[tokio::test]
async fn a_repository_must_be_signed() {
    let expected = "\n  expected  a signature by a key of the keyring `archive`";
    assert_eq!(
        Setting::new(serving("InRelease", unsigned())).await.failure().await,
        format!("error: the repository `bookworm` of http://ftp.debian.org/debian is not signed\n  found     `InRelease` without a signature{expected}{TRUST}")
    );
    assert_eq!(
        Setting::new(serving("Release", unsigned())).await.failure().await,
        format!("error: the repository `bookworm` of http://ftp.debian.org/debian is not signed\n  found     `Release` without `Release.gpg`{expected}{TRUST}")
    );
}

#[tokio::test]
async fn a_signature_may_be_beside_the_file() {
    let files = |release: Vec<u8>| {
        let mut files = serving("Release", release);
        files.push(("/debian/dists/bookworm/Release.gpg".to_owned(), fixture!("Release.gpg.asc")));
        files
    };
    // It is the signature of a file that lists nothing; that is found out after it has been believed.
    assert!(knowing(files(fixture!("Release"))).await.failure().await.contains("a line in it is no field"));
    assert_eq!(
        said(&knowing(files(unsigned())).await).await,
        "error: `Release` of the repository `bookworm` of http://ftp.debian.org/debian is not what was signed\n  key       KEY Test Archive <archive@example>\n  \
         help      somebody between here and its owner has changed it, or the mirror is damaged: take another one"
    );
}

#[tokio::test]
async fn signatures_that_do_not_count_are_told_apart() {
    let of = "the repository `bookworm` of http://ftp.debian.org/debian";
    let altered = String::from_utf8(fixture!("stable.asc")).unwrap().replace("bookworm", "bullseye").into_bytes();
    for (signed, message) in [
        (
            fixture!("stranger.asc"),
            format!(
                "error: {of} is signed by unknown keys\n  found     KEY\n  expected  a key of the keyring `archive`\n  \
                 help      a mirror with a key of its own: put the key into DIR/keyrings/NAME.asc, and name it in a distro profile of your own (docs/air-gap.md){TRUST}"
            ),
        ),
        (
            altered,
            format!(
                "error: `InRelease` of {of} is not what was signed\n  key       KEY Test Release <release@example>\n  \
                 help      somebody between here and its owner has changed it, or the mirror is damaged: take another one"
            ),
        ),
        (
            fixture!("sha1.asc"),
            format!(
                "error: the signature of {of} can be forged\n  key       KEY Test Archive <archive@example>\n  found     SHA1\n  \
                 expected  SHA-2 or SHA-3, and a key on an elliptic curve or an RSA key of 2048 bits or more"
            ),
        ),
        (
            fixture!("expired.asc"),
            format!(
                "error: the signature of {of} expired at 2026-03-03T00:00:00Z\n  key       KEY Test Archive <archive@example>\n  \
                 help      the mirror is not updated any more; for a frozen copy set `frozen: true` below `mirrors` in the project file"
            ),
        ),
        (
            fixture!("future.asc"),
            format!(
                "error: the signature of {of} is from the future\n  key       KEY Test Archive <archive@example>\n  made at   2099-01-01T00:00:00Z\n  \
                 help      see whether this machine's clock is right"
            ),
        ),
        (
            fixture!("old.asc"),
            format!(
                "error: the key that signed {of} expired at 2025-01-01T12:00:00Z\n  key       KEY Old Archive <old@example>\n  \
                 help      a newer keyring may know it longer: put it into DIR/keyrings, see docs/distro-profiles.md\n  \
                 help      for a frozen copy set `frozen: true` below `mirrors` in the project file"
            ),
        ),
        (
            fixture!("lost.asc"),
            format!(
                "error: the key that signed {of} was revoked\n  key       KEY Lost Archive <lost@example>\n  \
                 help      do not trust what it signs any more; take a mirror that is up to date"
            ),
        ),
        (
            b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSuite: x\n".to_vec(),
            format!(
                "error: `InRelease` of {of} cannot be read: it ends before its signature\n  \
                 help      something between here and the repository answers in its place, or the mirror is damaged"
            ),
        ),
    ] {
        assert_eq!(said(&knowing(serving("InRelease", signed)).await).await, message);
    }
}

#[tokio::test]
async fn one_suite_is_not_taken_for_another() {
    let mut files = usual();
    let other = suite("bookworm-security", "", &[("amd64", base("amd64"))]);
    let (_, signed) = other.into_iter().find(|(path, _)| path.ends_with("/InRelease")).unwrap();
    files.iter_mut().find(|(path, _)| path == "/debian/dists/bookworm/InRelease").unwrap().1 = signed;
    assert_eq!(
        Setting::new(files).await.failure().await,
        "error: something else is in the place of the repository `bookworm` of http://ftp.debian.org/debian\n  \
         found     `bookworm-security`, as its signed file says\n  \
         help      the mirror serves one repository in the place of another; or `suite` of the distro profile is not its own name"
    );
}

#[tokio::test]
async fn a_frozen_copy_may_be_signed_by_what_expired_since() {
    for signed in [fixture!("expired.asc"), fixture!("old.asc")] {
        let setting = Setting { frozen: true, ..knowing(serving("InRelease", signed)).await };
        assert!(setting.failure().await.contains("a line in it is no field"), "believed, and read");
    }
}

#[tokio::test]
async fn who_trusts_a_place_needs_no_signature_and_is_named() {
    let unsigned_suite = |name: &str| serving(name, unsigned());
    for files in [unsigned_suite("InRelease"), unsigned_suite("Release"), usual()] {
        let setting = Setting { trusted: true, keyrings: Keyrings::new(), ..Setting::new(files).await };
        let published = setting.read(Arch::Amd64).await.unwrap();
        let places = ["bookworm", "bookworm-security"].map(|suite| format!("{suite} of {}/debian", setting.server.url));
        assert_eq!(published.unverified, places);
    }
    let mut setting = Setting::new(unsigned_suite("InRelease")).await;
    setting.distro.releases[0].repositories[0].trusted = true;
    assert_eq!(setting.read(Arch::Amd64).await.unwrap().unverified.len(), 1, "the others are signed");
    assert!(Setting::new(usual()).await.read(Arch::Amd64).await.unwrap().unverified.is_empty());
}

#[tokio::test]
async fn a_keyring_that_is_not_there_is_named() {
    let setting = Setting { keyrings: Keyrings::new(), ..Setting::new(usual()).await };
    assert_eq!(setting.failure().await, "error: there is no keyring `archive` for the repository `bookworm` of http://ftp.debian.org/debian");
}
