//! Signatures, compared with those that the kernel's `sign-file` makes and read by OpenSSL; keys on a real PKCS#11 token.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use kmodforge::kmod::signature;
use tempfile::TempDir;

use crate::files::{layers, unpack};
use crate::forge::{Forge, image, newest, oldest};
use crate::stack::{run, scratch, skopeo_copy, skopeo_inspect};

/// A throw-away key and its certificate.
struct Signer {
    folder: TempDir,
    name: &'static str,
}

impl Signer {
    fn new(name: &'static str, algorithm: &[&str]) -> Self {
        let folder = scratch();
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=throw-away", "-newkey"]).args(algorithm);
        run(make.arg("-keyout").arg(folder.path().join("key.pem")).arg("-out").arg(folder.path().join("cert.pem")));
        Self { folder, name }
    }

    fn path(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }

    fn options<'a>(key: &'a str, certificate: &'a str) -> [&'a str; 4] {
        ["--sign-key", key, "--sign-cert", certificate]
    }
}

fn rsa() -> &'static Signer {
    static RSA: OnceLock<Signer> = OnceLock::new();
    RSA.get_or_init(|| Signer::new("rsa", &["rsa:4096"]))
}

fn forge() -> Forge {
    Forge::new("signing", &format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{}\"]}}\n", newest()))
}

/// An image without signatures, in the registry.
fn unsigned(kernel: &str) -> String {
    static BUILT: OnceLock<Forge> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let rows = format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{}\", \"{}\"]}}\n", newest(), oldest());
        let forge = Forge::new("unsigned", &rows);
        forge.run(&["build", "--push"]).expect(0);
        forge
    });
    image("unsigned", "v4l2loopback", &built.target("v4l2loopback", kernel).target.version, kernel)
}

/// The only module of an image in an OCI layout.
fn module(layout: &Path) -> Vec<u8> {
    let root = scratch();
    unpack(&layers(layout), root.path());
    let listed = run(Command::new("find").arg(root.path()).args(["-name", "*.ko"]));
    fs::read(listed.lines().next().unwrap()).unwrap()
}

/// The module of an image in the registry.
fn module_of(image: &str) -> Vec<u8> {
    let layout = scratch();
    skopeo_copy(image, layout.path());
    module(layout.path())
}

/// What the kernel's own program makes of a module.
fn sign_file(hash: &str, signer: &Signer, module: &[u8]) -> Vec<u8> {
    let program = run(Command::new("sh").args(["-c", "ls /usr/lib/linux-kbuild-*/scripts/sign-file"])).lines().next().map(PathBuf::from).unwrap();
    let folder = scratch();
    let (from, to) = (folder.path().join("x.ko"), folder.path().join("signed.ko"));
    fs::write(&from, module).unwrap();
    run(Command::new(program).args([hash, &signer.path("key.pem"), &signer.path("cert.pem")]).args([&from, &to]));
    fs::read(to).unwrap()
}

/// OpenSSL's opinion about a signed module.
fn openssl_verifies(signer: &Signer, module: &[u8]) -> bool {
    let (content, pkcs7) = signature::parts(module).unwrap();
    let folder = scratch();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("content"), content).unwrap();
    fs::write(path("pkcs7"), pkcs7).unwrap();
    let mut verify = Command::new("openssl");
    verify.args(["cms", "-verify", "-binary", "-inform", "DER", "-noverify", "-certfile", &signer.path("cert.pem")]);
    verify.arg("-in").arg(path("pkcs7")).arg("-content").arg(path("content")).args(["-out", "/dev/null"]);
    verify.output().unwrap().status.success()
}

