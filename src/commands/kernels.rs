//! `kmodforge kernels`: what distributions publish, and which profile recognises a release.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::selection::{cluster, read_index, release_of, unlisted};
use super::session::{Session, host_arch};
use crate::arch::Arch;
use crate::cli::{DistroArg, GlobalArgs, KernelsCommand, KernelsListArgs, KernelsMatchArgs, ListFormat, ProjectArgs, TextFormat};
use crate::error::{Exit, Failure};
use crate::kernel::KernelRelease;
use crate::package::{PublishedKernel, PublishedRelease};
use crate::ui::Ui;

/// Answers.
///
/// # Errors
/// When a repository cannot be read or a release is none.
pub async fn run(global: &GlobalArgs, command: KernelsCommand, ui: &Ui) -> Result<Exit, Failure> {
    match command {
        KernelsCommand::List(args) => list(global, args, ui).await,
        KernelsCommand::Match(args) => recognise(global, &args, ui),
    }
}

async fn list(global: &GlobalArgs, args: KernelsListArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open_in_gap(global, &args.project, &args.air_gap)?;
    if args.cluster.from_cluster {
        return list_cluster(&session, &args, ui).await;
    }
    let arches = if args.arches.is_empty() { vec![host_arch()] } else { args.arches };
    let distros = if args.distros.is_empty() {
        session.catalog.usual_distros().map(|profile| DistroArg { id: profile.id.to_string(), release: None }).collect()
    } else {
        args.distros
    };
    let mut indexes = Vec::new();
    for distro in &distros {
        indexes.extend(read_distro(&session, distro, &arches).await?);
    }
    let newest: Vec<_> = indexes.iter().flat_map(|index| index.kernels.iter().rev().map(move |kernel| (index, kernel))).collect();
    match args.format {
        ListFormat::Text => ui.data(&newest.iter().flat_map(|(_, kernel)| [kernel.release.as_str(), "\n"]).collect::<String>()),
        ListFormat::Json => ui.json_data(&newest.iter().map(|(index, kernel)| to_json(index, kernel)).collect::<Vec<_>>()),
        ListFormat::Table => {
            let rows: Vec<_> = newest.iter().map(|(index, kernel)| to_row(index, kernel)).collect();
            ui.table(&["KERNEL", "DISTRO", "ARCH", "COMPILER", "HEADERS", "FOUND IN"], &rows);
            ui.note(&format!("{} kernels", rows.len()));
        }
    }
    Ok(Exit::Done)
}

/// A kernel of a cluster: its nodes share it, their architecture and their system.
type Running<'c> = BTreeMap<(Reverse<&'c KernelRelease>, Arch, &'c str), Vec<&'c str>>;

async fn list_cluster(session: &Session, args: &KernelsListArgs, ui: &Ui) -> Result<Exit, Failure> {
    let cluster = cluster::nodes(&args.cluster, ui).await?;
    let mut running = Running::new();
    for node in cluster.nodes.iter().filter(|node| args.arches.is_empty() || args.arches.contains(&node.arch)) {
        running.entry((Reverse(&node.kernel), node.arch, &node.os_image)).or_default().push(&node.name);
    }
    let distro = |kernel: &KernelRelease| match session.catalog.recognised_by(kernel).as_slice() {
        [] => "unknown".to_owned(),
        known => known.iter().map(|(profile, _)| profile.id.as_str()).collect::<Vec<_>>().join(" or "),
    };
    match args.format {
        ListFormat::Text => {
            let kernels: BTreeSet<_> = running.keys().map(|(kernel, ..)| *kernel).collect();
            ui.data(&kernels.iter().flat_map(|kernel| [kernel.0.as_str(), "\n"]).collect::<String>());
        }
        ListFormat::Json => {
            let values = running.iter().map(|((kernel, arch, system), nodes)| {
                json!({ "release": kernel.0, "arch": arch, "os_image": system, "distro": distro(kernel.0), "nodes": nodes, "tag": kernel.0.tag() })
            });
            ui.json_data(&values.collect::<Vec<_>>());
        }
        ListFormat::Table => {
            let rows = running.iter().map(|((kernel, arch, system), nodes)| {
                vec![kernel.0.to_string(), arch.to_string(), nodes.len().to_string(), (*system).to_owned(), distro(kernel.0), cluster::some(nodes)]
            });
            ui.table(&["KERNEL", "ARCH", "NODES", "SYSTEM", "DISTRO", "NAMES"], &rows.collect::<Vec<_>>());
        }
    }
    Ok(Exit::Done)
}

fn to_json(index: &PublishedRelease, kernel: &PublishedKernel) -> Value {
    json!({
        "release": kernel.release, "distro": index.distro, "distro_release": index.release, "arch": index.arch, "flavour": kernel.flavour,
        "origin": kernel.origin, "headers": kernel.headers, "compilers": kernel.compilers,
    })
}

fn to_row(index: &PublishedRelease, kernel: &PublishedKernel) -> Vec<String> {
    vec![
        kernel.release.to_string(),
        format!("{} {}", index.distro, index.release),
        index.arch.clone(),
        kernel.compilers.first().cloned().unwrap_or_default(),
        kernel.headers.first().map(|package| package.version.clone()).unwrap_or_default(),
        kernel.origin.clone(),
    ]
}

async fn read_distro(session: &Session, distro: &DistroArg, arches: &[Arch]) -> Result<Vec<PublishedRelease>, Failure> {
    let profile = session.catalog.distro(&distro.id)?;
    unlisted::refuse(profile)?;
    let releases = match &distro.release {
        Some(release) => vec![release_of(profile, release)?],
        None => profile.releases.iter().collect(),
    };
    let mut indexes = Vec::new();
    for release in releases {
        for arch in arches.iter().filter(|arch| profile.arches.contains(arch)) {
            indexes.push(read_index(session, profile, release, *arch, &[]).await?);
        }
    }
    Ok(indexes)
}

fn recognise(global: &GlobalArgs, args: &KernelsMatchArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open(global, &ProjectArgs::default())?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    let mut unknown = false;
    for text in &args.releases {
        let release: KernelRelease = text.parse().map_err(|error: crate::kernel::InvalidRelease| Failure::new(Exit::Usage, error.to_string()))?;
        let matching = session.catalog.recognised_by(&release);
        unknown |= matching.is_empty();
        if matching.is_empty() {
            rows.push(vec![text.clone(), "none".into(), String::new(), String::new(), String::new()]);
        }
        for (profile, recognised) in &matching {
            let of_release = recognised.release.clone();
            let arch = recognised.arch.map(|arch| arch.to_string()).unwrap_or_default();
            rows.push(vec![text.clone(), profile.id.to_string(), of_release.clone().unwrap_or_default(), recognised.flavour.clone(), arch.clone()]);
            values.push(json!({ "release": text, "distro": profile.id, "distro_release": of_release, "flavour": recognised.flavour, "arch": arch, "tag": release.tag() }));
        }
        if matching.is_empty() {
            values.push(json!({ "release": text, "distro": null }));
        }
    }
    match args.format {
        TextFormat::Table => ui.table(&["KERNEL", "DISTRO", "RELEASE", "FLAVOUR", "ARCH"], &rows),
        TextFormat::Json => ui.json_data(&values),
    }
    Ok(if unknown { Exit::Failed } else { Exit::Done })
}
