//! Kernels, unpacked once: the image in the form that starts fastest, and the kernel's own modules in one file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::BootError;
use super::vmlinux::{self, ImageError};
use crate::arch::Arch;
use crate::fetch::source::UnpackError;
use crate::fetch::{Fetcher, Kind, open_deb, sha256};
use crate::kernel::KernelRelease;
use crate::kmod::kernel_name;
use crate::package::Package;
use crate::profile::distro::BootRules;

/// Grows when the same packages would be unpacked into something else.
const FORMAT: u32 = 1;
/// No file of a kernel's package is larger, in bytes.
const LARGEST: u64 = 512 << 20;
const INDEX: &str = "index.json";
const IMAGE: &str = "kernel";
const MODULES: &str = "modules";

/// A kernel that can be started, and its modules.
#[derive(Debug)]
pub(super) struct Kernel {
    /// The image, as QEMU takes it.
    pub(super) image: PathBuf,
    modules: File,
    index: Index,
    names: BTreeMap<String, String>,
}

/// What is in the file of modules: zstd frames, one per file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    files: BTreeMap<String, Entry>,
}

/// One file, by its path below the release's directory.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    offset: u64,
    length: u64,
    /// Modules that it needs, by `depends` and `softdep`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    needs: Vec<String>,
    /// Names that others ask for it by (`crypto-crc32c`); those of devices are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
}

/// The kernel from its packages: from the cache, or fetched and unpacked into it.
pub(super) async fn kernel(fetcher: &Fetcher, packages: &[Package], rules: &BootRules, release: &KernelRelease, arch: Arch) -> Result<Kernel, BootError> {
    let essence = (FORMAT, packages.iter().map(|package| &package.sha256).collect::<Vec<_>>(), rules, release);
    let key = sha256(&serde_json::to_vec(&essence).unwrap_or_default());
    let folder = fetcher.cache_dir().join("kernel-images").join(&key);
    let _turn = fetcher.turn(&key).await;
    if let Some(kernel) = open(&folder) {
        return Ok(kernel);
    }
    let mut debs = Vec::new();
    for package in packages {
        debs.push((package.name.clone(), fetcher.temporary(Kind::Package, &package.url, &package.sha256).await?));
    }
    let paths = Paths {
        kernels: rules.kernel.split('|').map(|path| normal(&path.replace("{kernel}", release.as_str()))).collect(),
        modules: normal(&format!("{}/", rules.modules.replace("{kernel}", release.as_str()))),
    };
    let (release, target) = (release.clone(), folder.clone());
    let unpacking = tokio::task::spawn_blocking(move || {
        let debs: Vec<_> = debs.iter().map(|(name, file)| (name.as_str(), file.path())).collect();
        unpack(&debs, &paths, &release, arch, &target)
    });
    unpacking.await.map_err(|error| BootError::Internal(error.to_string()))??;
    open(&folder).ok_or_else(|| BootError::Internal(format!("`{}` cannot be read", folder.display())))
}

/// Where things are in the packages.
struct Paths {
    /// The image: one of these.
    kernels: Vec<String>,
    modules: String,
}

/// A path in a package as a node sees it: `/lib` is below `usr`.
fn normal(path: &str) -> String {
    let path = path.trim_start_matches("./").trim_start_matches('/');
    if path.starts_with("lib/") { format!("usr/{path}") } else { path.to_owned() }
}

fn open(folder: &Path) -> Option<Kernel> {
    let index: Index = serde_json::from_slice(&std::fs::read(folder.join(INDEX)).ok()?).ok()?;
    let mut names = BTreeMap::new();
    for (path, entry) in &index.files {
        names.extend(entry.aliases.iter().map(|alias| (alias.clone(), path.clone())));
    }
    names.extend(index.files.keys().filter_map(|path| Some((module_name(path)?, path.clone()))));
    Some(Kernel { image: folder.join(IMAGE), modules: File::open(folder.join(MODULES)).ok()?, index, names })
}

fn module_name(path: &str) -> Option<String> {
    path.rsplit('/').next()?.strip_suffix(".ko").map(kernel_name)
}

impl Kernel {
    /// Whether the kernel has a module of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains_key(&kernel_name(name))
    }

    /// Paths of the modules of these names, and of those that they need; what is not there is built in, or missed by the kernel itself.
    pub(super) fn with_dependencies<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<String> = names.into_iter().map(str::to_owned).collect();
        while let Some(name) = open.pop() {
            let place = self.names.get(&name).or_else(|| self.names.get(&kernel_name(&name)));
            if let Some(path) = place
                && found.insert(path.as_str())
            {
                open.extend(self.index.files.get(path).into_iter().flat_map(|entry| entry.needs.iter().cloned()));
            }
        }
        found
    }

    /// Lists of the kernel's package that are no modules: `modules.builtin`, `modules.order`.
    pub(super) fn lists(&self) -> impl Iterator<Item = &str> {
        self.index.files.keys().map(String::as_str).filter(|path| !path.contains('/') && path.starts_with("modules."))
    }

    /// The bytes of a file, uncompressed.
    pub(super) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let entry = self.index.files.get(path).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, path.to_owned()))?;
        let mut packed = vec![0; usize::try_from(entry.length).unwrap_or_default()];
        self.modules.read_exact_at(&mut packed, entry.offset)?;
        zstd::decode_all(&packed[..])
    }
}

