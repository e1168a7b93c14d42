//! Who has signed the modules of an image, where somebody asks.

use std::collections::BTreeMap;

use super::image;
use crate::check::Signatures;
use crate::cli::VerifyArgs;
use crate::error::Failure;
use crate::image::contents::Contents;
use crate::kmm::glob_fits;
use crate::kmod::Module;
use crate::pki::Distrust;
use crate::policy::{Policy, Signer};
use crate::sign::{names_signer, signed_by};
use crate::signer::read_certificate;

/// What is wrong with signatures, if a certificate or a policy names somebody. Where both do, a module must have a signature for each.
///
/// # Errors
/// When the certificate or a module cannot be read.
pub(super) fn of(args: &VerifyArgs, policy: Option<&Policy>, contents: &Contents, modules: &[(String, Module)]) -> Result<Option<Signatures>, Failure> {
    let named = args.certificate.as_deref().map(read_certificate).transpose()?;
    let named = named.map(|certificate| vec![Signer::Certificate(Box::new(certificate))]);
    let wanted: Vec<Vec<Signer>> = named.into_iter().chain(policy.and_then(|policy| policy.signers.clone())).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let (mut faults, mut unproven) = (BTreeMap::new(), BTreeMap::new());
    let must_be = |path: &str| args.files_to_sign.is_empty() || args.files_to_sign.iter().any(|glob| glob_fits(glob, path));
    for (path, _) in modules.iter().filter(|(path, _)| must_be(path)) {
        let bytes = image::read(contents, path.trim_start_matches('/'))?;
        for signers in &wanted {
            match by_any(signers, path, &bytes)? {
                Ok(signer) if !signer.is_proof() => drop(unproven.insert(path.clone(), signer.to_string())),
                Ok(_) => {}
                Err(fault) => drop(faults.insert(path.clone(), fault)),
            }
        }
    }
    let words = |signers: &Vec<Signer>| signers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    Ok(Some(Signatures { signer: wanted.iter().map(words).collect::<Vec<_>>().join(" and "), faults, unproven }))
}

/// The first of several who has signed, else the most telling reason why none has.
fn by_any<'a>(signers: &'a [Signer], path: &str, bytes: &[u8]) -> Result<Result<&'a Signer, Distrust>, Failure> {
    let mut fault = Distrust::Unsigned;
    for signer in signers {
        let signed = match signer {
            Signer::Certificate(certificate) => signed_by(certificate, path, bytes)?,
            Signer::Name(name) => names_signer(path, bytes, |signature| signature.names(name))?,
            Signer::Key(id) => names_signer(path, bytes, |signature| signature.has_id(id))?,
        };
        match signed {
            Ok(()) => return Ok(Ok(signer)),
            // That it was signed by others is said of each of several; anything else is said once.
            Err(Distrust::OtherSigner(_)) if !matches!(fault, Distrust::Unsigned | Distrust::OtherSigner(_)) => {}
            Err(other) => fault = other,
        }
    }
    Ok(Err(fault))
}
