//! Debian's machine-readable `copyright` files (<https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>), as far as licences go.

use std::collections::BTreeMap;

/// The licence terms that a file names, each once, with the text that the file gives for it (which may be empty).
pub type Terms = BTreeMap<String, String>;

/// What a `copyright` file says about licences; `None` when it is prose.
///
/// All terms of all paragraphs count, also those of files that no binary is made of: the format does not tell which are.
#[must_use]
pub fn licences(text: &str) -> Option<Terms> {
    let first = text.lines().find(|line| !line.trim().is_empty())?;
    let is_machine_readable = first.starts_with("Format") && first.contains("copyright-format");
    if !is_machine_readable {
        return None;
    }
    let mut terms = Terms::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(names) = line.strip_prefix("License:").map(str::trim) else { continue };
        let mut body = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
            let line = line.trim();
            body.push(if line == "." { "" } else { line });
        }
        let names = names.split(',').map(str::trim).collect::<Vec<_>>().join(" ");
        for name in names.split(" and ").flat_map(|part| part.split(" or ")).map(str::trim).filter(|name| !name.is_empty()) {
            let known = terms.entry(name.trim_start_matches("and ").trim_start_matches("or ").to_owned()).or_default();
            // Only the text of one licence alone is surely its own.
            if known.is_empty() && !names.contains(" and ") && !names.contains(" or ") {
                *known = body.join("\n");
            }
        }
    }
    (!terms.is_empty()).then_some(terms)
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
        License: LGPL-2.1+\n\nFiles: tools/*\nCopyright: B\nLicense: GPL-2+ or Artistic, and Expat\n\nLicense: odd\n Do what\n .\n you like.\n";

    #[test]
    fn reads_every_term_once_with_its_text() {
        let terms = licences(TEXT).unwrap();
        assert_eq!(terms.keys().collect::<Vec<_>>(), ["Artistic", "Expat", "GPL-2+", "LGPL-2.1+", "odd"]);
        assert_eq!(terms["odd"], "Do what\n\nyou like.");
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
