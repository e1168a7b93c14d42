//! Where images go besides a registry.

use std::path::Path;

use crate::builder::Builder;
use crate::cli::Output;
use crate::error::{Exit, Failure, counted};
use crate::image::assemble::Image;
use crate::image::layout;
use crate::pipeline::Finished;
use crate::plan::Plan;
use crate::reference::Reference;
use crate::registry::engine;
use crate::ui::Ui;

/// Refuses outputs that this builder does not have, before anything is built.
///
/// # Errors
/// When images are to be loaded into an Engine and the builder is none.
pub fn check(outputs: &[Output], builder: &dyn Builder) -> Result<(), Failure> {
    if outputs.contains(&Output::Docker) { engine_socket(builder).map(drop) } else { Ok(()) }
}

/// Writes the finished images to every output, and returns what failed; one that cannot be written does not keep others from it.
pub async fn write(outputs: &[Output], plan: &Plan, finished: &[Finished], builder: &dyn Builder, ui: &Ui) -> Vec<Failure> {
    let images: Vec<(&Reference, &Image)> =
        plan.targets.iter().zip(finished).filter_map(|(target, finished)| Some((&target.image, finished.image.as_ref()?))).collect();
    if images.is_empty() {
        return Vec::new();
    }
    let mut failures = Vec::new();
    for output in outputs {
        let name = name_of(output);
        let count = counted(images.len(), "image");
        match write_one(output, &images, builder).await {
            Ok(()) => ui.note(&format!("{count} written to {name}")),
            Err(failure) => {
                let failure = failure.fact("output", name);
                failures.push(if failure.help.is_empty() { failure.help("choose another place, and run again") } else { failure });
            }
        }
    }
    failures
}

async fn write_one(output: &Output, images: &[(&Reference, &Image)], builder: &dyn Builder) -> Result<(), Failure> {
    match output {
        Output::OciDir(folder) => {
            for (name, image) in images {
                layout::write_dir(folder, &name.to_string(), image)?;
            }
        }
        Output::OciArchive(file) => {
            let names: Vec<_> = images.iter().map(|(name, _)| name.to_string()).collect();
            let images: Vec<_> = names.iter().map(String::as_str).zip(images.iter().map(|(_, image)| *image)).collect();
            layout::write_archive(file, &images)?;
        }
        Output::Docker => load(images, builder).await?,
    }
    Ok(())
}

/// The Engine's socket, if the builder is an Engine on this machine.
fn engine_socket(builder: &dyn Builder) -> Result<&Path, Failure> {
    let info = builder.info();
    info.endpoint.strip_prefix("unix://").filter(|_| info.name.starts_with("Docker")).map(Path::new).ok_or_else(|| {
        Failure::new(Exit::Usage, "`--output docker` needs a Docker Engine on a socket of this machine")
            .fact("builder", format!("{} at {}", info.name, info.endpoint))
            .help("use --output oci-archive:FILE, or --builder docker")
    })
}

async fn load(images: &[(&Reference, &Image)], builder: &dyn Builder) -> Result<(), Failure> {
    let socket = engine_socket(builder)?;
    for (name, image) in images {
        engine::load(socket, name, image).await?;
    }
    Ok(())
}

/// The output as it is written on the command line.
fn name_of(output: &Output) -> String {
    match output {
        Output::OciDir(folder) => format!("oci:{}", folder.display()),
        Output::OciArchive(file) => format!("oci-archive:{}", file.display()),
        Output::Docker => "docker".into(),
    }
}
