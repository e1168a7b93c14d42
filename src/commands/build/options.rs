//! What the command line says about how to build.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::builder::SolveOptions;
use crate::cli::{BuildArgs, Compression};
use crate::commands::session::{Session, source_date_epoch};
use crate::commands::signing::Certificate;
use crate::commands::{attaching, signing, solving};
use crate::error::Failure;
use crate::image::layer;
use crate::pipeline::attach::Attach;
use crate::pipeline::{Options, Signing};
use crate::plan::Plan;
use crate::reference::Digest;

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
            solve: Arc::new(solving::options(&args.solve, args.air_gap.offline.is_some())?),
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
        Options {
            jobs,
            fail_fast: args.run.fail_fast,
            solve: self.solve.clone(),
            compression: self.compression,
            epoch: self.epoch,
            attach: self.attach.clone(),
            logs: args.result.log_dir.clone(),
            work: work.to_owned(),
            base_digests: bases,
            signing: self.signing.clone(),
            driver_folders: session.driver_folders(plan),
        }
    }
}
