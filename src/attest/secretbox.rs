//! How cosign keeps a private key: JSON with a key derived by scrypt (RFC 7914) and `NaCl`'s secret box (XSalsa20-Poly1305), as go-securesystemslib's
//! `encrypted` package writes it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::key::KeyError;

/// More than this scrypt may not take, in bytes: cosign's own keys take 64 MiB.
const MEMORY: u64 = 256 << 20;

#[derive(Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "N")]
    cost: u64,
    #[serde(rename = "r")]
    block: u32,
    #[serde(rename = "p")]
    parallel: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Opens a sealed key. An empty password may be a real one, so it is tried when none is given.
pub(super) fn open(sealed: &[u8], password: Option<&str>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let damaged = |what: &str| KeyError::Damaged(what.to_owned());
    let sealed: Sealed = serde_json::from_slice(sealed).map_err(|error| KeyError::Damaged(error.to_string()))?;
    if sealed.kdf.name != "scrypt" || sealed.cipher.name != "nacl/secretbox" {
        return Err(KeyError::Damaged(format!("`{}` with `{}` is not known; expected `scrypt` with `nacl/secretbox`", sealed.kdf.name, sealed.cipher.name)));
    }
    let decode = |text: &str, what: &str| STANDARD.decode(text).map_err(|_| damaged(what));
    let (salt, nonce) = (decode(&sealed.kdf.salt, "its salt is no base64")?, decode(&sealed.cipher.nonce, "its nonce is no base64")?);
    let ciphertext = decode(&sealed.ciphertext, "its ciphertext is no base64")?;
    let nonce: [u8; 24] = nonce.try_into().map_err(|_| damaged("its nonce has not 24 bytes"))?;
    let key = derive(&sealed.kdf.params, password.unwrap_or_default(), &salt)?;
    let cipher = XSalsa20Poly1305::new(Key::from_slice(&*key));
    let opened = cipher.decrypt(Nonce::from_slice(&nonce), ciphertext.as_slice());
    opened.map(Zeroizing::new).map_err(|_| if password.is_some() { KeyError::WrongPassword } else { KeyError::NoPassword })
}

fn derive(params: &Params, password: &str, salt: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let memory = params.cost.saturating_mul(128).saturating_mul(params.block.into()).saturating_mul(params.parallel.into());
    if memory > MEMORY {
        return Err(KeyError::TooHard(memory >> 20));
    }
    let damaged = || KeyError::Damaged("its scrypt parameters are out of range".into());
    if !params.cost.is_power_of_two() {
        return Err(damaged());
    }
    let log = u8::try_from(params.cost.trailing_zeros()).map_err(|_| damaged())?;
    let params = scrypt::Params::new(log, params.block, params.parallel).map_err(|_| damaged())?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(password.as_bytes(), salt, &params, &mut *key).map_err(|_| damaged())?;
    Ok(key)
}
