//! Distributions for which nothing can be built, and what to do instead.

use regex::Regex;
use rust_embed::RustEmbed;
use serde::Deserialize;

use crate::kernel::KernelRelease;
use crate::profile::ProfileError;
use crate::yaml::Source;

#[derive(RustEmbed)]
#[folder = "refusals/"]
struct EmbeddedRefusals;

/// A distribution that has no profile, and never will have one, or not for now.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Short name, as that of a profile.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Regular expressions for its kernels, anchored at both ends; none where nothing tells them from others'.
    pub recognise: Vec<String>,
    /// Why nothing can be built for it: a half-sentence.
    pub because: String,
    /// What to do: another.
    pub instead: String,
}

impl Refusal {
    /// Those that are part of the program, by id.
    pub(super) fn embedded() -> Result<Vec<Self>, ProfileError> {
        let mut refusals = Vec::new();
        for name in EmbeddedRefusals::iter() {
            let bytes = EmbeddedRefusals::get(&name).map(|file| file.data).unwrap_or_default();
            refusals.push(Source::read(&format!("refusals/{name}"), &String::from_utf8_lossy(&bytes))?.decode::<Self>()?);
        }
        refusals.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(refusals)
    }

    pub(super) fn recognises(&self, kernel: &KernelRelease) -> bool {
        let fits = |pattern: &String| Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|pattern| pattern.is_match(kernel.as_str()));
        self.recognise.iter().any(fits)
    }
}
