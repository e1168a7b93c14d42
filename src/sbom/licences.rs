//! Licence expressions of a document, and the texts of licences that SPDX has no name for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::copyright::{Terms, spdx};
use super::{NO_ASSERTION, identifier};

/// Licences that are `LicenseRef-…`, with their texts.
#[derive(Default)]
pub(super) struct Licences {
    extracted: BTreeMap<String, (String, String)>,
}

impl Licences {
    /// An expression of a profile. Its `LicenseRef-…` have no text here.
    pub(super) fn known(&mut self, expression: &str) -> String {
        for word in expression.split(|c: char| c.is_whitespace() || "()".contains(c)) {
            if let Some(name) = word.strip_prefix("LicenseRef-") {
                let text = "The text comes with the files; see /usr/share/licenses and /firmware of the image.".to_owned();
                self.extracted.entry(word.to_owned()).or_insert((name.to_owned(), text));
            }
        }
        expression.to_owned()
    }

    /// All terms of a package together.
    pub(super) fn expression(&mut self, package: &str, terms: &Terms) -> String {
        let names: Vec<_> = terms.iter().map(|(name, text)| spdx(name).map_or_else(|| self.refer(package, name, text), str::to_owned)).collect();
        let mut unique: Vec<_> = names;
        unique.sort();
        unique.dedup();
        if unique.is_empty() { NO_ASSERTION.to_owned() } else { unique.join(" AND ") }
    }

    /// The same short name may mean other words in another package.
    fn refer(&mut self, package: &str, name: &str, text: &str) -> String {
        let id = format!("LicenseRef-{}-{}", identifier(package), identifier(name));
        let text = if text.is_empty() { format!("See /{}/{package}/copyright of the image.", super::LICENCES) } else { text.to_owned() };
        self.extracted.entry(id.clone()).or_insert((name.to_owned(), text));
        id
    }

    pub(super) fn is_empty(&self) -> bool {
        self.extracted.is_empty()
    }

    pub(super) fn extracted(&self) -> Value {
        self.extracted.iter().map(|(id, (name, text))| json!({"licenseId": id, "name": name, "extractedText": text})).collect()
    }
}
