//! The virtual machine: which QEMU there is, how it is called, and that it goes away again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::BootError;
use super::judge::Ending;
use super::transcript::Transcript;
use crate::arch::Arch;
use crate::env;

/// How long a processor may take to show that it works.
const PROBE: Duration = Duration::from_secs(2);
/// How long a kernel may take to its first program with KVM. Emulated ones take 5 s; nested virtualisation may run a few instructions and then hang.
const START: Duration = Duration::from_secs(15);
/// The longest line of a console that is kept whole, in bytes.
const LINE: u64 = 64 << 10;

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// QEMU's emulation.
    Tcg,
}

impl Accelerator {
    /// As records and QEMU name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// A QEMU that can run kernels of an architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emulator {
    /// The program.
    pub program: PathBuf,
    /// The architecture.
    pub arch: Arch,
    /// What it runs with.
    pub accelerator: Accelerator,
    /// Why not with KVM, if not: `/dev/kvm did not answer within 2 s`.
    pub why: Option<String>,
}

impl Emulator {
    /// Looks for QEMU, and tries whether KVM works: where it is merely there it may hang.
    ///
    /// # Errors
    /// When there is no QEMU for the architecture.
    pub async fn find(arch: Arch) -> Result<Self, BootError> {
        let name = program_name(arch);
        let program = env::program(name).ok_or(BootError::NoQemu { program: name, package: package(arch) })?;
        let why = kvm_trouble(&program, arch, Path::new("/dev/kvm")).await;
        let accelerator = if why.is_none() { Accelerator::Kvm } else { Accelerator::Tcg };
        Ok(Self { program, arch, accelerator, why })
    }
}

fn program_name(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "qemu-system-x86_64",
        Arch::Arm64 => "qemu-system-aarch64",
    }
}

/// Debian's package of it.
fn package(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "qemu-system-x86",
        Arch::Arm64 => "qemu-system-arm",
    }
}

/// Why KVM cannot be used; `None` when it ran a program.
async fn kvm_trouble(program: &Path, arch: Arch, device: &Path) -> Option<String> {
    let native = match arch {
        Arch::Amd64 => cfg!(target_arch = "x86_64"),
        Arch::Arm64 => cfg!(target_arch = "aarch64"),
    };
    if !native {
        return Some(format!("this machine is not {arch}"));
    }
    if !device.exists() {
        return Some(format!("there is no {}", device.display()));
    }
    match probe(program, arch, "kvm", PROBE).await {
        Probe::Works => None,
        Probe::Refused(reason) => Some(format!("KVM cannot be used: {reason}")),
        Probe::Silent => Some(format!("KVM did not answer within {} s", PROBE.as_secs())),
    }
}

/// What a probe found.
#[derive(Debug, PartialEq, Eq)]
enum Probe {
    Works,
    Refused(String),
    Silent,
}

/// Has QEMU run a few instructions that end it.
async fn probe(program: &Path, arch: Arch, accelerator: &str, patience: Duration) -> Probe {
    let refused = |error: std::io::Error| Probe::Refused(error.to_string());
    let firmware = match tempfile::NamedTempFile::new().and_then(|file| std::fs::write(file.path(), firmware(arch)).map(|()| file)) {
        Ok(file) => file,
        Err(error) => return refused(error),
    };
    let mut command = Command::new(program);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", accelerator, "-m", "64M"]);
    command.args(["-cpu", if accelerator == "kvm" { "host" } else { emulated_processor(arch) }]);
    match arch {
        Arch::Amd64 => command.args(["-machine", "q35", "-device", "isa-debug-exit,iobase=0xf4,iosize=1"]),
        Arch::Arm64 => command.args(["-machine", "virt"]),
    };
    command.arg("-bios").arg(firmware.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return refused(error),
    };
    let errors = child.stderr.take();
    match timeout(patience, child.wait()).await {
        Ok(Ok(status)) if status.code() == Some(if arch == Arch::Amd64 { 33 } else { 0 }) => Probe::Works,
        Ok(_) => Probe::Refused(first_line(errors).await),
        Err(_) => {
            stop(&mut child).await;
            Probe::Silent
        }
    }
}

