//! Checks of imported and exported symbols: what the kernel's loader does when it links a module (`kernel/module/main.c`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Check, Subject, listed};
use crate::finding::{Finding, Severity};
use crate::kmod::{Export, Module, SymbolVersion, kernel_name};

/// What the image's modules export.
pub(super) struct Siblings<'a>(HashMap<&'a str, (&'a Module, &'a Export)>);

impl<'a> Siblings<'a> {
    pub(super) fn of(subject: &Subject<'a>) -> Self {
        let exports = subject.modules.iter().flat_map(|(_, module)| module.exports.iter().map(move |export| (module, export)));
        Self(exports.map(|(module, export)| (&*export.name, (module, export))).collect())
    }

    /// The module that exports a symbol.
    pub(super) fn get(&self, name: &str) -> Option<(&'a Module, &'a Export)> {
        self.0.get(name).copied()
    }
}

/// A symbol that a module imports, and what its owner demands.
struct Link<'a> {
    name: &'a str,
    gpl_only: bool,
    namespace: Option<&'a str>,
    /// The module of the image that exports it; the kernel, or one of its modules, if there is none.
    sibling: Option<&'a Module>,
}

/// The imports of a module that somebody exports. A module of the image stands before one of the kernel, which it replaces.
fn links<'a>(subject: &Subject<'a>, siblings: &Siblings<'a>, module: &'a Module) -> Vec<Link<'a>> {
    let link = |name: &'a str| {
        if let Some((owner, export)) = siblings.get(name) {
            return Some(Link { name, gpl_only: export.gpl_only, namespace: export.namespace.as_deref(), sibling: Some(owner) });
        }
        let symbol = subject.kernel.symvers.get(name)?;
        Some(Link { name, gpl_only: symbol.gpl_only, namespace: symbol.namespace, sibling: None })
    };
    module.imports.iter().filter_map(|import| link(&import.name)).collect()
}

/// Imported symbols have the versions that the kernel, or the module that exports them, has.
pub(super) fn symbol_crc(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    if !subject.kernel.config.is_on("CONFIG_MODVERSIONS") {
        return check.needs_config(subject).into_iter().collect();
    }
    let siblings = Siblings::of(subject);
    let mut findings: Vec<_> = check.needs_symvers(subject).into_iter().collect();
    for (path, module) in subject.modules {
        let finding = match &module.versions {
            None => Some(no_versions(check, subject, module)),
            Some(versions) => {
                wrong_versions(check, subject, &siblings, module, versions).or_else(|| missing_versions(check, subject, &siblings, module, versions))
            }
        };
        findings.extend(finding.map(|finding| finding.file(path)));
    }
    findings
}

/// The version that a symbol has, and who says so. 0 in `Module.symvers` means that it has none.
fn version_of(subject: &Subject<'_>, siblings: &Siblings<'_>, name: &str) -> Option<(u32, String)> {
    let kernel = subject.kernel;
    if let Some((owner, export)) = siblings.get(name) {
        return Some((export.crc?, format!("exported by `{}`", owner.file)));
    }
    let symbol = kernel.symvers.get(name).filter(|symbol| symbol.crc != 0)?;
    Some((symbol.crc, format!("Module.symvers of {}", kernel.headers)))
}

fn no_versions(check: &Check, subject: &Subject<'_>, module: &Module) -> Finding {
    let message = format!("`{}` has no symbol versions, which {} demands", module.file, subject.kernel.release);
    let finding = check.finding(message).differs("no `__versions` section", "a version for each imported symbol");
    finding.help("compile with the kernel's `Module.symvers` in place")
}

