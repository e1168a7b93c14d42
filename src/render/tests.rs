use std::collections::BTreeSet;

use super::*;
use crate::fixture;

fn target() -> Target {
    fixture::plan(&["v4l2loopback"], &["6.1.0-56-amd64"]).unwrap().targets.remove(0)
}

#[test]
fn every_name_in_the_template_is_a_field_of_its_context() {
    let text = dockerfile(&target(), &Mirrors::default()).unwrap();
    println!("{text}");
    let used: BTreeSet<String> = template::names_used("dockerfile/apt.Dockerfile.tera").unwrap().into_iter().collect();
    println!("{used:?}");
}

#[test]
fn links_of_the_programs_are_pairs_of_words() {
    let text = dockerfile(&target(), &Mirrors::default()).unwrap();
    let pairs = target().distro.profile.runtime.links.iter().map(|(from, to)| format!(" \\\n      {to} {from}")).collect::<String>();
    assert!(text.contains(&format!("printf '%s %s\\n'{pairs})")), "{pairs}\n{text}");
}
