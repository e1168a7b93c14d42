//! After publishing: documents about the image, and signatures. The signature comes last, so that whoever finds it finds everything.

mod missing;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::TargetError;
use super::target::{Story, blocking};
use crate::attest::{Document, SPDX, SigningKey, Statement, Subject};
use crate::boot;
use crate::check::CHECKS;
use crate::fetch::source::{PreparedFirmware, PreparedSource};
use crate::finding::Severity;
use crate::image::artifacts::Artifacts;
use crate::image::assemble::Image;
use crate::image::manifest::Blob;
use crate::kmod::{Module, is_module_file};
use crate::plan::Target;
use crate::provenance::{self, Run};
use crate::record::TargetRecord;
use crate::reference::Digest;
use crate::sbom::{self, Facts, LICENCES, ModuleFile};

pub use self::missing::{Expected, missing_of};
use self::work::Work;

/// Type of the predicate of a report of checks (in-toto attestation framework, "Test Result").
pub const CHECKS_TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// Media type of what a kernel said.
const BOOT_LOG: &str = "application/vnd.kmodforge.boot-log.v1";
/// A kernel that says more than so many bytes says the same again and again.
const LARGEST_LOG: usize = 4 << 20;
/// What the checks are.
pub const CHECKS_PAGE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/checks.md");

/// What is attached to images.
#[derive(Clone, Debug)]
pub struct Attach {
    /// A bill of materials.
    pub sbom: bool,
    /// Provenance.
    pub provenance: bool,
    /// Signs images and statements.
    pub key: Option<Arc<SigningKey>>,
}

impl Attach {
    /// What a published image must have, so that nothing is to be attached to it.
    #[must_use]
    pub fn expected(&self) -> Expected {
        Expected { sbom: self.sbom, provenance: self.provenance, key: self.key.as_ref().map(|key| key.public()) }
    }
}

/// What is known before the builder's result is gone, and needed after the image is published.
pub(super) struct Gathered {
    facts: Facts,
    firmware_sha256: Option<String>,
}

impl Story<'_> {
    /// Reads what documents will say, if any are wanted.
    pub(super) async fn gather(
        &self,
        artifacts: &Arc<Artifacts>,
        source: &PreparedSource,
        firmware: Option<&PreparedFirmware>,
    ) -> Result<Option<Gathered>, TargetError> {
        if self.workshop.options.attach.is_none() || self.workshop.registry.is_none() {
            return Ok(None);
        }
        let (artifacts, target) = (artifacts.clone(), self.target.clone().into_owned());
        let (source, firmware) = (source.clone(), firmware.cloned());
        blocking(move || {
            let facts = Facts {
                modules: modules(&artifacts)?,
                source: (source.origin, source.origin_sha256),
                firmware: firmware.as_ref().map(|firmware| firmware.origins.clone()).unwrap_or_default(),
                copyrights: copyrights(&artifacts, &target),
                toolchain: toolchain(&artifacts),
            };
            Ok(Some(Gathered { facts, firmware_sha256: firmware.map(|firmware| firmware.sha256) }))
        })
        .await
    }

    /// Attaches what was asked for to the published image.
    pub(super) async fn attach(&mut self, image: &Image, gathered: &Gathered) -> Result<(), TargetError> {
        let (Some(attach), Some(registry)) = (self.workshop.options.attach.clone(), self.workshop.registry.clone()) else {
            return Ok(());
        };
        let statements = self.statements(&attach, gathered, image)?;
        let mut work = Work::new(&registry, &self.target.image, attach.key.as_deref(), &statements);
        let attached = tokio::select! {
            attached = work.all(image, &statements) => attached.map_err(Some),
            () = self.cancel.cancelled() => Err(None),
        };
        let Work { done, missing, index, .. } = work;
        self.record.attachments.clone_from(&done);
        // Others may have put their images beside this one meanwhile: what is signed is what the tag holds now.
        if let Some(index) = index {
            self.record.index_digest = Some(index.to_string());
        }
        attached.map_err(|error| match error {
            Some(error) => TargetError::Attach { missing: missing.into(), attached: done, error },
            None => TargetError::Cancelled,
        })
    }

    /// What there is to say about the image: each statement with the document that those get who do not want statements.
    fn statements(&self, attach: &Attach, gathered: &Gathered, image: &Image) -> Result<Vec<(Document, Option<Statement>)>, TargetError> {
        let subjects = vec![Subject { name: self.target.image.name(), digest: image.manifest.digest.clone() }];
        let statement = |predicate_type: &str, predicate| Statement { subjects: subjects.clone(), predicate_type: predicate_type.to_owned(), predicate };
        let mut statements = Vec::new();
        if attach.sbom {
            let bytes = sbom::document(&self.target, &image.manifest.digest, &gathered.facts, self.workshop.options.epoch);
            let predicate = serde_json::from_slice(&bytes).map_err(|error| TargetError::Internal(error.to_string()))?;
            let document = Document { kind: "sbom", file: "sbom.spdx.json", predicate_type: Some(sbom::PREDICATE_TYPE.into()), blob: Blob::new(SPDX, bytes) };
            statements.push((document, Some(statement(sbom::PREDICATE_TYPE, predicate))));
        }
        if attach.provenance {
            let predicate = provenance::predicate(&self.target, &self.run(gathered))?;
            let statement = statement(provenance::PREDICATE_TYPE, predicate);
            statements.push((statement.document("provenance", "provenance.intoto.json"), Some(statement)));
        }
        let boot_log = boot_log(&self.record);
        let statement = statement(CHECKS_TYPE, checks(&self.record, boot_log.as_ref()));
        statements.push((statement.document("checks", "checks.intoto.json"), Some(statement)));
        // What the report says about it is signed; the log itself is for reading.
        statements.extend(boot_log.map(|log| (log, None)));
        Ok(statements)
    }

    fn run<'a>(&'a self, gathered: &'a Gathered) -> Run<'a> {
        let options = &self.workshop.options;
        Run {
            builder: &self.workshop.builder.info().name,
            source: (&gathered.facts.source.0, &gathered.facts.source.1),
            firmware: &gathered.facts.firmware,
            firmware_sha256: gathered.firmware_sha256.as_deref(),
            base: options.base_digests.get(self.target.build_image()),
            compiler: self.record.compiler.as_deref().unwrap_or_default(),
            epoch: options.epoch,
            compression: options.compression.name(),
        }
    }
}

