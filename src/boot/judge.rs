//! What the virtual machine's words mean for the image.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Plan;
use super::transcript::{Part, Step, Transcript};
use crate::finding::{Finding, Severity};
use crate::kmod::kernel_name;
use crate::pattern::matches;
use crate::profile::driver::Answer;

/// How the virtual machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The script came to its end.
    Done,
    /// QEMU ended by itself; what it said on standard error.
    Exited(String),
    /// It did not come to an end in this time, and was stopped.
    TimedOut(Duration),
}

/// Words by which the kernel says that something went badly wrong in it.
const BROKEN: [&str; 10] = [
    "BUG: ",
    // The die counter, which every architecture prints: `invalid opcode: 0000 [#1] PREEMPT SMP`.
    " [#1]",
    "Oops: ",
    "Oops - ",
    "kernel BUG at ",
    "general protection fault",
    "Internal error: ",
    "Unable to handle kernel ",
    "Kernel panic - ",
    "list_del corruption",
];

/// Words by which the kernel says that something is not as it should be.
const DOUBTFUL: [&str; 6] = ["WARNING: ", "UBSAN: ", "refcount_t: ", "possible circular locking", "sysfs: cannot create duplicate", "blocked for more than"];

/// Why the kernel does not take a module, most telling first, and what to do about it.
const REASONS: [(&str, &str); 11] = [
    ("disagrees about version of symbol", "it was compiled with other headers than this kernel's, or for another build of it"),
    ("no symbol version for", "it was compiled without the kernel's Module.symvers"),
    ("version magic", "it was compiled for another kernel"),
    ("Unknown symbol", "a module that exports the symbol must be in the image, or in `load_first` of the driver's profile"),
    ("Loading of unsigned module is rejected", "the kernel only takes signed modules: sign them"),
    ("Key was rejected", "the kernel only takes modules signed with a key that it knows"),
    (".gnu.linkonce.this_module", "it was compiled with another configuration than this kernel's"),
    ("Invalid ELF header", "the file is damaged, or for another architecture"),
    ("Invalid architecture in ELF header", "the module was compiled for another architecture"),
    (NO_FIRMWARE[0], FIRMWARE_HELP),
    (NO_FIRMWARE[1], FIRMWARE_HELP),
];

/// Words before the name of firmware that the kernel does not find (`drivers/base/firmware_loader/main.c`), and those that Debian puts in their place.
const NO_FIRMWARE: [&str; 2] = ["Direct firmware load for ", "firmware: failed to load "];
const FIRMWARE_HELP: &str = "the file must be in /firmware of the image: add it to the profile's `firmware`";

/// Of a driver that nobody has said anything about.
const UNKNOWN_HELP: &str =
    "if it only wants parameters or hardware, say so in a profile (`parameters`, `load`), which `kmodforge profile new --from-source` begins";

/// The findings about the image at a position, in the order of the steps.
pub(super) fn judge(plan: &Plan, heard: &Transcript, position: usize, ending: &Ending) -> Vec<Finding> {
    let nothing = Part::default();
    let part = heard.parts.get(position).unwrap_or(&nothing);
    // A kernel that broke down is the reason for all that fails after it.
    let (mut findings, complaints): (Vec<_>, Vec<_>) = complaints(plan, part).into_iter().partition(|finding| finding.severity == Severity::Error);
    findings.extend(not_ended(plan, heard, part, ending));
    findings.extend(index_failed(heard));
    for module in &plan.modules {
        let name = kernel_name(&module.name);
        // What does not load does not load again either.
        findings.extend(["load", "reload"].iter().find_map(|verb| part.step(verb, &name).and_then(|step| loading(plan, step))));
        findings.extend(part.step("unload", &name).and_then(|step| unloading(plan, step)));
    }
    findings.extend(part.steps.iter().filter(|step| step.verb == "remove").filter_map(|step| removing(plan, step)));
    findings.extend(firmware(plan, heard, part));
    findings.extend(devices(plan, part));
    findings.extend(complaints);
    findings
}

fn error(check: &str, message: String) -> Finding {
    Finding::new(check, Severity::Error, message)
}

