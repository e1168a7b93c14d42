//! What a driver's profile says about its source and firmware, as the fetcher takes it.

use std::path::PathBuf;

use crate::fetch::source::{FirmwareSpec, SourceSpec};
use crate::profile::driver::{DriverVersion, Source};

/// Places of a version's source; the first that answers is taken.
pub fn sources(version: &DriverVersion) -> Vec<SourceSpec> {
    version.sources.iter().map(|source| source_spec(source, version)).collect()
}

/// A version's firmware.
pub fn firmware(version: &DriverVersion) -> Vec<FirmwareSpec> {
    let spec = |firmware: &crate::profile::driver::FirmwareSource| FirmwareSpec {
        sources: firmware.sources.iter().map(|source| source_spec(source, version)).collect(),
        files: firmware.files.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect(),
    };
    version.firmware.iter().map(spec).collect()
}

fn source_spec(source: &Source, version: &DriverVersion) -> SourceSpec {
    match source {
        Source::Archive(archive) => SourceSpec::Archive {
            url: archive.url.replace("{version}", version.version.as_str()),
            sha256: archive.sha256.as_str().to_owned(),
            strip: archive.strip,
            directory: archive.directory.to_string(),
        },
        Source::Deb(deb) => SourceSpec::Deb { url: deb.url.clone(), sha256: deb.sha256.as_str().to_owned(), directory: deb.directory.to_string() },
        Source::Path(path) => SourceSpec::Path { directory: PathBuf::from(&path.directory) },
    }
}
