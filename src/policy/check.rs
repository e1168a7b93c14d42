//! Policies that are well-formed and cannot be meant, and the files that they name.

use std::path::Path;

use super::licence::{Licence, NotOne};
use super::{CHECKS, Policy, PolicyFile, Signer, SignerRule};
use crate::attest::PublicKey;
use crate::boot;
use crate::check;
use crate::error::Failure;
use crate::pki::Certificate;
use crate::yaml::{Impossible, Source, Trail, nearest};

/// Why a policy cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No check has the id.
    #[error("unknown check `{0}`")]
    UnknownCheck(String),
    /// It is one that the policy itself asks for.
    #[error("`{0}` has no severity of its own: the policy asks for it, or does not")]
    OfPolicy(String),
    /// No reason is given.
    #[error("`reason` is empty")]
    Unexplained,
    /// A list that would let nothing pass.
    #[error("`{0}` is empty: nothing would pass")]
    Empty(&'static str),
    /// Something is listed twice.
    #[error("`{0}` is listed twice")]
    Duplicate(String),
    /// Not one licence.
    #[error("`{text}` is not {}", why.expected())]
    Licence {
        /// What was written.
        text: String,
        /// What it is instead.
        why: NotOne,
    },
    /// Not the number of a key.
    #[error("`{0}` is not the number of a key")]
    Key(String),
    /// The name of a signer is empty.
    #[error("`name` is empty")]
    Unnamed,
    /// A file that the policy names cannot be read.
    #[error("the {what} `{file}` cannot be used: {reason}")]
    File {
        /// `certificate`, `cosign key`.
        what: &'static str,
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
}

type Result<T> = std::result::Result<T, Impossible<Reason>>;

/// The policy of a file, whose own files lie in `folder`.
pub(super) fn resolve(file: PolicyFile, source: &Source, folder: &Path) -> Result<Policy> {
    check_rules(&file, source)?;
    let documents = Trail::to("documents");
    unique(source, &documents, &file.documents)?;
    let signers = file.signers.as_deref().map(|rules| signers(rules, source, folder)).transpose()?;
    let licences = file.licences.as_deref().map(|names| licences(names, source)).transpose()?;
    let cosign_key = file.cosign_key.as_deref().map(|key| cosign_key(key, source, folder)).transpose()?;
    Ok(Policy { checks: file.checks, boot: file.boot, signers, licences, proprietary: file.proprietary, cosign_key, documents: file.documents })
}

/// Every check that a policy may speak of.
fn known_checks() -> impl Iterator<Item = &'static str> {
    check::CHECKS.iter().map(|check| check.id).chain(boot::CHECKS)
}

fn check_rules(file: &PolicyFile, source: &Source) -> Result<()> {
    for (id, rule) in &file.checks {
        let trail = Trail::to("checks").then(id.as_str());
        if CHECKS.iter().any(|(of_policy, _)| of_policy == id) {
            return Err(Impossible { spot: Box::new(source.key_spot(&trail)), reason: Reason::OfPolicy(id.clone()) });
        }
        if !known_checks().any(|known| known == id) {
            return Err(Impossible { spot: Box::new(source.key_spot(&trail)), reason: Reason::UnknownCheck(id.clone()) });
        }
        if rule.reason.trim().is_empty() {
            return Err(source.impossible(&trail.then("reason"), Reason::Unexplained));
        }
    }
    Ok(())
}

fn signers(rules: &[SignerRule], source: &Source, folder: &Path) -> Result<Vec<Signer>> {
    let trail = Trail::to("signers");
    if rules.is_empty() {
        return Err(source.impossible(&trail, Reason::Empty("signers")));
    }
    let signer = |(index, rule): (usize, &SignerRule)| {
        let trail = trail.then(index);
        match rule {
            SignerRule::Certificate(file) => {
                let read = |bytes: &[u8]| Certificate::parse(bytes).map_err(|error| error.to_string());
                Ok(Signer::Certificate(Box::new(open(source, &trail.then("certificate"), "certificate", (folder, file), read)?)))
            }
            SignerRule::Name(name) if name.trim().is_empty() => Err(source.impossible(&trail.then("name"), Reason::Unnamed)),
            SignerRule::Name(name) => Ok(Signer::Name(name.clone())),
            SignerRule::Key(text) => number(text).map(Signer::Key).ok_or_else(|| source.impossible(&trail.then("key"), Reason::Key(text.clone()))),
        }
    };
    rules.iter().enumerate().map(signer).collect()
}

