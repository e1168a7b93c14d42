//! `verify --module`: the images that Modules of KMM name for kernels.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::VerifyArgs;
use crate::commands::selection::{self, cluster, modules};
use crate::commands::session::Session;
use crate::error::{Exit, Failure};
use crate::kernel::KernelRelease;
use crate::ui::Ui;

/// What to verify in place of a file's Modules: one image per Module and kernel.
///
/// # Errors
/// When the file is wrong, no kernel is named, or a kernel that is named has no image.
pub(super) async fn images(session: &Session, args: &VerifyArgs, file: &Path, ui: &Ui) -> Result<Vec<VerifyArgs>, Failure> {
    let file = modules::read(file)?;
    let named = named_kernels(args).await?;
    let cluster = cluster::nodes(&args.cluster, ui).await?;
    if named.is_empty() && cluster.nodes.is_empty() {
        return Err(Failure::new(Exit::Usage, "no kernel is selected")
            .help("name those that the Module's nodes run: --kernel RELEASE, --kernels-from FILE or --from-cluster"));
    }
    let drivers: Vec<_> = args.driver.iter().cloned().collect();
    let mut images = Vec::new();
    for (found, (profile, version)) in modules::drivers(session, &file, &drivers)? {
        let module = &found.module;
        let of_nodes: BTreeSet<_> = modules::selected(module, &cluster).into_iter().map(|node| &node.kernel).filter(|kernel| !named.contains(kernel)).collect();
        for (kernel, must) in named.iter().map(|kernel| (kernel, true)).chain(of_nodes.into_iter().map(|kernel| (kernel, false))) {
            match modules::image_for(module, &file, kernel) {
                Ok((image, resolution)) => images.push(VerifyArgs {
                    image: image.to_string(),
                    kernels: vec![kernel.to_string()],
                    driver: Some(version.as_ref().map_or_else(|| profile.id.to_string(), |version| format!("{}@{version}", profile.id))),
                    files_to_sign: resolution.sign.map(|sign| sign.files_to_sign).unwrap_or_default(),
                    ..args.clone()
                }),
                Err(None) if must => return Err(modules::no_mapping(module, &file, kernel)),
                Err(None) => ui.note(&format!("left out: {kernel}: no mapping of Module `{}` matches it; KMM leaves its nodes alone", module.name())),
                Err(Some(failure)) => return Err(failure),
            }
        }
    }
    images.dedup_by(|a, b| a.image == b.image && a.kernels == b.kernels);
    Ok(images)
}

/// The kernels that are named; patterns would need something to match.
async fn named_kernels(args: &VerifyArgs) -> Result<Vec<KernelRelease>, Failure> {
    let selectors = selection::kernel_selectors(&args.kernels, args.kernels_from.as_deref()).await?;
    let exact = selectors.iter().map(|selector| {
        let pattern =
            || Failure::new(Exit::Usage, format!("`{selector}` names no kernel to verify an image for")).fact("expected", "a release, as `uname -r` prints it");
        selector.exact().cloned().ok_or_else(pattern)
    });
    exact.collect()
}
