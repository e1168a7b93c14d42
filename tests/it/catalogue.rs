//! The pages of the catalogue, `docs/catalogue`, are what `profile show --format markdown` prints; `SNAPSHOTS=overwrite` writes them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use kmodforge::catalog::Catalog;
use kmodforge::cli::ProfileKind;
use kmodforge::commands::profile::{list, show_page};
use snapbox::{Data, assert_data_eq};

#[test]
fn every_profile_has_its_page() {
    let catalog = Catalog::embedded().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/catalogue");
    let mut index =
        "# Distributions\n\n<!-- made by tests/it/catalogue.rs -->\n\n[Distro profiles](../distro-profiles.md#the-built-in-ones) says what *proven* means; \
        [drivers](../drivers.md) have a list of their own.\n\n| | | releases | proven |\n|---|---|---|---|\n"
            .to_owned();
    let mut pages = BTreeSet::from(["README.md".to_owned()]);
    for row in list(&catalog, None) {
        let (page, kind) = if row.kind == "distro" {
            let page = format!("distro-{}.md", row.id);
            let _ = writeln!(index, "| [`{}`]({page}) | {} | {} | {} |", row.id, row.name, row.versions.join(", "), row.proven);
            (page, ProfileKind::Distro)
        } else {
            (format!("driver-{}.md", row.id), ProfileKind::Driver)
        };
        assert_data_eq!(show_page(&catalog, &row.id, Some(kind)).unwrap(), Data::read_from(&folder.join(&page), None).raw());
        pages.insert(page);
    }
    assert_data_eq!(index, Data::read_from(&folder.join("README.md"), None).raw());
    let there: BTreeSet<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, pages, "pages without a profile");
}