/// The predicate about what was checked: names of checks, and every finding.
fn checks(record: &TargetRecord, boot_log: Option<&Document>) -> serde_json::Value {
    let found = |severity: Severity, check: &str| record.findings.iter().any(|finding| finding.severity == severity && finding.check == check);
    let (mut passed, mut warned) = (Vec::new(), Vec::new());
    let of_boot = record.boot.iter().flat_map(|_| boot::CHECKS);
    for check in CHECKS.iter().map(|check| check.id).chain(of_boot) {
        if found(Severity::Warning, check) { warned.push(check) } else { passed.push(check) }
    }
    let boot = record.boot.as_ref().map(|boot| {
        json!({
            "accelerator": boot.accelerator, "loaded": boot.loaded, "bound": boot.bound, "taint": boot.taint,
            "log": boot_log.map(|log| json!({"sha256": log.blob.digest.hex()})),
        })
    });
    json!({
        "result": if warned.is_empty() { "PASSED" } else { "WARNED" },
        "configuration": [{
            "name": "kmodforge build", "uri": CHECKS_PAGE,
            "annotations": {"kmodforge": env!("CARGO_PKG_VERSION"), "headers": record.headers, "findings": record.findings, "boot": boot},
        }],
        "passedTests": passed,
        "warnedTests": warned,
        "failedTests": [],
    })
}

/// Everything that the kernel said when it was booted with the modules.
fn boot_log(record: &TargetRecord) -> Option<Document> {
    let bytes = std::fs::read(record.boot.as_ref()?.log.as_ref()?).ok().filter(|bytes| bytes.len() <= LARGEST_LOG)?;
    Some(Document { kind: "boot-log", file: "boot.log", predicate_type: None, blob: Blob::new(BOOT_LOG, bytes) })
}

/// The modules of a result, in order of their paths.
fn modules(artifacts: &Artifacts) -> Result<Vec<ModuleFile>, TargetError> {
    artifacts
        .paths("modules")
        .filter(|(path, kind)| matches!(kind, crate::image::scan::Kind::File { .. }) && is_module_file(path))
        .map(|(path, _)| {
            let bytes = artifacts.read(path)?;
            let licence = Module::parse(path, &bytes)?.info.license().unwrap_or_default().to_owned();
            Ok(ModuleFile { path: path.trim_start_matches("modules").to_owned(), digest: Digest::of(&bytes), licence })
        })
        .collect()
}

fn copyrights(artifacts: &Artifacts, target: &Target) -> BTreeMap<String, String> {
    let text = |name: &str| artifacts.read(&format!("tools/{LICENCES}/{name}/copyright")).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    target.runtime.iter().filter_map(|package| Some((package.name.clone(), text(&package.name)?))).collect()
}

/// What `dpkg-query -W` said about the toolchain: a name, perhaps with an architecture, and a version per line.
fn toolchain(artifacts: &Artifacts) -> BTreeMap<String, String> {
    let text = artifacts.read("evidence/packages").map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let line = |line: &str| {
        let (name, version) = line.split_once(char::is_whitespace)?;
        Some((name.split(':').next().unwrap_or(name).to_owned(), version.trim().to_owned()))
    };
    text.lines().filter_map(line).collect()
}
