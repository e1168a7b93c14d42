//! The profile's text.

use std::fmt::Write as _;

use super::build::{Build, Kind, quoted};
use super::naming::Called;
use super::{Given, Place};

/// The profile, with comments for whoever goes on with it.
pub(super) fn profile(given: &Given<'_>, build: &Build, called: &Called) -> String {
    let Called { id, version, .. } = called;
    let (summary, homepage) = about(given, id.as_str());
    let mut text = String::new();
    let _ = writeln!(
        text,
        "# Made from {}. What a person knows better: summary, homepage, licence, modules, and what a kernel must have (`requires`).",
        one_line(given.place.name())
    );
    let _ = writeln!(text, "id: {}\nname: {}\nsummary: {}\nhomepage: {}", quoted(id.as_str()), quoted(id.as_str()), quoted(&summary), quoted(&homepage));
    let _ = writeln!(text, "# An SPDX expression, `GPL-2.0-only` say. This one means that nobody has looked.\nlicence: NOASSERTION\n");
    let _ = writeln!(text, "versions:\n  - version: {}\n    sources:\n      - {}\n", quoted(version.as_str()), source(&given.place, build));
    let (steps, mut packages) = build.steps_of_source(&given.place);
    packages.extend(given.packages.iter().filter(|package| !packages.contains(package)).cloned().collect::<std::collections::BTreeSet<_>>());
    if build.kind == Kind::Dkms {
        let _ = writeln!(text, "# The dkms.conf says how. It is a program, and runs in the builder, for each kernel.");
    }
    text.push_str("build:\n");
    if !packages.is_empty() {
        let packages: Vec<_> = packages.iter().map(|package| quoted(package)).collect();
        let _ = writeln!(text, "  packages: {{{}: [{}]}}", given.family, packages.join(", "));
    }
    text.push_str("  steps:\n");
    for step in steps {
        let _ = writeln!(text, "    - {step}");
    }
    let tells = if build.kind == Kind::Dkms { "dkms.conf names them" } else { "every .ko file that the build leaves is one" };
    let _ = writeln!(
        text,
        "\n# Left out, {tells}. A list in load order is better: a module that is missing is noticed then.\n# modules:\n#   - name: {}\n",
        id.as_str().replace('-', "_")
    );
    text.push_str("# What the modules answer where their hardware is missing: `loads`, `ENODEV`…\nload: {without_hardware: unknown}\n");
    text
}

impl Build {
    /// Steps, and packages; a package's own directory is part of where the source is.
    fn steps_of_source(&self, place: &Place) -> (Vec<String>, Vec<String>) {
        let inner = match place {
            Place::Deb { .. } => Self { directory: ".".to_owned(), ..self.clone() },
            _ => self.clone(),
        };
        let (steps, packages) = inner.steps();
        (steps, packages.into_iter().map(str::to_owned).collect())
    }
}

fn source(place: &Place, build: &Build) -> String {
    match place {
        Place::Directory(path) => format!("path: {{directory: {}}}", quoted(path)),
        Place::Archive { url, sha256, strip } => format!("archive: {{url: {}, sha256: {sha256}, strip: {strip}}}", quoted(&braces(url))),
        Place::Deb { url, sha256, .. } => format!("deb: {{url: {}, sha256: {sha256}, directory: {}}}", quoted(&braces(url)), quoted(&build.directory)),
    }
}

/// Braces that are meant literally are doubled in profiles.
fn braces(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

fn about(given: &Given<'_>, id: &str) -> (String, String) {
    match &given.place {
        Place::Deb { summary, homepage, name, .. } => {
            let homepage = if homepage.starts_with("http") { homepage.clone() } else { format!("https://packages.debian.org/{name}") };
            (if summary.is_empty() { id.to_owned() } else { one_line(summary) }, homepage)
        }
        Place::Archive { url, .. } => (id.to_owned(), url.split('/').take(5).collect::<Vec<_>>().join("/")),
        // An address that says that nobody has given one (RFC 2606).
        Place::Directory(_) => (id.to_owned(), "https://example.org/".to_owned()),
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
