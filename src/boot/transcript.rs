//! What the virtual machine said, put in order.

use super::script::MARK;

/// A step of the script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// `load`, `unload`…
    pub(super) verb: String,
    /// The module, by the kernel's spelling; empty if it is about none.
    pub(super) module: String,
    /// Exit status of its program; none: it did not end.
    pub(super) exit: Option<i32>,
    /// What the program printed.
    pub(super) said: Vec<String>,
    /// What the kernel said meanwhile, without time stamps.
    pub(super) kernel: Vec<String>,
    /// What /sys/module said after it.
    pub(super) state: Option<String>,
}

/// Everything that was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Transcript {
    /// The kernel has run the script.
    pub(super) up: bool,
    /// The script came to its end.
    pub(super) done: bool,
    /// The steps in order.
    pub(super) steps: Vec<Step>,
    /// Drivers' modules and the devices they are bound to.
    pub(super) bound: Vec<(String, String)>,
    /// The kernel's taint flags when everything was loaded (Documentation/admin-guide/tainted-kernels.rst).
    pub(super) taint: Option<u64>,
    /// What the kernel said outside of steps.
    pub(super) kernel: Vec<String>,
    open: bool,
}

impl Transcript {
    /// Takes a line of the console.
    pub(super) fn hear(&mut self, line: &str) {
        let text = without_time(line.trim_end_matches(['\r', '\n']));
        match text.strip_prefix(MARK) {
            Some(words) => self.obey(words),
            None if text.is_empty() => {}
            None => match self.steps.last_mut().filter(|_| self.open) {
                Some(step) => step.kernel.push(text.to_owned()),
                None => self.kernel.push(text.to_owned()),
            },
        }
    }

    fn obey(&mut self, words: &str) {
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        match verb {
            "up" => self.up = true,
            "done" => self.done = true,
            "begin" => {
                let (verb, module) = rest.split_once(' ').unwrap_or((rest, ""));
                self.steps.push(Step { verb: verb.to_owned(), module: module.to_owned(), ..Step::default() });
                self.open = true;
            }
            "said" => self.steps.last_mut().into_iter().for_each(|step| step.said.push(rest.to_owned())),
            "end" => {
                let code = rest.split(' ').next().and_then(|code| code.parse().ok());
                self.steps.last_mut().into_iter().for_each(|step| step.exit = code);
                self.open = false;
            }
            "state" => {
                let state = rest.split_once(' ').map(|(_, state)| state.to_owned());
                self.steps.last_mut().into_iter().for_each(|step| step.state.clone_from(&state));
            }
            "bound" => self.bound.extend(rest.split_once(' ').map(|(module, device)| (module.to_owned(), device.to_owned()))),
            "taint" => self.taint = rest.parse().ok(),
            _ => {}
        }
    }

    /// The step of that name.
    pub(super) fn step(&self, verb: &str, module: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.verb == verb && step.module == module)
    }

    /// The step that did not end.
    pub(super) fn unfinished(&self) -> Option<&Step> {
        self.steps.last().filter(|_| self.open)
    }
}

/// `[    1.234567] text`, and with `CONFIG_PRINTK_CALLER` `[    1.234567][    T1] text`.
fn without_time(line: &str) -> &str {
    let mut text = line;
    while let Some((inside, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        if !inside.bytes().all(|b| b.is_ascii_digit() || b" .TC".contains(&b)) {
            break;
        }
        text = rest;
    }
    text.strip_prefix(' ').filter(|_| text.len() < line.len()).unwrap_or(text)
}

#[cfg(test)]
pub(super) fn transcript(text: &str) -> Transcript {
    let mut transcript = Transcript::default();
    text.lines().for_each(|line| transcript.hear(line));
    transcript
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_kernel_belong_to_the_step_they_are_in() {
        let found = transcript(
            "[    1.0] kmodforge: up\r\n[    1.1] kmodforge: begin load v4l2loopback\n[    1.2][    T1] v4l2loopback: Unknown symbol video_ioctl2 (err -2)\n\
             [    1.3] kmodforge: said modprobe: ERROR: could not insert 'v4l2loopback'\n[    1.4] kmodforge: end 1 load v4l2loopback\n\
             [    1.5] kmodforge: state v4l2loopback absent\n[    1.6] random: crng init done\n[    1.7] kmodforge: begin unload x",
        );
        let load = found.step("load", "v4l2loopback").unwrap();
        assert_eq!((load.exit, load.state.as_deref()), (Some(1), Some("absent")));
        assert_eq!(load.kernel, ["v4l2loopback: Unknown symbol video_ioctl2 (err -2)"]);
        assert_eq!(load.said, ["modprobe: ERROR: could not insert 'v4l2loopback'"]);
        assert_eq!(found.kernel, ["random: crng init done"]);
        assert_eq!(found.unfinished().unwrap().module, "x");
        assert!(found.up && !found.done);
    }

    #[test]
    fn what_the_driver_prints_in_brackets_is_kept() {
        assert_eq!(without_time("[drm] Initialized"), "[drm] Initialized");
        assert_eq!(without_time("[    2.5] [drm] Initialized"), "[drm] Initialized");
        assert_eq!(without_time("plain"), "plain");
    }
}
