//! Devices that a driver's profile asks for: which ones QEMU has, and how they are put on its command line.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::{BootError, Emulator};
use crate::arch::Arch;
use crate::yaml::nearest;

/// How long QEMU may take to list its devices.
const PATIENCE: Duration = Duration::from_secs(20);

/// A model of a device that QEMU has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Model {
    name: String,
    /// Another name: `virtio-net` for `virtio-net-pci`.
    alias: Option<String>,
    /// The bus that it is on; none for those that are on no bus.
    bus: Option<String>,
}

/// What QEMU's `-device help` lists.
///
/// # Errors
/// When QEMU cannot be run.
pub(super) async fn models(emulator: &Emulator) -> Result<Vec<Model>, BootError> {
    let machine = match emulator.arch {
        Arch::Amd64 => "q35",
        Arch::Arm64 => "virt",
    };
    let cannot = |error: String| BootError::Qemu { program: emulator.program.clone(), error };
    let mut command = Command::new(&emulator.program);
    command.args(["-machine", machine, "-device", "help"]).stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => Ok(read(&String::from_utf8_lossy(&output.stdout))),
        Ok(Err(error)) => Err(cannot(error.to_string())),
        Err(_) => Err(cannot(format!("`-device help` did not end within {} s", PATIENCE.as_secs()))),
    }
}

/// `name "e1000e", bus PCI, alias "x", desc "Intel 82574L GbE Controller"`.
fn read(text: &str) -> Vec<Model> {
    let quoted = |line: &str, key: &str| line.split_once(&format!("{key} \"")).and_then(|(_, rest)| Some(rest.split_once('"')?.0.to_owned()));
    let model = |line: &str| {
        // A description may hold anything.
        let facts = line.split(", desc \"").next().unwrap_or_default();
        let bus = facts.split_once(", bus ").map(|(_, rest)| rest.split(',').next().unwrap_or_default().to_owned());
        Some(Model { name: quoted(facts, "name")?, alias: quoted(facts, "alias"), bus })
    };
    text.lines().filter(|line| line.starts_with("name ")).filter_map(model).collect()
}

/// Values for `-device`, if QEMU has them all on the bus that the machine has.
///
/// # Errors
/// For a device that there is not.
pub(super) fn arguments(devices: &[String], models: &[Model], program: &Path) -> Result<Vec<String>, BootError> {
    let argument = |device: &String| {
        let name = device.split(',').next().unwrap_or_default();
        let model = models.iter().find(|model| model.name == name || model.alias.as_deref() == Some(name));
        match model.map(|model| model.bus.as_deref()) {
            // No option ROM: it is for starting from the device, and in a package that need not be installed.
            Some(Some("PCI")) if !device.contains(",romfile=") => Ok(format!("{device},romfile=")),
            Some(Some("PCI")) => Ok(device.clone()),
            Some(bus) => Err(BootError::WrongBus { device: name.to_owned(), bus: bus.map(str::to_owned) }),
            None => {
                let names = models.iter().filter(|model| model.bus.as_deref() == Some("PCI")).flat_map(|model| model.alias.iter().chain([&model.name]));
                let near = nearest(name, names.map(String::as_str)).map(str::to_owned);
                Err(BootError::NoDevice { device: name.to_owned(), program: program.to_owned(), near })
            }
        }
    };
    devices.iter().map(argument).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "Controller/Bridge/Hub devices:\nname \"qemu-xhci\", bus PCI\n\nNetwork devices:\n\
        name \"e1000e\", bus PCI, desc \"Intel 82574L GbE Controller, \\\"bus X\"\nname \"virtio-net-pci\", bus PCI, alias \"virtio-net\"\n\
        name \"usb-net\", bus usb-bus\n\nMisc devices:\nname \"edu\", bus PCI\nname \"vmcoreinfo\"\n";

    fn told(device: &str) -> Result<Vec<String>, String> {
        arguments(&[device.to_owned()], &read(HELP), Path::new("/usr/bin/qemu-system-x86_64")).map_err(|error| crate::error::Failure::from(error).to_string())
    }

    #[test]
    fn devices_on_pci_are_put_in_without_a_rom() {
        assert_eq!(told("e1000e").unwrap(), ["e1000e,romfile="]);
        assert_eq!(told("virtio-net,mac=52:54:00:12:34:56").unwrap(), ["virtio-net,mac=52:54:00:12:34:56,romfile="]);
        assert_eq!(told("edu,romfile=x.rom").unwrap(), ["edu,romfile=x.rom"]);
    }

    #[test]
    fn what_qemu_lacks_is_told() {
        assert_eq!(
            told("e1000").unwrap_err(),
            "error: QEMU has no device `e1000`\n  found     what `/usr/bin/qemu-system-x86_64 -device help` lists\n  \
             help      did you mean `e1000e`?\n  help      correct `load.devices` in the driver's profile"
        );
        assert_eq!(
            told("nvidia-h100").unwrap_err(),
            "error: QEMU has no device `nvidia-h100`\n  found     what `/usr/bin/qemu-system-x86_64 -device help` lists\n  \
             help      correct `load.devices` in the driver's profile"
        );
    }

    #[test]
    fn devices_on_other_buses_are_not_to_be_had() {
        assert_eq!(
            told("usb-net").unwrap_err(),
            "error: the virtual machine has no bus for the device `usb-net`\n  found     `usb-bus`\n  expected  a device on `PCI`\n  \
             help      correct `load.devices` in the driver's profile, or leave it out: the driver is then loaded without a device"
        );
        assert!(told("vmcoreinfo").unwrap_err().contains("\n  found     no bus\n"));
    }
}
