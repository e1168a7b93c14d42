//! stand-in until the real one is merged
use crate::kernel::KernelRelease;
#[derive(Clone, Debug)]
pub enum KernelSelector {
    Exact(KernelRelease),
    Latest(usize),
}
impl KernelSelector {
    pub fn matches(&self, r: &KernelRelease) -> bool {
        match self {
            Self::Exact(e) => e == r,
            Self::Latest(_) => false,
        }
    }
}
impl std::str::FromStr for KernelSelector {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        s.parse().map(Self::Exact).map_err(|e| format!("{e}"))
    }
}
impl std::fmt::Display for KernelSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(e) => e.fmt(f),
            Self::Latest(n) => write!(f, "latest:{n}"),
        }
    }
}