#[test]
fn a_build_signs_as_the_kernels_sign_file_does() {
    let (forge, signer) = (forge(), rsa());
    let (key, certificate) = (signer.path("key.pem"), signer.path("cert.pem"));
    let options = Signer::options(&key, &certificate);
    forge.run(&[&["build", "--push", "--output", "oci:signed"], &options[..]].concat()).expect(0).says("1 target done");
    let ours = module(&forge.path("signed"));
    let plain = module_of(&unsigned(newest()));
    assert_eq!(ours, sign_file("sha256", signer, &plain), "byte for byte");
    assert!(openssl_verifies(signer, &ours));

    let record = forge.target("v4l2loopback", newest());
    assert_eq!(record.signer.as_ref().map(|signer| (signer.subject.as_str(), signer.hash.as_str())), Some(("CN=throw-away", "sha256")));
    let image = record.image.unwrap();
    assert_eq!(skopeo_inspect(&image, &[])["Labels"]["io.kmodforge.signer"], "CN=throw-away");
    let text = fs::read_to_string(forge.path("kmodforge-record.json")).unwrap();
    assert!(!text.contains("PRIVATE") && !text.contains("key.pem"));

    forge.run(&["plan", "--sign-cert", &certificate]).expect(0).says("1 published");
    forge.run(&["plan"]).expect(0).says("build recipe changed");
    forge.run(&["verify", &image, "--cert", &certificate]).expect(0).says("checks passed");
}

#[test]
fn an_image_that_exists_is_signed_in_place_of_the_old_or_beside_it() {
    let (forge, signer) = (forge(), Signer::new("ecdsa", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]));
    let (key, certificate) = (signer.path("key.pem"), signer.path("cert.pem"));
    let options = Signer::options(&key, &certificate);
    let old = unsigned(oldest());
    forge.run(&["verify", &old, "--cert", &certificate]).expect(3).says("error[module-signature]: `v4l2loopback.ko` is not signed");

    let (name, tag) = old.rsplit_once(':').unwrap();
    let new_tag = format!("{tag}-{}", signer.name);
    let run = forge.run(&[&["sign", &old, "--tag", &new_tag, "--sign-hash", "sha512"], &options[..]].concat()).expect(0);
    run.says("1 module signed by CN=throw-away (amd64)");
    let new = format!("{name}:{new_tag}");
    assert!(run.stdout.starts_with(&format!("{new}@sha256:")), "{}", run.stdout);
    assert!(openssl_verifies(&signer, &module_of(&new)));
    assert_eq!(signature::parts(&module_of(&old)), None, "the old tag keeps the old image");
    forge.run(&["verify", &new, "--cert", &certificate]).expect(0).says("checks passed");
    forge.run(&["verify", &new, "--cert", &rsa().path("cert.pem")]).expect(3).says("was not signed by CN=throw-away");

    let again = forge.run(&[&["sign", &new], &Signer::options(&rsa().path("key.pem"), &rsa().path("cert.pem"))[..]].concat()).expect(0);
    again.says("1 module signed");
    assert_eq!(module_of(&new), sign_file("sha512", rsa(), &module_of(&old)), "the old signature is gone, its hash stays");
}

/// The project file says who signs; a real client reads the archive that comes out.
#[test]
fn an_archive_is_signed_in_its_place() {
    let (forge, signer) = (forge(), rsa());
    let text = fs::read_to_string(forge.path("kmodforge.yaml")).unwrap();
    fs::copy(signer.path("key.pem"), forge.path("mok.key")).unwrap();
    fs::copy(signer.path("cert.pem"), forge.path("mok.crt")).unwrap();
    fs::write(forge.path("kmodforge.yaml"), format!("sign: {{key: mok.key, certificate: mok.crt}}\n{text}")).unwrap();
    let image = unsigned(newest());
    run(Command::new("skopeo")
        .args(["copy", "--all", "--src-tls-verify=false", &format!("docker://{image}")])
        .arg(format!("oci-archive:{}:x", forge.path("image.tar").display())));
    forge.run(&["sign", "oci-archive:image.tar"]).expect(0).says("1 module signed by CN=throw-away (amd64)");
    forge.run(&["verify", "oci-archive:image.tar", "--cert", "mok.crt"]).expect(0).says("checks passed");
    let layout = scratch();
    run(Command::new("skopeo")
        .args(["copy", "--all"])
        .arg(format!("oci-archive:{}:x", forge.path("image.tar").display()))
        .arg(format!("oci:{}:x", layout.path().display())));
    assert_eq!(module(layout.path()), sign_file("sha256", signer, &module_of(&image)), "byte for byte");
}

