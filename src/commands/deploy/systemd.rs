//! `kmodforge deploy systemd`: files, units and extensions for hosts without Kubernetes.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use super::files::{cannot_write, write, write_folder};
use super::fleet;
use crate::cli::{ExtensionKind, GlobalArgs, ProjectArgs, SystemdArgs, SystemdFormat};
use crate::commands::local_image::{self, Named};
use crate::commands::part::Part;
use crate::commands::session::{Session, temporary_folder};
use crate::deploy::fleet::{Fleet, FleetImage};
use crate::deploy::systemd::extension::{Extension, ExtensionError, Node};
use crate::deploy::systemd::{ENABLED, SystemdError, drivers, formats, instance, tree};
use crate::error::{Exit, Failure, counted};
use crate::image::contents::Contents;
use crate::ui::Ui;

/// Writes or prints what was asked for.
///
/// # Errors
/// When images are missing or something cannot be written.
pub(super) async fn run(global: &GlobalArgs, args: &SystemdArgs, ui: &Ui) -> Result<(), Failure> {
    if args.output.is_none() && (args.sysext.is_some() || args.format == SystemdFormat::Tree) {
        return Err(Failure::new(Exit::Usage, "there is no folder to write to")
            .help("name one: --output DIR")
            .help("or print a configuration: --format butane"));
    }
    let fleet = fleet::gather(global, &args.fleet, ui).await?;
    match (&args.output, args.sysext, args.format) {
        (Some(folder), Some(kind), _) => extensions(global, args, &fleet, folder, kind, ui).await?,
        (Some(folder), None, SystemdFormat::Tree) => {
            for file in tree(&fleet)? {
                let path = folder.join(&file.path);
                write(&path, file.executable, file.text.as_bytes())?;
                ui.data(&format!("{}\n", path.display()));
            }
        }
        (output, _, format) => {
            let text = match format {
                SystemdFormat::Butane => formats::butane(&fleet)?,
                SystemdFormat::CloudInit => formats::cloud_init(&fleet)?,
                SystemdFormat::Ignition | SystemdFormat::Tree => formats::ignition(&fleet)?,
            };
            match output {
                Some(file) => write(file, false, text.as_bytes())?,
                None => ui.data(&text),
            }
        }
    }
    tell(args, &fleet, ui);
    Ok(())
}

/// What is taken for granted, and what is left to do.
fn tell(args: &SystemdArgs, fleet: &Fleet, ui: &Ui) {
    ui.note(&format!("{} of {}", counted(fleet.images.len(), "image"), drivers(fleet).into_iter().collect::<Vec<_>>().join(", ")));
    if args.sysext.is_some() {
        ui.note("hosts have them in /var/lib/extensions, and run systemd 255 or newer, or Flatcar: older ones merge them, but start nothing");
    } else {
        ui.note("hosts need systemd, kmod, and one of skopeo, podman, docker, containerd");
        if args.format == SystemdFormat::Tree {
            let units: Vec<_> = ENABLED.iter().map(|unit| (*unit).to_owned()).chain(drivers(fleet).into_iter().map(instance)).collect();
            ui.note(&format!("start it there: systemctl daemon-reload && systemctl enable --now {}", units.join(" ")));
        }
    }
}

/// One extension per image and architecture.
async fn extensions(global: &GlobalArgs, args: &SystemdArgs, fleet: &Fleet, folder: &Path, kind: ExtensionKind, ui: &Ui) -> Result<(), Failure> {
    let project = ProjectArgs { file: args.fleet.select.project.file.clone() };
    let session = Session::open(global, &project)?;
    let work = temporary_folder()?;
    for image in &fleet.images {
        for extension in of_image(&session, args, image, work.path()).await? {
            let path = match kind {
                ExtensionKind::Squashfs => folder.join(format!("{}.raw", extension.name)),
                ExtensionKind::Directory => folder.join(&extension.name),
            };
            match kind {
                ExtensionKind::Squashfs => write_squashfs(&extension, &path)?,
                ExtensionKind::Directory => write_folder(&path, |part| write_nodes(&extension, part))?,
            }
            ui.data(&format!("{}\n", path.display()));
        }
    }
    Ok(())
}

async fn of_image(session: &Session, args: &SystemdArgs, image: &FleetImage, work: &Path) -> Result<Vec<Extension>, Failure> {
    let name = image.image.to_string();
    let named = Named { image: &name, arches: &image.arches, registry: &args.fleet.registry };
    let mut extensions = Vec::new();
    for local in local_image::fetch(session, named, work).await? {
        let unpacked = tempfile::tempdir_in(work).map_err(|error| cannot_write(work, &error))?;
        let contents = Contents::open(&local.layers, unpacked.path())?;
        let arch = local.arch().unwrap_or(image.arches[0]);
        extensions.push(Extension::new(image, arch, &contents)?);
    }
    Ok(extensions)
}

fn write_squashfs(extension: &Extension, path: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| cannot_write(path, &error);
    let part = Part::of(path).map_err(failed)?;
    let mut writer = BufWriter::new(part.file());
    extension.write_squashfs(&mut writer)?;
    writer.flush().map_err(failed)?;
    drop(writer);
    part.publish(false).map_err(failed)
}

fn write_nodes(extension: &Extension, folder: &Path) -> Result<(), Failure> {
    for (below, node) in &extension.nodes {
        let path = folder.join(below);
        match node {
            Node::File { executable, bytes } => write(&path, *executable, bytes)?,
            Node::Symlink(target) => {
                let linked = std::fs::create_dir_all(path.parent().unwrap_or(&path)).and_then(|()| std::os::unix::fs::symlink(target, &path));
                linked.map_err(|error| cannot_write(&path, &error))?;
            }
        }
    }
    Ok(())
}

impl From<SystemdError> for Failure {
    fn from(error: SystemdError) -> Self {
        let failure = Self::new(Exit::Usage, error.to_string());
        match error {
            SystemdError::Text { .. } => failure
                .fact("expected", "one line of text; names of letters, digits and `._+~-`")
                .help("records come from the profiles: correct the driver's, and build again"),
            SystemdError::Template(_) | SystemdError::Unwritable(_) => Self { exit: Exit::Failed, ..failure }.help("this is a fault of kmodforge"),
        }
    }
}

impl From<ExtensionError> for Failure {
    fn from(error: ExtensionError) -> Self {
        match error {
            ExtensionError::Systemd(error) => error.into(),
            ExtensionError::NoModules { .. } => Self::new(Exit::Failed, error.to_string()).help("build it again: kmodforge build --force --push"),
            ExtensionError::Image { .. } | ExtensionError::Squashfs(_) => Self::new(Exit::Failed, error.to_string()).help("is the disk full?"),
        }
    }
}
