//! Every command block of the README and of `docs/` is executed, on the private stack that `make test` starts.
//!
//! `sh` blocks are run as they are; of `console` blocks, the lines behind `$ ` are run and each of the other lines must be in the
//! output, in that order (numbers, digests and spacing may differ; `…` alone on a line stands for anything). The blocks of a page are one
//! session in one folder. What cannot be run is marked `text`, below a comment `<!-- not run: REASON -->`.

#![expect(clippy::unwrap_used, reason = "a test may stop where it is wrong")]

mod page;
mod reader;

use kmodforge::catalog::Catalog;
use kmodforge::project::Project;
use page::{Block, Page};
use reader::Reader;

/// What a line of a `text` block begins with when a reader would take it for a command.
const COMMANDS: [&str; 7] = ["$ ", "make ", "kmodforge ", "kubectl ", "docker ", "cargo ", "git "];

fn run(path: &str) {
    let page = Page::read(path);
    if page.blocks.iter().any(Block::is_commands) {
        Reader::new().follow(&page);
    }
}

macro_rules! pages {
    ($($name:ident: $path:literal,)*) => {
        $(#[test]
        fn $name() {
            run($path);
        })*

        #[test]
        fn no_page_is_forgotten() {
            let tested = [$($path),*];
            let mut there = page::all();
            there.retain(|path| !tested.contains(&path.as_str()));
            assert_eq!(there, Vec::<String>::new(), "pages without a test");
        }
    };
}

pages! {
    readme: "README.md",
    changelog: "CHANGELOG.md",
    contributing: "CONTRIBUTING.md",
    air_gap: "docs/air-gap.md",
    checks: "docs/checks.md",
    cli: "docs/cli.md",
    deploy: "docs/deploy.md",
    design: "docs/design.md",
    distro_profiles: "docs/distro-profiles.md",
    dkms: "docs/dkms.md",
    dkms_packages: "docs/dkms-packages.md",
    driver_profiles: "docs/driver-profiles.md",
    drivers: "docs/drivers.md",
    getting_started: "docs/getting-started.md",
    helm: "docs/helm.md",
    kmm: "docs/kmm.md",
    migrating: "docs/migrating.md",
    performance: "docs/performance.md",
    policy: "docs/policy.md",
    progress_json: "docs/progress-json.md",
    project_file: "docs/project-file.md",
    security: "docs/security.md",
    supply_chain: "docs/supply-chain.md",
    systemd: "docs/systemd.md",
    signing: "docs/signing.md",
    prove_an_image: "docs/prove-an-image.md",
}

#[test]
fn nothing_is_skipped_silently() {
    for path in page::all() {
        for Block { line, language, text, reason } in Page::read(&path).blocks {
            let known = ["sh", "console", "text", "yaml", "json", "rows"].contains(&language.as_str());
            assert!(known, "{path}:{line}: a block in `{language}`: neither run nor marked as not run");
            let looks_run = text.lines().any(|line| COMMANDS.iter().any(|command| line.starts_with(command)));
            assert!(language != "text" || !looks_run || reason, "{path}:{line}: commands that are not run, and no reason");
        }
    }
}

/// Key tables and profile examples are tested elsewhere; project files of other pages are read here.
#[test]
fn project_files_are_right() {
    let catalog = Catalog::embedded().unwrap();
    for path in page::all() {
        for block in Page::read(&path).blocks.iter().filter(|block| block.language == "yaml" && block.text.contains("mirrors:")) {
            Project::parse(std::path::Path::new(&path), &block.text).unwrap().check(&catalog).unwrap();
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for path in page::all() {
        for (line, target) in Page::read(&path).links() {
            assert!(target.exists(), "{path}:{line}: no {}", target.display());
        }
    }
}
