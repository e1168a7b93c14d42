//! `kmodforge plan`: what build would do, and why what is skipped is skipped.

use serde_json::{Value, json};

use super::session::{Session, source_date_epoch};
use super::signing::Certificate;
use super::{attaching, selection};
use crate::cli::{GlobalArgs, PlanArgs, PlanFormat, SelectArgs};
use crate::error::{Exit, Failure};
use crate::image::layer::Compression;
use crate::plan::{Plan, PlanView, State, Target};
use crate::ui::{PlanCounts, PlanRow, Ui};

/// The most jobs that a GitHub Actions matrix takes.
const GITHUB_JOBS: usize = 256;

/// The most jobs that a GitLab child pipeline takes by default.
const GITLAB_JOBS: usize = 500;

/// Prints the plan.
///
/// # Errors
/// When there is none, or a kernel's compiler is missing.
pub async fn run(global: &GlobalArgs, args: &PlanArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open_in_gap(global, &args.select.project, &args.air_gap)?;
    let project = session.project.as_ref();
    let signer = Certificate::of(project.filter(|_| !args.no_sign), &args.certificate);
    let expected = attaching::expected(project, &args.attach)?;
    let arguments = arguments(Compression::default(), source_date_epoch()?) + &signer.arguments()?;
    let mut plan = selection::plan(&session, &args.select, &arguments, ui).await?;
    selection::tell_unverified(&plan, ui);
    if !args.no_registry && selection::has_repository(&session, &args.select) {
        let registry = session.registry(&args.registry)?;
        let bases = selection::base_digests(&session, &registry, &plan).await;
        selection::settle(&mut plan, &registry, &bases, false).await?;
        attaching::settle(&mut plan, &registry, expected.as_ref()).await?;
    }
    match args.format {
        PlanFormat::Table => print_table(&plan, ui),
        PlanFormat::Json => ui.json_data(&PlanView::from(&plan)),
        PlanFormat::Github => ui.data(&format!("{}\n", github(&plan, &args.select))),
        PlanFormat::Gitlab => ui.json_data(&gitlab(&plan, &args.select)),
    }
    plan.skipped.iter().filter_map(|skipped| Failure::try_from(skipped).ok()).for_each(|failure| ui.failure(&failure));
    Ok(exit_code(&plan))
}

/// The choices that end up in an image, as the input digest takes them.
pub fn arguments(compression: Compression, epoch: u64) -> String {
    format!("compression={} epoch={epoch}", compression.name())
}

/// How a run that does nothing but plan ends.
fn exit_code(plan: &Plan) -> Exit {
    if plan.skipped.iter().any(|skipped| skipped.reason.is_failure()) {
        Exit::Failed
    } else if plan.targets.is_empty() {
        Exit::Unsupported
    } else {
        Exit::Done
    }
}

fn print_table(plan: &Plan, ui: &Ui) {
    let mut counts = PlanCounts::default();
    let mut rows = Vec::with_capacity(plan.targets.len() + plan.skipped.len());
    for target in &plan.targets {
        let (state, why) = match &target.state {
            State::Build(why) => ("build", why.clone()),
            State::Published { manifest, .. } => ("published", manifest.short()),
        };
        *(if state == "build" { &mut counts.build } else { &mut counts.published }) += 1;
        rows.push(row(&target.label(), state, why));
    }
    for skipped in &plan.skipped {
        counts.impossible += 1;
        rows.push(row(&skipped.target, if skipped.reason.is_failure() { "failed" } else { "not for" }, skipped.reason.to_string()));
    }
    ui.plan_table(&rows, counts);
}

fn row(label: &crate::record::TargetLabel, state: &str, why: String) -> PlanRow {
    PlanRow {
        driver: format!("{} {}", label.driver, label.version),
        distro: format!("{} {}", label.distro, label.distro_release),
        kernel: label.kernel.clone(),
        arch: label.arch.clone(),
        state: state.to_owned(),
        why,
    }
}

/// The targets to build, shared out to as many jobs as are allowed: each job's name and its options for `kmodforge build`.
fn jobs(plan: &Plan, select: &SelectArgs, most: usize) -> Vec<(String, Vec<String>)> {
    let to_build: Vec<&Target> = plan.targets.iter().filter(|target| matches!(target.state, State::Build(_))).collect();
    let per_job = to_build.len().div_ceil(most).max(1);
    to_build
        .chunk_by(|a, b| {
            a.driver.profile.id == b.driver.profile.id && a.driver.index == b.driver.index && a.distro.release.id == b.distro.release.id && a.arch == b.arch
        })
        .flat_map(|same| same.chunks(per_job))
        .map(|targets| {
            let label = targets[0].label();
            let mut options = select.source.as_ref().map_or_else(
                || vec![format!("--driver={}@{}", label.driver, label.version)],
                |source| select.about_source.options(source, &label.driver, &label.version),
            );
            options.push(format!("--distro={}:{}", label.distro, label.distro_release));
            options.push(format!("--arch={}", label.arch));
            options.extend(select.module.iter().map(|file| format!("--module={}", file.display())));
            options.extend(targets.iter().map(|target| format!("--kernel={}", target.kernel.release)));
            let more = if targets.len() > 1 { format!(" and {} more", targets.len() - 1) } else { String::new() };
            (format!("{} {} {}{more}", label.driver, label.version, label.kernel), options)
        })
        .collect()
}

/// A matrix for `strategy.matrix: ${{ fromJSON(…) }}`, on one line.
fn github(plan: &Plan, select: &SelectArgs) -> Value {
    let include: Vec<_> =
        jobs(plan, select, GITHUB_JOBS / 2).into_iter().map(|(name, options)| json!({ "name": name, "options": options.join(" ") })).collect();
    json!({ "include": include })
}

/// A child pipeline; JSON is YAML.
fn gitlab(plan: &Plan, select: &SelectArgs) -> Value {
    let jobs = jobs(plan, select, GITLAB_JOBS / 2);
    if jobs.is_empty() {
        // A pipeline without a job is an error.
        return json!({ "nothing to build": { "script": ["true"] } });
    }
    let jobs = jobs.into_iter().map(|(name, options)| {
        let script = format!("kmodforge build --push {}", options.iter().map(|option| crate::template::quote_shell(option)).collect::<Vec<_>>().join(" "));
        (name, json!({ "script": [script] }))
    });
    Value::Object(jobs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::reference::Digest;

    #[test]
    fn gitlab_always_gets_a_job() {
        let mut plan = fixture::plan(&["v4l2loopback"], &["6.1.0-56-amd64"]).unwrap();
        assert_eq!(
            gitlab(&plan, &SelectArgs::default()),
            json!({ "v4l2loopback 0.15.3 6.1.0-56-amd64": { "script": [
                "kmodforge build --push --driver=v4l2loopback@0.15.3 --distro=debian:bookworm --arch=amd64 --kernel=6.1.0-56-amd64"
            ] } })
        );
        plan.targets[0].state = State::Published { manifest: Digest::of(b"image"), index: Digest::of(b"index") };
        assert_eq!(gitlab(&plan, &SelectArgs::default()), json!({ "nothing to build": { "script": ["true"] } }));
    }
}