/// A program that ends the machine. x86 starts 16 bytes below 4 GiB: `mov al, 16; out 0xf4, al; hlt`, which QEMU turns into exit status
/// 33. arm64 starts at 0 and asks PSCI for `SYSTEM_OFF`: `movz w0, #8; movk w0, #0x8400, lsl 16; hvc #0; b .`.
fn firmware(arch: Arch) -> Vec<u8> {
    match arch {
        Arch::Amd64 => {
            let mut rom = vec![0xf4; 64 << 10];
            let start = rom.len() - 16;
            rom[start..start + 5].copy_from_slice(&[0xb0, 0x10, 0xe6, 0xf4, 0xf4]);
            rom
        }
        Arch::Arm64 => [0x5280_0100_u32, 0x72b0_8000, 0xd400_0002, 0x1400_0000].iter().flat_map(|word| word.to_le_bytes()).collect(),
    }
}

/// Ends a program, and waits until it is gone; not for ever, since a hanging driver of this machine's can keep it.
async fn stop(child: &mut Child) {
    let _ = timeout(PROBE, child.kill()).await;
}

async fn first_line(errors: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let mut text = Vec::new();
    if let Some(errors) = errors {
        let _ = timeout(PROBE, errors.take(LINE).read_to_end(&mut text)).await;
    }
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.contains("warning:")).unwrap_or_default();
    line.trim_start_matches("qemu-system-x86_64: ").trim_start_matches("qemu-system-aarch64: ").trim_start_matches("error: ").to_owned()
}

/// One virtual machine.
#[derive(Clone, Copy)]
pub(super) struct Machine<'a> {
    pub(super) emulator: &'a Emulator,
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    /// Bytes of the initramfs.
    pub(super) size: u64,
    /// Values for `-device`.
    pub(super) devices: &'a [String],
    pub(super) enforce_signatures: bool,
}

/// Who is told what of a boot.
pub(super) struct Listeners<'a> {
    /// Where each image's part of the console goes, and to all what comes before.
    pub(super) logs: Vec<&'a Path>,
    /// Called after every line.
    pub(super) heard: &'a (dyn Fn(&Transcript) + Send + Sync),
}

impl Machine<'_> {
    /// Everything on QEMU's command line. No disk, no network, no more devices than the driver asks for.
    pub(super) fn arguments(&self) -> Vec<String> {
        let accelerator = self.emulator.accelerator;
        let processor = if accelerator == Accelerator::Kvm { "host" } else { emulated_processor(self.emulator.arch) };
        let machine = match (self.emulator.arch, accelerator) {
            (Arch::Amd64, _) => "q35",
            (Arch::Arm64, Accelerator::Kvm) => "virt,gic-version=host",
            (Arch::Arm64, Accelerator::Tcg) => "virt",
        };
        let memory = format!("{}M", 384 + 3 * (self.size >> 20));
        let fixed = ["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-smp", "1"];
        let mut arguments: Vec<String> = fixed.map(str::to_owned).into();
        let values = [("-machine", machine), ("-cpu", processor), ("-accel", accelerator.name()), ("-m", memory.as_str())];
        arguments.extend(values.iter().flat_map(|(key, value)| [(*key).to_owned(), (*value).to_owned()]));
        arguments.extend(["-kernel".to_owned(), self.kernel.display().to_string(), "-initrd".to_owned(), self.initramfs.display().to_string()]);
        arguments.extend(["-append".to_owned(), self.command_line()]);
        arguments.extend(self.devices.iter().flat_map(|device| ["-device".to_owned(), device.clone()]));
        arguments
    }

    /// The kernel's command line (Documentation/admin-guide/kernel-parameters.rst): nothing that changes what a module may do, and
    /// nothing that costs time without saying anything about modules.
    fn command_line(&self) -> String {
        let console = match self.emulator.arch {
            Arch::Amd64 => "console=ttyS0 tsc=reliable no_timer_check",
            Arch::Arm64 => "console=ttyAMA0",
        };
        let enforce = if self.enforce_signatures { " module.sig_enforce=1" } else { "" };
        let quiet = "quiet printk.devkmsg=on panic=-1 mitigations=off random.trust_cpu=on cryptomgr.notests";
        format!("{console} {quiet} rdinit=/{}/init{enforce}", super::script::FOLDER)
    }

    /// Runs it until the script has ended, the time is over, or somebody stops the run. From the second image on each has that time for itself.
    pub(super) async fn run(&self, listeners: &Listeners<'_>, patience: Duration, cancel: &CancellationToken) -> Result<(Transcript, Ending), BootError> {
        let program = &self.emulator.program;
        let cannot = |error: std::io::Error| BootError::Qemu { program: program.clone(), error: error.to_string() };
        let mut command = Command::new(program);
        command.args(self.arguments()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(cannot)?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let mut heard = Transcript::default();
        let listening = async {
            let mut console = Console::new(output?, listeners).await;
            if self.emulator.accelerator == Accelerator::Kvm && timeout(START, console.listen(&mut heard, |heard| heard.up)).await.is_err() {
                return Some(Ending::TimedOut(START));
            }
            let mut deadline = Instant::now() + patience;
            loop {
                let images = heard.parts.len();
                let next = |heard: &Transcript| heard.done || heard.parts.len() > images.max(1);
                if timeout_at(deadline, console.listen(&mut heard, next)).await.is_err() {
                    return Some(Ending::TimedOut(patience));
                }
                if heard.done || !next(&heard) {
                    return heard.done.then_some(Ending::Done);
                }
                deadline = Instant::now() + patience;
            }
        };
        let ending = tokio::select! {
            ending = listening => ending,
            () = cancel.cancelled() => {
                stop(&mut child).await;
                return Err(BootError::Cancelled);
            }
        };
        stop(&mut child).await;
        let ending = match ending {
            Some(ending) => ending,
            None => Ending::Exited(first_line(errors).await),
        };
        match ending {
            Ending::Exited(error) if !error.is_empty() && heard == Transcript::default() => Err(BootError::Refused { program: program.clone(), error }),
            ending => Ok((heard, ending)),
        }
    }
}

