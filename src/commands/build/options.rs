//! What the command line says about how to build.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::builder::{Secret, SolveOptions};
use crate::cli::{BuildArgs, Compression, SecretArg, SecretSource};
use crate::commands::session::{Session, client_certificate, source_date_epoch};
use crate::commands::signing::Certificate;
use crate::commands::{attaching, signing};
use crate::env;
use crate::error::{Exit, Failure};
use crate::image::layer;
use crate::pipeline::attach::Attach;
use crate::pipeline::{Options, Signing};
use crate::plan::Plan;
use crate::reference::Digest;

/// Secrets that rendered Dockerfiles use.
const SECRETS: [&str; 1] = ["apt-auth"];

/// Choices that hold for all targets, read and found possible.
pub(super) struct Choices {
    pub(super) solve: Arc<SolveOptions>,
    pub(super) compression: layer::Compression,
    /// Time of everything in an image, seconds since 1970.
    pub(super) epoch: u64,
    /// What is attached to published images.
    pub(super) attach: Option<Attach>,
    /// Who signs the modules, if anybody does.
    pub(super) signing: Option<Signing>,
    /// What the input digest says about that.
    signed_by: String,
}

impl Choices {
    pub(super) fn of(session: &Session, args: &BuildArgs) -> Result<Self, Failure> {
        let project = session.project.as_ref();
        // A project that says who signs is a project without signatures where `--no-sign` says so.
        let signer = project.filter(|_| !args.no_sign);
        Ok(Self {
            solve: Arc::new(SolveOptions {
                secrets: args
                    .solve
                    .secrets
                    .iter()
                    .map(read_secret)
                    .chain(client_certificate().map(|file| certificate_secret(&file)))
                    .collect::<Result<_, _>>()?,
                network: args.solve.network,
                cache_from: args.solve.cache_from.clone(),
                cache_to: args.solve.cache_to.clone(),
                no_cache: args.solve.no_cache,
            }),
            compression: match args.result.compression {
                Compression::Zstd => layer::Compression::Zstd,
                Compression::Gzip => layer::Compression::Gzip,
            },
            epoch: source_date_epoch()?,
            attach: attaching::choice(project, &args.attach, args.result.push)?,
            signing: signing::open(signer, &args.sign)?,
            signed_by: Certificate::of(signer, &args.sign.certificate).arguments()?,
        })
    }

    /// What of it ends up in an image, for the input digest.
    pub(super) fn arguments(&self) -> String {
        crate::commands::plan::arguments(self.compression, self.epoch) + &self.signed_by
    }

    /// The pipeline's options for a plan.
    pub(super) fn options(&self, session: &Session, args: &BuildArgs, plan: &Plan, jobs: usize, work: &Path, bases: BTreeMap<String, Digest>) -> Options {
        let folder = |driver: &str| (driver.to_owned(), session.driver_folder(driver));
        Options {
            jobs,
            fail_fast: args.run.fail_fast,
            mirrors: session.mirrors(),
            solve: self.solve.clone(),
            compression: self.compression,
            epoch: self.epoch,
            attach: self.attach.clone(),
            logs: args.result.log_dir.clone(),
            work: work.to_owned(),
            base_digests: bases,
            signing: self.signing.clone(),
            driver_folders: plan.targets.iter().map(|target| folder(target.driver.profile.id.as_str())).collect(),
        }
    }
}

fn read_secret(secret: &SecretArg) -> Result<Secret, Failure> {
    if !SECRETS.contains(&secret.id.as_str()) {
        return Err(Failure::new(Exit::Usage, format!("no build step uses a secret `{}`", secret.id))
            .fact("expected", "`apt-auth`: logins for package repositories, as apt_auth.conf(5) describes them"));
    }
    let data = match &secret.source {
        SecretSource::File(file) => {
            std::fs::read(file).map_err(|error| Failure::new(Exit::Usage, format!("the secret's file `{}` cannot be read: {error}", file.display())))?
        }
        SecretSource::Env(name) => env::var(name).ok_or_else(|| Failure::new(Exit::Usage, format!("the secret's variable `{name}` is not set")))?.into_bytes(),
    };
    Ok(Secret { id: secret.id.clone(), data: data.into() })
}

/// What the session shows to package repositories, the build shows as well.
fn certificate_secret(file: &Path) -> Result<Secret, Failure> {
    let data = std::fs::read(file)
        .map_err(|error| Failure::new(Exit::Usage, format!("KMODFORGE_CLIENT_CERTIFICATE: `{}` cannot be read: {error}", file.display())))?;
    Ok(Secret { id: "client-certificate".to_owned(), data: data.into() })
}
