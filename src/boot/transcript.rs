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
    /// What the kernel said from then on until the next step began, without time stamps.
    pub(super) kernel: Vec<String>,
    /// Modules that the kernel asked for meanwhile, and that are not there.
    pub(super) asked: Vec<String>,
    /// What /sys/module said after it.
    pub(super) state: Option<String>,
}

/// What was said about one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// The steps in order.
    pub(super) steps: Vec<Step>,
    /// Drivers' modules and the devices they are bound to.
    pub(super) bound: Vec<(String, String)>,
    /// Everything was done with it.
    pub(super) ended: bool,
    before: u64,
    after: Option<u64>,
    own: u64,
}

impl Part {
    /// The step of that name.
    pub(super) fn step(&self, verb: &str, module: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.verb == verb && step.module == module)
    }

    /// The kernel's taint flags when everything was loaded (Documentation/admin-guide/tainted-kernels.rst). Of those that another image's modules
    /// had set before, the ones that a module of this image has, too.
    pub(super) fn taint(&self) -> Option<u64> {
        self.after.map(|after| (after & !self.before) | self.own)
    }
}

/// Everything that was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Transcript {
    /// The kernel has run the script.
    pub(super) up: bool,
    /// The script came to its end.
    pub(super) done: bool,
    /// The indexing of the kernel's own modules, which comes before all images.
    pub(super) index: Option<Step>,
    /// The images in order, as far as it came.
    pub(super) parts: Vec<Part>,
    /// What the kernel said before the first step.
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
            // What comes after a step is its consequence, until the next one begins.
            None => match self.last_step() {
                Some(step) => step.kernel.push(text.to_owned()),
                None => self.kernel.push(text.to_owned()),
            },
        }
    }

    fn obey(&mut self, words: &str) {
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        match verb {
            "up" => self.up = true,
            "image" => {
                self.end_part();
                self.parts.push(Part::default());
            }
            "done" => {
                self.end_part();
                self.done = true;
            }
            "begin" => {
                let (verb, module) = rest.split_once(' ').unwrap_or((rest, ""));
                let step = Step { verb: verb.to_owned(), module: module.to_owned(), ..Step::default() };
                self.open = true;
                match verb {
                    "index" => self.index = Some(step),
                    _ => self.part().steps.push(step),
                }
            }
            "said" => self.last_step().into_iter().for_each(|step| step.said.push(rest.to_owned())),
            "asked" => self.last_step().into_iter().for_each(|step| step.asked.push(rest.to_owned())),
            "end" => {
                let code = rest.split(' ').next().and_then(|code| code.parse().ok());
                self.last_step().into_iter().for_each(|step| step.exit = code);
                self.open = false;
            }
            "state" => {
                let state = rest.split_once(' ').map(|(_, state)| state.to_owned());
                self.last_step().into_iter().for_each(|step| step.state.clone_from(&state));
            }
            "bound" => {
                let bound = rest.split_once(' ').map(|(module, device)| (module.to_owned(), device.to_owned()));
                self.part().bound.extend(bound);
            }
            "before" => self.part().before = rest.parse().unwrap_or_default(),
            "taint" => self.part().after = rest.parse().ok(),
            "flags" => self.part().own |= flags(rest.split_once(' ').map_or("", |(_, letters)| letters)),
            _ => {}
        }
    }

    fn part(&mut self) -> &mut Part {
        if self.parts.is_empty() {
            self.parts.push(Part::default());
        }
        let last = self.parts.len() - 1;
        &mut self.parts[last]
    }

    fn end_part(&mut self) {
        self.open = false;
        self.parts.last_mut().into_iter().for_each(|part| part.ended = true);
    }

    fn last_step(&mut self) -> Option<&mut Step> {
        match self.parts.last_mut() {
            Some(part) => part.steps.last_mut(),
            None => self.index.as_mut(),
        }
    }

    /// The image whose turn it is, and what is being done with it, for people.
    pub(super) fn doing(&self) -> Option<(usize, String)> {
        let step = self.unfinished()?;
        let text = match step.verb.as_str() {
            "index" => return None,
            "node" | "first" | "need" => format!("loading the kernel's {}", step.module),
            "remove" => format!("removing the kernel's {}", step.module),
            "unload" | "leave" => format!("unloading {}", step.module),
            "reload" => format!("loading {} again", step.module),
            _ => format!("loading {}", step.module),
        };
        Some((self.parts.len() - 1, text))
    }

    /// The step that did not end.
    pub(super) fn unfinished(&self) -> Option<&Step> {
        let last = self.parts.last().map_or(self.index.as_ref(), |part| part.steps.last());
        last.filter(|_| self.open)
    }
}

