//! The protocol of credential helpers: `docker-credential-NAME get`, the server's name on stdin, JSON on stdout.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Credential, CredentialError};
use crate::env;

/// Helpers may ask a cloud's metadata service, or wait for a keyring to be unlocked.
const LIMIT: Duration = Duration::from_secs(30);

/// The user's name with which helpers mark an identity token.
const TOKEN_USER: &str = "<token>";

/// What a helper says when it knows nothing about a server.
const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks the program `helper` in one of the folders `programs` about `host`.
pub(super) async fn ask(helper: &str, programs: &[PathBuf], host: &str) -> Result<Option<Credential>, CredentialError> {
    let fail = |message: String| CredentialError::Helper { helper: helper.to_owned(), host: host.to_owned(), message };
    let program = programs.iter().map(|dir| dir.join(helper)).find(|file| env::is_executable(file));
    let program = program.ok_or_else(|| CredentialError::NoHelper { helper: helper.to_owned(), host: host.to_owned() })?;
    let conversation = run(program, host);
    let output = tokio::time::timeout(LIMIT, conversation).await;
    let output = output.map_err(|_| fail(format!("no answer within {} s", LIMIT.as_secs())))?.map_err(|error| fail(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        if text.trim() == NOT_FOUND {
            return Ok(None);
        }
        let complaint = if text.trim().is_empty() { String::from_utf8_lossy(&output.stderr) } else { text };
        let complaint = complaint.trim();
        return Err(fail(if complaint.is_empty() { output.status.to_string() } else { complaint.to_owned() }));
    }
    // The answer may hold a secret, and serde's message may quote it.
    let Answer { username, secret } = serde_json::from_str(&text).map_err(|_| fail("its answer is not JSON with credentials".to_owned()))?;
    Ok(match username.as_str() {
        TOKEN_USER => Some(Credential::IdentityToken(secret)),
        "" if secret.is_empty() => None,
        _ => Some(Credential::Basic { username, password: secret }),
    })
}

async fn run(program: PathBuf, host: &str) -> std::io::Result<std::process::Output> {
    let mut child = Command::new(program).arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input tells why on its output.
        let _ = stdin.write_all(host.as_bytes()).await;
    }
    child.wait_with_output().await
}
