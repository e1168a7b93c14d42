//! The digest of everything that goes into an image, and whether an image that exists was made from the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::context::{OwnContext, SharedContext};
use super::{ANNOTATION, RenderError, template_name};
use crate::mirror::Mirrors;
use crate::package::Package;
use crate::plan::{Inputs, Plan, PlannedDistro, PlannedToolchain, Target};
use crate::profile::driver::{DriverVersion, Source};
use crate::reference::Digest;
use crate::template;

/// Version of what a build leaves behind; grows whenever the same inputs give another image.
const FORMAT: u32 = 4;

/// Annotations that tell a later run what an image was made from.
pub fn input_annotations(target: &Target, base: Option<&Digest>) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    if let Some(inputs) = &target.inputs {
        annotations.insert(format!("{ANNOTATION}input-digest"), inputs.digest.to_string());
        for (name, part) in inputs.parts {
            annotations.insert(format!("{ANNOTATION}input.{name}"), format!("{part:012x}"));
        }
    }
    if let Some(base) = base {
        annotations.insert(format!("{ANNOTATION}base-digest"), base.to_string());
    }
    annotations
}

/// Whether an image with these annotations is what the target would become: its digest of inputs is the same, and its base
/// image is the present one where both are known. If not, the reason to build again.
///
/// # Errors
/// The reason, in a few words.
pub fn is_current(target: &Target, annotations: &BTreeMap<String, String>, base: Option<&Digest>) -> Result<(), String> {
    let get = |name: &str| annotations.get(&format!("{ANNOTATION}{name}")).map(String::as_str);
    let Some(inputs) = &target.inputs else { return Err("inputs unknown".into()) };
    if target.driver.version().sources.iter().any(|source| matches!(source, Source::Path(path) if path.sha256.is_none())) {
        return Err("source is a folder on this machine".into());
    }
    if get("input-digest").is_none() {
        return Err("tag exists, but holds an image that was not made by kmodforge".into());
    }
    if get("input-digest") != Some(inputs.digest.as_str()) {
        let changed: Vec<_> =
            inputs.parts.iter().filter(|(name, part)| get(&format!("input.{name}")) != Some(&format!("{part:012x}"))).map(|(name, _)| *name).collect();
        return Err(match changed.first() {
            Some(&"source") => "driver source changed".into(),
            Some(&"kernel") => "kernel headers changed".into(),
            Some(&"tools") => "programs of the image changed".into(),
            _ => "build recipe changed".into(),
        });
    }
    match (get("base-digest"), base) {
        (Some(then), Some(now)) if then != now.as_str() => Err("base image changed".into()),
        _ => Ok(()),
    }
}

/// What `arguments` hold where modules are signed.
const SIGNER: &str = " signer=";

/// Sets the input digests of all targets. `arguments` stands for the choices of the command line that end up in an image.
///
/// # Errors
/// When a target cannot be rendered.
pub fn fill_inputs(plan: &mut Plan, arguments: &str) -> Result<(), RenderError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let chunk = plan.targets.len().div_ceil(threads).max(1);
    let fill = |targets: &mut [Target]| {
        let mut digester = Digester { arguments, shared: None };
        targets.iter_mut().try_for_each(|target| {
            target.inputs = Some(digester.inputs(target)?);
            Ok(())
        })
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = plan.targets.chunks_mut(chunk).map(|targets| scope.spawn(move || fill(targets))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Makes digests of what goes into targets, and remembers what neighbours have in common.
struct Digester<'a> {
    arguments: &'a str,
    shared: Option<Shared>,
}

/// The last target's release, toolchain and programs, with the digest of what templates are told about them.
struct Shared {
    distro: Arc<PlannedDistro>,
    toolchain: Arc<PlannedToolchain>,
    runtime: Arc<[Package]>,
    digest: [u8; 32],
}

impl Digester<'_> {
    /// Digests of what goes into a target's image. Mirrors do not count: they say where, not what.
    fn inputs(&mut self, target: &Target) -> Result<Inputs, RenderError> {
        // Whoever adds a field decides here whether it goes into the image.
        let Target { driver, distro, kernel, arch, toolchain, runtime, unverified: _, image: _, sign_only, inputs: _, state: _ } = target;
        let DriverVersion { version: _, sources, firmware, requires: _, build: _, modules: _ } = driver.version();
        // The Dockerfile follows from its template and what the template is told; rendering it as well would only take time.
        let template = template::digest(&template_name(target))?;
        let shared = self.shared_digest(distro, toolchain, runtime);
        let own = OwnContext::of(target, &Mirrors::default())?;
        // Which files are signed matters where something is.
        let arguments = match sign_only {
            Some(files) if self.arguments.contains(SIGNER) => format!("{} files={}", self.arguments, files.join(" ")),
            _ => self.arguments.to_owned(),
        };
        let parts = [
            ("source", hash(&(sources.iter().map(source_identity).collect::<Vec<_>>(), firmware))),
            ("kernel", hash(&(kernel.headers.iter().map(|package| &package.sha256).collect::<Vec<_>>(), &kernel.headers_image))),
            ("tools", hash(&runtime.iter().map(|package| &package.sha256).collect::<Vec<_>>())),
            ("recipe", hash(&(FORMAT, template, shared, own, super::scripts(target), arch, arguments))),
        ];
        let mut whole = Sha256::new();
        for (_, part) in &parts {
            whole.update(part);
        }
        let short = |part: [u8; 32]| part.iter().take(6).fold(0, |number, byte| number << 8 | u64::from(*byte));
        Ok(Inputs { digest: Digest::from_sha256(&whole.finalize().into()), parts: parts.map(|(name, part)| (name, short(part))) })
    }

    fn shared_digest(&mut self, distro: &Arc<PlannedDistro>, toolchain: &Arc<PlannedToolchain>, runtime: &Arc<[Package]>) -> [u8; 32] {
        let same = |last: &&Shared| Arc::ptr_eq(&last.distro, distro) && Arc::ptr_eq(&last.toolchain, toolchain) && Arc::ptr_eq(&last.runtime, runtime);
        if let Some(last) = self.shared.as_ref().filter(same) {
            return last.digest;
        }
        let digest = hash(&SharedContext::of(distro, toolchain, runtime, &Mirrors::default()));
        self.shared = Some(Shared { distro: distro.clone(), toolchain: toolchain.clone(), runtime: runtime.clone(), digest });
        digest
    }
}

/// What a source is, whichever place it comes from.
fn source_identity(source: &Source) -> String {
    match source {
        Source::Archive(archive) => format!("{}:{}:{}", archive.sha256.as_str(), archive.strip, archive.directory),
        Source::Deb(deb) => format!("{}:{}", deb.sha256.as_str(), deb.directory),
        Source::Path(path) => path.sha256.as_ref().map_or_else(|| path.directory.clone(), |sha256| sha256.as_str().to_owned()),
    }
}

fn hash<T: Serialize>(value: &T) -> [u8; 32] {
    struct Writer(Sha256);
    impl std::io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut writer = Writer(Sha256::new());
    // Plain data into a hash: neither side can fail.
    let _ = serde_json::to_writer(&mut writer, value);
    writer.0.finalize().into()
}
