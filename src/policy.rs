//! `kmodforge verify --policy`: what an image must be before it is released, beyond what the checks demand of every image.

mod check;
mod judge;
mod licence;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attest::PublicKey;
use crate::finding::Severity;
use crate::pki::Certificate;
use crate::yaml::{SettingsError, Source, read_settings};
pub use check::Reason;
pub use judge::{Attached, Change, Judged, Judgement};
pub use licence::{Licence, of_module};

/// Names of the findings that only a policy makes, and what holds when there is none; each is a section of `docs/checks.md`.
pub const CHECKS: [(&str, &str); 5] = [
    ("policy-boot", "the kernel was booted with the image"),
    ("policy-documents", "documents about the image are attached to it"),
    ("policy-licence", "everything in the image has a licence that may be passed on"),
    ("policy-proprietary", "no module taints the kernel as proprietary"),
    ("policy-signature", "the image is signed with the policy's key"),
];

/// A policy.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Checks, by their ids, whose findings matter more or less than usual.
    #[serde(default)]
    pub checks: BTreeMap<String, CheckRule>,
    /// Boot the kernel with the image, as `--boot` does.
    #[serde(default)]
    pub boot: bool,
    /// Who may have signed the modules: each must have a signature by one of them. Left out: nobody need have.
    #[serde(default)]
    pub signers: Option<Vec<SignerRule>>,
    /// Licences that the modules may have, as SPDX names them: `MIT`, `GPL-2.0-only WITH Linux-syscall-note`, `LicenseRef-NAME`. Left out: any.
    #[serde(default)]
    pub licences: Option<Vec<String>>,
    /// Whether modules may taint the kernel as proprietary.
    #[serde(default = "yes")]
    pub proprietary: bool,
    /// Public key, `cosign.pub`, relative to the policy: the image, or the index that names it, must be signed with it.
    #[serde(default)]
    pub cosign_key: Option<PathBuf>,
    /// What must be attached to the image; signed, if there is a `cosign_key`.
    #[serde(default)]
    pub documents: Vec<DocumentKind>,
}

fn yes() -> bool {
    true
}

/// How much the findings of a check matter, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckRule {
    /// What its findings count as. `error` makes it a check that must pass: also a warning, or a note that it could not be made, then fails.
    pub severity: RuleSeverity,
    /// Why: reports show it beside each finding.
    pub reason: String,
}

/// What a check's findings count as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleSeverity {
    /// Not counted; reports keep them apart, with the reason.
    Ignore,
    /// Worth knowing.
    Note,
    /// Shown, and the image passes.
    Warning,
    /// The image does not pass.
    Error,
}

impl RuleSeverity {
    /// The severity, unless findings are not counted at all.
    #[must_use]
    pub fn severity(self) -> Option<Severity> {
        match self {
            Self::Ignore => None,
            Self::Note => Some(Severity::Note),
            Self::Warning => Some(Severity::Warning),
            Self::Error => Some(Severity::Error),
        }
    }
}

/// Somebody who may have signed modules. Exactly one key. Only a certificate proves who has signed: a name or number is what the signature says about
/// itself, which anybody can write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignerRule {
    /// File with a certificate, PEM or DER, relative to the policy; the signature is verified with its key.
    Certificate(PathBuf),
    /// The name in the signature, in full: `CN=driver signing, O=Example`. Not proven.
    Name(String),
    /// The number in the signature, as `modinfo` shows it in `sig_key`: `0C:83:CE:D3`. Not proven.
    Key(String),
}

/// What `build` attaches to images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DocumentKind {
    /// The bill of materials.
    Sbom,
    /// What the image was made from, and how.
    Provenance,
    /// What was checked, with which result.
    Checks,
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sbom => "sbom",
            Self::Provenance => "provenance",
            Self::Checks => "checks",
        })
    }
}

/// A policy, with the files that it names.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Checks whose findings matter more or less than usual.
    pub checks: BTreeMap<String, CheckRule>,
    /// Whether the kernel must be booted.
    pub boot: bool,
    /// Who may have signed the modules, if anybody must have.
    pub signers: Option<Vec<Signer>>,
    /// Licences that the modules may have, if not any.
    pub licences: Option<Vec<Licence>>,
    /// Whether modules may be proprietary.
    pub proprietary: bool,
    /// Whose signature the image must have.
    pub cosign_key: Option<PublicKey>,
    /// What must be attached to the image.
    pub documents: Vec<DocumentKind>,
}

/// Somebody who may have signed a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The owner of a certificate.
    Certificate(Box<Certificate>),
    /// Whom the signature names.
    Name(String),
    /// The serial number, or key identifier, that the signature names.
    Key(Vec<u8>),
}

impl Signer {
    /// Whether a signature by this one proves anything.
    #[must_use]
    pub fn is_proof(&self) -> bool {
        matches!(self, Self::Certificate(_))
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(certificate) => f.write_str(&certificate.subject),
            Self::Name(name) => f.write_str(name),
            Self::Key(id) => write!(f, "the key {}", crate::pki::colons(id)),
        }
    }
}

/// Why there is no policy.
pub type PolicyError = SettingsError<Reason>;

impl Policy {
    /// Reads a policy, and the certificates and keys that it names.
    ///
    /// # Errors
    /// When a file cannot be read, or says what cannot be.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        Self::parse(path, &read_settings("policy", path)?)
    }

    /// Reads the text of a policy; the files that it names are looked for beside `path`.
    ///
    /// # Errors
    /// As [`Policy::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, PolicyError> {
        let source = Source::read(&path.display().to_string(), text)?;
        let file: PolicyFile = source.decode()?;
        Ok(check::resolve(file, &source, path.parent().unwrap_or(Path::new("")))?)
    }
}
