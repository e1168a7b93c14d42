//! `kmodforge render`: a folder per target that a plain `docker build` turns into an equivalent image.

use std::path::Path;

use super::selection;
use super::session::{Session, source_date_epoch};
use crate::cli::{GlobalArgs, RenderArgs};
use crate::error::{Exit, Failure};
use crate::fetch::source::{self, FirmwareSpec};
use crate::pipeline::source_spec;
use crate::plan::Target;
use crate::render;
use crate::ui::Ui;

/// Writes the folders and prints their paths.
///
/// # Errors
/// When a source cannot be had or a folder cannot be written.
pub async fn run(global: &GlobalArgs, args: &RenderArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open(global, &args.select.project)?;
    let plan = selection::plan(&session, &args.select, &super::plan::arguments("zstd", source_date_epoch()?)).await?;
    for skipped in &plan.skipped {
        ui.note(&format!("{}: {}", skipped.target, skipped.reason));
    }
    for target in &plan.targets {
        let label = target.label();
        let folder = args.output.join(format!("{}-{}-{}-{}", label.driver, label.version, target.kernel.release.tag(), label.arch));
        write(&session, target, &folder).await?;
        ui.data(&format!("{}\n", folder.display()));
    }
    Ok(if plan.targets.is_empty() { Exit::Unsupported } else { Exit::Done })
}

async fn write(session: &Session, target: &Target, folder: &Path) -> Result<(), Failure> {
    let version = target.driver.version();
    let base = session.driver_folder(target.driver.profile.id.as_str());
    let sources: Vec<_> = version.sources.iter().map(|source| source_spec(source, version.version.as_str())).collect();
    let source = source::prepare(&session.fetcher, &sources, &base).await?;
    let firmware: Vec<_> = version.firmware.iter().map(|firmware| firmware_spec(firmware, version.version.as_str())).collect();
    let firmware = source::prepare_firmware(&session.fetcher, &firmware, &base).await?;
    let dockerfile = render::dockerfile(target, &session.mirrors())?;
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Failed, format!("`{}` cannot be written: {error}", folder.display())).help("choose another folder: --output DIR")
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    std::fs::copy(&source.tar, folder.join("source.tar")).map_err(failed)?;
    if let Some(firmware) = firmware {
        std::fs::copy(&firmware.tar, folder.join("firmware.tar")).map_err(failed)?;
    }
    std::fs::write(folder.join("Dockerfile"), dockerfile).map_err(failed)
}

/// Firmware of the profile, as the fetcher takes it.
pub fn firmware_spec(firmware: &crate::profile::driver::FirmwareSource, version: &str) -> FirmwareSpec {
    FirmwareSpec {
        sources: firmware.sources.iter().map(|source| source_spec(source, version)).collect(),
        files: firmware.files.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect(),
    }
}
