//! What is attached to images, read by the programs of those who keep the formats: cosign, the SPDX project's validator, in-toto's definitions.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use base64::Engine as _;
use serde_json::Value;

use crate::forge::{Forge, image, newest, newest_arm64};
use crate::stack::{run, scratch, skopeo_inspect};

const REPOSITORY: &str = "supply";
const PASSWORD: &str = "secret";

/// A forge with a key pair that cosign has made: `cosign.key` and `cosign.pub`.
fn forge(repository: &str) -> Forge {
    let forge = Forge::new(repository, &format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{}\"]}}\n", newest()));
    run(Command::new("cosign").env("COSIGN_PASSWORD", PASSWORD).arg("generate-key-pair").current_dir(forge.folder.path()));
    forge
}

/// The run that pushes and signs, made once.
fn signed() -> &'static Forge {
    static SIGNED: OnceLock<Forge> = OnceLock::new();
    SIGNED.get_or_init(|| {
        let forge = forge(REPOSITORY);
        forge.run_with(&["build", "--push", "--cosign-key", "cosign.key"], &[("COSIGN_PASSWORD", PASSWORD)]).expect(0);
        forge
    })
}

fn pushed() -> String {
    image(REPOSITORY, "v4l2loopback", &signed().target("v4l2loopback", newest()).target.version, newest())
}

