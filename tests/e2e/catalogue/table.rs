//! Which drivers the end-to-end tests take to which kernels of Debian: what a profile claims to be proven by stands here.

use self::Kernel::{BookwormNewest, BookwormOldest, TrixieNewest};

/// A kernel of Debian for amd64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kernel {
    /// The oldest of Debian 12 that is still published.
    BookwormOldest,
    BookwormNewest,
    TrixieNewest,
}

/// Loaded by `light`, on all three kernels.
pub(crate) const LIGHT: [&str; 3] = ["v4l2loopback", "jool", "r8125"];

/// Loaded by `heavy`.
pub(crate) const HEAVY: [&str; 2] = ["zfs", "nvidia-open"];

const ALL: &[Kernel] = &[BookwormOldest, BookwormNewest, TrixieNewest];
/// For what compiles for minutes.
const NEWEST: &[Kernel] = &[BookwormNewest, TrixieNewest];
const BOOKWORM: &[Kernel] = &[BookwormOldest, BookwormNewest];

/// What `catalogue` works through. The first ones are quick.
pub(crate) const DRIVERS: &[(&str, &[Kernel])] = &[
    ("vpoll", ALL),
    ("acpi-call", ALL),
    ("adv-17v35x", BOOKWORM),
    ("apfs", ALL),
    ("bbswitch", ALL),
    ("ddcci", ALL),
    ("digimend", ALL),
    ("dm-writeboost", ALL),
    ("evdi", NEWEST),
    ("gost-crypto", ALL),
    ("hinic", NEWEST),
    ("igb-uio", ALL),
    ("ipt-netflow", ALL),
    ("langford", ALL),
    ("leds-alix", ALL),
    ("legion-laptop", &[TrixieNewest]),
    ("librem-ec-acpi", ALL),
    ("lime", ALL),
    ("lttng-modules", NEWEST),
    ("mstflint", ALL),
    ("nat-rtsp", BOOKWORM),
    ("openrazer", ALL),
    ("ovpn-dco", ALL),
    ("r8168", NEWEST),
    ("rapiddisk", ALL),
    ("rtpengine", ALL),
    ("scap", NEWEST),
    ("tp-smapi", ALL),
    ("vboxdrv", NEWEST),
    ("vhba", ALL),
    ("xone", &[TrixieNewest]),
    ("xpadneo", ALL),
    ("xtables-addons", NEWEST),
    ("yt6801", NEWEST),
];

/// How many of [`DRIVERS`] `make test` takes, on one kernel.
pub(crate) const QUICK: usize = 2;
