//! The same files and units in the languages of first boots: Butane, Ignition, cloud-init.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::{ENABLED, HostFile, Place, SystemdError, Unit, drivers, files, instance, units};
use crate::deploy::fleet::Fleet;
use crate::deploy::manifest::yaml;

/// Version of Ignition's specification: the one of Butane's `flatcar` 1.0.0 and `fcos` 1.4.0, which both systems read.
const IGNITION: &str = "3.3.0";

/// What a host gets at its first boot.
struct Host {
    files: Vec<HostFile>,
    /// With their texts, unless they are instances of a template.
    units: Vec<(String, Option<String>, bool)>,
}

impl Host {
    fn new(fleet: &Fleet) -> Result<Self, SystemdError> {
        let own = units(Place::Host)?.into_iter().map(|Unit { name, text }| (name.to_owned(), Some(text), ENABLED.contains(&name)));
        let instances = drivers(fleet).into_iter().map(|driver| (instance(driver), None, true));
        Ok(Self { files: files(fleet, Place::Host)?, units: own.chain(instances).collect() })
    }
}

fn mode(file: &HostFile) -> u32 {
    if file.executable { 0o755 } else { 0o644 }
}

#[derive(Serialize)]
struct Config<H, C> {
    #[serde(flatten)]
    head: H,
    storage: Storage<C>,
    systemd: Systemd,
}

#[derive(Serialize)]
struct Storage<C> {
    files: Vec<File<C>>,
}

#[derive(Serialize)]
struct File<C> {
    path: String,
    mode: u32,
    contents: C,
}

#[derive(Serialize)]
struct Systemd {
    units: Vec<ConfigUnit>,
}

#[derive(Serialize)]
struct ConfigUnit {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contents: Option<String>,
}

impl<H, C> Config<H, C> {
    fn new(head: H, fleet: &Fleet, contents: impl Fn(String) -> C) -> Result<Self, SystemdError> {
        let host = Host::new(fleet)?;
        let file = |file: HostFile| File { path: format!("/{}", file.path), mode: mode(&file), contents: contents(file.text) };
        let unit = |(name, contents, enabled): (String, Option<String>, bool)| ConfigUnit { name, enabled: enabled.then_some(true), contents };
        Ok(Self {
            head,
            storage: Storage { files: host.files.into_iter().map(file).collect() },
            systemd: Systemd { units: host.units.into_iter().map(unit).collect() },
        })
    }
}

/// Butane's configuration, which `butane` turns into Ignition's: <https://coreos.github.io/butane/specs/>.
///
/// # Errors
/// When a record holds what cannot be written down.
pub fn butane(fleet: &Fleet) -> Result<String, SystemdError> {
    #[derive(Serialize)]
    struct Head {
        variant: &'static str,
        version: &'static str,
    }
    #[derive(Serialize)]
    struct Inline {
        inline: String,
    }
    let is_fedora = fleet.images.iter().all(|image| image.rollout.system.id == "fedora");
    let (variant, version) = if is_fedora { ("fcos", "1.4.0") } else { ("flatcar", "1.0.0") };
    Ok(yaml("Butane", &Config::new(Head { variant, version }, fleet, |inline| Inline { inline })?)?)
}

/// Ignition's configuration: <https://coreos.github.io/ignition/configuration-v3_3/>.
///
/// # Errors
/// When a record holds what cannot be written down.
pub fn ignition(fleet: &Fleet) -> Result<String, SystemdError> {
    #[derive(Serialize)]
    struct Head {
        ignition: Version,
    }
    #[derive(Serialize)]
    struct Version {
        version: &'static str,
    }
    #[derive(Serialize)]
    struct Source {
        source: String,
    }
    let source = |text: String| Source { source: format!("data:;base64,{}", STANDARD.encode(text)) };
    let config = Config::new(Head { ignition: Version { version: IGNITION } }, fleet, source)?;
    Ok(serde_json::to_string_pretty(&config).unwrap_or_default() + "\n")
}

/// User data of cloud-init: <https://docs.cloud-init.io/en/latest/reference/modules.html>.
///
/// # Errors
/// When a record holds what cannot be written down.
pub fn cloud_init(fleet: &Fleet) -> Result<String, SystemdError> {
    #[derive(Serialize)]
    struct UserData {
        write_files: Vec<WriteFile>,
        runcmd: Vec<Vec<String>>,
    }
    #[derive(Serialize)]
    struct WriteFile {
        path: String,
        permissions: String,
        content: String,
    }
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let file = |file: HostFile| WriteFile { path: format!("/{}", file.path), permissions: format!("{:04o}", mode(&file)), content: file.text };
    let mut enable = words(&["systemctl", "enable", "--now"]);
    enable.extend(ENABLED.map(str::to_owned));
    enable.extend(drivers(fleet).into_iter().map(instance));
    let data = UserData { write_files: super::tree(fleet)?.into_iter().map(file).collect(), runcmd: vec![words(&["systemctl", "daemon-reload"]), enable] };
    Ok(format!("#cloud-config\n{}", yaml("cloud-init", &data)?))
}
