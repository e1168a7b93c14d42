//! `kmodforge sign`: signs the modules of an image that exists, whoever made it.

use std::path::{Path, PathBuf};

use super::local_image::{LocalImage, Named, fetch};
use super::session::{Session, host_arch, temporary_folder};
use super::signing;
use crate::cli::{GlobalArgs, SignImageArgs};
use crate::env;
use crate::error::{Exit, Failure, counted};
use crate::image::assemble::Image;
use crate::image::layout::{self, Layout};
use crate::image::rewrite::{OldFile, Replacement, RewriteError, rewrite};
use crate::kmod::is_module_file;
use crate::pipeline::Signing;
use crate::pki::Hash;
use crate::reference::{InvalidReference, Reference};
use crate::render;
use crate::sign::{SignError, sign_modules};
use crate::ui::Ui;

/// Where signed images go.
enum Place {
    /// A layout, under the names that the images have there.
    Layout(PathBuf),
    /// An archive, likewise.
    Archive(PathBuf),
    Registry(Reference),
}

/// Signs every module in every layer, for all architectures or those that were asked for, and puts the new image in the place of the old.
///
/// # Errors
/// When the image or the key cannot be used, or the signed image cannot be written.
pub async fn run(global: &GlobalArgs, args: &SignImageArgs, ui: &Ui) -> Result<Exit, Failure> {
    let place = place(args)?;
    let session = Session::open(global, &args.project)?;
    let no_key = || {
        Failure::new(Exit::Usage, "there is no key to sign with")
            .help("name key and certificate: --sign-key FILE|pkcs11:…|exec:COMMAND --sign-cert FILE, or `sign` in the project file")
    };
    let signing = signing::open(session.project.as_ref(), &args.sign)?.ok_or_else(no_key)?;
    let work = temporary_folder()?;
    let images = fetch(&session, Named { image: &args.image, arches: &args.arches, registry: &args.registry }, work.path()).await?;
    // An archive is changed as a folder, and takes the old one's place when everything is signed.
    let unpacked = work.path().join("layout");
    if let Place::Archive(file) = &place {
        layout::unpack(&Layout::open(file)?, &unpacked)?;
    }
    let mut done = Vec::new();
    for (number, image) in images.into_iter().enumerate() {
        let name = image.name.clone();
        let folder = work.path().join(format!("signed-{number}"));
        let signed = sign_in_background(image, signing.clone(), folder, args.image.clone()).await?;
        let name = match &place {
            Place::Layout(folder) | Place::Archive(folder) => {
                let folder = if matches!(place, Place::Archive(_)) { &unpacked } else { folder };
                let name = name.ok_or_else(|| Failure::new(Exit::Failed, format!("an image of `{}` has no name", args.image)))?;
                layout::write_dir(folder, &name, &signed.image)?;
                name
            }
            Place::Registry(reference) => {
                session.registry(&args.registry)?.push(reference, &signed.image, &|_, _| {}).await?;
                reference.to_string()
            }
        };
        let modules = counted(signed.files, "module");
        let note = format!("{modules} signed by {} ({})", signing.signer.certificate().subject, signed.image.arch);
        done.push((format!("{name}@{}\n", signed.image.manifest.digest), note));
        if !matches!(place, Place::Archive(_)) {
            tell(done.drain(..), ui);
        }
    }
    if let Place::Archive(file) = &place {
        layout::pack(&unpacked, file)?;
        tell(done.drain(..), ui);
    }
    Ok(Exit::Done)
}

fn tell(done: impl Iterator<Item = (String, String)>, ui: &Ui) {
    for (image, note) in done {
        ui.data(&image);
        ui.note(&note);
    }
}

fn place(args: &SignImageArgs) -> Result<Place, Failure> {
    let archive = args.image.strip_prefix("oci-archive:").map(|file| Place::Archive(file.into()));
    if let Some(place) = archive.or_else(|| args.image.strip_prefix("oci:").map(|folder| Place::Layout(folder.into()))) {
        if args.tag.is_some() {
            return Err(Failure::new(Exit::Usage, "`--tag` is for images in a registry").help("leave it out: images of a layout keep their names"));
        }
        return Ok(place);
    }
    let wrong = |error: InvalidReference| Failure::new(Exit::Usage, error.to_string());
    let reference: Reference = args.image.parse().map_err(wrong)?;
    match (&args.tag, &reference.tag) {
        (Some(tag), _) => Ok(Place::Registry(reference.with_tag(tag).map_err(wrong)?)),
        (None, Some(_)) => Ok(Place::Registry(Reference { digest: None, ..reference })),
        (None, None) => Err(Failure::new(Exit::Usage, format!("`{}` has no tag that the signed image could get", args.image)).help("name one: --tag TAG")),
    }
}

/// A signed image, and how many modules were signed.
struct Signed {
    image: Image,
    files: usize,
}

async fn sign_in_background(image: LocalImage, signing: Signing, folder: std::path::PathBuf, name: String) -> Result<Signed, Failure> {
    let work = tokio::task::spawn_blocking(move || sign(&image, &signing, &folder, &name));
    work.await.map_err(|error| Failure::new(Exit::Failed, format!("internal error: {error}")))?
}

fn sign(image: &LocalImage, signing: &Signing, folder: &Path, name: &str) -> Result<Signed, Failure> {
    std::fs::create_dir_all(folder).map_err(|error| Failure::new(Exit::Failed, format!("`{}`: {error}", folder.display())))?;
    let replace = |files: &[OldFile]| -> Result<Vec<Vec<u8>>, SignError> {
        let modules: Vec<(&str, &[u8])> = files.iter().map(|file| (file.path.as_str(), file.bytes.as_slice())).collect();
        sign_modules(&modules, &signing.signer, signing.hash, env::processors())
    };
    let labels = render::signer_labels(&signing.describe(signing.hash.unwrap_or(Hash::Sha256)));
    let arch = image.arch().unwrap_or_else(host_arch);
    let replacement = Replacement { is_wanted: &is_module_file, replace: &replace };
    let rewritten = rewrite(&image.stored, arch, &image.layers, folder, &labels, &replacement).map_err(|error| explain(error, name))?;
    if rewritten.files == 0 {
        return Err(Failure::new(Exit::Failed, format!("`{name}` holds no kernel modules"))
            .fact("expected", "files that end in `.ko`, `.ko.xz`, `.ko.gz` or `.ko.zst`"));
    }
    Ok(Signed { image: rewritten.image, files: rewritten.files })
}

fn explain(error: RewriteError<SignError>, name: &str) -> Failure {
    match error {
        RewriteError::Layer(error) => error.into(),
        RewriteError::File(error) => error.into(),
        RewriteError::Replace(error) => Failure::from(error).fact("image", name),
        RewriteError::Documents(_) => Failure::new(Exit::Failed, format!("`{name}` cannot be signed: {error}")),
    }
}
