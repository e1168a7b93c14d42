use super::*;
use crate::error::Failure;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sign");

fn fixture(name: &str) -> PathBuf {
    Path::new(FIXTURES).join(name)
}

fn key(name: &str) -> KeySource {
    KeySource::File(fixture(name))
}

fn secret(text: &str) -> Secret {
    Zeroizing::new(text.to_owned())
}

/// What a user is told, without the folder of the fixtures.
fn told(result: Result<Signer, SignerError>) -> String {
    Failure::from(result.unwrap_err()).to_string().replace(&format!("{FIXTURES}/"), "")
}

#[test]
fn keys_of_every_kind_sign_and_openssls_wrapping_fits() {
    for (name, certificate) in [("rsa.key", "rsa.crt"), ("rsa-pkcs1.key", "rsa.der"), ("p256.key", "p256.crt"), ("p384.key", "p384.crt")] {
        let signer = Signer::open(&key(name), &fixture(certificate), None).unwrap();
        for hash in Hash::ALL {
            let pkcs7 = signer.sign(hash, b"module").unwrap();
            assert_eq!(pki::verify(&pkcs7, b"module", signer.certificate()), Ok(()), "{name} {hash}");
            assert_eq!(pki::read(&pkcs7).unwrap()[0].hash(), Some(hash));
        }
    }
}

#[test]
fn an_rsa_signature_is_that_of_openssl_byte_for_byte() {
    let signer = Signer::open(&key("rsa.key"), &fixture("rsa.crt"), None).unwrap();
    assert_eq!(signer.sign(Hash::Sha256, b"signed content\n").unwrap(), std::fs::read(fixture("rsa-sha256.p7s")).unwrap());
    assert_eq!(signer.sign(Hash::Sha512, b"signed content\n").unwrap(), std::fs::read(fixture("rsa-sha512.p7s")).unwrap());
}

#[test]
fn encrypted_keys_open_with_their_passphrase_only() {
    for name in ["rsa-encrypted.key", "rsa-scrypt.key", "rsa-traditional.key"] {
        assert!(Signer::open(&key(name), &fixture("rsa.crt"), Some(&secret("correct horse"))).is_ok(), "{name}");
        assert_eq!(
            told(Signer::open(&key(name), &fixture("rsa.crt"), Some(&secret("wrong horse")))),
            format!("error: the passphrase does not open the signing key `{name}`\n  help      see --sign-passphrase-file and KMODFORGE_SIGN_PASSPHRASE")
        );
        assert_eq!(
            told(Signer::open(&key(name), &fixture("rsa.crt"), None)),
            format!(
                "error: the signing key `{name}` is encrypted, and there is no passphrase\n  \
                 help      set KMODFORGE_SIGN_PASSPHRASE, or name a file that holds it: --sign-passphrase-file FILE"
            )
        );
    }
    assert_eq!(
        told(Signer::open(&key("rsa-des3.key"), &fixture("rsa.crt"), Some(&secret("correct horse")))).lines().next().unwrap(),
        "error: the signing key `rsa-des3.key` cannot be used"
    );
}

#[test]
fn a_passphrase_in_a_file_may_end_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p");
    std::fs::write(&file, "correct horse\n").unwrap();
    assert_eq!(passphrase(Some(&file)).unwrap().unwrap().as_str(), "correct horse");
    let error = passphrase(Some(&folder.path().join("none"))).unwrap_err().to_string();
    assert!(error.starts_with("the passphrase's file `") && error.ends_with("/none` cannot be read: No such file or directory (os error 2)"), "{error}");
}

#[test]
fn what_cannot_sign_is_refused_with_its_reason() {
    let usable = "an RSA key of 2048 to 8192 bits, or one on the curve P-256, P-384 or P-521";
    for (name, certificate, expected) in [
        ("none.key", "rsa.crt", "error: the signing key `none.key` cannot be read: No such file or directory (os error 2)".to_owned()),
        ("rsa.key", "none.crt", "error: the certificate `none.crt` cannot be read: No such file or directory (os error 2)".to_owned()),
        (
            "rsa.crt",
            "rsa.crt",
            "error: `rsa.crt` holds no private key\n  found     a block `CERTIFICATE`\n  \
             expected  a PEM file with a block `PRIVATE KEY` or `ENCRYPTED PRIVATE KEY`"
                .to_owned(),
        ),
        (
            "rsa.der",
            "rsa.crt",
            "error: `rsa.der` holds no private key\n  found     something that is not text\n  \
             expected  a PEM file with a block `PRIVATE KEY` or `ENCRYPTED PRIVATE KEY`"
                .to_owned(),
        ),
        (
            "rsa.key",
            "rsa.key",
            "error: `rsa.key` is no certificate to sign with\n  found     neither DER nor PEM of a certificate\n  \
             expected  an X.509 certificate in PEM or DER, with an RSA key or one on the curve P-256, P-384 or P-521"
                .to_owned(),
        ),
        (
            "ed25519.key",
            "rsa.crt",
            format!("error: the signing key `ed25519.key` cannot be used\n  found     a key that is refused: WrongAlgorithm\n  expected  {usable}"),
        ),
        (
            "rsa.key",
            "expired.crt",
            "error: the certificate `expired.crt` expired on 2021-01-01T00:00:00Z\n  subject   CN=kmodforge test signer, O=Example\n  \
             help      renew it with the same key: kernels that trust the old one need the new one enrolled"
                .to_owned(),
        ),
        (
            "rsa.key",
            "future.crt",
            "error: the certificate `future.crt` is not valid before 2100-01-01T00:00:00Z\n  subject   CN=kmodforge test signer, O=Example\n  \
             help      see whether this machine's clock is right"
                .to_owned(),
        ),
        (
            "p256.key",
            "rsa.crt",
            "error: the signing key does not belong to the certificate `rsa.crt`\n  subject   CN=kmodforge test signer, O=Example\n  \
             help      name the certificate that was made for this key: --sign-cert FILE"
                .to_owned(),
        ),
    ] {
        assert_eq!(told(Signer::open(&key(name), &fixture(certificate), None)), expected, "{name} {certificate}");
    }
}

