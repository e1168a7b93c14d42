//! A key behind a command, for key management services and everything else that has a command line.
//!
//! `/bin/sh -c COMMAND` gets the digest of a module, raw, on standard input and prints the signature, raw, on standard output: PKCS#1 v1.5
//! for RSA (as long as the modulus), DER for ECDSA. `KMODFORGE_SIGN_HASH` is the digest's hash, `KMODFORGE_SIGN_ALGORITHM` `rsa` or `ecdsa`.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use super::SignerError;
use crate::env;
use crate::pki::{Certificate, Hash, KeyKind};

/// Services answer within a second or two, if at all.
const PATIENCE: Duration = Duration::from_mins(1);

/// More than any signature has, and than anybody reads of messages.
const LONGEST: u64 = 64 << 10;

/// How often is looked whether the command has ended.
const LOOK: Duration = Duration::from_millis(5);

pub(super) struct SigningCommand {
    command: String,
    patience: Duration,
}

impl SigningCommand {
    pub(super) fn new(command: &str) -> Self {
        Self { command: command.to_owned(), patience: PATIENCE }
    }

    #[cfg(test)]
    pub(super) fn impatient(command: &str) -> Self {
        Self { command: command.to_owned(), patience: Duration::from_millis(200) }
    }

    pub(super) fn sign(&self, hash: Hash, digest: &[u8], kind: KeyKind) -> Result<Vec<u8>, SignerError> {
        let fail = |problem: String, said: &[u8]| {
            let said = String::from_utf8_lossy(said);
            let last: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).rev().take(5).collect();
            SignerError::Command { command: self.command.clone(), problem, said: last.into_iter().rev().collect::<Vec<_>>().join("\n") }
        };
        let mut child = self.spawn(hash, kind).map_err(|error| fail(format!("cannot be started: {error}"), b""))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let read = |stream: Option<Box<dyn Read + Send>>| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                // What could not be read is missed in the signature.
                let _ = stream.map(|stream| stream.take(LONGEST).read_to_end(&mut bytes));
                bytes
            })
        };
        let out = read(stdout.map(|stream| Box::new(stream) as _));
        let said = read(stderr.map(|stream| Box::new(stream) as _));
        // A command that does not want its input closes it.
        let _ = stdin.map(|mut stream| stream.write_all(digest));
        let status = self.wait(&mut child).map_err(|error| fail(format!("was lost: {error}"), b""))?;
        let Some(status) = status else { return Err(fail(format!("did not end within {} s", self.patience.as_secs().max(1)), b"")) };
        let (out, said) = (out.join().unwrap_or_default(), said.join().unwrap_or_default());
        match status.code() {
            Some(0) => Ok(out),
            Some(code) => Err(fail(format!("ended with status {code}"), &said)),
            None => Err(fail("was killed".to_owned(), &said)),
        }
    }

    fn spawn(&self, hash: Hash, kind: KeyKind) -> io::Result<Child> {
        let algorithm = if kind == KeyKind::Rsa { "rsa" } else { "ecdsa" };
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &self.command]).env("KMODFORGE_SIGN_HASH", hash.name()).env("KMODFORGE_SIGN_ALGORITHM", algorithm);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    }

    /// How the command ended; `None` if it had to be stopped.
    fn wait(&self, child: &mut Child) -> io::Result<Option<ExitStatus>> {
        let begun = env::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if env::now().saturating_sub(begun) > self.patience {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
    }

    /// The command printed something that is no signature.
    pub(super) fn rubbish(&self, found: &[u8], certificate: &Certificate) -> SignerError {
        let length = certificate.key.rsa_bits().map(|bits| bits.div_ceil(8));
        let found = match found {
            [] => "nothing".to_owned(),
            _ if length.is_some_and(|length| length == found.len()) => "a signature by another key, or of something else".to_owned(),
            text if text.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => format!("{} bytes of text", text.len()),
            bytes => format!("{} bytes", bytes.len()),
        };
        let expected = match length {
            Some(length) => format!("a raw PKCS#1 v1.5 signature of {length} bytes"),
            None => "a raw ECDSA signature in DER".to_owned(),
        };
        SignerError::Rubbish { command: self.command.clone(), found, expected }
    }
}
