//! Drivers of our own, some of them bad: a C file and a profile beside it.

use std::fs;

use crate::forge::Forge;

/// Adds a driver that is made of one file to the folder `profiles` of a forge; `rest` is the end of its profile.
pub(crate) fn add(forge: &Forge, name: &str, source: &str, rest: &str) {
    let folder = forge.path(&format!("profiles/drivers/{name}"));
    fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "id: {name}\nname: {name}\nsummary: A driver for tests\nhomepage: https://www.qemu.org/\nlicence: GPL-2.0-only\n\
         versions:\n  - version: '1'\n    sources: [{{path: {{directory: {name}}}}}]\nbuild: {{steps: [{{kbuild: {{}}}}]}}\nmodules: [{{name: {name}}}]\n{rest}\n"
    );
    fs::write(forge.path(&format!("profiles/drivers/{name}.yaml")), text).unwrap();
    fs::write(folder.join("Kbuild"), format!("obj-m := {name}.o\n")).unwrap();
    fs::write(folder.join(format!("{name}.c")), source).unwrap();
}

/// The source of a PCI driver for one device, `0x1234, 0x11e8`, which wants a module of the kernel to be there, though it needs none of its symbols.
pub(crate) fn pci(name: &str, device: &str) -> String {
    format!(
        r#"#include <linux/module.h>
#include <linux/pci.h>

static char *greeting = "nothing";
module_param(greeting, charp, 0444);

static int our_probe(struct pci_dev *dev, const struct pci_device_id *id)
{{
    pci_info(dev, "{name} says %s\n", greeting);
    return pci_enable_device(dev);
}}
static void our_remove(struct pci_dev *dev) {{ pci_disable_device(dev); }}
static const struct pci_device_id ids[] = {{ {{ PCI_DEVICE({device}) }}, {{ }} }};
MODULE_DEVICE_TABLE(pci, ids);
static struct pci_driver our_driver = {{ .name = "{name}", .id_table = ids, .probe = our_probe, .remove = our_remove }};
module_pci_driver(our_driver);
MODULE_SOFTDEP("pre: crc_itu_t");
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Binds a device and does nothing with it");
"#
    )
}

/// The source of a module that does something when it is loaded and when it is unloaded.
pub(crate) fn module(at_load: &str, at_unload: &str) -> String {
    format!(
        r#"#include <linux/module.h>
#include <linux/completion.h>

static int __init begin(void) {{ {at_load} return 0; }}
static void __exit end(void) {{ {at_unload} }}
module_init(begin);
module_exit(end);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Behaves badly");
"#
    )
}
