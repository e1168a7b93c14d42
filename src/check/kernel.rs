//! Differences between kernels.

use super::{CHECKS, KernelFacts};
use crate::finding::{Finding, Severity};

/// Options by which modules differ, or their beginnings, most telling first; all others follow by name.
const TELLING: [&str; 19] = [
    "CONFIG_CC_VERSION_TEXT",
    "CONFIG_SMP",
    "CONFIG_PREEMPT",
    "CONFIG_MODVERSIONS",
    "CONFIG_MODULE_",
    "CONFIG_RANDSTRUCT",
    "CONFIG_LTO",
    "CONFIG_CFI",
    "CONFIG_RETPOLINE",
    "CONFIG_MITIGATION_",
    "CONFIG_NR_CPUS",
    "CONFIG_HZ",
    "CONFIG_KASAN",
    "CONFIG_LOCKDEP",
    "CONFIG_DEBUG_",
    "CONFIG_FUNCTION_TRACER",
    "CONFIG_MEMCG",
    "CONFIG_NUMA",
    "CONFIG_64BIT",
];
/// As many are named.
const SHOWN: usize = 8;

/// A note about options in which a kernel differs from the one that an image was made for; none if there are none, or they are not known.
#[must_use]
pub fn configured_otherwise(kernel: &KernelFacts, meant: &KernelFacts) -> Option<Finding> {
    if kernel.config.is_empty() || meant.config.is_empty() {
        return None;
    }
    let rank = |name: &str| TELLING.iter().position(|start| name.starts_with(start)).unwrap_or(TELLING.len());
    let mut different = kernel.config.differences(&meant.config);
    different.sort_by_key(|(name, ..)| (rank(name), (*name).to_owned()));
    let value = |value: Option<&str>| value.map_or_else(|| "not set".to_owned(), ToOwned::to_owned);
    let lines: Vec<_> = different.iter().take(SHOWN).map(|(name, is, was)| format!("`{name}` is {}, was {}", value(*is), value(*was))).collect();
    let more = different.len() - lines.len();
    let more = if more > 0 { vec![format!("and {more} more")] } else { Vec::new() };
    let message = format!("{} is configured otherwise than {}, for which the image was made", kernel.release, meant.release);
    let found = [lines, more].concat().join("\n");
    let check = CHECKS.first()?;
    (!different.is_empty()).then(|| Finding { found: Some(found), ..Finding::new(check.id, Severity::Note, message) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kmod::config::KernelConfig;

    fn facts(release: &str, config: &str) -> KernelFacts {
        KernelFacts {
            release: release.parse().unwrap(),
            arch: crate::arch::Arch::Amd64,
            headers: String::new(),
            config: KernelConfig::parse(config),
            symvers: crate::kmod::symvers::Symvers::default(),
            reference: None,
        }
    }

    #[test]
    fn options_are_named_the_telling_ones_first() {
        let meant = facts("6.1.0-55-amd64", "CONFIG_A=y\nCONFIG_B=m\nCONFIG_PREEMPT=y\nCONFIG_SAME=y\n");
        let kernel = facts("6.1.0-56-amd64", "CONFIG_A=m\nCONFIG_C=7\nCONFIG_SAME=y\n");
        let finding = configured_otherwise(&kernel, &meant).unwrap();
        assert_eq!((finding.check.as_str(), finding.severity), ("kernel-config", Severity::Note));
        assert_eq!(finding.message, "6.1.0-56-amd64 is configured otherwise than 6.1.0-55-amd64, for which the image was made");
        assert_eq!(
            finding.found.unwrap(),
            "`CONFIG_PREEMPT` is not set, was y\n`CONFIG_A` is m, was y\n`CONFIG_B` is not set, was m\n`CONFIG_C` is 7, was not set"
        );
        assert_eq!(configured_otherwise(&kernel, &kernel), None);
        assert_eq!(configured_otherwise(&kernel, &facts("6.1.0-55-amd64", "")), None);
    }

    #[test]
    fn long_lists_end_with_a_number() {
        let many: String = (0..20).fold(String::new(), |text, number| text + &format!("CONFIG_X{number}=y\n"));
        let found = configured_otherwise(&facts("6.1.0-56-amd64", &many), &facts("6.1.0-55-amd64", "CONFIG_Y=y")).unwrap().found.unwrap();
        assert!(found.ends_with("\nand 13 more"), "{found}");
    }
}
