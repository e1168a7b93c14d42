//! Debian's machine-readable `copyright` files (<https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>), as far as licences go.

use std::collections::{BTreeMap, BTreeSet};

/// What a `copyright` file says about licences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// All of these hold; each is a choice between short names.
    pub choices: BTreeSet<BTreeSet<String>>,
    /// The text that the file gives for a short name.
    pub texts: BTreeMap<String, String>,
}

/// What a `copyright` file says about licences; `None` when it is prose.
///
/// The terms of all paragraphs count, also those of files that no binary is made of: the format does not tell which are.
#[must_use]
pub fn licences(text: &str) -> Option<Terms> {
    let first = text.lines().find(|line| !line.trim().is_empty())?;
    let is_machine_readable = first.starts_with("Format") && first.contains("copyright-format");
    if !is_machine_readable {
        return None;
    }
    let mut terms = Terms::default();
    let (mut of_files, mut lines) = (false, text.lines().peekable());
    while let Some(line) = lines.next() {
        // A paragraph without files gives the text of a licence, and applies to nothing by itself.
        if line.trim().is_empty() {
            of_files = false;
        } else if line.starts_with("Files:") {
            of_files = true;
        }
        let Some(names) = line.strip_prefix("License:").map(str::trim) else { continue };
        let mut body = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
            let line = line.trim();
            body.push(if line == "." { "" } else { line });
        }
        let choices: Vec<_> = names.split(", and ").flat_map(|part| part.split(" and ")).map(choice).filter(|choice| !choice.is_empty()).collect();
        if let ([only], false) = (&choices[..], body.is_empty())
            && only.len() == 1
        {
            terms.texts.extend(only.iter().map(|name| (name.clone(), body.join("\n"))));
        }
        if of_files {
            terms.choices.extend(choices);
        }
    }
    (!terms.choices.is_empty()).then_some(terms)
}

/// `Artistic or GPL-1+`: either.
fn choice(text: &str) -> BTreeSet<String> {
    text.split(" or ").map(|name| name.trim_matches([' ', ',']).to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The SPDX identifier of one of the format's short names, where there is exactly one.
#[must_use]
pub fn spdx(short: &str) -> Option<&'static str> {
    let (name, exception) = short.split_once(" with ").map_or((short, None), |(name, exception)| (name, Some(exception)));
    if exception.is_some() {
        return None;
    }
    Some(match name {
        "GPL-1" => "GPL-1.0-only",
        "GPL-1+" => "GPL-1.0-or-later",
        "GPL-2" | "GPL-2.0" | "GPL-2.0-only" => "GPL-2.0-only",
        "GPL-2+" | "GPL-2.0+" | "GPL-2.0-or-later" => "GPL-2.0-or-later",
        "GPL-3" | "GPL-3.0-only" => "GPL-3.0-only",
        "GPL-3+" | "GPL-3.0-or-later" => "GPL-3.0-or-later",
        "LGPL-2" => "LGPL-2.0-only",
        "LGPL-2+" | "LGPL-2.0+" => "LGPL-2.0-or-later",
        "LGPL-2.1" | "LGPL-2.1-only" => "LGPL-2.1-only",
        "LGPL-2.1+" | "LGPL-2.1-or-later" => "LGPL-2.1-or-later",
        "LGPL-3" => "LGPL-3.0-only",
        "LGPL-3+" => "LGPL-3.0-or-later",
        "Apache-2.0" => "Apache-2.0",
        "Artistic" | "Artistic-1" => "Artistic-1.0-Perl",
        "BSD-2-clause" | "BSD-2-Clause" => "BSD-2-Clause",
        "BSD-3-clause" | "BSD-3-Clause" => "BSD-3-Clause",
        "BSD-4-clause" | "BSD-4-Clause" => "BSD-4-Clause",
        "CC0" | "CC0-1.0" => "CC0-1.0",
        "Expat" | "MIT" => "MIT",
        "GFDL-1.3" => "GFDL-1.3-only",
        "ISC" => "ISC",
        "Zlib" | "zlib" => "Zlib",
        "0BSD" => "0BSD",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: x\n\nFiles: *\nCopyright: A\n\
        License: LGPL-2.1+\n\nFiles: tools/*\nCopyright: B\nLicense: GPL-2+ or Artistic, and Expat\n\nFiles: odd/*\nCopyright: C\nLicense: odd\n\n\
        License: odd\n Do what\n .\n you like.\n\nLicense: unused\n x\n";

    #[test]
    fn reads_what_applies_to_files_with_the_texts_that_are_given() {
        let terms = licences(TEXT).unwrap();
        let choices: Vec<_> = terms.choices.iter().map(|choice| choice.iter().map(String::as_str).collect::<Vec<_>>().join("|")).collect();
        assert_eq!(choices, ["Artistic|GPL-2+", "Expat", "LGPL-2.1+", "odd"]);
        assert_eq!(terms.texts["odd"], "Do what\n\nyou like.");
    }

    #[test]
    fn prose_says_nothing() {
        assert_eq!(licences("This package was debianized by X.\nLicense: GPL\n"), None);
    }

    #[test]
    fn maps_only_what_is_certain() {
        assert_eq!((spdx("GPL-2+"), spdx("GPL-2+ with OpenSSL exception"), spdx("public-domain")), (Some("GPL-2.0-or-later"), None, None));
    }
}
