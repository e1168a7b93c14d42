//! What a failed `Solve` means.
//!
//! The error itself has mostly the code `Unknown` and a text. Which step failed, and what it printed, is known from the status stream;
//! daemons since 0.13 add details as JSON inside `google.rpc.Status` (`solver/errdefs`, `util/grpcerrors` of moby/buildkit).

use bollard_buildkit_proto::google::rpc;
use prost::Message;
use serde::Deserialize;
use tonic::{Code, Status};

use super::connect::chain;
use super::progress::{Progress, Step};
use crate::builder::SolveError;

/// A spurious failure of old daemons under load; the same request works when it is repeated.
pub(super) const SPURIOUS: &str = "flightcontrol: exceeded retry timeout";

/// The typed parts of an error.
#[derive(Debug, Default, PartialEq, Eq)]
struct Details {
    /// Digests of failed steps, the innermost first.
    vertexes: Vec<String>,
    exit_code: Option<i32>,
    /// Line of the Dockerfile, from 1.
    line: Option<u32>,
}

/// Turns the answer to Solve into what the caller is told.
pub(super) fn explain(status: &Status, progress: &Progress) -> SolveError {
    // What the daemon says has no cause on this side.
    if let Some(cause) = std::error::Error::source(status) {
        return SolveError::Lost(chain(cause));
    }
    match status.code() {
        Code::Unavailable => return SolveError::Lost(status.message().to_owned()),
        Code::Cancelled => return SolveError::Lost(format!("it broke the build off: {}", status.message())),
        _ if status.message().ends_with("context canceled") => return SolveError::Lost(format!("it broke the build off: {}", status.message())),
        _ => {}
    }
    let details = details(status);
    match failing_step(status, progress, &details) {
        Some(step) if is_work(step) => SolveError::Step {
            step: step.name.clone(),
            message: step.error.clone(),
            exit_code: details.exit_code.or_else(|| exit_code(&step.error)),
            log: step.log(),
        },
        _ => refused(status.message(), details.line),
    }
}

/// Fetching a base image is a step to the builder, but nothing that the Dockerfile's author wrote has failed.
fn is_work(step: &Step) -> bool {
    !step.is_internal() && !step.name.contains("] FROM ")
}

/// The step that the error is about. A failed cache import, say, is recorded as a failed step too, and stops nothing.
fn failing_step<'a>(status: &Status, progress: &'a Progress, details: &Details) -> Option<&'a Step> {
    let named = details.vertexes.iter().filter_map(|digest| progress.step(digest)).find(|step| step.has_failed());
    let failed = progress.failed();
    let quoted = failed.iter().find(|step| status.message().contains(&step.error));
    let other = failed.iter().find(|step| !step.name.starts_with("importing cache manifest"));
    named.or_else(|| quoted.or(other).copied())
}

fn details(status: &Status) -> Details {
    let mut found = Details::default();
    let Ok(rpc::Status { details, .. }) = rpc::Status::decode(status.details()) else { return found };
    for any in details {
        let kind = any.type_url.rsplit('/').next().unwrap_or_default();
        match kind.trim_end_matches("+json") {
            "errdefs.Vertex" => found.vertexes.extend(json::<VertexDetail>(&any.value).map(|vertex| vertex.digest)),
            "gatewayapi.ExitMessage" => found.exit_code = json::<ExitDetail>(&any.value).map(|exit| exit.code),
            "errdefs.Source" => found.line = json::<SourceDetail>(&any.value).and_then(|source| Some(source.ranges.first()?.start.line)),
            _ => {}
        }
    }
    found
}

fn json<T: for<'a> Deserialize<'a>>(value: &[u8]) -> Option<T> {
    serde_json::from_slice(value).ok()
}

#[derive(Deserialize)]
struct VertexDetail {
    digest: String,
}

#[derive(Deserialize)]
struct ExitDetail {
    /// The encoder leaves zeroes out.
    #[serde(default, rename = "Code")]
    code: i32,
}

#[derive(Deserialize)]
struct SourceDetail {
    #[serde(default)]
    ranges: Vec<SourceRange>,
}

#[derive(Deserialize)]
struct SourceRange {
    start: SourcePosition,
}

#[derive(Deserialize)]
struct SourcePosition {
    #[serde(default)]
    line: u32,
}

/// `process "/bin/sh -c …" did not complete successfully: exit code: 3`; before 0.9 `executor failed running […]: exit code: 3`.
fn exit_code(message: &str) -> Option<i32> {
    let digits = message.rsplit_once("exit code: ")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// Frames that say nothing to a user.
const FRAMES: [&str; 5] = [
    "failed to solve with frontend dockerfile.v0: ",
    "failed to solve with frontend gateway.v0: ",
    "failed to solve: ",
    "failed to create LLB definition: ",
    "rpc error: code = Unknown desc = ",
];

fn refused(message: &str, line: Option<u32>) -> SolveError {
    let mut text = message;
    while let Some(rest) = FRAMES.iter().find_map(|frame| text.strip_prefix(frame)) {
        text = rest;
    }
    let place = line.filter(|line| *line > 0 && !text.contains(" line ")).map(|line| format!(" (line {line} of the Dockerfile)"));
    SolveError::Refused { message: format!("{text}{}", place.unwrap_or_default()), help: help(text).map(str::to_owned) }
}

/// Texts by which a cause is known, and what to do about it; the first that fits counts.
const REMEDIES: [(&str, &str); 13] = [
    ("server gave HTTP response to HTTPS client", "the builder takes this registry for an HTTPS one: list it in the daemon's insecure registries"),
    ("certificate signed by unknown authority", "the builder does not trust this registry's certificate: give the daemon its CA, not only kmodforge"),
    ("network.host is not allowed", "start buildkitd with `--allow-insecure-entitlement network.host`, or leave `--network host` out"),
    ("entitlement network.host is not allowed", "start buildkitd with `--allow-insecure-entitlement network.host`, or leave `--network host` out"),
    ("granting entitlement", "allow the entitlement in the daemon's configuration"),
    ("unknown cache exporter", "this builder has no such cache backend: use `type=registry`"),
    ("unknown cache importer", "this builder has no such cache backend: use `type=registry`"),
    ("received message larger than max", "the Dockerfile is too large for this daemon"),
    ("no match for platform", "the image exists, but not for this platform"),
    ("no such host", "the builder does not find this host: check its DNS, or send images elsewhere with `mirrors` in kmodforge.yaml"),
    ("pull access denied", "check the image's name, `docker login`, and `mirrors` in kmodforge.yaml"),
    ("failed to authorize", "check `docker login` for this registry"),
    (": not found", "check the image's name, and `mirrors` in kmodforge.yaml"),
];

fn help(message: &str) -> Option<&'static str> {
    REMEDIES.iter().find(|(text, _)| message.contains(text)).map(|(_, help)| *help)
}

#[cfg(test)]
mod tests;
