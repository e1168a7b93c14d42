//! What only a build tells: whether a `dkms.conf` is for the kernel, and which modules there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::TargetError;
use crate::image::artifacts::{Artifacts, MODULES};
use crate::kmod::{self, kernel_name};
use crate::plan::{PlannedDriver, Target};
use crate::profile::InnerPath;
use crate::profile::driver::Module;

/// The longest reason that is shown, in characters.
const LONGEST_REASON: usize = 200;

/// Why a `dkms.conf` is not for the kernel, if it is not.
pub(super) fn unsupported(artifacts: &Artifacts) -> Result<Option<String>, TargetError> {
    const FILE: &str = "evidence/unsupported";
    if artifacts.get(FILE).is_none() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&artifacts.read(FILE)?).into_owned();
    let line = text.lines().next().unwrap_or_default();
    Ok(Some(line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_REASON).collect()))
}

/// The target with the modules that its build has left: of those in its profile, all but the `optional` ones that are not there; all that there are,
/// if its profile lists none. These are listed in `evidence/modules`, one path below the kernel's directory per line.
pub(super) fn with_modules(mut target: Target, artifacts: &Artifacts) -> Result<Target, TargetError> {
    const FILE: &str = "evidence/modules";
    if !target.driver.modules().is_empty() {
        let built: BTreeSet<_> = artifacts.paths(MODULES).filter_map(|(path, _)| path.rsplit('/').next()?.strip_suffix(".ko")).map(kernel_name).collect();
        let (left, missing): (Vec<_>, Vec<_>) =
            target.driver.modules().iter().cloned().partition(|module| !module.optional || built.contains(&kernel_name(&module.name)));
        if !missing.is_empty() {
            give(&mut target, left);
        }
        return Ok(target);
    }
    let list = if artifacts.get(FILE).is_some() { String::from_utf8_lossy(&artifacts.read(FILE)?).into_owned() } else { String::new() };
    let modules = list.lines().map(module).collect::<Result<Vec<_>, _>>()?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = modules.iter().find(|module| !seen.insert(kernel_name(&module.name))) {
        return Err(TargetError::Found(format!("the build leaves several modules `{}`", twice.name)));
    }
    let directory = format!("modules/opt/lib/modules/{}", target.kernel.release.directory());
    let mut needs = BTreeMap::new();
    for module in &modules {
        let path = format!("{directory}/{}/{}.ko", module.install, module.name);
        if artifacts.get(&path).is_some() {
            let file = kmod::Module::parse(&module.name, &artifacts.read(&path)?)?;
            needs.insert(kernel_name(&module.name), file.info.depends().map(kernel_name).collect());
        }
    }
    give(&mut target, in_load_order(modules, &needs));
    Ok(target)
}

fn give(target: &mut Target, modules: Vec<Module>) {
    let mut profile = target.driver.profile.as_ref().clone();
    profile.versions[target.driver.index].modules = Some(modules);
    target.driver = Arc::new(PlannedDriver { profile: Arc::new(profile), index: target.driver.index });
}

/// Modules behind those that they need, by the kernel's spelling; else in the order that they have. DKMS, which loads nothing, lets a `dkms.conf`
/// name them in any order.
fn in_load_order(mut modules: Vec<Module>, needs: &BTreeMap<String, Vec<String>>) -> Vec<Module> {
    let mut waiting: BTreeSet<String> = modules.iter().map(|module| kernel_name(&module.name)).collect();
    let mut ordered = Vec::with_capacity(modules.len());
    while !modules.is_empty() {
        let is_next = |module: &Module| !needs.get(&kernel_name(&module.name)).into_iter().flatten().any(|needed| waiting.contains(needed));
        // Modules that need each other cannot be loaded in any order.
        let module = modules.remove(modules.iter().position(is_next).unwrap_or(0));
        waiting.remove(&kernel_name(&module.name));
        ordered.push(module);
    }
    ordered
}

/// Gives a target whose profile lists no modules those of its published image, by their names.
pub fn name_modules(target: &mut Target, names: &str) {
    if target.driver.modules().is_empty() {
        give(target, names.split_whitespace().map(|name| found(name, None, InnerPath::root())).collect());
    }
}

fn module(path: &str) -> Result<Module, TargetError> {
    let strange = || TargetError::Found(format!("the build leaves `{}`, which is not the path of a module", path.escape_debug()));
    let (directory, file) = path.rsplit_once('/').ok_or_else(strange)?;
    let name = file.strip_suffix(".ko").filter(|name| !name.is_empty()).ok_or_else(strange)?;
    let inner = |text: &str| InnerPath::try_from(text.to_owned()).map_err(|_| strange());
    Ok(found(name, Some(inner(file)?), inner(directory)?))
}

/// A module that nothing but the build tells of.
fn found(name: &str, file: Option<InnerPath>, install: InnerPath) -> Module {
    Module { name: name.to_owned(), file, install, optional: false, load: true, parameters: BTreeMap::new() }
}