fn cosign(forge: &Forge, arguments: &[&str]) -> Output {
    let verb = arguments[0];
    let common = ["--key", "cosign.pub", "--insecure-ignore-tlog", "--allow-insecure-registry"];
    Command::new("cosign").current_dir(forge.folder.path()).arg(verb).args(common).args(&arguments[1..]).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn accepted(forge: &Forge, arguments: &[&str]) -> String {
    let output = cosign(forge, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The document of a kind, as anybody gets it who asks the registry what refers to the image.
fn document(kind: &str) -> Vec<u8> {
    let image = pushed();
    let (name, _) = image.rsplit_once(':').unwrap();
    let attachments = signed().target("v4l2loopback", newest()).attachments;
    let attachment = attachments.iter().find(|attachment| attachment.kind == kind).unwrap();
    let manifest = skopeo_inspect(&format!("{name}@{}", attachment.digest), &["--raw"]);
    assert_eq!(manifest["artifactType"], attachment.media_type);
    let (host, repository) = name.split_once('/').unwrap();
    let blob = format!("http://{host}/v2/{repository}/blobs/{}", manifest["layers"][0]["digest"].as_str().unwrap());
    run(Command::new("curl").args(["-fsS", &blob])).into_bytes()
}

#[test]
fn cosign_accepts_the_tag_and_the_image_itself() {
    let (forge, image) = (signed(), pushed());
    accepted(forge, &["verify", &image]);
    let digest = forge.target("v4l2loopback", newest()).digest.unwrap();
    let by_digest = format!("{}@{digest}", image.rsplit_once(':').unwrap().0);
    accepted(forge, &["verify", &by_digest]);
    for image in [&image, &by_digest] {
        for kind in ["spdxjson", "slsaprovenance1", "https://in-toto.io/attestation/test-result/v0.1"] {
            let envelope: Value = serde_json::from_str(accepted(forge, &["verify-attestation", "--type", kind, image]).lines().next().unwrap()).unwrap();
            assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
        }
    }
}

/// What cosign prints about an image: the digests that each statement of a kind is about.
fn subjects(forge: &Forge, kind: &str, image: &str) -> Vec<Vec<String>> {
    let said = accepted(forge, &["verify-attestation", "--type", kind, image]);
    let statement = |line: &str| -> Value {
        let envelope: Value = serde_json::from_str(line).unwrap();
        let payload = base64::engine::general_purpose::STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
        serde_json::from_slice(&payload).unwrap()
    };
    let digests = |statement: Value| {
        let subjects = statement["subject"].as_array().unwrap().iter();
        subjects.map(|subject| format!("sha256:{}", subject["digest"]["sha256"].as_str().unwrap())).collect::<Vec<_>>()
    };
    let mut subjects: Vec<_> = said.lines().map(|line| digests(statement(line))).collect();
    subjects.sort();
    subjects
}

/// An architecture is added to a tag by another run; whoever verifies the tag learns of both.
#[test]
fn cosign_finds_what_holds_for_every_architecture_of_a_tag() {
    let row = |kernel: &str| format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{kernel}\"]}}\n");
    let forge = Forge::new("supply-multi", &(row(newest()) + &row(newest_arm64())));
    run(Command::new("cosign").env("COSIGN_PASSWORD", PASSWORD).arg("generate-key-pair").current_dir(forge.folder.path()));
    let build = |kernel: &str| {
        let arguments = ["build", "--push", "--kernel", kernel, "--cosign-key", "cosign.key", "--tag-template", "{{ driver.version }}"];
        forge.run_with(&arguments, &[("COSIGN_PASSWORD", PASSWORD)]).expect(0);
        forge.target("v4l2loopback", kernel)
    };
    let amd64 = build(newest()).digest.unwrap();
    let last = build(newest_arm64());
    let (arm64, index, tag) = (last.digest.unwrap(), last.index_digest.unwrap(), last.image.unwrap());
    accepted(&forge, &["verify", &tag]);
    for kind in ["spdxjson", "slsaprovenance1", "https://in-toto.io/attestation/test-result/v0.1"] {
        let mut both = vec![vec![index.clone(), amd64.clone()], vec![index.clone(), arm64.clone()]];
        both.sort();
        assert_eq!(subjects(&forge, kind, &tag), both, "{kind} of the tag");
        for image in [&amd64, &arm64] {
            let name = format!("{}@{image}", tag.rsplit_once(':').unwrap().0);
            accepted(&forge, &["verify", &name]);
            assert_eq!(subjects(&forge, kind, &name), [vec![image.clone()]], "{kind} of an image");
        }
    }
    let plan = forge.run(&["plan", "--tag-template", "{{ driver.version }}", "--cosign-key", "cosign.pub"]).expect(0);
    plan.says("2 published");
}

#[test]
fn a_plan_tells_what_is_not_signed_yet() {
    let forge = forge("supply-plan");
    forge.run(&["build", "--push"]).expect(0);
    forge.run(&["plan"]).expect(0).says("1 published");
    forge.run(&["plan", "--cosign-key", "cosign.pub"]).expect(0).says("not signed yet");
    forge.run_with(&["build", "--push", "--cosign-key", "cosign.key"], &[("COSIGN_PASSWORD", PASSWORD)]).expect(0).says("1 target done");
    forge.run(&["plan", "--cosign-key", "cosign.pub"]).expect(0).says("1 published");
    run(Command::new("cosign").env("COSIGN_PASSWORD", PASSWORD).args(["generate-key-pair", "--output-key-prefix", "new"]).current_dir(forge.folder.path()));
    forge.run(&["plan", "--cosign-key", "new.pub"]).expect(0).says("not signed with this key");
}

#[test]
fn cosign_refuses_another_key() {
    let output = cosign(&forge("supply-other"), &["verify", &pushed()]);
    assert!(!output.status.success(), "signed with another key");
}

#[test]
fn cosign_refuses_what_somebody_put_in_the_images_place() {
    let forge = forge("supply-tampered");
    forge.run_with(&["build", "--push", "--cosign-key", "cosign.key"], &[("COSIGN_PASSWORD", PASSWORD)]).expect(0);
    let version = forge.target("v4l2loopback", newest()).target.version;
    let image = image("supply-tampered", "v4l2loopback", &version, newest());
    accepted(&forge, &["verify", &image]);
    let signature_of = |digest: &str| format!("sha256-{}.sig", digest.trim_start_matches("sha256:"));
    let signed = forge.target("v4l2loopback", newest()).index_digest.unwrap();

    // Somebody who may push, but not sign.
    forge.run_with(&["build", "--push"], &[("SOURCE_DATE_EPOCH", "1")]).expect(0);
    let refused = |why: &str| {
        let output = cosign(&forge, &["verify", &image]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{said}");
    };
    refused("no signatures found");

    // He copies the signature, too.
    let replaced = forge.target("v4l2loopback", newest()).index_digest.unwrap();
    assert_ne!(signed, replaced);
    let (host, name) = image.rsplit_once(':').unwrap().0.split_once('/').unwrap();
    let manifests = format!("http://{host}/v2/{name}/manifests");
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = run(Command::new("curl").args(["-fsS", "-H", &format!("Accept: {manifest_type}"), &format!("{manifests}/{}", signature_of(&signed))]));
    let put = ["-fsS", "-X", "PUT", "-H", &format!("Content-Type: {manifest_type}"), "--data-binary", &manifest];
    run(Command::new("curl").args(put).arg(format!("{manifests}/{}", signature_of(&replaced))));
    refused("no matching signatures");
}

#[test]
fn the_bill_of_materials_is_valid_and_says_what_is_in_the_image() {
    let (folder, bytes) = (scratch(), document("sbom"));
    let file = folder.path().join("sbom.spdx.json");
    fs::write(&file, &bytes).unwrap();
    run(Command::new("pyspdxtools").arg("--infile").arg(&file));
    let sbom: Value = serde_json::from_slice(&bytes).unwrap();
    let packages = sbom["packages"].as_array().unwrap();
    let package = |name: &str| packages.iter().find(|package| package["name"] == name).unwrap_or_else(|| panic!("no `{name}` in {sbom}"));
    assert!(package("kmod")["licenseDeclared"].as_str().unwrap().contains("LGPL-2.1-or-later"), "{}", package("kmod"));
    assert!(package("libc6")["versionInfo"].as_str().unwrap().contains("deb12"));
    assert!(package("gcc-12")["versionInfo"].as_str().unwrap().starts_with("12."));
    assert_eq!(package("v4l2loopback.ko")["licenseComments"], "MODULE_LICENSE(\"GPL\")");
    let source = package("v4l2loopback")["checksums"][0]["checksumValue"].as_str().unwrap();
    let recorded = signed().target("v4l2loopback", newest()).source.unwrap();
    assert!(recorded.ends_with(&format!("sha256:{source}")), "{recorded}");
}

#[test]
fn provenance_and_report_are_what_in_toto_defines() {
    for kind in ["provenance", "checks"] {
        let mut child = Command::new("kmodforge-python")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/attestation.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&document(kind)).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "valid\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
    let provenance: Value = serde_json::from_slice(&document("provenance")).unwrap();
    let digest = signed().target("v4l2loopback", newest()).digest.unwrap();
    assert_eq!(format!("sha256:{}", provenance["subject"][0]["digest"]["sha256"].as_str().unwrap()), digest);
}

#[test]
fn signing_again_changes_nothing_and_a_new_key_signs_what_is_there() {
    let forge = forge("supply-again");
    let build = |key: &str| {
        let run = forge.run_with(&["build", "--push", "--cosign-key", key], &[("COSIGN_PASSWORD", PASSWORD)]).expect(0);
        (run, forge.target("v4l2loopback", newest()))
    };
    let (_, first) = build("cosign.key");
    build("cosign.key").0.says("already published");

    run(Command::new("cosign").env("COSIGN_PASSWORD", PASSWORD).args(["generate-key-pair", "--output-key-prefix", "new"]).current_dir(forge.folder.path()));
    let (_, second) = build("new.key");
    assert_eq!((first.digest, second.pushed_bytes), (second.digest, 0), "the same image");
    let image = image("supply-again", "v4l2loopback", &second.target.version, newest());
    accepted(&forge, &["verify", &image]);
    accepted(&forge, &["verify", "--key", "new.pub", &image]);
}

#[test]
fn a_wrong_password_is_told_before_anything_is_built() {
    let forge = forge("supply-password");
    let run = forge.run_with(&["build", "--push", "--cosign-key", "cosign.key"], &[("COSIGN_PASSWORD", "wrong")]).expect(2);
    run.says("error: the cosign key cannot be used: the password does not open it");
    assert!(!forge.path("kmodforge-record.json").exists());
}

#[test]
fn the_texts_of_licences_are_in_the_image() {
    let layout = scratch();
    crate::stack::skopeo_copy(&pushed(), layout.path());
    let files = crate::files::tree(&crate::files::layers(layout.path()));
    for path in ["usr/share/licenses/kmod/copyright", "usr/share/licenses/libc6/copyright", "usr/share/common-licenses/GPL-2"] {
        assert!(files.contains_key(path), "{path} is not among {:?}", files.keys());
    }
    assert!(files.keys().any(|path| path.starts_with("usr/share/licenses/v4l2loopback/")), "the driver's own");
}
