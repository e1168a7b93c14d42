//! From the command line and the project file to a plan.

pub mod cluster;
mod filter;
pub mod modules;
pub mod unlisted;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::stream::{StreamExt as _, TryStreamExt as _};

use self::filter::Filter;
use self::unlisted::Whereabouts;
use super::given::{Market, profile_of};
use super::session::{Session, host_arch};
use crate::arch::Arch;
use crate::check::unsupported;
use crate::cli::{DistroArg, Fallback, SelectArgs};
use crate::error::{Exit, Failure};
use crate::kernel_index::{self, IndexRequest};
use crate::kernel_selector::KernelSelector;
use crate::package::PublishedRelease;
use crate::pipeline::name_modules;
use crate::plan::{ChosenDistro, ChosenDriver, Group, Known, Naming, Plan, State, Target};
use crate::profile::Id;
use crate::profile::distro::{DistroProfile, Release, Repository};
use crate::project::{DriverSelector, MatrixRow};
use crate::reference::{Digest, Reference};
use crate::registry::{Published, Registry};
use crate::render;
use crate::ui::Ui;

/// How many questions a registry is asked at once.
const QUESTIONS: usize = 32;

/// Plans what was selected: profiles, kernel indexes, names, input digests. Asks no registry.
///
/// # Errors
/// When the selection is wrong, nothing matches it, or a repository cannot be read.
pub async fn plan(session: &Session, select: &SelectArgs, arguments: &str, ui: &Ui) -> Result<Plan, Failure> {
    let mut kernels = kernel_selectors(&select.kernels, select.kernels_from.as_deref()).await?;
    let cluster = cluster::nodes(&select.cluster, ui).await?;
    let mut plan = if let Some(file) = &select.module {
        modules::plan(session, select, file, modules::Kernels { named: &kernels, cluster: &cluster }, ui).await?
    } else {
        let arches = if kernels.is_empty() { cluster.arches() } else { Vec::new() };
        kernels.extend(cluster::selectors(session, &cluster.nodes.iter().collect::<Vec<_>>(), select, ui)?);
        let request = Request::of(session, select, kernels, &arches, ui).await?;
        let mut plan = plan_of(session, &request.groups, &request.fallbacks, &request.naming).await?;
        if let Some(filter) = &request.filter {
            filter.apply(&mut plan)?;
        }
        plan
    };
    render::fill_inputs(&mut plan, arguments)?;
    Ok(plan)
}

/// The targets of groups, from what the distributions publish.
async fn plan_of(session: &Session, groups: &[Group], fallbacks: &[Fallback], naming: &Naming) -> Result<Plan, Failure> {
    let indexes = read_indexes(session, groups, fallbacks).await?;
    let known = Known {
        indexes: &indexes,
        unsupported: &|kernel, rules| session.memory.config(kernel).and_then(|config| unsupported(&config, rules)),
        build_arch: host_arch(),
    };
    Ok(Plan::new(groups, naming, &known)?)
}

/// What was selected, with profiles in place of names.
struct Request {
    groups: Vec<Group>,
    naming: Naming,
    filter: Option<Filter>,
    fallbacks: Vec<Fallback>,
}

impl Request {
    async fn of(session: &Session, select: &SelectArgs, kernels: Vec<KernelSelector>, arches: &[Arch], ui: &Ui) -> Result<Self, Failure> {
        if let (None, Some(option)) = (&select.source, select.about_source.first()) {
            return Err(
                Failure::new(Exit::Usage, format!("`{option}` is about a source without a profile")).help("name the source: --source DIR|URL|deb:PACKAGE")
            );
        }
        let matrix = session.project.as_ref().map(|project| project.content.rows()).unwrap_or_default();
        let (groups, filter) = if (!select.drivers.is_empty() || select.source.is_some()) && !kernels.is_empty() {
            (vec![ad_hoc(session, select, kernels, arches, ui).await?], None)
        } else if select.source.is_some() || matrix.is_empty() {
            return Err(nothing_selected(select, session.project.is_some()));
        } else if let Some((option, key)) = about_headers(select) {
            return Err(Failure::new(Exit::Usage, format!("`{option}` cannot be about a whole matrix"))
                .help(format!("name driver and kernel too, or write it into the row: `{key}`")));
        } else {
            let mut groups = Vec::new();
            for entry in matrix {
                groups.push(group_of(session, entry).await?);
            }
            (groups, Some(Filter::of(select, kernels)?))
        };
        let project = session.project.as_ref().map(|project| &project.content);
        let repository = select.repo.as_deref().or_else(|| project.and_then(|project| project.repository.as_deref()));
        let image = project.and_then(|project| project.image.as_deref()).filter(|_| select.repo.is_none());
        let tag = select.tag_template.as_deref().or_else(|| project.and_then(|project| project.tag.as_deref()));
        let naming = Naming::new(repository.unwrap_or(UNNAMED), image, tag)?;
        Ok(Self { groups, naming, filter, fallbacks: select.fallbacks.clone() })
    }
}