#[test]
fn a_key_on_a_token_signs_as_the_same_key_in_a_file() {
    let signer = rsa();
    let home = scratch();
    fs::create_dir(home.path().join("tokens")).unwrap();
    let configuration = home.path().join("softhsm2.conf");
    fs::write(&configuration, format!("directories.tokendir = {}\n", home.path().join("tokens").display())).unwrap();
    let softhsm = |arguments: &[&str]| run(Command::new("softhsm2-util").env("SOFTHSM2_CONF", &configuration).args(arguments));
    softhsm(&["--init-token", "--free", "--label", "signing token", "--pin", "1234", "--so-pin", "5678"]);
    softhsm(&["--import", &signer.path("key.pem"), "--token", "signing token", "--label", "driver", "--id", "01", "--pin", "1234"]);
    let module_path = run(Command::new("sh").args(["-c", "find /usr/lib -name libsofthsm2.so | head -1"])).trim().to_owned();

    let forge = forge().with_variable("SOFTHSM2_CONF", configuration.display().to_string());
    let image = unsigned(newest());
    skopeo_copy(&image, &forge.path("layout"));
    let certificate = signer.path("cert.pem");
    let uri = |object: &str, query: &str| format!("pkcs11:token=signing%20token;object={object}?module-path={module_path}{query}");
    let sign = |key: &str| forge.run(&[&["sign", "oci:layout"], &Signer::options(key, &certificate)[..]].concat());

    sign(&uri("driver", "&pin-value=9999")).expect(1).says("error: the PKCS#11 token refuses the PIN");
    sign(&uri("other", "&pin-value=1234")).expect(1).says("error: the PKCS#11 token has no private key that the URI describes");
    sign(&uri("driver", "")).expect(1).says("error: the PKCS#11 token shows no private key without a PIN");
    let run = sign(&uri("driver", "&pin-value=1234")).expect(0);
    run.says("1 module signed by CN=throw-away");
    run.does_not_say("1234");
    assert_eq!(module(&forge.path("layout")), sign_file("sha256", signer, &module_of(&image)), "byte for byte");

    let by_variable = forge.with_variable("KMODFORGE_SIGN_PASSPHRASE", "1234");
    by_variable.run(&[&["sign", "oci:layout"], &Signer::options(&uri("driver", ""), &certificate)[..]].concat()).expect(0);
}

#[test]
fn a_command_signs_for_key_management_services() {
    let (forge, signer) = (forge(), rsa());
    let image = unsigned(newest());
    skopeo_copy(&image, &forge.path("layout"));
    let (key, certificate) = (signer.path("key.pem"), signer.path("cert.pem"));
    let command = format!("exec:openssl pkeyutl -sign -inkey {key} -pkeyopt digest:$KMODFORGE_SIGN_HASH");
    forge.run(&[&["sign", "oci:layout"], &Signer::options(&command, &certificate)[..]].concat()).expect(0).says("1 module signed");
    assert_eq!(module(&forge.path("layout")), sign_file("sha256", signer, &module_of(&image)));
}

#[test]
fn nothing_is_built_with_a_key_that_cannot_sign() {
    let forge = forge().with_builder("unix:///nowhere/at/all.sock".into());
    let (key, certificate) = (rsa().path("key.pem"), rsa().path("cert.pem"));
    let other = Signer::new("other", &["rsa:2048"]);
    forge.run(&[&["build", "--push"], &Signer::options(&key, &other.path("cert.pem"))[..]].concat()).expect(2).says("does not belong to the certificate");
    forge.run(&["build", "--push", "--sign-key", &key]).expect(2).says("there is a key to sign with, but no certificate");
    forge.run(&["build", "--push", "--sign-cert", &certificate]).expect(2).says("there is a certificate to sign with, but no key");
    assert!(!forge.path("kmodforge-record.json").exists());
}
