use std::collections::BTreeSet;

use super::*;
use crate::fixture;

fn target() -> Target {
    fixture::target("v4l2loopback", "6.1.0-56-amd64")
}

#[test]
fn templates_name_what_their_context_has_and_nothing_else() {
    let target = target();
    let context = serde_json::to_value(Context::of(&target, &Mirrors::default()).unwrap()).unwrap();
    let fields: BTreeSet<String> = context.as_object().unwrap().keys().cloned().collect();
    let used: BTreeSet<String> = template::names_used("dockerfile/apt.Dockerfile.tera").unwrap().into_iter().collect();
    assert_eq!(used, fields, "names in the template (left), fields of its context (right)");
}

#[test]
fn links_of_the_programs_are_pairs_of_words() {
    let text = dockerfile(&target(), &Mirrors::default()).unwrap();
    let pairs = target().distro.profile.runtime.links.iter().map(|(from, to)| format!(" \\\n      {to} {from}")).collect::<String>();
    assert!(text.contains(&format!("printf '%s %s\\n'{pairs})")), "{pairs}\n{text}");
}