/// What was found, for people.
pub(super) fn describe(target: &Target) -> String {
    let modules: Vec<_> = target.driver.modules().iter().map(|module| module.name.as_str()).collect();
    let from = if target.driver.dkms().is_some() { "dkms.conf names" } else { "the build leaves" };
    format!("{}: {from} {}", target.label(), if modules.is_empty() { "no module".to_owned() } else { modules.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::image::fixture::TestTar;

    fn target() -> Target {
        let mut target = fixture::target("v4l2loopback", "6.1.0-56-amd64");
        let mut profile = target.driver.profile.as_ref().clone();
        profile.modules = Vec::new();
        target.driver = Arc::new(PlannedDriver { profile: profile.into(), index: 0 });
        target
    }

    fn artifacts(file: &str, content: &str) -> Artifacts {
        let directory = tempfile::tempdir().unwrap();
        let tar = TestTar::new().file(file, 0o644, content.as_bytes()).write(directory.path());
        // The file stays open.
        Artifacts::open(&tar).unwrap()
    }

    fn listed(list: &str) -> Result<Vec<(String, String)>, String> {
        let target = with_modules(target(), &artifacts("evidence/modules", list)).map_err(|error| error.to_string())?;
        Ok(target.driver.modules().iter().map(|module| (module.name.clone(), module.install.to_string())).collect())
    }

    #[test]
    fn modules_are_what_the_build_lists() {
        let pair = |name: &str, install: &str| (name.to_owned(), install.to_owned());
        assert_eq!(listed("updates/dkms/a-b.ko\nextra/c.ko\n").unwrap(), [pair("a-b", "updates/dkms"), pair("c", "extra")]);
        assert_eq!(listed("").unwrap(), []);
    }

    #[test]
    fn modules_come_behind_those_that_they_need() {
        let named = |name: &&str| module(&format!("extra/{name}.ko")).unwrap();
        let order = |names: &[&str], needs: &[(&str, &[&str])]| {
            let needs = needs.iter().map(|(name, needed)| ((*name).to_owned(), needed.iter().map(|name| (*name).to_owned()).collect())).collect();
            in_load_order(names.iter().map(named).collect(), &needs).into_iter().map(|module| module.name).collect::<Vec<_>>()
        };
        assert_eq!(order(&["nat-rtsp", "b", "conntrack-rtsp", "a"], &[("nat_rtsp", &["nf_nat", "conntrack_rtsp"])]), ["b", "conntrack-rtsp", "nat-rtsp", "a"]);
        assert_eq!(order(&["c", "b", "a"], &[("c", &["b"]), ("b", &["a"])]), ["a", "b", "c"]);
        assert_eq!(order(&["b", "a"], &[("a", &["b"]), ("b", &["a"])]), ["b", "a"], "no order would do");
    }

    #[test]
    fn a_list_that_cannot_be_is_refused() {
        for (list, words) in [
            ("a.ko\n", "the build leaves `a.ko`, which is not the path of a module"),
            ("extra/../../a.ko\n", "the build leaves `extra/../../a.ko`, which is not the path of a module"),
            ("extra/a\n", "the build leaves `extra/a`, which is not the path of a module"),
            ("extra/a-b.ko\nupdates/a_b.ko\n", "the build leaves several modules `a_b`"),
        ] {
            assert_eq!(listed(list).unwrap_err(), words);
        }
    }

    #[test]
    fn a_profile_that_lists_modules_keeps_them() {
        let target = with_modules(fixture::target("v4l2loopback", "6.1.0-56-amd64"), &artifacts("evidence/modules", "extra/other.ko\n")).unwrap();
        assert_eq!(target.driver.modules()[0].name, "v4l2loopback");
    }

    #[test]
    fn optional_modules_that_were_not_built_are_not_loaded() {
        let mut target = fixture::target("v4l2loopback", "6.1.0-56-amd64");
        let optional = |name: &str| Module { optional: true, ..found(name, None, InnerPath::root()) };
        let usual = target.driver.modules()[0].clone();
        give(&mut target, vec![usual, optional("drbd_rdma"), optional("drbd-tcp")]);
        let target = with_modules(target, &artifacts("modules/opt/lib/modules/6.1.0-56-amd64/extra/drbd_tcp.ko", "")).unwrap();
        assert_eq!(target.driver.modules().iter().map(|module| module.name.as_str()).collect::<Vec<_>>(), ["v4l2loopback", "drbd-tcp"]);
        assert_eq!(target.rollout().loads.len(), 2);
    }

    #[test]
    fn a_reason_is_one_line_of_text() {
        let reason = |file, text| unsupported(&artifacts(file, text)).unwrap();
        assert_eq!(reason("evidence/unsupported", "needs\ta kernel from 6.2 on\nmore\n").as_deref(), Some("needs a kernel from 6.2 on"));
        assert_eq!(reason("evidence/config", ""), None);
    }
}
