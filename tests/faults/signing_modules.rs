//! Who signs modules: by command line and project file, and what is said before anything is built.

use snapbox::{assert_data_eq, str};

use crate::world::World;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sign");

/// A world with the keys and certificates of the fixtures beside the project file.
async fn world(project: &str) -> World {
    let world = World::new().await;
    for name in ["rsa.key", "rsa-encrypted.key", "rsa.crt", "p256.crt", "expired.crt", "future.crt"] {
        std::fs::copy(format!("{FIXTURES}/{name}"), world.path("work").join(name)).unwrap();
    }
    world.write("passphrase", "wrong\n");
    world.write("kmodforge.yaml", project);
    world
}

async fn told(world: &World, options: &[&str]) -> String {
    let said = world.build("latest", options).await.ended(2).errors();
    assert!(world.bench.solved("artifacts").is_empty() && !world.path("work/kmodforge-record.json").exists(), "nothing is built");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_sign_is_told_before_anything_is_built() {
    let world = world("boot: false\n").await;
    let mut all = String::new();
    for options in [
        &["--sign-key", "rsa.key"][..],
        &["--sign-cert", "rsa.crt"],
        &["--sign-key", "rsa.key", "--sign-cert", "expired.crt"],
        &["--sign-key", "rsa.key", "--sign-cert", "future.crt"],
        &["--sign-key", "rsa.key", "--sign-cert", "p256.crt"],
        &["--sign-key", "rsa-encrypted.key", "--sign-cert", "rsa.crt"],
        &["--sign-key", "rsa-encrypted.key", "--sign-cert", "rsa.crt", "--sign-passphrase-file", "passphrase"],
        &["--sign-key", "rsa.key", "--sign-cert", "rsa.crt", "--sign-passphrase-file", "nowhere"],
        &["--sign-key", "rsa.crt", "--sign-cert", "rsa.crt"],
        &["--sign-key", "rsa.key", "--sign-cert", "rsa.key"],
        &["--sign-key", "nowhere.key", "--sign-cert", "rsa.crt"],
        &["--sign-key", "exec:", "--sign-cert", "rsa.crt"],
    ] {
        all += &told(&world, options).await;
    }
    assert_data_eq!(
        all,
        str![[r"
error: there is a key to sign with, but no certificate
  help      name the key's certificate: --sign-cert FILE, or `certificate` below `sign` in the project file
exit 2
error: there is a certificate to sign with, but no key
  help      name the certificate's key: --sign-key FILE|pkcs11:…|exec:COMMAND, or `key` below `sign` in the project file
exit 2
error: the certificate `expired.crt` expired on 2021-01-01T00:00:00Z
  subject   CN=kmodforge test signer, O=Example
  help      renew it with the same key: kernels that trust the old one need the new one enrolled
exit 2
error: the certificate `future.crt` is not valid before 2100-01-01T00:00:00Z
  subject   CN=kmodforge test signer, O=Example
  help      see whether this machine's clock is right
exit 2
error: the signing key does not belong to the certificate `p256.crt`
  subject   CN=kmodforge test signer, O=Example
  help      name the certificate that was made for this key: --sign-cert FILE
exit 2
error: the signing key `rsa-encrypted.key` is encrypted, and there is no passphrase
  help      set KMODFORGE_SIGN_PASSPHRASE, or name a file that holds it: --sign-passphrase-file FILE
exit 2
error: the passphrase does not open the signing key `rsa-encrypted.key`
  help      see --sign-passphrase-file and KMODFORGE_SIGN_PASSPHRASE
exit 2
error: the passphrase's file `nowhere` cannot be read: No such file or directory (os error 2)
exit 2
error: `rsa.crt` holds no private key
  found     a block `CERTIFICATE`
  expected  a PEM file with a block `PRIVATE KEY` or `ENCRYPTED PRIVATE KEY`
exit 2
error: `rsa.key` is no certificate to sign with
  found     neither DER nor PEM of a certificate
  expected  an X.509 certificate in PEM or DER, with an RSA key or one on the curve P-256, P-384 or P-521
exit 2
error: the signing key `nowhere.key` cannot be read: No such file or directory (os error 2)
exit 2
error: `--sign-key` is not understood
  expected  a command after `exec:`
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_project_file_says_is_told_likewise() {
    let mut all = String::new();
    for sign in [
        "{key: rsa.key}",
        "{certificate: rsa.crt}",
        "{key: rsa.key, certificate: expired.crt}",
        "{key: rsa-encrypted.key, certificate: rsa.crt, passphrase_file: passphrase}",
    ] {
        all += &told(&world(&format!("sign: {sign}\n")).await, &[]).await;
    }
    assert_data_eq!(
        all,
        str![[r"
error: there is a key to sign with, but no certificate
  help      name the key's certificate: --sign-cert FILE, or `certificate` below `sign` in the project file
exit 2
error: there is a certificate to sign with, but no key
  help      name the certificate's key: --sign-key FILE|pkcs11:…|exec:COMMAND, or `key` below `sign` in the project file
exit 2
error: the certificate `expired.crt` expired on 2021-01-01T00:00:00Z
  subject   CN=kmodforge test signer, O=Example
  help      renew it with the same key: kernels that trust the old one need the new one enrolled
exit 2
error: the passphrase does not open the signing key `rsa-encrypted.key`
  help      see --sign-passphrase-file and KMODFORGE_SIGN_PASSPHRASE
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_project_file_signs_and_the_command_line_wins() {
    let world = world("sign: {key: rsa.key, certificate: rsa.crt, hash: sha512}\n").await;
    world.build("latest", &[]).await.ended(0);
    let signer = world.record().targets[0].signer.clone().unwrap();
    assert_eq!((signer.subject.as_str(), signer.hash.as_str()), ("CN=kmodforge test signer, O=Example", "sha512"));
    let plan = async |options: &[&str]| {
        let arguments = ["plan", "--driver", "kmf", "--kernel", "latest", "--repo", "REPO"];
        let table = world.run(&[&arguments[..], options].concat()).await.ended(0).out;
        table.lines().nth(1).unwrap().split_whitespace().skip(6).collect::<Vec<_>>().join(" ")
    };
    assert!(plan(&[]).await.starts_with("published "), "{}", plan(&[]).await);
    assert_eq!(plan(&["--no-sign"]).await, "build build recipe changed");
    assert_eq!(plan(&["--sign-hash", "sha256", "--sign-cert", "rsa.crt"]).await, "build build recipe changed");

    world.build("latest", &["--sign-hash", "sha256", "--sign-cert", "rsa.crt"]).await.ended(0);
    assert_eq!(world.record().targets[0].signer.clone().unwrap().hash, "sha256", "key and certificate are still the file's");
    world.build("latest", &["--no-sign"]).await.ended(0);
    assert!(world.record().targets[0].signer.is_none());
    let said = world.build("latest", &["--no-sign", "--sign-cert", "rsa.crt"]).await.ended(2).errors();
    assert!(said.starts_with("error: the argument '--no-sign' cannot be used with '--sign-cert <FILE>'"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_project_lie_beside_it() {
    let world = world("boot: false\n").await;
    std::fs::rename(world.path("work"), world.path("elsewhere")).unwrap();
    std::fs::create_dir(world.path("work")).unwrap();
    std::fs::write(world.path("elsewhere/kmodforge.yaml"), "sign: {key: rsa.key, certificate: rsa.crt}\n").unwrap();
    world.build("latest", &["-f", "DIR/elsewhere/kmodforge.yaml"]).await.ended(0);
    assert!(world.record().targets[0].signer.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_signed_whole_or_not_at_all() {
    let world = world("sign: {key: rsa.key, certificate: rsa.crt}\n").await;
    world.run(&["build", "--driver", "kmf", "--kernel", "latest", "--output", "oci-archive:image.tar", "--no-sign"]).await.ended(0);
    let archive = world.path("work/image.tar");
    let before = std::fs::read(&archive).unwrap();

    let said = world.run(&["sign", "oci-archive:image.tar", "--sign-cert", "p256.crt"]).await.ended(2).errors();
    assert!(said.starts_with("error: the signing key does not belong to the certificate `p256.crt`"), "{said}");
    let command = "exec:[ -e once ] && exit 1; : > once; /usr/bin/openssl pkeyutl -sign -inkey rsa.key -pkeyopt digest:$KMODFORGE_SIGN_HASH";
    let said = world.run(&["sign", "oci-archive:image.tar", "--sign-key", command]).await.ended(1).errors();
    assert!(said.contains("error: the signing command ended with status 1"), "{said}");
    assert_eq!(std::fs::read(&archive).unwrap(), before, "a broken run leaves the old file");

    let ran = world.run(&["sign", "oci-archive:image.tar"]).await.ended(0);
    assert_eq!(ran.out, "localhost/drivers/kmf:1.0-6.1.0-56-amd64@sha256:DIGEST\n");
    assert!(ran.err.contains("1 module signed by CN=kmodforge test signer, O=Example (amd64)"), "{}", ran.err);
    assert_ne!(std::fs::read(&archive).unwrap(), before);
    let left: Vec<_> = world.files("work").into_iter().filter(|name| name.contains(".kmodforge-")).collect();
    assert!(left.is_empty(), "{left:?}");
    let said = world.run(&["sign", "oci-archive:image.tar", "--tag", "x"]).await.ended(2).errors();
    assert!(said.starts_with("error: `--tag` is for images in a registry\n"), "{said}");
    let said = world.run(&["sign", "oci-archive:nowhere.tar"]).await.ended(1).errors();
    assert!(said.contains("nowhere.tar"), "{said}");
}
