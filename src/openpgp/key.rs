//! The key behind a signature, and whether it may sign.

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, PublicParams, Tag};
use rsa::traits::PublicKeyParts as _;

use super::UnusableKey;

/// RSA keys with fewer bits can be forged.
const RSA_BITS: usize = 2048;

/// The key that a signature names: a primary key, or a subkey of one.
#[derive(Clone, Copy)]
pub(super) struct Signer<'k> {
    owner: &'k SignedPublicKey,
    subkey: Option<&'k SignedPublicSubKey>,
}

impl<'k> Signer<'k> {
    /// The key of this owner that a signature names, if it names one.
    pub(super) fn of(owner: &'k SignedPublicKey, signature: &Signature) -> Option<Self> {
        if names(signature, &owner.primary_key) {
            return Some(Self::primary(owner));
        }
        let subkey = owner.public_subkeys.iter().find(|subkey| names(signature, &subkey.key))?;
        Some(Self::subkey(owner, subkey))
    }

    pub(super) fn primary(owner: &'k SignedPublicKey) -> Self {
        Self { owner, subkey: None }
    }

    pub(super) fn subkey(owner: &'k SignedPublicKey, subkey: &'k SignedPublicSubKey) -> Self {
        Self { owner, subkey: Some(subkey) }
    }

    /// Fingerprint and owner, for people.
    pub(super) fn name(&self) -> String {
        let fingerprint = match self.subkey {
            Some(subkey) => subkey.key.fingerprint(),
            None => self.owner.primary_key.fingerprint(),
        };
        let user = self.owner.details.users.first().map(|user| String::from_utf8_lossy(user.id.id()).into_owned()).unwrap_or_default();
        format!("{} {}", fingerprint.to_string().to_uppercase(), user.escape_debug()).trim_end().to_owned()
    }

    /// What makes signatures by this key worthless, if anything does.
    pub(super) fn weakness(&self) -> Option<String> {
        let parameters = match self.subkey {
            Some(subkey) => subkey.key.public_params(),
            None => self.owner.primary_key.public_params(),
        };
        match parameters {
            PublicParams::RSA(rsa) if rsa.key.n().bits() < RSA_BITS => Some(format!("an RSA key of {} bits", rsa.key.n().bits())),
            PublicParams::DSA(_) => Some("a DSA key".into()),
            _ => None,
        }
    }

    /// Whether the key has made the signature of this content.
    pub(super) fn verifies(&self, signature: &Signature, content: &[u8]) -> Result<(), ()> {
        let verified = match self.subkey {
            Some(subkey) => signature.verify(&subkey.key, content),
            None => signature.verify(&self.owner.primary_key, content),
        };
        verified.map_err(drop)
    }

    /// Whether the key may sign at a time, in seconds since 1970: neither it nor its owner's key is revoked or expired, and it is meant for signing.
    pub(super) fn may_sign(&self, at: u64) -> Result<(), UnusableKey> {
        let primary = &self.owner.primary_key;
        if self.owner.details.revocation_signatures.iter().any(|revocation| revocation.verify_key(primary).is_ok()) {
            return Err(UnusableKey::Revoked(self.name()));
        }
        let own = self.newest_statement(at).ok_or_else(|| UnusableKey::NotForSigning(self.name()))?;
        self.not_expired(primary, own, at)?;
        let Some(subkey) = self.subkey else {
            return if own.key_flags().sign() { Ok(()) } else { Err(UnusableKey::NotForSigning(self.name())) };
        };
        let bound = |binding: &&Signature| binding.verify_subkey_binding(primary, &subkey.key).is_ok();
        let of = |kind| subkey.signatures.iter().filter(move |signature| signature.typ() == Some(kind));
        if of(SignatureType::SubkeyRevocation).any(|revocation| bound(&revocation)) {
            return Err(UnusableKey::Revoked(self.name()));
        }
        let binding = newest(of(SignatureType::SubkeyBinding), at, bound);
        // A subkey says itself whose it is, so that nobody adopts somebody else's.
        let agreed = |binding: &&Signature| {
            let back = binding.embedded_signature();
            binding.key_flags().sign() && back.is_some_and(|back| back.verify_primary_key_binding(&subkey.key, primary).is_ok())
        };
        let binding = binding.filter(agreed).ok_or_else(|| UnusableKey::NotForSigning(self.name()))?;
        self.not_expired(&subkey.key, binding, at)
    }

    /// What the owner said last about the primary key itself.
    fn newest_statement(&self, at: u64) -> Option<&'k Signature> {
        let primary = &self.owner.primary_key;
        let details = &self.owner.details;
        let direct = newest(details.direct_signatures.iter(), at, |signature| signature.verify_key(primary).is_ok());
        let of_users = details.users.iter().filter_map(|user| {
            let own = |signature: &&Signature| {
                signature.is_certification() && names(signature, primary) && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
            };
            newest(user.signatures.iter(), at, own)
        });
        of_users.chain(direct).max_by_key(|signature| signature.created().map(pgp::types::Timestamp::as_secs))
    }

    /// `statement` says how long the key lives after it was made; 0 or nothing: for ever.
    fn not_expired(&self, key: &impl KeyDetails, statement: &Signature, at: u64) -> Result<(), UnusableKey> {
        let lifetime = statement.key_expiration_time().map_or(0, |time| u64::from(time.as_secs()));
        let when = u64::from(key.created_at().as_secs()) + lifetime;
        if lifetime > 0 && when <= at { Err(UnusableKey::Expired { key: self.name(), when }) } else { Ok(()) }
    }
}

/// Whether a signature says that this key has made it: by fingerprint, or by key id where it has none.
fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    if fingerprints.is_empty() {
        return signature.issuer_key_id().contains(&&key.legacy_key_id());
    }
    fingerprints.contains(&&key.fingerprint())
}

/// The newest of the signatures that were there at a time and are good.
fn newest<'k>(signatures: impl Iterator<Item = &'k Signature>, at: u64, is_good: impl Fn(&&'k Signature) -> bool) -> Option<&'k Signature> {
    let made = |signature: &&Signature| signature.created().map(pgp::types::Timestamp::as_secs);
    let mut there: Vec<_> = signatures.filter(|signature| made(signature).is_some_and(|time| u64::from(time) <= at)).collect();
    there.sort_by_key(|signature| std::cmp::Reverse(made(signature)));
    there.into_iter().find(is_good)
}
