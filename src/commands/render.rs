//! `kmodforge render`: a folder per target that a plain `docker build` turns into an equivalent image.

use std::path::Path;

use super::selection;
use super::session::{Session, source_date_epoch};
use crate::builder::{Content, ContextFile};
use crate::cli::{GlobalArgs, RenderArgs};
use crate::error::{Exit, Failure};
use crate::fetch::source;
use crate::image::layer::Compression;
use crate::pipeline::{self, Instructions};
use crate::plan::Target;
use crate::render;
use crate::ui::Ui;

/// Writes the folders and prints their paths.
///
/// # Errors
/// When a source cannot be had or a folder cannot be written.
pub async fn run(global: &GlobalArgs, args: &RenderArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open_in_gap(global, &args.select.project, &args.air_gap)?;
    let plan = selection::plan(&session, &args.select, &super::plan::arguments(Compression::default(), source_date_epoch()?), ui).await?;
    selection::tell_skipped(&plan, ui);
    for target in &plan.targets {
        let label = target.label();
        let folder = args.output.join(format!("{}-{}-{}-{}", label.driver, label.version, target.kernel.release.tag(), label.arch));
        write(&session, target, &folder).await?;
        ui.data(&format!("{}\n", folder.display()));
    }
    Ok(if plan.targets.is_empty() { Exit::Unsupported } else { Exit::Done })
}

async fn write(session: &Session, target: &Target, folder: &Path) -> Result<(), Failure> {
    let base = session.driver_folder(target.driver.profile.id.as_str());
    let source = source::prepare(&session.fetcher, &pipeline::sources(target.driver.version()), &base).await?;
    let firmware = source::prepare_firmware(&session.fetcher, &pipeline::firmware(target.driver.version()), &base).await?;
    let bases = session.fetcher.bundle().map(|bundle| bundle.contents().base_images.clone()).unwrap_or_default();
    let Instructions { dockerfile, files } = Instructions::of(target, &session.fetcher, &bases).await.map_err(|error| error.into_failure(target))?;
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Failed, format!("`{}` cannot be written: {error}", folder.display())).help("choose another folder: --output DIR")
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    std::fs::copy(&source.tar, folder.join("source.tar")).map_err(failed)?;
    if let Some(firmware) = firmware {
        std::fs::copy(&firmware.tar, folder.join("firmware.tar")).map_err(failed)?;
    }
    for (name, text) in render::scripts(target) {
        std::fs::write(folder.join(name), text).map_err(failed)?;
    }
    for ContextFile { path, content } in files {
        let to = folder.join(path);
        std::fs::create_dir_all(to.parent().unwrap_or(folder)).map_err(failed)?;
        match content {
            Content::Bytes(bytes) => std::fs::write(to, bytes).map_err(failed)?,
            Content::File { path, .. } => drop(std::fs::copy(path, to).map_err(failed)?),
        }
    }
    std::fs::write(folder.join("Dockerfile"), dockerfile.as_bytes()).map_err(failed)
}