/// The option that says where headers are, if there is one, and the key of a row that does.
fn about_headers(select: &SelectArgs) -> Option<(&'static str, &'static str)> {
    let image = select.headers_image.as_ref().map(|_| ("--headers-image", "headers_image: IMAGE"));
    image.or_else(|| select.os_version.as_ref().map(|_| ("--os-version", "os_version: VERSION")))
}

/// Repository of images that nobody named; they can be written to files but not pushed.
pub const UNNAMED: &str = "localhost/drivers";

/// Whether there is a repository to push to.
pub fn has_repository(session: &Session, select: &SelectArgs) -> bool {
    select.repo.is_some()
        || select.module.is_some()
        || session.project.as_ref().is_some_and(|project| project.content.repository.is_some() || project.content.image.is_some())
}

fn nothing_selected(select: &SelectArgs, project: bool) -> Failure {
    let driver = select.drivers.is_empty() && select.source.is_none();
    let missing = match (driver, select.kernels.is_empty() && select.kernels_from.is_none() && !select.cluster.from_cluster) {
        (true, true) => "no driver and no kernel is selected",
        (true, false) => "no driver is selected",
        _ => "no kernel is selected",
    };
    if select.source.is_some() {
        return Failure::new(Exit::Usage, missing).help("name it: --kernel RELEASE (kmodforge kernels list)");
    }
    let failure = Failure::new(Exit::Usage, missing).help("name them: --driver NAME --kernel RELEASE (kmodforge profile list; kmodforge kernels list)");
    if project {
        failure.help("or give the project file a `matrix`")
    } else {
        failure.help("or write a `kmodforge.yaml` with a `matrix` (docs/project-file.md)")
    }
}

/// Kernels as the command line names them, and those of a list.
///
/// # Errors
/// When a text selects nothing, or the list cannot be read.
pub async fn kernel_selectors(kernels: &[String], list: Option<&Path>) -> Result<Vec<KernelSelector>, Failure> {
    let usage = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, error.to_string()).help("expected a release (`uname -r`), a pattern such as `6.1.*-amd64`, `/regex/`, `latest` or `latest:N`")
    };
    let mut selectors = kernels.iter().map(|text| text.parse().map_err(|error| usage(&error))).collect::<Result<Vec<KernelSelector>, _>>()?;
    if let Some(file) = list {
        let (name, text) = read_list(file.to_owned()).await.map_err(|error| {
            Failure::new(Exit::Usage, format!("the list of kernels `{}` cannot be read: {error}", file.display()))
                .help("expected a file with one kernel release per line, as `uname -r` prints it, or `-` for standard input")
        })?;
        selectors.extend(kernel_index::parse_list(&name, &text)?.into_iter().map(KernelSelector::Exact));
    }
    Ok(selectors)
}

/// Reads a file, or standard input for `-`, in a thread of its own: a terminal or a pipe may wait for ever, and Ctrl-C must be heard meanwhile.
async fn read_list(file: PathBuf) -> std::io::Result<(String, String)> {
    let read = move || {
        if file.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| ("-".to_owned(), text))
        } else {
            std::fs::read_to_string(&file).map(|text| (file.display().to_string(), text))
        }
    };
    tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)?
}

async fn ad_hoc(session: &Session, select: &SelectArgs, kernels: Vec<KernelSelector>, arches: &[Arch], ui: &Ui) -> Result<Group, Failure> {
    let drivers = select.drivers.iter().map(|text| driver_named(session, text)).collect::<Result<_, Failure>>()?;
    let mut group = group_for(session, select, drivers, kernels, arches).await?;
    if let Some(source) = &select.source {
        let market = Market { distros: &group.distros, arches: &group.arches, fallbacks: &select.fallbacks };
        let inferred = profile_of(session, source, &select.about_source, &market, ui).await?;
        group.drivers.push((Arc::new(inferred.profile), None));
    }
    Ok(group)
}

