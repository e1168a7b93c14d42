//! `kmodforge sign`: signs the modules of an image that exists, whoever made it.

use std::path::Path;

use super::local_image::{LocalImage, Named, fetch};
use super::session::{Session, host_arch, temporary_folder};
use super::signing;
use crate::cli::{GlobalArgs, SignImageArgs};
use crate::env;
use crate::error::{Exit, Failure};
use crate::image::assemble::Image;
use crate::image::layout;
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
    Layout(std::path::PathBuf),
    Registry(Reference),
}

/// Signs every module in every layer, for all architectures or those that were asked for, and puts the new image in the place of the old.
///
/// # Errors
/// When the image or the key cannot be used, or the signed image cannot be written.
pub async fn run(global: &GlobalArgs, args: &SignImageArgs, ui: &Ui) -> Result<Exit, Failure> {
    let place = place(args)?;
    let no_key =
        || Failure::new(Exit::Usage, "there is no key to sign with").help("name key and certificate: --sign-key FILE|pkcs11:…|exec:COMMAND --sign-cert FILE");
    let signing = signing::open(&args.sign)?.ok_or_else(no_key)?;
    let session = Session::open(global, &args.project)?;
    let work = temporary_folder()?;
    let images = fetch(&session, Named { image: &args.image, arches: &args.arches, registry: &args.registry }, work.path()).await?;
    for (number, image) in images.into_iter().enumerate() {
        let name = image.name.clone();
        let folder = work.path().join(format!("signed-{number}"));
        let signed = sign_in_background(image, signing.clone(), folder, args.image.clone()).await?;
        let digest = &signed.image.manifest.digest;
        match &place {
            Place::Layout(folder) => {
                let name = name.ok_or_else(|| Failure::new(Exit::Failed, format!("an image of `{}` has no name", args.image)))?;
                layout::write_dir(folder, &name, &signed.image)?;
                ui.data(&format!("{name}@{digest}\n"));
            }
            Place::Registry(reference) => {
                session.registry(&args.registry)?.push(reference, &signed.image, &|_, _| {}).await?;
                ui.data(&format!("{reference}@{digest}\n"));
            }
        }
        let modules = if signed.files == 1 { "1 module".to_owned() } else { format!("{} modules", signed.files) };
        ui.note(&format!("{modules} signed by {} ({})", signing.signer.certificate().subject, signed.image.arch));
    }
    Ok(Exit::Done)
}

fn place(args: &SignImageArgs) -> Result<Place, Failure> {
    if args.image.starts_with("oci-archive:") {
        return Err(Failure::new(Exit::Usage, "an archive cannot be changed in its place").help("unpack it into a folder, and name that: oci:DIR"));
    }
    if let Some(folder) = args.image.strip_prefix("oci:") {
        if args.tag.is_some() {
            return Err(Failure::new(Exit::Usage, "`--tag` is for images in a registry").help("leave it out: images of a layout keep their names"));
        }
        return Ok(Place::Layout(folder.into()));
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