fn wrong_versions(check: &Check, subject: &Subject<'_>, siblings: &Siblings<'_>, module: &Module, versions: &[SymbolVersion]) -> Option<Finding> {
    let compare = |version: &SymbolVersion| {
        let (crc, source) = version_of(subject, siblings, &version.name)?;
        (crc != version.crc).then(|| (version.name.clone(), version.crc, crc, source))
    };
    let mut wrong: Vec<_> = versions.iter().filter_map(compare).collect();
    wrong.sort_by_key(|(name, ..)| **name != *LAYOUT);
    let (name, found, expected, source) = wrong.first()?;
    let owner = siblings.get(name).map_or_else(|| subject.kernel.release.to_string(), |(owner, _)| format!("`{}`", owner.file));
    let (message, help) = if **name == *LAYOUT {
        (format!("`{}` was compiled for another kernel than {owner}", module.file), "the headers used were not this kernel's")
    } else {
        (format!("`{}` needs another version of `{name}` than {owner} has", module.file), "compile it with the `Module.symvers` of what exports the symbol")
    };
    let more = listed(wrong.iter().skip(1).map(|(name, ..)| &**name));
    let more = if more.is_empty() { more } else { format!(" (also {more})") };
    Some(check.finding(message).differs(format!("`{name}` {found:#010x}{more}"), format!("{expected:#010x} ({source})")).help(help))
}

/// The symbol that stands for the layout of `struct module`: every module has a version of it.
const LAYOUT: &str = "module_layout";

fn missing_versions(check: &Check, subject: &Subject<'_>, siblings: &Siblings<'_>, module: &Module, versions: &[SymbolVersion]) -> Option<Finding> {
    let have: BTreeSet<&str> = versions.iter().map(|version| &*version.name).collect();
    let strong = module.imports.iter().filter(|import| !import.weak).map(|import| &*import.name);
    let missing = strong.chain([LAYOUT]).filter(|name| !have.contains(name) && version_of(subject, siblings, name).is_some());
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return None;
    }
    let finding = check.finding(format!("`{}` has no version of symbols that it imports", module.file));
    let finding = finding.differs(format!("none for {}", listed(missing)), "a version for each imported symbol");
    Some(finding.help("compile with the `Module.symvers` of what exports the symbols"))
}

/// The kernel or the image exports every imported symbol.
pub(super) fn symbol_unresolved(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    if let Some(note) = check.needs_symvers(subject) {
        return vec![note];
    }
    let kernel = subject.kernel;
    let siblings = Siblings::of(subject);
    let mut findings = Vec::new();
    for (path, module) in subject.modules {
        let unknown = |name: &str| siblings.get(name).is_none() && kernel.symvers.get(name).is_none();
        let strong = module.imports.iter().filter(|import| !import.weak).map(|import| &*import.name);
        let unresolved: Vec<_> = strong.filter(|name| unknown(name)).collect();
        if !unresolved.is_empty() {
            let message = format!("`{}` needs {} that {} does not export", module.file, symbols(unresolved.len()), kernel.release);
            let finding = check.finding(message).file(path);
            findings.push(finding.differs(listed(unresolved), format!("names in Module.symvers of {}, or exported by a module of the image", kernel.headers)));
        }
    }
    findings
}

fn symbols(count: usize) -> String {
    if count == 1 { "a symbol".to_owned() } else { format!("{count} symbols") }
}

/// No module exports a symbol that the kernel itself or another module of the image exports (`verify_exported_symbols`).
/// One that a module of the kernel exports is no clash: drivers replace modules of the kernel.
pub(super) fn symbol_duplicate(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let kernel = subject.kernel;
    let mut owners = BTreeMap::<&str, &str>::new();
    let mut findings = Vec::new();
    for (path, module) in subject.modules {
        let mut clashes = BTreeMap::<String, Vec<&str>>::new();
        for export in &module.exports {
            if kernel.symvers.get(&export.name).is_some_and(|symbol| symbol.module == "vmlinux") {
                clashes.entry(kernel.release.to_string()).or_default().push(&export.name);
            } else if let Some(owner) = owners.insert(&export.name, &module.file) {
                clashes.entry(format!("`{owner}`")).or_default().push(&export.name);
            }
        }
        findings.extend(clashes.into_iter().map(|(owner, names)| {
            let message = format!("`{}` exports symbols that {owner} exports already", module.file);
            check.finding(message).file(path).differs(listed(names), "names that nobody else exports")
        }));
    }
    findings
}