/// Drivers for kernels of the distributions and architectures that are named, else of those that the kernels or `arches` tell.
async fn group_for(
    session: &Session,
    select: &SelectArgs,
    drivers: Vec<ChosenDriver>,
    kernels: Vec<KernelSelector>,
    arches: &[Arch],
) -> Result<Group, Failure> {
    let distros = if select.distros.is_empty() {
        recognising(session, &kernels)?
    } else {
        select.distros.iter().map(|arg| distro(session, arg)).collect::<Result<_, _>>()?
    };
    let arches = match (select.arches.as_slice(), arches) {
        ([], []) => implied_arches(&distros, &kernels),
        ([], arches) | (arches, _) => arches.to_vec(),
    };
    let whereabouts = Whereabouts { image: select.headers_image.as_ref(), os_version: select.os_version.as_deref() };
    let unlisted = unlisted::kernels(session, whereabouts, &distros, &kernels, &arches).await?;
    Ok(Group { drivers, distros, kernels, arches, excludes: Vec::new(), unlisted })
}

fn driver_selector(text: &str) -> Result<DriverSelector, Failure> {
    text.parse().map_err(|error: String| Failure::new(Exit::Usage, format!("--driver {text}: {error}")))
}

/// A driver as the command line names it.
///
/// # Errors
/// When there is none, or not that version.
pub fn driver_named(session: &Session, text: &str) -> Result<ChosenDriver, Failure> {
    driver(session, &driver_selector(text)?)
}

fn driver(session: &Session, selector: &DriverSelector) -> Result<ChosenDriver, Failure> {
    let profile = session.catalog.driver(selector.driver.as_str())?;
    if let Some(version) = &selector.version
        && profile.version(version.as_str()).is_none()
    {
        return Err(unknown(&format!("driver `{}` has no version `{version}`", profile.id), profile.versions.iter().map(|version| version.version.as_str())));
    }
    Ok((Arc::new(profile.clone()), selector.version.clone()))
}

/// A distribution as the command line names it.
///
/// # Errors
/// When there is none, or not that release.
pub fn distro(session: &Session, arg: &DistroArg) -> Result<ChosenDistro, Failure> {
    let profile = session.catalog.distro(&arg.id)?;
    let release = match &arg.release {
        None => None,
        Some(wanted) => Some(release_of(profile, wanted)?.id.clone()),
    };
    Ok((Arc::new(profile.clone()), release))
}

/// A distribution's release by its name.
///
/// # Errors
/// When there is none.
pub fn release_of<'p>(profile: &'p DistroProfile, wanted: &str) -> Result<&'p Release, Failure> {
    profile
        .release(wanted)
        .ok_or_else(|| unknown(&format!("distro `{}` has no release `{wanted}`", profile.id), profile.releases.iter().map(|release| release.id.as_str())))
}

fn unknown<'n>(headline: &str, known: impl Iterator<Item = &'n str>) -> Failure {
    let known: Vec<_> = known.map(|name| format!("`{name}`")).collect();
    let failure = Failure::new(Exit::Usage, headline);
    match known.as_slice() {
        [] => failure.fact("expected", "none; there are none to choose from"),
        [only] => failure.fact("expected", only),
        several => failure.fact("expected", format!("one of {}", several.join(", "))),
    }
}

/// The distributions that recognise the exact releases; the usual ones for patterns.
///
/// # Errors
/// When no distribution recognises a release, or several do.
pub fn recognising(session: &Session, kernels: &[KernelSelector]) -> Result<Vec<ChosenDistro>, Failure> {
    let mut found: BTreeMap<Id, Arc<DistroProfile>> = BTreeMap::new();
    for kernel in kernels {
        match kernel.exact() {
            Some(release) => {
                let profile = session.catalog.recognise(release)?;
                found.entry(profile.id.clone()).or_insert_with(|| Arc::new(profile.clone()));
            }
            None => found.extend(session.catalog.usual_distros().map(|profile| (profile.id.clone(), Arc::new(profile.clone())))),
        }
    }
    Ok(found.into_values().map(|profile| (profile, None)).collect())
}

/// The architectures that exact releases name, else this machine's.
fn implied_arches(distros: &[ChosenDistro], kernels: &[KernelSelector]) -> Vec<Arch> {
    let named = |kernel: &KernelSelector| kernel.exact().and_then(|release| distros.iter().find_map(|(profile, _)| profile.recognise(release)?.arch));
    let arches: BTreeSet<_> = kernels.iter().map(|kernel| named(kernel).unwrap_or_else(host_arch)).collect();
    arches.into_iter().collect()
}

