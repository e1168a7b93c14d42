//! Names that people and registries write: releases, references, patterns, selectors, URIs of keys.
#![no_main]

use kmodforge::kernel::KernelRelease;
use kmodforge::kernel_selector::KernelSelector;
use kmodforge::pattern::matches;
use kmodforge::reference::{Reference, check_tag};
use kmodforge::signer::TokenUri;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(release) = text.parse::<KernelRelease>() {
        let tag = release.tag();
        assert!(tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)), "{tag}");
        assert!(!release.directory().contains('/') && !release.directory().starts_with('.'), "{release}");
    }
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse::<Reference>().as_ref(), Ok(&reference));
    }
    let _ = (check_tag(text), text.parse::<KernelSelector>());
    let (pattern, name) = text.split_once(' ').unwrap_or((text, ""));
    let _ = matches(pattern, name);
    if let Ok(uri) = text.parse::<TokenUri>() {
        assert!(!format!("{uri} {uri:?}").contains("pin-value"));
    }
});
