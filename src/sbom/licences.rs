//! Licence expressions of a document, and the texts of licences that SPDX has no name for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::copyright::{Terms, spdx};
use super::identifier;

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
        let choices: BTreeSet<_> = terms.choices.iter().map(|choice| self.choice(package, choice, &terms.texts)).collect();
        choices.into_iter().collect::<Vec<_>>().join(" AND ")
    }

    fn choice(&mut self, package: &str, choice: &BTreeSet<String>, texts: &BTreeMap<String, String>) -> String {
        let name = |name: &String| spdx(name).map_or_else(|| self.refer(package, name, texts.get(name)), str::to_owned);
        let names: BTreeSet<_> = choice.iter().map(name).collect();
        let alone = names.len() == 1;
        let text = names.into_iter().collect::<Vec<_>>().join(" OR ");
        if alone { text } else { format!("({text})") }
    }

    /// The same short name may mean other words in another package.
    fn refer(&mut self, package: &str, name: &str, text: Option<&String>) -> String {
        let id = format!("LicenseRef-{}-{}", identifier(package), identifier(name));
        let text = text.cloned().unwrap_or_else(|| format!("See /{}/{package}/copyright of the image.", super::LICENCES));
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
