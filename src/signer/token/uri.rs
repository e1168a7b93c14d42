//! `pkcs11:` URIs (RFC 7512).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::signer::Secret;

/// Which key on which token, and how it is reached. What is not named may be anything.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct TokenUri {
    /// Label of the token.
    pub token: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its manufacturer.
    pub manufacturer: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// Label of the key.
    pub object: Option<String>,
    /// Id of the key.
    pub id: Option<Vec<u8>>,
    /// The module to speak to the token with.
    pub module: Option<PathBuf>,
    /// The PIN.
    pub pin: Option<Secret>,
    /// The file that holds the PIN.
    pub pin_file: Option<PathBuf>,
    /// The URI without its PIN, for messages.
    shown: String,
}

impl fmt::Display for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenUri({self})")
    }
}

impl FromStr for TokenUri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("pkcs11:").ok_or("`pkcs11:…`")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        for (name, value) in pairs(path, ';')? {
            uri.path_attribute(&name, &value)?;
        }
        for (name, value) in pairs(query, '&')? {
            uri.query_attribute(&name, &value)?;
        }
        let public = |part: &&str| !part.starts_with("pin-value=");
        let query: Vec<_> = query.split('&').filter(|part| !part.is_empty()).filter(public).collect();
        uri.shown = format!("pkcs11:{path}{}{}", if query.is_empty() { "" } else { "?" }, query.join("&"));
        Ok(uri)
    }
}

impl TokenUri {
    fn path_attribute(&mut self, name: &str, value: &[u8]) -> Result<(), String> {
        match name {
            "token" => self.token = Some(text(name, value)?),
            "serial" => self.serial = Some(text(name, value)?),
            "manufacturer" => self.manufacturer = Some(text(name, value)?),
            "model" => self.model = Some(text(name, value)?),
            "object" => self.object = Some(text(name, value)?),
            "id" => self.id = Some(value.to_vec()),
            "type" if value == b"private" => {}
            "type" => return Err("`type=private`, or no `type`".into()),
            other => return Err(format!("`token`, `serial`, `manufacturer`, `model`, `object` or `id`, not `{other}`")),
        }
        Ok(())
    }

    fn query_attribute(&mut self, name: &str, value: &[u8]) -> Result<(), String> {
        match name {
            "module-path" => self.module = Some(text(name, value)?.into()),
            "pin-value" => self.pin = Some(Zeroizing::new(text(name, value)?)),
            "pin-source" => {
                let source = text(name, value)?;
                let path = source.strip_prefix("file://").or_else(|| source.strip_prefix("file:")).unwrap_or(&source);
                if !path.starts_with('/') {
                    return Err("an absolute path or a `file:` URI after `pin-source=`".into());
                }
                self.pin_file = Some(path.into());
            }
            other => return Err(format!("`module-path`, `pin-value` or `pin-source`, not `{other}`")),
        }
        Ok(())
    }
}

type Pair = (String, Zeroizing<Vec<u8>>);

fn pairs(text: &str, separator: char) -> Result<Vec<Pair>, String> {
    let parts = text.split(separator).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            // Not shown: it may be a PIN.
            let (name, value) = part.split_once('=').ok_or("`name=value`")?;
            let value = decode(value).ok_or_else(|| format!("two hexadecimal digits behind each `%` in the value of `{name}`"))?;
            Ok((name.to_owned(), value))
        })
        .collect()
}

/// Undoes percent-encoding (RFC 3986 §2.1).
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push(u8::try_from(digit()? << 4 | digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

fn text(name: &str, value: &[u8]) -> Result<String, String> {
    std::str::from_utf8(value).map(str::to_owned).map_err(|_| format!("UTF-8 in the value of `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_key_a_module_and_a_pin() {
        let uri: TokenUri = "pkcs11:token=signing%20token;object=driver;id=%01%aB?module-path=/usr/lib/x.so&pin-value=12%2634".parse().unwrap();
        assert_eq!((uri.token.as_deref(), uri.object.as_deref(), uri.id.as_deref()), (Some("signing token"), Some("driver"), Some(&[1, 0xab][..])));
        assert_eq!((uri.module.as_deref(), uri.pin.as_deref().map(String::as_str)), (Some("/usr/lib/x.so".as_ref()), Some("12&34")));
        let uri: TokenUri = "pkcs11:object=k;type=private?pin-source=file:/run/pin".parse().unwrap();
        assert_eq!(uri.pin_file.as_deref(), Some("/run/pin".as_ref()));
    }

    #[test]
    fn a_pin_is_never_shown() {
        let uri: TokenUri = "pkcs11:token=t?pin-value=sesame&module-path=/x.so".parse().unwrap();
        assert_eq!(uri.to_string(), "pkcs11:token=t?module-path=/x.so");
        assert_eq!(format!("{uri:?}"), "TokenUri(pkcs11:token=t?module-path=/x.so)");
        assert_eq!("pkcs11:token=t?pin-value=sesame".parse::<TokenUri>().unwrap().to_string(), "pkcs11:token=t");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, message) in [
            ("pkcs11:slot-id=1", "`token`, `serial`, `manufacturer`, `model`, `object` or `id`, not `slot-id`"),
            ("pkcs11:type=cert", "`type=private`, or no `type`"),
            ("pkcs11:token", "`name=value`"),
            ("pkcs11:id=%1", "two hexadecimal digits behind each `%` in the value of `id`"),
            ("pkcs11:token=%ff", "UTF-8 in the value of `token`"),
            ("pkcs11:?pin-source=pin", "an absolute path or a `file:` URI after `pin-source=`"),
            ("pkcs11:?pin=1", "`module-path`, `pin-value` or `pin-source`, not `pin`"),
        ] {
            assert_eq!(text.parse::<TokenUri>().unwrap_err(), message, "{text}");
        }
    }
}
