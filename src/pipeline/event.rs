//! What a run tells while it goes on. `ui` renders it; nothing else looks at it.

use std::sync::Arc;
use std::time::Duration;

use crate::builder::BuildEvent;
use crate::error::Failure;
use crate::record::{TargetLabel, TargetRecord};

/// Position of a target in the plan.
pub type TargetIndex = usize;

/// What a target is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Fetching the driver's source; for a bundle, also packages.
    Fetch,
    /// Installing the toolchain, for a bundle.
    Toolchain,
    /// Unpacking the kernel's headers and looking at its configuration.
    Headers,
    /// Compiling.
    Compile,
    /// Checking the modules.
    Check,
    /// Signing them.
    Sign,
    /// Booting the kernel.
    Boot,
    /// Making the image.
    Assemble,
    /// Uploading it.
    Publish,
    /// Attaching documents and signatures to it.
    Attach,
}

impl Phase {
    /// As the screen, the JSON lines and the record name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Toolchain => "toolchain",
            Self::Headers => "headers",
            Self::Compile => "compile",
            Self::Check => "check",
            Self::Sign => "sign",
            Self::Boot => "boot",
            Self::Assemble => "assemble",
            Self::Publish => "publish",
            Self::Attach => "attach",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run begins with these targets to work on (skipped ones are not among them).
    Started {
        /// Labels; events name a target by its position here.
        targets: Arc<[TargetLabel]>,
    },
    /// Something about the run as a whole: `builder: Docker Engine 20.10.24`, `toolchain for bookworm…`.
    Note(String),
    /// A worker took a target.
    TargetStarted(TargetIndex),
    /// A target entered a phase.
    Phase(TargetIndex, Phase),
    /// What a target does within its phase: `loading v4l2loopback`.
    Doing(TargetIndex, String),
    /// The builder says something about a target.
    Build(TargetIndex, BuildEvent),
    /// Bytes uploaded so far for a target, of how many.
    Upload {
        /// The target.
        target: TargetIndex,
        /// Uploaded.
        bytes: u64,
        /// In all.
        total: u64,
    },
    /// A target is done, one way or another.
    TargetFinished {
        /// The target.
        target: TargetIndex,
        /// What the record will say.
        record: Box<TargetRecord>,
        /// What to show, if it did not work.
        failure: Option<Box<Failure>>,
        /// Wall time.
        time: Duration,
    },
}
