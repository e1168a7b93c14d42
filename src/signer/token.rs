//! Keys on PKCS#11 tokens: smart cards, HSMs, and software that behaves like them. The key never leaves the token; it signs digests.

mod uri;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;

use super::{Secret, SignerError};
use crate::env;
use crate::pki::{Hash, KeyKind, element, sequence, tag};

pub use uri::TokenUri;

/// The variable with the module to speak to tokens with.
const MODULE: &str = "KMODFORGE_PKCS11_MODULE";

/// p11-kit's module, which stands for all that are configured on a machine.
const PROXY: &str = "p11-kit-proxy.so";

const NAME_PIN: Option<&str> = Some("set KMODFORGE_SIGN_PASSPHRASE to the PIN, or name a file that holds it: --sign-passphrase-file FILE");
const DESCRIBE: Option<&str> = Some("list what there is: pkcs11-tool --list-objects, or p11tool --list-privkeys");

/// A key on a token, logged in to.
pub(super) struct Token {
    /// One session: a token does one thing at a time.
    session: Mutex<Session>,
    key: ObjectHandle,
    kind: KeyKind,
    uri: String,
}

impl Token {
    /// Finds the token and the key that `uri` describes, and logs in.
    pub(super) fn open(uri: &TokenUri, passphrase: Option<&Secret>, kind: KeyKind) -> Result<Self, SignerError> {
        let fail = Fail { uri: uri.to_string() };
        let module = uri.module.clone().or_else(|| env::var(MODULE).map(PathBuf::from)).unwrap_or_else(|| PathBuf::from(PROXY));
        let pin = pin(uri, passphrase)?;
        let has_pin = pin.is_some();
        let library = load(&module, &fail)?;
        let slot = find_slot(&library, uri, &fail)?;
        let session = library.open_ro_session(slot).map_err(|error| fail.with("cannot be opened", &error, None))?;
        if let Some(pin) = pin {
            let pin = AuthPin::from(pin.to_string());
            session.login(UserType::User, Some(&pin)).or_else(already_in).map_err(|error| fail.login(&error))?;
        }
        let key = find_key(&session, uri, has_pin, &fail)?;
        Ok(Self { session: Mutex::new(session), key, kind, uri: fail.uri })
    }

    /// The signature of a digest: PKCS#1 v1.5, or ECDSA in DER.
    pub(super) fn sign(&self, hash: Hash, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        let prepared = self.kind.prepare(hash, digest).ok_or(SignerError::Internal)?;
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = match self.kind {
            KeyKind::Rsa => session.sign(&Mechanism::RsaPkcs, self.key, &hash.digest_info(digest)),
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => session.sign(&Mechanism::Ecdsa, self.key, prepared.as_ref()).map(|raw| in_der(&raw)),
        };
        signed.map_err(|error| Fail { uri: self.uri.clone() }.with("does not sign", &error, None))
    }
}

/// The PIN of the URI, else that of the file it names, else the passphrase.
fn pin(uri: &TokenUri, passphrase: Option<&Secret>) -> Result<Option<Secret>, SignerError> {
    match (&uri.pin, &uri.pin_file) {
        (Some(pin), _) => Ok(Some(pin.clone())),
        (None, Some(file)) => super::passphrase(Some(file)),
        (None, None) => Ok(passphrase.cloned()),
    }
}

fn load(module: &Path, fail: &Fail) -> Result<Pkcs11, SignerError> {
    let name_module = Some("name the module of the token's maker: ?module-path=/path/to/module.so in the URI, or KMODFORGE_PKCS11_MODULE");
    let library = Pkcs11::new(module).map_err(|error| fail.with(&format!("cannot be reached through `{}`", module.display()), &error, name_module))?;
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(library),
        Err(error) => Err(fail.with(&format!("cannot be reached through `{}`", module.display()), &error, name_module)),
    }
}