/// The namespaces of imported symbols are imported.
pub(super) fn symbol_namespace(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let lax = subject.kernel.config.is_on("CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS");
    let severity = if lax { Severity::Warning } else { check.severity };
    let siblings = Siblings::of(subject);
    let mut findings: Vec<_> = check.needs_symvers(subject).into_iter().collect();
    for (path, module) in subject.modules {
        let mut missing = BTreeMap::<&str, Vec<&str>>::new();
        for link in links(subject, &siblings, module) {
            let Some(namespace) = link.namespace else { continue };
            let imported = module.info.imported_namespaces().any(|imported| imported == namespace);
            if !imported && !reserved_for(namespace, &module.name()) {
                missing.entry(namespace).or_default().push(link.name);
            }
        }
        findings.extend(missing.into_iter().map(|(namespace, names)| {
            let finding = match namespace.strip_prefix(RESERVED) {
                Some(modules) => check
                    .finding(format!("`{}` uses symbols that are not for it", module.file))
                    .differs(listed(names), format!("use by the modules `{modules}` only")),
                None => check
                    .finding(format!("`{}` uses symbols of the namespace `{namespace}` without importing it", module.file))
                    .differs(listed(names), format!("`import_ns={namespace}` in `.modinfo`"))
                    .help("import it in the source with `MODULE_IMPORT_NS`"),
            };
            Finding { severity, ..finding.file(path) }
        }));
    }
    findings
}

/// Starts a namespace that lists the modules which may use it (`EXPORT_SYMBOL_FOR_MODULES`, Linux 6.16).
const RESERVED: &str = "module:";

/// Whether a namespace names a module (`verify_module_namespace`): names are separated by commas and may end in `*`.
fn reserved_for(namespace: &str, module: &str) -> bool {
    let Some(names) = namespace.strip_prefix(RESERVED) else { return false };
    names.split(',').map(kernel_name).any(|name| match name.strip_suffix('*') {
        Some(start) => module.starts_with(start),
        None => name == module,
    })
}

/// The licence allows the symbols that are used.
pub(super) fn gpl_only(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let siblings = Siblings::of(subject);
    let mut findings: Vec<_> = check.needs_symvers(subject).into_iter().collect();
    for (path, module) in subject.modules {
        let links = links(subject, &siblings, module);
        let restricted: Vec<_> = links.iter().filter(|link| link.gpl_only).map(|link| link.name).collect();
        if restricted.is_empty() {
            continue;
        }
        // Since Linux 5.9 a module that uses a proprietary one counts as proprietary (`inherit_taint`).
        let tainted_by = links.iter().find_map(|link| link.sibling.filter(|owner| !owner.info.is_gpl_compatible()));
        let license = module.info.license().unwrap_or("none");
        let found = match tainted_by {
            _ if !module.info.is_gpl_compatible() => format!("licence `{license}`, and {}", listed(restricted)),
            Some(owner) => format!("symbols of `{}`, whose licence is not compatible, and {}", owner.file, listed(restricted)),
            None => continue,
        };
        let message = format!("`{}` uses symbols that are for GPL modules only", module.file);
        findings.push(check.finding(message).file(path).differs(found, "a licence such as `GPL` or `Dual BSD/GPL`"));
    }
    findings
}

/// Modules that others depend on are in the image or among the kernel's.
pub(super) fn depends(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    if let Some(note) = check.needs_symvers(subject) {
        return vec![note];
    }
    let kernel = subject.kernel;
    let names: BTreeSet<_> = subject.modules.iter().map(|(_, module)| module.name()).collect();
    let mut findings = Vec::new();
    for (path, module) in subject.modules {
        let known = |name: &&str| names.contains(&kernel_name(name)) || kernel.symvers.has_module(name);
        let unknown: Vec<_> = module.info.depends().filter(|name| !known(name)).collect();
        if !unknown.is_empty() {
            let message = format!("`{}` depends on modules that neither the image nor {} has", module.file, kernel.release);
            findings
                .push(check.finding(message).file(path).differs(listed(unknown), format!("modules in Module.symvers of {}, or of the image", kernel.headers)));
        }
    }
    findings
}