async fn group_of(session: &Session, row: &MatrixRow) -> Result<Group, Failure> {
    let drivers = row.drivers.iter().map(|selector| driver(session, selector)).collect::<Result<_, _>>()?;
    let distros = match &row.distros {
        None => recognising(session, &row.kernels)?,
        Some(ids) => ids
            .iter()
            .map(|id| distro(session, &id.to_string().parse::<DistroArg>().map_err(|error| Failure::new(Exit::Usage, error.to_string()))?))
            .collect::<Result<_, _>>()?,
    };
    let arches = row.arches.clone().unwrap_or_else(|| implied_arches(&distros, &row.kernels));
    let whereabouts = Whereabouts { image: row.headers_image.as_ref(), os_version: row.os_version.as_deref() };
    let unlisted = unlisted::kernels(session, whereabouts, &distros, &row.kernels, &arches).await?;
    Ok(Group { drivers, distros, kernels: row.kernels.clone(), arches, excludes: row.exclude.clone(), unlisted })
}

/// What the selected distributions publish for the selected architectures.
///
/// # Errors
/// When a repository cannot be read.
pub async fn read_indexes(session: &Session, groups: &[Group], fallbacks: &[Fallback]) -> Result<Vec<PublishedRelease>, Failure> {
    let mut wanted: Vec<(Arc<DistroProfile>, Release, Arch)> = Vec::new();
    for group in groups {
        for (profile, pinned) in &group.distros {
            let selected = |release: &&Release| pinned.as_ref().map_or_else(|| may_publish(profile, release, &group.kernels), |id| *id == release.id);
            for release in profile.releases.iter().filter(selected) {
                for arch in group.arches.iter().filter(|arch| profile.arches.contains(arch)) {
                    if !wanted.iter().any(|(p, r, a)| p.id == profile.id && r.id == release.id && a == arch) {
                        wanted.push((profile.clone(), release.clone(), *arch));
                    }
                }
            }
        }
    }
    let reading = wanted.into_iter().map(|(profile, release, arch)| async move { read_index(session, &profile, &release, arch, fallbacks).await });
    futures::stream::iter(reading).buffered(4).try_collect().await
}

/// The index of one release and architecture.
///
/// # Errors
/// When a repository cannot be read or a fallback is unknown.
pub async fn read_index(
    session: &Session,
    profile: &DistroProfile,
    release: &Release,
    arch: Arch,
    fallbacks: &[Fallback],
) -> Result<PublishedRelease, Failure> {
    let fallbacks = fallback_repositories(release, fallbacks)?;
    let request = IndexRequest {
        distro: profile,
        release,
        arch,
        build_arch: profile.build_arch(arch, host_arch()),
        fallbacks: &fallbacks,
        keyrings: session.catalog.keyrings(),
    };
    Ok(kernel_index::read(&session.fetcher, &request).await?)
}

/// Whether a release can publish one of the kernels: exact names may tell the release they belong to.
fn may_publish(profile: &DistroProfile, release: &Release, kernels: &[KernelSelector]) -> bool {
    let named = |kernel: &KernelSelector| profile.recognise(kernel.exact()?)?.release;
    kernels.iter().any(|kernel| named(kernel).is_none_or(|named| named == release.id.as_str()))
}

/// The repositories of fallbacks that were asked for.
///
/// # Errors
/// When the release has no such fallback, or one lacks its time.
pub fn fallback_repositories(release: &Release, wanted: &[Fallback]) -> Result<Vec<Repository>, Failure> {
    let mut repositories = Vec::new();
    for Fallback { name, value } in wanted {
        let Some(fallback) = release.fallbacks.iter().find(|known| known.id.as_str() == name) else {
            return Err(unknown(&format!("release `{}` has no fallback `{name}`", release.id), release.fallbacks.iter().map(|fallback| fallback.id.as_str())));
        };
        for repository in &fallback.repositories {
            let mut repository = repository.clone();
            repository.url = filled_in(&repository.url, name, value.as_deref())?;
            repositories.push(repository);
        }
    }
    Ok(repositories)
}