fn find_slot(library: &Pkcs11, uri: &TokenUri, fail: &Fail) -> Result<Slot, SignerError> {
    let slots = library.get_slots_with_token().map_err(|error| fail.with("cannot be looked for", &error, None))?;
    let mut found: Vec<Slot> = slots.into_iter().filter(|slot| library.get_token_info(*slot).is_ok_and(|info| fits(uri, &info))).collect();
    match (found.pop(), found.len()) {
        (Some(slot), 0) => Ok(slot),
        (None, _) => Err(fail.that("is not there", DESCRIBE)),
        (Some(_), others) => Err(fail.that(&format!("is one of {} that the URI describes", others + 1), Some("add `token=` or `serial=` to the URI"))),
    }
}

fn fits(uri: &TokenUri, info: &TokenInfo) -> bool {
    let same = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
    info.token_initialized()
        && same(&uri.token, info.label())
        && same(&uri.serial, info.serial_number())
        && same(&uri.manufacturer, info.manufacturer_id())
        && same(&uri.model, info.model())
}

/// Another session of this program has logged in before; a login holds for the whole program.
fn already_in(error: Error) -> Result<(), Error> {
    if matches!(error, Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) { Ok(()) } else { Err(error) }
}

fn find_key(session: &Session, uri: &TokenUri, has_pin: bool, fail: &Fail) -> Result<ObjectHandle, SignerError> {
    let mut wanted = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
    wanted.extend(uri.object.as_ref().map(|label| Attribute::Label(label.as_bytes().to_vec())));
    wanted.extend(uri.id.as_ref().map(|id| Attribute::Id(id.clone())));
    let mut keys = session.find_objects(&wanted).map_err(|error| fail.with("does not list its keys", &error, None))?;
    match (keys.pop(), keys.len()) {
        (Some(key), 0) => Ok(key),
        (None, _) if !has_pin => Err(fail.that("shows no private key without a PIN", NAME_PIN)),
        (None, _) => Err(fail.that("has no private key that the URI describes", DESCRIBE)),
        (Some(_), others) => Err(fail.that(&format!("has {} private keys that the URI describes", others + 1), Some("add `object=` or `id=` to the URI"))),
    }
}

/// Two numbers of equal length, as tokens give ECDSA signatures, in DER (RFC 3279 §2.2.3).
fn in_der(raw: &[u8]) -> Vec<u8> {
    let (r, s) = raw.split_at(raw.len() / 2);
    let number = |digits: &[u8]| {
        let digits = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
        // A leading bit would mean a negative number; zero has a digit, too.
        let sign: &[u8] = if digits.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
        element(tag::INTEGER, &[sign, digits])
    };
    sequence(&[&number(r), &number(s)])
}

/// Makes errors about a token.
struct Fail {
    uri: String,
}

impl Fail {
    fn that(&self, problem: &str, help: Option<&'static str>) -> SignerError {
        SignerError::Token { problem: problem.to_owned(), uri: self.uri.clone(), said: None, help }
    }

    fn with(&self, problem: &str, error: &Error, help: Option<&'static str>) -> SignerError {
        SignerError::Token { problem: problem.to_owned(), uri: self.uri.clone(), said: Some(error.to_string()), help }
    }

    fn login(&self, error: &Error) -> SignerError {
        match error {
            Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _) => {
                self.that("refuses the PIN", Some("see KMODFORGE_SIGN_PASSPHRASE and --sign-passphrase-file; tokens lock after a few wrong PINs"))
            }
            Error::Pkcs11(RvError::PinLocked, _) => self.that("has locked its PIN", Some("unlock it with the security officer's PIN")),
            other => self.with("refuses the login", other, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_become_der() {
        assert_eq!(in_der(&[0x00, 0x7f, 0x80, 0x01]), [0x30, 0x08, 0x02, 0x01, 0x7f, 0x02, 0x03, 0x00, 0x80, 0x01]);
        assert_eq!(in_der(&[0, 0]), [0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00]);
    }

    #[test]
    fn a_module_that_is_not_there_is_named() {
        let uri: TokenUri = "pkcs11:token=t?module-path=/nowhere/x.so&pin-value=sesame".parse().unwrap();
        let error = Token::open(&uri, None, KeyKind::Rsa).err().unwrap();
        assert_eq!(error.to_string(), "the PKCS#11 token cannot be reached through `/nowhere/x.so`");
        assert!(!format!("{error:?}").contains("sesame"));
    }
}
