//! Whether a Module means for kmodforge what it means for KMM: `tests/kmm/cases.yaml`, and the answers of KMM's own code.

use std::collections::BTreeMap;

use kmodforge::kmm::{ModuleFile, NoImage, Resolution};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Case {
    name: String,
    kernel: String,
    module: serde_json::Value,
}

/// As `scripts/tools/kmm/mappings.go` writes it.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Answer {
    name: String,
    failed: String,
    image: String,
    insecure: bool,
    skip_verify: bool,
    dockerfile: String,
    build_args: BTreeMap<String, String>,
    build_secrets: Vec<String>,
    build_selector: BTreeMap<String, String>,
    build_insecure: bool,
    files_to_sign: Vec<String>,
    unsigned_image: String,
    key_secret: String,
    cert_secret: String,
    in_tree_to_remove: Vec<String>,
}

fn answer(case: &Case) -> Answer {
    let file = ModuleFile::read(&case.name, &case.module.to_string()).unwrap();
    let name = case.name.clone();
    match file.modules[0].module.resolve(&case.kernel) {
        Ok(resolution) => Answer { name, ..answered(resolution) },
        Err(error) => {
            let failed = match error {
                NoImage::NoMapping => "no mapping",
                // Where a release is too short, KMM's slice is out of bounds.
                NoImage::Expand { ref reason, .. } if reason.to_string().contains("three parts") => "panic",
                _ => "error",
            };
            Answer { name, failed: failed.into(), ..Answer::default() }
        }
    }
}

fn answered(resolution: Resolution) -> Answer {
    let build = resolution.build.unwrap_or_default();
    let sign = resolution.sign.unwrap_or_default();
    let mut build_secrets: Vec<_> = build.secrets.into_iter().map(|secret| secret.name).collect();
    build_secrets.sort();
    Answer {
        image: resolution.image,
        insecure: resolution.registry_tls.insecure,
        skip_verify: resolution.registry_tls.insecure_skip_tls_verify,
        dockerfile: build.dockerfile_config_map.name,
        build_args: build.build_args.into_iter().map(|arg| (arg.name, arg.value)).collect(),
        build_secrets,
        build_selector: build.selector,
        build_insecure: build.base_image_registry_tls.unwrap_or_default().insecure,
        files_to_sign: sign.files_to_sign,
        unsigned_image: sign.unsigned_image.unwrap_or_default(),
        key_secret: sign.key_secret.name,
        cert_secret: sign.cert_secret.name,
        in_tree_to_remove: resolution.in_tree_modules,
        ..Answer::default()
    }
}

#[test]
fn a_module_means_what_it_means_for_kmm() {
    let cases: Vec<Case> = serde_saphyr::from_str(include_str!("../kmm/cases.yaml")).unwrap();
    let expected: Vec<Answer> = serde_json::from_str(include_str!("../kmm/kmm.json")).unwrap();
    assert!(cases.len() >= 30, "{}", cases.len());
    assert_eq!(cases.len(), expected.len());
    for (case, expected) in cases.iter().zip(&expected) {
        assert_eq!(answer(case), *expected, "{}", case.name);
    }
}
