//! The virtual machine: which QEMU there is, how it is called, and that it goes away again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::BootError;
use super::judge::Ending;
use super::transcript::Transcript;
use crate::arch::Arch;
use crate::env;

/// How long a processor may take to show that it works.
const PROBE: Duration = Duration::from_secs(2);
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
    match arch {
        Arch::Amd64 => command.args(["-machine", "pc", "-device", "isa-debug-exit,iobase=0xf4,iosize=1"]),
        Arch::Arm64 => command.args(["-machine", "virt", "-cpu", if accelerator == "kvm" { "host" } else { "cortex-a57" }]),
    };
    command.arg("-bios").arg(firmware.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return refused(error),
    };
    let errors = child.stderr.take();
    match tokio::time::timeout(patience, child.wait()).await {
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
    let _ = tokio::time::timeout(PROBE, child.kill()).await;
}

async fn first_line(errors: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let mut text = Vec::new();
    if let Some(errors) = errors {
        let _ = tokio::time::timeout(PROBE, errors.take(LINE).read_to_end(&mut text)).await;
    }
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.contains("warning:")).unwrap_or_default();
    line.trim_start_matches("qemu-system-x86_64: ").trim_start_matches("qemu-system-aarch64: ").to_owned()
}

/// One virtual machine.
pub(super) struct Machine<'a> {
    pub(super) emulator: &'a Emulator,
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    /// Bytes of the initramfs.
    pub(super) size: u64,
    pub(super) devices: &'a [String],
    pub(super) enforce_signatures: bool,
}

impl Machine<'_> {
    /// Everything on QEMU's command line. No disk, no network, no more devices than the driver asks for.
    pub(super) fn arguments(&self) -> Vec<String> {
        let accelerator = self.emulator.accelerator;
        let (machine, processor) = match (self.emulator.arch, accelerator) {
            (Arch::Amd64, Accelerator::Kvm) => ("q35", "host"),
            (Arch::Amd64, Accelerator::Tcg) => ("q35", "max"),
            (Arch::Arm64, Accelerator::Kvm) => ("virt,gic-version=host", "host"),
            // Emulating the pointer authentication of newer ones takes most of the time.
            (Arch::Arm64, Accelerator::Tcg) => ("virt", "cortex-a57"),
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

    /// Runs it until the script has ended, the time is over, or somebody stops the run. Everything it says goes to `log`.
    pub(super) async fn run(&self, log: &Path, patience: Duration, cancel: &CancellationToken) -> Result<(Transcript, Ending), BootError> {
        let program = &self.emulator.program;
        let cannot = |error: std::io::Error| BootError::Qemu { program: program.clone(), error: error.to_string() };
        let mut command = Command::new(program);
        command.args(self.arguments()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(cannot)?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let mut heard = Transcript::default();
        let listening = async {
            if let Some(output) = output {
                listen(output, log, &mut heard).await;
            }
            heard.done
        };
        let ending = tokio::select! {
            done = listening => if done { Some(Ending::Done) } else { None },
            () = tokio::time::sleep(patience) => Some(Ending::TimedOut(patience)),
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
        Ok((heard, ending))
    }
}

/// Reads the console to its end, or to the end of the script.
async fn listen(output: impl tokio::io::AsyncRead + Unpin, log: &Path, heard: &mut Transcript) {
    // A log that cannot be written is no reason not to look at what the kernel says.
    let mut file = tokio::fs::File::create(log).await.ok();
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while !heard.done {
        line.clear();
        match (&mut output).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        if let Some(open) = &mut file
            && open.write_all(&line).await.is_err()
        {
            file = None;
        }
        heard.hear(&String::from_utf8_lossy(&line));
    }
    if let Some(mut file) = file {
        let _ = file.flush().await;
    }
}