/// `0C:83:CE` or `0c83ce`.
fn number(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let pairs = (0..digits.len()).step_by(2).map(|at| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()));
    pairs.collect::<Option<Vec<u8>>>().filter(|bytes| !bytes.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

fn licences(names: &[String], source: &Source) -> Result<Vec<Licence>> {
    let trail = Trail::to("licences");
    if names.is_empty() {
        return Err(source.impossible(&trail, Reason::Empty("licences")));
    }
    unique(source, &trail, names)?;
    let licence = |(index, name): (usize, &String)| {
        let wrong = |why| source.impossible(&trail.then(index), Reason::Licence { text: name.escape_debug().to_string(), why });
        Licence::parse(name).map_err(wrong)
    };
    names.iter().enumerate().map(licence).collect()
}

fn cosign_key(file: &Path, source: &Source, folder: &Path) -> Result<PublicKey> {
    let read = |bytes: &[u8]| PublicKey::from_pem(&String::from_utf8_lossy(bytes)).map_err(|error| error.to_string());
    open(source, &Trail::to("cosign_key"), "cosign key", (folder, file), read)
}

fn open<T>(
    source: &Source,
    trail: &Trail,
    what: &'static str,
    (folder, file): (&Path, &Path),
    read: impl FnOnce(&[u8]) -> std::result::Result<T, String>,
) -> Result<T> {
    let bytes = std::fs::read(folder.join(file)).map_err(|error| crate::error::io_words(&error));
    bytes.and_then(|bytes| read(&bytes)).map_err(|reason| source.impossible(trail, Reason::File { what, file: file.display().to_string(), reason }))
}

fn unique<T: ToString>(source: &Source, trail: &Trail, entries: &[T]) -> Result<()> {
    let names: Vec<_> = entries.iter().map(ToString::to_string).collect();
    let twice = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name));
    twice.map_or(Ok(()), |(index, name)| Err(source.impossible(&trail.then(index), Reason::Duplicate(name.escape_debug().to_string()))))
}

impl From<Impossible<Reason>> for Failure {
    fn from(Impossible { spot, reason }: Impossible<Reason>) -> Self {
        let label = match &reason {
            Reason::UnknownCheck(_) => "expected the id of a check".to_owned(),
            Reason::OfPolicy(_) => "leave it out".into(),
            Reason::Unexplained => "expected words for those who read the report".into(),
            Reason::Empty(_) => "expected at least one entry, or no such key".into(),
            Reason::Duplicate(_) => "the second one is here".into(),
            Reason::Licence { why, .. } => why.advice().into(),
            Reason::Key(_) => "expected hexadecimal digits, as `modinfo` shows them in `sig_key`".into(),
            Reason::Unnamed => "expected the signer's name in full: `CN=driver signing, O=Example`".into(),
            Reason::File { what: "certificate", .. } => "expected a certificate, PEM or DER, beside the policy".into(),
            Reason::File { .. } => "expected a public key on the curve P-256, as `cosign generate-key-pair` writes it into `cosign.pub`".into(),
        };
        let failure = spot.failure(reason.to_string(), &label);
        let word = match &reason {
            Reason::UnknownCheck(id) => nearest(id, known_checks()).map(str::to_owned),
            Reason::Licence { text, .. } => Licence::nearest(text).map(str::to_owned),
            _ => None,
        };
        match (word, &reason) {
            (Some(word), _) => failure.help(format!("did you mean `{word}`?")),
            (None, Reason::UnknownCheck(_)) => failure.help("docs/checks.md has a section for each"),
            (None, _) => failure,
        }
    }
}