/// A module's taint flags from `/sys/module/<name>/taint`, where they are letters (`taint_flags` in the kernel's kernel/panic.c).
fn flags(letters: &str) -> u64 {
    let bit = |letter: char| "PFSRMBUDAWCIOELKXTN".find(letter);
    letters.chars().filter_map(bit).map(|bit| 1 << bit).sum()
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
            "[    0.9] random: crng init done\n[    1.0] kmodforge: up\r\n[    1.1] kmodforge: begin load v4l2loopback\n[    1.2][    T1] v4l2loopback: Unknown symbol video_ioctl2 (err -2)\n\
             [    1.3] kmodforge: said modprobe: ERROR: could not insert 'v4l2loopback'\n[    1.4] kmodforge: end 1 load v4l2loopback\n\
             [    1.5] kmodforge: state v4l2loopback absent\n[    1.6] BUG: later\n[    1.7] kmodforge: begin unload x",
        );
        let load = found.parts[0].step("load", "v4l2loopback").unwrap();
        assert_eq!((load.exit, load.state.as_deref()), (Some(1), Some("absent")));
        assert_eq!(load.kernel, ["v4l2loopback: Unknown symbol video_ioctl2 (err -2)", "BUG: later"]);
        assert_eq!(load.said, ["modprobe: ERROR: could not insert 'v4l2loopback'"]);
        assert_eq!(found.kernel, ["random: crng init done"]);
        assert_eq!(found.unfinished().unwrap().module, "x");
        assert_eq!(found.doing(), Some((0, "unloading x".to_owned())));
        assert!(found.up && !found.done);
    }

    #[test]
    fn every_image_has_its_own_steps_and_flags() {
        let found = transcript(
            "kmodforge: up\nkmodforge: begin index\nkmodforge: end 0 index\nkmodforge: image\nkmodforge: before 0\nkmodforge: begin load zfs\n\
             kmodforge: end 0 load zfs\nkmodforge: flags zfs POE\nkmodforge: taint 12289\nkmodforge: image\nkmodforge: before 12289\n\
             kmodforge: begin load jool\nkmodforge: flags jool OE\nBUG: soft lockup\n",
        );
        let [zfs, jool] = &found.parts[..] else { panic!("{found:?}") };
        assert_eq!((zfs.ended, zfs.taint(), zfs.steps.len()), (true, Some(12289), 1));
        assert_eq!((jool.ended, jool.taint()), (false, None));
        assert_eq!(jool.steps[0].kernel, ["BUG: soft lockup"]);
        assert_eq!(found.index.as_ref().unwrap().exit, Some(0));
        let later = transcript("kmodforge: image\nkmodforge: before 12289\nkmodforge: flags jool OE\nkmodforge: taint 12801\n");
        assert_eq!(later.parts[0].taint(), Some(12800), "not the other's licence, but the warning that came meanwhile");
    }

    #[test]
    fn what_the_driver_prints_in_brackets_is_kept() {
        assert_eq!(without_time("[drm] Initialized"), "[drm] Initialized");
        assert_eq!(without_time("[    2.5] [drm] Initialized"), "[drm] Initialized");
        assert_eq!(without_time("plain"), "plain");
    }
}