#[test]
fn a_signer_shows_no_key() {
    let signer = Signer::open(&key("rsa.key"), &fixture("rsa.crt"), None).unwrap();
    assert_eq!(format!("{signer:?}"), "Signer { subject: \"CN=kmodforge test signer, O=Example\", .. }");
}

mod commands {
    use super::*;

    fn open(command: &str, certificate: &str) -> Result<Signer, SignerError> {
        Signer::open(&KeySource::Command(command.to_owned()), &fixture(certificate), None)
    }

    fn openssl(key: &str) -> String {
        format!("openssl pkeyutl -sign -inkey {FIXTURES}/{key} -pkeyopt digest:$KMODFORGE_SIGN_HASH")
    }

    #[test]
    fn a_command_signs_digests() {
        for (name, certificate) in [("rsa.key", "rsa.crt"), ("p384.key", "p384.crt")] {
            let signer = open(&openssl(name), certificate).unwrap();
            let pkcs7 = signer.sign(Hash::Sha512, b"module").unwrap();
            assert_eq!(pki::verify(&pkcs7, b"module", signer.certificate()), Ok(()));
            assert!(!signer.is_parallel());
        }
    }

    #[test]
    fn a_command_that_does_something_else_is_told_apart() {
        let expected = "expected  a raw PKCS#1 v1.5 signature of 256 bytes";
        for (command, message) in [
            (
                "echo no; echo key is locked >&2; exit 3".to_owned(),
                "error: the signing command ended with status 3\n  command   COMMAND\n  stderr    key is locked".to_owned(),
            ),
            ("kill -9 $$".to_owned(), "error: the signing command was killed\n  command   COMMAND".to_owned()),
            (
                "true".to_owned(),
                format!(
                    "error: the signing command did not print a signature by the certificate's key\n  command   COMMAND\n  found     nothing\n  {expected}"
                ),
            ),
            (
                "echo c2lnbmF0dXJl".to_owned(),
                format!(
                    "error: the signing command did not print a signature by the certificate's key\n  command   COMMAND\n  found     13 bytes of text\n  {expected}"
                ),
            ),
            (
                "head -c 256 /dev/zero".to_owned(),
                format!(
                    "error: the signing command did not print a signature by the certificate's key\n  command   COMMAND\n  \
                     found     a signature by another key, or of something else\n  {expected}"
                ),
            ),
        ] {
            assert_eq!(told(open(&command, "rsa.crt")).replace(&command, "COMMAND"), message);
        }
        let other = told(open(&openssl("p384.key"), "p256.crt"));
        assert!(other.contains("expected  a raw ECDSA signature in DER"), "{other}");
    }

    #[test]
    fn a_command_that_never_ends_is_stopped() {
        let command = SigningCommand::impatient("exec sleep 600");
        let error = command.sign(Hash::Sha256, &[0; 32], crate::pki::KeyKind::Rsa).unwrap_err();
        assert_eq!(error.to_string(), "the signing command did not end within 1 s");
    }
}

#[test]
fn sources_of_keys_are_told_apart() {
    assert_eq!("mok.key".parse(), Ok(KeySource::File("mok.key".into())));
    assert_eq!("exec:a b".parse(), Ok(KeySource::Command("a b".into())));
    assert!(matches!("pkcs11:object=x".parse(), Ok(KeySource::Token(_))));
    assert_eq!("exec: ".parse::<KeySource>(), Err("a command after `exec:`".into()));
    assert_eq!("".parse::<KeySource>(), Err("a file, a `pkcs11:` URI or `exec:COMMAND`".into()));
}
