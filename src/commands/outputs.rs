//! Where images go besides a registry.

use crate::builder::Builder;
use crate::cli::Output;
use crate::error::{Exit, Failure};
use crate::image::assemble::Image;
use crate::image::layout;
use crate::pipeline::Finished;
use crate::plan::Plan;
use crate::reference::Reference;
use crate::registry::engine;
use crate::ui::Ui;

/// Writes the finished images to every output.
///
/// # Errors
/// When an output cannot be written.
pub async fn write(outputs: &[Output], plan: &Plan, finished: &[Finished], builder: &dyn Builder, ui: &Ui) -> Result<(), Failure> {
    let images: Vec<(&Reference, &Image)> =
        plan.targets.iter().zip(finished).filter_map(|(target, finished)| Some((&target.image, finished.image.as_ref()?))).collect();
    if images.is_empty() {
        return Ok(());
    }
    for output in outputs {
        match output {
            Output::OciDir(folder) => {
                for (name, image) in &images {
                    layout::write_dir(folder, &name.to_string(), image)?;
                }
            }
            Output::OciArchive(file) => {
                let names: Vec<_> = images.iter().map(|(name, _)| name.to_string()).collect();
                let images: Vec<_> = names.iter().map(String::as_str).zip(images.iter().map(|(_, image)| *image)).collect();
                layout::write_archive(file, &images)?;
            }
            Output::Docker => load(&images, builder).await?,
        }
        let count = if images.len() == 1 { "1 image".to_owned() } else { format!("{} images", images.len()) };
        ui.note(&format!("{count} written to {}", name_of(output)));
    }
    Ok(())
}

async fn load(images: &[(&Reference, &Image)], builder: &dyn Builder) -> Result<(), Failure> {
    let endpoint = &builder.info().endpoint;
    let Some(socket) = endpoint.strip_prefix("unix://").filter(|_| builder.info().name.starts_with("Docker")) else {
        return Err(Failure::new(Exit::Usage, "`--output docker` needs a Docker Engine on a socket of this machine")
            .fact("builder", format!("{} at {endpoint}", builder.info().name))
            .help("use --output oci-archive:FILE, or --builder docker"));
    };
    for (name, image) in images {
        engine::load(std::path::Path::new(socket), name, image).await?;
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