/// The boot did not come to the image's end: the step that it ended in, in the kernel's words.
fn not_ended(plan: &Plan, heard: &Transcript, part: &Part, ending: &Ending) -> Option<Finding> {
    if part.ended {
        return None;
    }
    let how = match ending {
        Ending::Done => "the boot came to its end".to_owned(),
        Ending::Exited(_) => "the virtual machine stopped".to_owned(),
        Ending::TimedOut(after) => format!("the time of {} s was over", after.as_secs()),
    };
    let words = |lines: &[String]| lines.iter().find(|line| said_broken(line)).or(lines.last()).cloned();
    if !heard.up {
        let said = match ending {
            Ending::Exited(text) if !text.is_empty() => Some(text.clone()),
            _ => words(&heard.kernel),
        };
        let finding = error("boot-kernel", format!("{} did not start: {how}", plan.kernel));
        return Some(
            Finding { found: said, ..finding }
                .help("the log of the boot has everything that the kernel said; a slow machine may need more time (--boot-timeout)"),
        );
    }
    let Some(step) = heard.unfinished() else {
        let after = part.steps.last().map_or_else(|| "before its first step".to_owned(), |step| format!("after the step `{} {}`", step.verb, step.module));
        let said = part.steps.last().map_or(&heard.kernel, |step| &step.kernel);
        return Some(Finding { found: words(said), ..error("boot-kernel", format!("{} went no further: {how} {after}", plan.kernel)) });
    };
    let check = if is_unloading(step) { "boot-unload" } else { "boot-load" };
    Some(Finding { found: words(&step.kernel), ..error(check, format!("{how} while {}", doing(step))) })
}

/// `v4l2loopback` was being unloaded.
fn doing(step: &Step) -> String {
    match step.verb.as_str() {
        "index" => "the kernel's own modules were being indexed".to_owned(),
        _ if is_unloading(step) => format!("`{}` was being unloaded", step.module),
        _ => format!("`{}` was being loaded", step.module),
    }
}

fn is_unloading(step: &Step) -> bool {
    matches!(step.verb.as_str(), "unload" | "leave" | "remove")
}

fn index_failed(heard: &Transcript) -> Option<Finding> {
    let step = heard.index.as_ref().filter(|step| step.exit.is_some_and(|code| code != 0))?;
    let finding = error("boot-load", "the image's depmod could not index the kernel's own modules".to_owned());
    Some(Finding { found: step.said.first().cloned(), ..finding })
}

fn loading(plan: &Plan, step: &Step) -> Option<Finding> {
    let again = if step.verb == "reload" { " again after it was unloaded" } else { "" };
    let (module, kernel) = (&step.module, &plan.kernel);
    let expected = if plan.load.devices.is_empty() { plan.load.without_hardware } else { Answer::Loads };
    match step.exit {
        None => None,
        Some(0) if step.state.as_deref() == Some("live") => (!matches!(expected, Answer::Loads | Answer::Unknown) && step.verb == "load").then(|| {
            let finding = Finding::new("boot-load", Severity::Note, format!("`{module}` loads without its hardware"));
            finding.differs("loaded", format!("{} (the driver's profile)", expected.name()))
        }),
        Some(0) => {
            let state = step.state.clone().unwrap_or_default();
            Some(error("boot-load", format!("`{module}` is not there after modprobe has loaded it into {kernel}{again}")).differs(state, "live"))
        }
        Some(_) if expected != Answer::Loads && step.said.iter().any(|line| expected.words().iter().any(|words| line.contains(words))) => {
            let finding = Finding::new("boot-load", Severity::Note, format!("`{module}` does not load into {kernel} without its hardware"));
            (expected == Answer::Unknown).then(|| Finding { found: step.said.last().cloned(), ..finding })
        }
        Some(_) => Some(refused(step, format!("`{module}` does not load into {kernel}{again}"), expected)),
    }
}

/// The kernel's own reason before modprobe's.
fn refused(step: &Step, message: String, expected: Answer) -> Finding {
    let reason = REASONS.iter().find_map(|(words, help)| step.kernel.iter().find(|line| line.contains(words)).map(|line| (line, *help)));
    let spoken = step.said.iter().rev().find(|line| line.contains("could not insert")).or(step.said.last());
    let finding = error("boot-load", message);
    let found = match (reason, spoken) {
        (Some((line, _)), Some(spoken)) => format!("{line}\n{spoken}"),
        (Some((line, _)), None) => line.clone(),
        (None, Some(spoken)) => spoken.clone(),
        (None, None) => format!("modprobe ended with status {}", step.exit.unwrap_or_default()),
    };
    let from_modprobe = || spoken.and_then(|line| REASONS.iter().find(|(words, _)| line.contains(words))).map(|(_, help)| *help);
    let known = reason.map(|(_, help)| help).or_else(from_modprobe).map(str::to_owned);
    let help = known.or_else(|| asked_in_vain([step])).or((expected == Answer::Unknown).then(|| UNKNOWN_HELP.to_owned()));
    let finding = if matches!(expected, Answer::Loads | Answer::Unknown) {
        Finding { found: Some(found), ..finding }
    } else {
        finding.differs(found, format!("{} (the driver's profile)", expected.name()))
    };
    help.map_or_else(|| finding.clone(), |help| finding.clone().help(help))
}

