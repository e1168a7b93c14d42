//! The `.modinfo` section: `key=value` texts, each ended by a zero byte.

/// Licences that are compatible with the GPL (`include/linux/license.h`).
const GPL_COMPATIBLE: [&str; 6] = ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];

/// What `modinfo` shows of a module. Aliases are counted, not kept: some drivers have thousands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModInfo {
    entries: Vec<(Box<str>, Box<str>)>,
    aliases: usize,
}

/// A module parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// `video_nr`
    pub name: String,
    /// `int`, `array of int`, `charp`, `bool`.
    pub kind: Option<String>,
    /// Its description.
    pub description: Option<String>,
}

impl ModInfo {
    /// Reads the section.
    #[must_use]
    pub fn parse(section: &[u8]) -> Self {
        let mut info = Self::default();
        for entry in section.split(|byte| *byte == 0) {
            let text = String::from_utf8_lossy(entry);
            match text.split_once('=') {
                Some(("alias", _)) => info.aliases += 1,
                Some((key, value)) => info.entries.push((key.into(), value.into())),
                None => {}
            }
        }
        info
    }

    /// The first value of a key.
    #[must_use]
    pub fn first(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(name, _)| **name == *key).map(|(_, value)| &**value)
    }

    /// Every value of a key, in the file's order.
    pub fn all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.entries.iter().filter(move |(name, _)| **name == *key).map(|(_, value)| &**value)
    }

    /// `6.1.0-56-amd64 SMP preempt mod_unload modversions`, without the space that ends it in the file.
    #[must_use]
    pub fn vermagic(&self) -> Option<&str> {
        self.first("vermagic").map(str::trim_end)
    }

    /// The licence that decides about symbols for GPL modules.
    #[must_use]
    pub fn license(&self) -> Option<&str> {
        self.first("license")
    }

    /// Whether the kernel takes its licence for compatible with the GPL; else it taints the kernel as proprietary.
    #[must_use]
    pub fn is_gpl_compatible(&self) -> bool {
        self.license().is_some_and(|license| GPL_COMPATIBLE.contains(&license))
    }

    /// The driver's own version.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.first("version")
    }

    /// Checksum of the module's source.
    #[must_use]
    pub fn srcversion(&self) -> Option<&str> {
        self.first("srcversion")
    }

    /// Modules whose symbols it uses, as modpost found them.
    pub fn depends(&self) -> impl Iterator<Item = &str> {
        self.all("depends").flat_map(|list| list.split(',')).filter(|name| !name.is_empty())
    }

    /// Soft dependencies: `pre: crc32c`.
    pub fn softdeps(&self) -> impl Iterator<Item = &str> {
        self.all("softdep")
    }

    /// Firmware that it may ask for, below the firmware directory; may hold `*`.
    pub fn firmware(&self) -> impl Iterator<Item = &str> {
        self.all("firmware")
    }

    /// Symbol namespaces that it uses.
    pub fn imported_namespaces(&self) -> impl Iterator<Item = &str> {
        self.all("import_ns")
    }

    /// How many device aliases it has.
    #[must_use]
    pub fn aliases(&self) -> usize {
        self.aliases
    }

    /// Compiled with retpolines, and so without `spectre_v2` taint.
    #[must_use]
    pub fn retpoline(&self) -> bool {
        self.first("retpoline") == Some("Y")
    }

    /// Compiled as a part of the kernel's source.
    #[must_use]
    pub fn in_tree(&self) -> bool {
        self.first("intree") == Some("Y")
    }

    /// Its parameters, sorted by name.
    #[must_use]
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = std::collections::BTreeMap::<&str, Parameter>::new();
        for (key, value) in &self.entries {
            let Some((name, text)) = value.split_once(':').filter(|_| matches!(&**key, "parm" | "parmtype")) else { continue };
            let parameter = parameters.entry(name).or_insert_with(|| Parameter { name: name.to_owned(), kind: None, description: None });
            let field = if &**key == "parm" { &mut parameter.description } else { &mut parameter.kind };
            *field = Some(text.to_owned());
        }
        parameters.into_values().collect()
    }
}