/// The processor that is emulated: the most capable one, but no pointer authentication on arm64, which would take most of the time.
fn emulated_processor(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "max",
        Arch::Arm64 => "cortex-a57",
    }
}

/// The serial console: what is heard is also written down.
struct Console<'a, R> {
    output: BufReader<R>,
    /// A log that cannot be written is no reason not to look at what the kernel says.
    logs: Vec<Option<tokio::fs::File>>,
    heard: &'a (dyn Fn(&Transcript) + Send + Sync),
    line: Vec<u8>,
}

impl<'a, R: tokio::io::AsyncRead + Unpin> Console<'a, R> {
    async fn new(output: R, listeners: &Listeners<'a>) -> Self {
        let mut logs = Vec::new();
        for log in &listeners.logs {
            logs.push(tokio::fs::File::create(log).await.ok());
        }
        Self { output: BufReader::new(output), logs, heard: listeners.heard, line: Vec::new() }
    }

    /// Listens until something has been heard, or there is no more.
    async fn listen(&mut self, heard: &mut Transcript, enough: impl Fn(&Transcript) -> bool) {
        while !enough(heard) {
            match (&mut self.output).take(LINE).read_until(b'\n', &mut self.line).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            heard.hear(&String::from_utf8_lossy(&self.line));
            self.write(heard.parts.len()).await;
            self.line.clear();
            (self.heard)(heard);
        }
    }