/// Modules that no module depends on by a symbol, and that a driver asks the kernel for all the same.
fn asked_in_vain<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Option<String> {
    let names: BTreeSet<_> = steps.into_iter().flat_map(|step| &step.asked).map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        format!("it asked for {names}, which nobody has loaded: where the kernel has such a module, name it in `load_first` of the driver's profile")
    })
}

/// Firmware that a module asks for in vain, and loads all the same: what it lacks then shows on the hardware only.
fn firmware(plan: &Plan, heard: &Transcript, part: &Part) -> Vec<Finding> {
    let severity = if plan.optional_firmware.is_some() { Severity::Error } else { Severity::Warning };
    let is_optional = |name: &str| plan.optional_firmware.iter().flatten().any(|pattern| matches(pattern, name));
    let mut seen = BTreeSet::new();
    let loaded = part.steps.iter().filter(|step| matches!(step.verb.as_str(), "load" | "reload") && step.exit == Some(0));
    let lines = loaded.flat_map(|step| &step.kernel).chain(&heard.kernel);
    let missing = lines.filter_map(|line| Some((line, missing_firmware(line)?))).filter(|(_, name)| !is_optional(name) && seen.insert(*name));
    let finding = |(line, name): (&String, &str)| {
        let finding = Finding::new("boot-firmware", severity, format!("{} does not find the firmware `{name}` that a module asks for", plan.kernel));
        Finding { found: Some(line.clone()), ..finding }.help(format!("{FIRMWARE_HELP}, or to `firmware.optional`"))
    };
    missing.map(finding).collect()
}

/// The name of firmware that a line of the kernel says it does not find.
fn missing_firmware(line: &str) -> Option<&str> {
    let rest = NO_FIRMWARE.iter().find_map(|words| Some(line.split_once(words)?.1))?;
    rest.split([' ', '(']).next().filter(|name| !name.is_empty())
}

fn unloading(plan: &Plan, step: &Step) -> Option<Finding> {
    let failed = step.exit.is_some_and(|code| code != 0) || (step.exit == Some(0) && step.state.as_deref() != Some("absent"));
    failed.then(|| {
        let finding = error("boot-unload", format!("`{}` cannot be unloaded from {}", step.module, plan.kernel));
        let finding = Finding { found: step.said.last().or(step.kernel.last()).cloned(), ..finding };
        finding.help("a node keeps the old module until it restarts; if that is how the driver is, set `load: {unload: false}` in its profile")
    })
}

fn removing(plan: &Plan, step: &Step) -> Option<Finding> {
    step.exit.is_some_and(|code| code != 0).then(|| {
        let finding = Finding::new("boot-load", Severity::Warning, format!("the kernel's own `{}` cannot be removed from {}", step.module, plan.kernel));
        Finding { found: step.said.last().cloned(), ..finding }
    })
}

fn devices(plan: &Plan, part: &Part) -> Option<Finding> {
    let wanted = &plan.load.devices;
    (part.ended && part.bound.len() < wanted.len()).then(|| {
        let bound: Vec<_> = part.bound.iter().map(|(_, device)| device.as_str()).collect();
        let found = if bound.is_empty() { "none".to_owned() } else { bound.join(", ") };
        error("boot-device", format!("the driver does not bind the devices that it is for on {}", plan.kernel)).differs(found, wanted.join(", "))
    })
}

fn said_broken(line: &str) -> bool {
    BROKEN.iter().any(|words| line.contains(words))
}

/// What the kernel complained about while the image's modules came and went: the worst, and how often.
fn complaints(plan: &Plan, part: &Part) -> Option<Finding> {
    let ours = part.steps.iter().filter(|step| matches!(step.verb.as_str(), "load" | "unload" | "reload" | "leave"));
    let lines: Vec<(&Step, &String)> = ours.flat_map(|step| step.kernel.iter().map(move |line| (step, line))).collect();
    let first = |is: &dyn Fn(&str) -> bool| lines.iter().find(|(_, line)| is(line));
    let (severity, verdict, (step, line)) = match (first(&said_broken), first(&|line| DOUBTFUL.iter().any(|words| line.contains(words)))) {
        (Some(found), _) => (Severity::Error, "broke down", found),
        (None, Some(found)) => (Severity::Warning, "complained", found),
        (None, None) => return None,
    };
    let finding = Finding::new("boot-kernel-log", severity, format!("{} {verdict} while {}", plan.kernel, doing(step)));
    let finding = Finding { found: Some((*line).clone()), ..finding };
    let help = if severity == Severity::Error { asked_in_vain(&part.steps) } else { None };
    Some(match help {
        Some(help) => finding.help(help),
        None => finding,
    })
}

#[cfg(test)]
#[path = "judge/tests.rs"]
mod tests;