/// Unpacks into a folder of its own, which takes its place as a whole.
fn unpack(debs: &[(&str, &Path)], paths: &Paths, release: &KernelRelease, arch: Arch, folder: &Path) -> Result<(), BootError> {
    let cache = folder.parent().unwrap_or(folder);
    let here = |error: io::Error| BootError::Cache { path: cache.to_owned(), error };
    std::fs::create_dir_all(cache).map_err(here)?;
    let part = tempfile::Builder::new().prefix(".part-").tempdir_in(cache).map_err(here)?;
    let mut pack = Pack { out: BufWriter::new(File::create(part.path().join(MODULES)).map_err(here)?), end: 0, index: Index::default() };
    let mut image = None;
    for (name, deb) in debs {
        read_deb(deb, paths, &mut pack, &mut image).map_err(|trouble| match trouble {
            Trouble::Package(error) => BootError::Package { package: (*name).to_owned(), error },
            Trouble::Cache(error) => here(error),
        })?;
    }
    let names = || debs.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let image = image.ok_or_else(|| BootError::NoImage { path: paths.kernels.join("` or `"), packages: names() })?;
    let image = vmlinux::startable(image, arch).map_err(|ImageError(reason)| BootError::Unstartable { release: release.clone(), reason })?;
    std::fs::write(part.path().join(IMAGE), image).map_err(here)?;
    pack.out.flush().map_err(here)?;
    std::fs::write(part.path().join(INDEX), serde_json::to_vec(&pack.index).unwrap_or_default()).map_err(here)?;
    let part = part.keep();
    if std::fs::rename(&part, folder).is_err() {
        // Another process was faster, or left half of it behind.
        let _ = std::fs::remove_dir_all(folder);
        std::fs::rename(&part, folder).map_err(here)?;
    }
    Ok(())
}

/// The file of modules while it grows.
struct Pack {
    out: BufWriter<File>,
    end: u64,
    index: Index,
}

impl Pack {
    fn add(&mut self, path: String, content: &[u8]) -> io::Result<()> {
        let packed = zstd::encode_all(content, 1)?;
        self.out.write_all(&packed)?;
        let (needs, aliases) = if module_name(&path).is_some() { relations(content) } else { (Vec::new(), Vec::new()) };
        let length = packed.len() as u64;
        self.index.files.insert(path, Entry { offset: self.end, length, needs, aliases });
        self.end += length;
        Ok(())
    }
}

/// Why a package could not be taken over: because of it, or because of this machine's disk.
#[derive(Debug)]
enum Trouble {
    Package(UnpackError),
    Cache(io::Error),
}

impl From<UnpackError> for Trouble {
    fn from(error: UnpackError) -> Self {
        Self::Package(error)
    }
}

fn read_deb(deb: &Path, paths: &Paths, pack: &mut Pack, image: &mut Option<Vec<u8>>) -> Result<(), Trouble> {
    let damaged = |error: io::Error| UnpackError::Damaged(error.to_string());
    let mut archive = tar::Archive::new(open_deb(deb)?);
    for entry in archive.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let path = normal(&String::from_utf8_lossy(&entry.path_bytes()));
        let is_image = paths.kernels.contains(&path);
        let below = path.strip_prefix(&paths.modules).filter(|_| !is_image).map(str::to_owned);
        if !entry.header().entry_type().is_file() || (below.is_none() && !is_image) {
            continue;
        }
        let mut content = Vec::new();
        entry.take(LARGEST).read_to_end(&mut content).map_err(damaged)?;
        match below {
            None => *image = Some(content),
            Some(below) if below.contains(".ko") => {
                let mut plain = Vec::new();
                let stream = crate::fetch::decompress(&content[..])?;
                stream.take(LARGEST).read_to_end(&mut plain).map_err(damaged)?;
                let end = below.find(".ko").unwrap_or(below.len());
                pack.add(format!("{}.ko", &below[..end]), &plain).map_err(Trouble::Cache)?;
            }
            Some(below) => pack.add(below, &content).map_err(Trouble::Cache)?,
        }
    }
    Ok(())
}

/// What a module needs, and the names by which it is asked for.
fn relations(module: &[u8]) -> (Vec<String>, Vec<String>) {
    use object::{Object as _, ObjectSection as _};
    let (mut needs, mut aliases) = (Vec::new(), Vec::new());
    let Ok(file) = object::File::parse(module) else { return (needs, aliases) };
    let section = file.section_by_name(".modinfo").and_then(|section| section.data().ok()).unwrap_or_default();
    for entry in section.split(|byte| *byte == 0) {
        let text = String::from_utf8_lossy(entry);
        match text.split_once('=') {
            Some(("depends", list)) => needs.extend(list.split(',').filter(|name| !name.is_empty()).map(str::to_owned)),
            Some(("softdep", list)) => needs.extend(soft(list).map(str::to_owned)),
            Some(("alias", alias)) if !alias.contains([':', '*']) => aliases.push(alias.to_owned()),
            _ => {}
        }
    }
    (needs, aliases)
}

/// The modules that a `softdep` names: `pre: a b post: c` (modprobe.d(5)).
pub(super) fn soft(list: &str) -> impl Iterator<Item = &str> {
    list.split_whitespace().filter(|word| !matches!(*word, "pre:" | "post:"))
}

#[cfg(test)]
mod tests;