    /// Writes the line into the log of the image whose turn it is; into all, if it is nobody's.
    async fn write(&mut self, turn: usize) {
        let logs = match turn {
            0 => &mut self.logs[..],
            turn => self.logs.get_mut(turn - 1..turn).unwrap_or_default(),
        };
        for log in logs {
            if let Some(file) = log
                && (file.write_all(&self.line).await.is_err() || file.flush().await.is_err())
            {
                *log = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulator(arch: Arch, accelerator: Accelerator) -> Emulator {
        Emulator { program: "qemu".into(), arch, accelerator, why: None }
    }

    #[test]
    fn the_machine_has_what_the_driver_asks_for_and_nothing_else() {
        let emulator = emulator(Arch::Amd64, Accelerator::Tcg);
        let devices = ["edu".to_owned()];
        let machine =
            Machine { emulator: &emulator, kernel: Path::new("k"), initramfs: Path::new("i"), size: 100 << 20, devices: &devices, enforce_signatures: true };
        let line = machine.arguments().join(" ");
        assert!(line.starts_with("-nodefaults -no-user-config -display none -monitor none -serial stdio -no-reboot -smp 1"), "{line}");
        assert!(line.contains(" -accel tcg -m 684M -kernel k -initrd i -append console=ttyS0 "), "{line}");
        assert!(line.ends_with(" rdinit=/kmodforge/init module.sig_enforce=1 -device edu"), "{line}");
    }

    #[test]
    fn the_probe_s_program_is_where_a_processor_starts() {
        let rom = firmware(Arch::Amd64);
        assert_eq!((rom.len(), &rom[rom.len() - 16..rom.len() - 11]), (65536, &[0xb0, 0x10, 0xe6, 0xf4, 0xf4][..]));
        assert_eq!(firmware(Arch::Arm64)[..4], [0x00, 0x01, 0x80, 0x52]);
    }

    /// A program in place of QEMU.
    fn fake(folder: &Path, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.join("qemu");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn a_probe_that_hangs_is_ended_and_gone() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let program = fake(folder.path(), &format!("echo $$ >{}; exec sleep 1000", pid.display()));
        assert_eq!(probe(&program, Arch::Amd64, "kvm", Duration::from_millis(300)).await, Probe::Silent);
        let pid = std::fs::read_to_string(pid).unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists());
    }

    #[tokio::test]
    async fn a_probe_tells_what_qemu_says() {
        let folder = tempfile::tempdir().unwrap();
        let program = fake(folder.path(), "echo 'qemu-system-x86_64: failed to set MSR 0x10a' >&2; exit 1");
        assert_eq!(probe(&program, Arch::Amd64, "kvm", PROBE).await, Probe::Refused("failed to set MSR 0x10a".into()));
        let works = fake(folder.path(), "exit 33");
        assert_eq!(probe(&works, Arch::Amd64, "kvm", PROBE).await, Probe::Works);
    }

    #[tokio::test]
    async fn a_machine_that_does_not_end_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let emulator = Emulator { program: fake(folder.path(), "echo 'kmodforge: up'; exec sleep 1000"), ..emulator(Arch::Amd64, Accelerator::Tcg) };
        let machine = Machine { emulator: &emulator, kernel: Path::new("k"), initramfs: Path::new("i"), size: 0, devices: &[], enforce_signatures: false };
        let log = folder.path().join("log");
        let listeners = Listeners { logs: vec![&log], heard: &|_| () };
        let (heard, ending) = machine.run(&listeners, Duration::from_millis(300), &CancellationToken::new()).await.unwrap();
        assert!(heard.up && ending == Ending::TimedOut(Duration::from_millis(300)));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "kmodforge: up\n");
        let cancel = CancellationToken::new();
        cancel.cancel();
        assert!(matches!(machine.run(&listeners, PROBE, &cancel).await, Err(BootError::Cancelled)));
    }

    #[tokio::test]
    async fn every_image_has_its_own_time_and_its_own_part_of_the_console() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo 'kmodforge: up'; for i in 1 2 3; do echo kmodforge: image; echo $i; sleep 2; done; echo 'kmodforge: done'";
        let emulator = Emulator { program: fake(folder.path(), script), ..emulator(Arch::Amd64, Accelerator::Tcg) };
        let machine = Machine { emulator: &emulator, kernel: Path::new("k"), initramfs: Path::new("i"), size: 0, devices: &[], enforce_signatures: false };
        let paths = ["1", "2", "3"].map(|name| folder.path().join(name));
        let listeners = Listeners { logs: paths.iter().map(PathBuf::as_path).collect(), heard: &|_| () };
        let (heard, ending) = machine.run(&listeners, Duration::from_secs(5), &CancellationToken::new()).await.unwrap();
        assert_eq!((heard.parts.len(), ending), (3, Ending::Done), "all of them take longer than one may");
        let written = paths.map(|path| std::fs::read_to_string(path).unwrap());
        let last = |name: &str| if name == "3" { "kmodforge: done\n" } else { "" };
        assert_eq!(written, ["1", "2", "3"].map(|name| format!("kmodforge: up\nkmodforge: image\n{name}\n{}", last(name))));
    }

    #[tokio::test]
    async fn a_machine_that_ends_before_its_kernel_speaks_is_no_fault_of_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let program = fake(folder.path(), "echo \"qemu-system-x86_64: -device edu,x=1: Property 'edu.x' not found\" >&2; exit 1");
        let emulator = Emulator { program, ..emulator(Arch::Amd64, Accelerator::Tcg) };
        let machine = Machine { emulator: &emulator, kernel: Path::new("k"), initramfs: Path::new("i"), size: 0, devices: &[], enforce_signatures: false };
        let log = folder.path().join("log");
        let ended = machine.run(&Listeners { logs: vec![&log], heard: &|_| () }, PROBE, &CancellationToken::new()).await;
        assert!(ended.unwrap_err().to_string().ends_with("/qemu` ended at once: -device edu,x=1: Property 'edu.x' not found"));
    }
}
