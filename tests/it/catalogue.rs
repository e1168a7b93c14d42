//! The pages of the catalogue, `docs/catalogue`, are what `profile show --format markdown` prints; `SNAPSHOTS=overwrite` writes them.

use std::collections::BTreeSet;
use std::path::Path;

use kmodforge::catalog::Catalog;
use kmodforge::cli::ProfileKind;
use kmodforge::commands::profile::{list, show_page};
use snapbox::{Data, assert_data_eq};

#[test]
fn every_profile_has_its_page() {
    let catalog = Catalog::embedded().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/catalogue");
    let mut index = "# Catalogue\n\n<!-- made by tests/it/catalogue.rs -->\n".to_owned();
    let mut pages = BTreeSet::from(["README.md".to_owned()]);
    for (kind, title, what) in [(ProfileKind::Distro, "Distributions", "releases"), (ProfileKind::Driver, "Drivers", "versions")] {
        index += &format!("\n## {title}\n\n| | | {what} |\n|---|---|---|\n");
        for row in list(&catalog, Some(kind)) {
            let page = format!("{}-{}.md", row.kind, row.id);
            assert_data_eq!(show_page(&catalog, &row.id, Some(kind)).unwrap(), Data::read_from(&folder.join(&page), None).raw());
            index += &format!("| [`{}`]({page}) | {}: {} | {} |\n", row.id, row.name, row.summary, row.versions.join(", "));
            pages.insert(page);
        }
    }
    assert_data_eq!(index, Data::read_from(&folder.join("README.md"), None).raw());
    let there: BTreeSet<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, pages, "pages without a profile");
}