/// The URL of a fallback's repository, with what the user says of the time, day or version.
fn filled_in(url: &str, name: &str, value: Option<&str>) -> Result<String, Failure> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = |value: &str| {
        value.len() == 16
            && value.strip_suffix('Z').and_then(|value| value.split_once('T')).is_some_and(|(day, time)| day.len() == 8 && digits(day) && digits(time))
    };
    let is_day = |value: &str| value.len() == 10 && value.split('-').map(str::len).eq([4, 2, 2]) && value.split('-').all(digits);
    let is_version = |value: &str| value.split('.').all(digits);
    let kinds = [("{timestamp}", "a time", "20260301T000000Z"), ("{day}", "a day", "2026-03-01"), ("{version}", "a version", "9.4")];
    let Some((placeholder, what, example)) = kinds.into_iter().find(|(placeholder, ..)| url.contains(placeholder)) else { return Ok(url.to_owned()) };
    let is_valid = |value: &str| match placeholder {
        "{timestamp}" => is_time(value),
        "{day}" => is_day(value),
        _ => is_version(value),
    };
    match value.filter(|value| is_valid(value)) {
        Some(value) if placeholder == "{day}" => Ok(url.replace(placeholder, &value.replace('-', "/"))),
        Some(value) => Ok(url.replace(placeholder, value)),
        None => Err(Failure::new(Exit::Usage, format!("fallback `{name}` needs {what}"))
            .fact("found", value.unwrap_or("none"))
            .fact("expected", format!("--fallback {name}={example}"))),
    }
}

/// Says what was left out, and why.
pub fn tell_skipped(plan: &Plan, ui: &Ui) {
    for skipped in &plan.skipped {
        match Failure::try_from(skipped) {
            Ok(failure) => ui.failure(&failure),
            Err(reason) => ui.note(&format!("{}: {reason}", skipped.target)),
        }
    }
}

/// Names what was believed without a signature, each place once.
pub fn tell_unverified(plan: &Plan, ui: &Ui) {
    let places: BTreeSet<_> = plan.targets.iter().flat_map(|target| target.unverified.iter()).collect();
    for place in places {
        ui.note(&format!("{place} is trusted without a signature"));
    }
}

/// Digests of the base images of a plan, where a registry or the bundle tells.
pub async fn base_digests(session: &Session, registry: &Registry, plan: &Plan) -> BTreeMap<String, Digest> {
    if let Some(bundle) = session.fetcher.bundle() {
        return bundle.contents().base_images.clone();
    }
    let images: BTreeSet<_> = plan.targets.iter().map(|target| target.build_image().to_owned()).collect();
    let mirrors = session.mirrors();
    let asking = images.into_iter().map(|image| {
        let reference = mirrors.image(&image).parse::<Reference>();
        async move { Some((image, registry.resolve(&reference.ok()?).await.ok()??)) }
    });
    futures::future::join_all(asking).await.into_iter().flatten().collect()
}

/// Asks the registry what is published, and settles the state of every target.
///
/// # Errors
/// When the registry does not answer.
pub async fn settle(plan: &mut Plan, registry: &Registry, bases: &BTreeMap<String, Digest>, force: bool) -> Result<(), Failure> {
    let images: Vec<_> = plan.targets.iter().map(|target| target.image.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let answers: HashMap<Reference, Option<Published>> = futures::stream::iter(images)
        .map(|image| async move { registry.published(&image).await.map(|published| (image, published)) })
        .buffer_unordered(QUESTIONS)
        .try_collect()
        .await?;
    for target in &mut plan.targets {
        let base = bases.get(target.build_image());
        let published = answers.get(&target.image).and_then(Option::as_ref);
        target.state = state_of(target, published, base, force);
        // Modules that only the build has told are told by the image now.
        let label = published.and_then(|published| published.image(target.arch)?.annotations.get(&format!("{}modules", render::ANNOTATION)));
        if let (State::Published { .. }, Some(names)) = (&target.state, label) {
            name_modules(target, names);
        }
    }
    Ok(())
}

fn state_of(target: &Target, published: Option<&Published>, base: Option<&Digest>, force: bool) -> State {
    let Some(published) = published else { return State::Build("not published".into()) };
    let Some(manifest) = published.image(target.arch) else {
        return State::Build(format!("not published for {}", target.arch));
    };
    match render::is_current(target, &manifest.annotations, base) {
        Ok(()) if force => State::Build("forced".into()),
        Ok(()) => State::Published { manifest: manifest.digest.clone(), index: published.digest.clone() },
        Err(reason) => State::Build(reason),
    }
}
