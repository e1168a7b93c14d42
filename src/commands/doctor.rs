//! `kmodforge doctor`: what works here, asked of the code that will be used.

use std::time::Duration;

use serde_json::json;

use super::builder::connect;
use super::selection;
use super::session::Session;
use super::signing;
use crate::boot::{Accelerator, Emulator};
use crate::cli::{DoctorArgs, GlobalArgs, TextFormat};
use crate::error::{Exit, Failure};
use crate::reference::Reference;
use crate::ui::{DoctorLine, DoctorState, Ui};

/// How long a registry may take to answer, a builder to start, a repository's index to arrive.
const REGISTRY_LIMIT: Duration = Duration::from_secs(10);
const BUILDER_LIMIT: Duration = Duration::from_mins(1);
const PACKAGES_LIMIT: Duration = Duration::from_secs(30);

/// Looks at builder, registry, repositories, QEMU and cache.
///
/// # Errors
/// When the profiles or the project file are wrong.
pub async fn run(global: &GlobalArgs, args: &DoctorArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open(global, &args.project)?;
    let (builder, registry, packages, qemu) = tokio::join!(builder(&session, args), registry(&session, args), packages(&session), qemu());
    let lines = [builder, registry, packages, qemu, cache(&session), signing(&session, args)];
    match args.format {
        TextFormat::Table => ui.doctor(&lines),
        TextFormat::Json => {
            let value: Vec<_> =
                lines.iter().map(|line| json!({ "name": line.name, "state": line.state.name(), "text": line.text, "remedy": line.remedy })).collect();
            ui.json_data(&value);
        }
    }
    Ok(if lines.iter().any(|line| line.state == DoctorState::Failed) { Exit::Failed } else { Exit::Done })
}

fn line(name: &str, state: DoctorState, text: impl Into<String>) -> DoctorLine {
    DoctorLine { name: name.into(), state, text: text.into(), remedy: None }
}

fn failed(name: &str, failure: &Failure) -> DoctorLine {
    let facts: Vec<_> = failure.facts.iter().map(|(label, value)| format!("{label}: {}", value.replace('\n', "; "))).collect();
    let text = std::iter::once(failure.headline.clone()).chain(facts).collect::<Vec<_>>().join("; ");
    DoctorLine { remedy: failure.help.first().cloned(), ..line(name, DoctorState::Failed, text) }
}

fn silent(name: &str, limit: Duration) -> DoctorLine {
    line(name, DoctorState::Failed, format!("no answer within {} s", limit.as_secs()))
}

async fn builder(session: &Session, args: &DoctorArgs) -> DoctorLine {
    let connecting = async { connect(session, &args.builder.parse()?).await };
    match tokio::time::timeout(BUILDER_LIMIT, connecting).await {
        Ok(Ok(connected)) => {
            let info = crate::builder::Builder::info(&connected.builder);
            let text = format!("{}, at {} ({}); builds for {}", info.name, info.endpoint, connected.origin, info.platforms.join(", "));
            line("builder", DoctorState::Ok, text)
        }
        Ok(Err(failure)) => failed("builder", &failure),
        Err(_) => silent("builder", BUILDER_LIMIT),
    }
}

async fn registry(session: &Session, args: &DoctorArgs) -> DoctorLine {
    let project = session.project.as_ref().and_then(|project| project.content.repository.clone());
    let Some(repository) = args.repo.clone().or(project) else {
        return DoctorLine {
            remedy: Some("name one: --repo REGISTRY/PATH, or `repository:` in the project file".into()),
            ..line("registry", DoctorState::Off, "no repository is named; images can only be written to files")
        };
    };
    let asking = async {
        let reference: Reference = format!("{repository}/kmodforge-doctor")
            .parse()
            .map_err(|error: crate::reference::InvalidReference| Failure::new(Exit::Usage, error.to_string()))?;
        session.registry(&args.registry)?.check_push(&reference).await.map_err(Failure::from)
    };
    match tokio::time::timeout(REGISTRY_LIMIT, asking).await {
        Ok(Ok(as_whom)) => {
            line("registry", DoctorState::Ok, format!("{repository}: push allowed{}", as_whom.map(|user| format!(" as `{user}`")).unwrap_or_default()))
        }
        Ok(Err(failure)) => failed("registry", &failure),
        Err(_) => silent("registry", REGISTRY_LIMIT),
    }
}

/// Whether the first release of each distribution can be read that is meant where none is named.
async fn packages(session: &Session) -> DoctorLine {
    let mut read = Vec::new();
    for profile in session.catalog.usual_distros() {
        let Some(release) = profile.releases.first() else { continue };
        let reading = selection::read_index(session, profile, release, super::session::host_arch(), &[]);
        match tokio::time::timeout(PACKAGES_LIMIT, reading).await {
            Ok(Ok(index)) => read.push(format!("{} {}: {} kernels", profile.id, release.id, index.kernels.len())),
            Ok(Err(failure)) => return failed("packages", &failure),
            Err(_) => return silent("packages", PACKAGES_LIMIT),
        }
    }
    line("packages", DoctorState::Ok, read.join(", "))
}

/// Whether the key, if one is named, signs in the name of the certificate.
fn signing(session: &Session, args: &DoctorArgs) -> DoctorLine {
    match signing::open(session.project.as_ref(), &args.sign) {
        Ok(Some(signing)) => {
            let certificate = signing.signer.certificate();
            line("signing", DoctorState::Ok, format!("{}, {}, until {}", certificate.subject, certificate.key.kind, certificate.not_after.text))
        }
        Ok(None) => {
            let remedy = "name key and certificate: --sign-key KEY --sign-cert FILE, or `sign` in the project file".to_owned();
            let text = "no key is named; kernels with Secure Boot will refuse the modules";
            DoctorLine { remedy: Some(remedy), ..line("signing", DoctorState::Off, text) }
        }
        Err(failure) => failed("signing", &failure),
    }
}

/// Whether kernels can be booted, and how fast.
async fn qemu() -> DoctorLine {
    match Emulator::find(super::session::host_arch()).await {
        Ok(Emulator { program, accelerator: Accelerator::Kvm, .. }) => line("qemu", DoctorState::Ok, format!("{} with KVM", program.display())),
        Ok(Emulator { program, why, .. }) => {
            let why = why.unwrap_or_default();
            line("qemu", DoctorState::Slow, format!("{}; {why}: kernels are emulated, a boot takes some seconds", program.display()))
        }
        Err(error) => {
            let failure = Failure::from(error);
            let remedy = failure.help.first().cloned();
            DoctorLine { remedy, ..line("qemu", DoctorState::Off, format!("{}; images cannot be booted", failure.headline)) }
        }
    }
}

fn cache(session: &Session) -> DoctorLine {
    let writable = std::fs::create_dir_all(&session.cache).and_then(|()| tempfile::tempfile_in(&session.cache));
    match writable {
        Ok(_) => line("cache", DoctorState::Ok, session.cache.display().to_string()),
        Err(error) => DoctorLine {
            remedy: Some("set KMODFORGE_CACHE to a folder that can be written".into()),
            ..line("cache", DoctorState::Failed, format!("{}: {error}", session.cache.display()))
        },
    }
}
