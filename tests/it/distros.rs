//! What the built-in distro profiles say about the world: whose kernels are whose, and how each has been proven.

use std::collections::BTreeSet;
use std::path::Path;

use kmodforge::catalog::Catalog;
use kmodforge::kernel::KernelRelease;
use kmodforge::profile::distro::{KernelRules, Proof};

fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Real releases; each file begins with the distributions that can have them.
#[test]
fn every_real_kernel_is_of_the_distributions_that_have_it() {
    let catalog = Catalog::embedded().unwrap();
    let mut count = 0;
    for file in std::fs::read_dir(root("tests/fixtures/releases")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        let expected: Vec<_> = lines.next().unwrap().strip_prefix("of: ").unwrap().split(' ').filter(|word| *word != "none").collect();
        for release in lines.filter(|line| !line.starts_with('#')) {
            let kernel: KernelRelease = release.parse().unwrap_or_else(|error| panic!("{}: {release}: {error}", path.display()));
            let found: Vec<_> = catalog.recognised_by(&kernel).into_iter().map(|(distro, _)| distro.id.to_string()).collect();
            assert_eq!(found, expected, "{}: {release}", path.display());
            assert_eq!(catalog.recognise(&kernel).is_ok(), expected.len() == 1, "{release}: who is one of several needs `--distro`");
            count += 1;
        }
    }
    assert!(count >= 300, "{count} releases");
}

/// Distributions in the tables of the scripts that make the stand-ins; `tests/e2e/families.rs` builds for each of them.
fn on_a_stand_in() -> BTreeSet<String> {
    let tables = ["scripts/standin-rpm.sh", "scripts/standin-ubuntu.sh", "scripts/standin-pacman.sh"].map(|script| {
        let script = std::fs::read_to_string(root(script)).unwrap();
        script.split_once("DISTRIBUTIONS='").unwrap().1.split_once('\'').unwrap().0.to_owned()
    });
    tables.iter().flat_map(|table| table.lines()).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn profiles_claim_no_other_proof_than_the_tests_have() {
    let catalog = Catalog::embedded().unwrap();
    let claiming = |proof: Proof| -> BTreeSet<String> {
        catalog.distro_entries().filter(|entry| entry.profile.proven == proof).map(|entry| entry.profile.id.to_string()).collect()
    };
    // Debian has dnf, and no tdnf.
    assert_eq!(claiming(Proof::SimilarClient), BTreeSet::from(["azurelinux".to_owned()]));
    assert_eq!(claiming(Proof::RealClient), &on_a_stand_in() - &claiming(Proof::SimilarClient));
    // tests/e2e/in_archive.rs builds for each of these, tests/e2e/in_image.rs for each that images have the headers of.
    let having = |has: fn(&KernelRules) -> bool| -> BTreeSet<String> {
        catalog.distro_entries().filter(|entry| has(&entry.profile.kernels)).map(|entry| entry.profile.id.to_string()).collect()
    };
    let in_archive = having(|kernels| kernels.archives.is_some());
    assert_eq!(claiming(Proof::StandInImage), &having(|kernels| kernels.in_image.is_some()) - &in_archive);
    assert_eq!(claiming(Proof::StandInArchive), in_archive);
    // Every other test of tests/e2e builds for kernels from Debian's own mirrors.
    assert_eq!(claiming(Proof::RealMirror), BTreeSet::from(["debian".to_owned()]));
}
