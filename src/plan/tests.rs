use super::*;
use crate::error::Failure;
use crate::fixture::{distro, driver, group, index, kernel, plan, plan_of};

fn kernels(plan: &Plan) -> Vec<&str> {
    plan.targets.iter().map(|target| target.kernel.release.as_str()).collect()
}

#[test]
fn exact_releases_and_patterns_select_newest_first() {
    assert_eq!(kernels(&plan(&["v4l2loopback"], &["6.1.0-55-amd64"]).unwrap()), ["6.1.0-55-amd64"]);
    assert_eq!(
        kernels(&plan(&["v4l2loopback"], &["6.1.0-*-amd64"]).unwrap()),
        ["6.1.0-56-cloud-amd64", "6.1.0-56-amd64", "6.1.0-55-amd64", "6.1.0-54-amd64", "6.1.0-9-amd64"]
    );
    assert_eq!(
        kernels(&plan(&["v4l2loopback"], &["6.1.0-5[45]-amd64", "6.1.0-9-amd64", "6.1.0-54-amd64"]).unwrap()),
        ["6.1.0-55-amd64", "6.1.0-54-amd64", "6.1.0-9-amd64"]
    );
}

#[test]
fn latest_passes_over_flavours_and_backports() {
    let mut published = index(&["6.1.0-54-amd64", "6.1.0-55-amd64", "6.1.0-56-cloud-amd64"]);
    published.kernels.push(PublishedKernel { backport: true, ..kernel("6.12.90-amd64") });
    let chosen = plan_of(group(&["v4l2loopback"], &["latest:2"]), std::slice::from_ref(&published)).unwrap();
    assert_eq!(kernels(&chosen), ["6.1.0-55-amd64", "6.1.0-54-amd64"]);
    assert_eq!(kernels(&plan_of(group(&["v4l2loopback"], &["6.12*"]), &[published]).unwrap()), ["6.12.90-amd64"]);
}

#[test]
fn excluded_targets_are_not_even_told() {
    let mut group = group(&["v4l2loopback", "ranged"], &["6.1.0-55-amd64", "6.1.0-56-amd64"]);
    group.excludes = serde_saphyr::from_str("[{driver: ranged, kernel: '*-56-*'}, {driver: v4l2loopback@0.15.3, arch: amd64}]").unwrap();
    let plan = plan_of(group, &[index(&["6.1.0-55-amd64", "6.1.0-56-amd64"])]).unwrap();
    assert_eq!(plan.targets.iter().map(|target| target.label().to_string()).collect::<Vec<_>>(), ["ranged 2.0 for 6.1.0-55-amd64 (debian bookworm, amd64)"]);
    assert!(plan.skipped.is_empty());
}

#[test]
fn each_kernel_gets_the_newest_version_that_supports_it() {
    let plan = plan(&["ranged"], &["6.1.0-56-amd64", "5.10.0-30-amd64"]).unwrap();
    let versions: Vec<_> = plan.targets.iter().map(|target| (target.kernel.release.as_str(), target.driver.version().version.as_str())).collect();
    assert_eq!(versions, [("5.10.0-30-amd64", "1.0"), ("6.1.0-56-amd64", "2.0")]);
}

#[test]
fn a_version_that_was_named_is_not_replaced() {
    let mut group = group(&[], &["6.1.0-56-amd64"]);
    group.drivers = vec![(driver("ranged"), Some("1.0".parse().unwrap()))];
    let plan = plan_of(group, &[index(&["6.1.0-56-amd64"])]).unwrap();
    assert!(plan.targets.is_empty());
    assert_eq!(plan.skipped[0].reason.to_string(), "needs a kernel below 6.0");
}

#[test]
fn a_driver_that_the_kernel_has_is_skipped_with_the_reason() {
    let plan = plan(&["wireguard"], &["6.1.0-56-amd64"]).unwrap();
    assert!(plan.targets.is_empty());
    assert_eq!(plan.skipped[0].reason.to_string(), "in the kernel since 5.6");
    assert!(!plan.skipped[0].reason.is_failure());
}

#[test]
fn what_earlier_runs_saw_of_a_kernel_rules_drivers_out() {
    let unsupported = |kernel: &PublishedKernel, rules: &[ConfigRule]| (kernel.flavour == "cloud").then(|| format!("kernel has no `{}`", rules[0].option));
    let naming = Naming::new("registry.example", None, None).unwrap();
    let indexes = [index(&["6.1.0-56-amd64", "6.1.0-56-cloud-amd64"])];
    let known = Known { indexes: &indexes, unsupported: &unsupported, build_arch: Arch::Amd64 };
    // `ranged` has no rules, so nobody is asked about it.
    let plan = Plan::new(&[group(&["v4l2loopback", "ranged"], &["*"])], &naming, &known).unwrap();
    assert_eq!(plan.targets.len(), 3);
    assert_eq!(plan.skipped, [Skipped { target: plan.skipped[0].target.clone(), reason: Reason::Config("kernel has no `CONFIG_VIDEO_DEV`".into()) }]);
}

#[test]
fn a_missing_compiler_is_a_failure() {
    let mut published = index(&["6.1.0-56-amd64"]);
    published.compilers.clear();
    let plan = plan_of(group(&["v4l2loopback"], &["latest"]), &[published]).unwrap();
    assert_eq!(plan.skipped[0].reason.to_string(), "compiler package `gcc-12` is not in bookworm");
    assert!(plan.skipped[0].reason.is_failure());
}

#[test]
fn a_kernel_that_names_no_compiler_gets_its_releases_own() {
    let mut published = PublishedRelease { release: "trixie".into(), compilers: vec!["gcc-14".into()], ..index(&[]) };
    published.kernels.push(PublishedKernel { compilers: Vec::new(), ..kernel("6.12.90+deb13-amd64") });
    let plan = plan_of(group(&["v4l2loopback"], &["latest"]), &[published]).unwrap();
    assert_eq!(plan.targets[0].toolchain.compiler, "gcc-14");
}

#[test]
fn another_architecture_is_compiled_by_cross_tools() {
    let mut group = group(&["v4l2loopback"], &["*"]);
    group.arches = vec![Arch::Arm64];
    let plan = plan_of(group, &[index(&["6.1.0-56-amd64"]), PublishedRelease { arch: "arm64".into(), ..index(&["6.1.0-56-arm64"]) }]).unwrap();
    assert_eq!(kernels(&plan), ["6.1.0-56-arm64"]);
    assert_eq!(
        *plan.targets[0].toolchain,
        PlannedToolchain {
            build_arch: Arch::Amd64,
            compiler: "gcc-12".into(),
            cross: "aarch64-linux-gnu-".into(),
            packages: ["gcc-12-aarch64-linux-gnu", "make", "kmod"].map(String::from).to_vec(),
        }
    );
}

#[test]
fn a_kernel_of_two_releases_is_built_once() {
    let newer = PublishedRelease { release: "trixie".into(), ..index(&["6.1.0-56-amd64"]) };
    let indexes = [index(&["6.1.0-56-amd64"]), newer];
    let plan = plan_of(group(&["v4l2loopback"], &["6.1.0-56-amd64"]), &indexes).unwrap();
    assert_eq!(plan.targets.iter().map(|target| target.distro.release.id.as_str()).collect::<Vec<_>>(), ["bookworm"]);
    let mut pinned = group(&["v4l2loopback"], &["6.1.0-56-amd64"]);
    pinned.distros = vec![(distro(), Some("trixie".parse().unwrap()))];
    assert_eq!(plan_of(pinned, &indexes).unwrap().targets[0].distro.release.id.as_str(), "trixie");
}

#[test]
fn rows_that_overlap_give_each_target_once() {
    let naming = Naming::new("registry.example", None, None).unwrap();
    let indexes = [index(&["6.1.0-55-amd64", "6.1.0-56-amd64"])];
    let known = Known { indexes: &indexes, unsupported: &|_, _| None, build_arch: Arch::Amd64 };
    let rows =
        [group(&["v4l2loopback", "v4l2loopback"], &["*"]), group(&["v4l2loopback", "wireguard"], &["6.1.0-56-amd64"]), group(&["wireguard"], &["latest"])];
    let plan = Plan::new(&rows, &naming, &known).unwrap();
    assert_eq!((plan.targets.len(), plan.skipped.len()), (2, 1));
}

#[test]
fn a_tag_that_two_targets_would_share_is_refused() {
    let naming = Naming::new("registry.example/drivers", None, Some("{{ driver.version }}")).unwrap();
    let indexes = [index(&["6.1.0-55-amd64", "6.1.0-56-amd64"])];
    let known = Known { indexes: &indexes, unsupported: &|_, _| None, build_arch: Arch::Amd64 };
    let error = Plan::new(&[group(&["v4l2loopback"], &["*"])], &naming, &known).unwrap_err();
    assert_eq!(
        Failure::from(error).to_string(),
        "error: `v4l2loopback 0.15.3 for 6.1.0-56-amd64 (debian bookworm, amd64)` and `v4l2loopback 0.15.3 for 6.1.0-55-amd64 (debian bookworm, amd64)` \
         would both be tagged `registry.example/drivers/v4l2loopback:0.15.3`\n  \
         help      use `{{ kernel.tag }}`, `{{ kernel.os_version }}`, `{{ distro.release }}` or `{{ arch }}` in the tag template to tell them apart"
    );
}

#[test]
fn two_architectures_may_share_a_tag() {
    let naming = Naming::new("registry.example/drivers", None, Some("{{ driver.version }}")).unwrap();
    let indexes = [index(&["6.1.0-56-amd64"]), PublishedRelease { arch: "arm64".into(), ..index(&["6.1.0-56-arm64"]) }];
    let known = Known { indexes: &indexes, unsupported: &|_, _| None, build_arch: Arch::Amd64 };
    let both = Group { arches: Arch::ALL.to_vec(), ..group(&["v4l2loopback"], &["*"]) };
    assert_eq!(Plan::new(&[both], &naming, &known).unwrap().targets.len(), 2);
}

#[test]
fn a_kernel_that_nobody_publishes_is_answered_with_the_nearest() {
    let failure = Failure::from(plan(&["v4l2loopback"], &["6.1.0-56-amd64", "6.1.0-57-amd64"]).unwrap_err());
    assert_eq!(failure.headline, "no kernel of debian matches `6.1.0-57-amd64`");
    assert_eq!(failure.facts[0], ("looked in".into(), "bookworm: 6 amd64 kernels".into()));
    assert!(failure.facts[1].1.starts_with("6.1.0-56-amd64, 6.1.0-55-amd64"), "{failure}");
    assert_eq!(failure.help, ["list them: kmodforge kernels list --distro debian"]);
}

/// A kernel that no repository has, with the headers of an image.
fn held(release: &str) -> PublishedKernel {
    PublishedKernel { headers: Vec::new(), headers_image: Some("registry.example/devel:1".into()), compilers: Vec::new(), ..kernel(release) }
}

#[test]
fn a_kernel_whose_headers_an_image_has_needs_no_repository() {
    let group = Group { unlisted: vec![held("6.1.0-57-amd64")], ..group(&["v4l2loopback"], &["6.1.0-57-amd64"]) };
    let plan = plan_of(group, &[PublishedRelease { compilers: Vec::new(), ..index(&["6.1.0-56-amd64"]) }]).unwrap();
    let [target] = &plan.targets[..] else { panic!("{plan:?}") };
    assert_eq!((target.kernel.release.as_str(), target.build_image()), ("6.1.0-57-amd64", "registry.example/devel:1"));
    assert_eq!(target.headers(), ["registry.example/devel:1"]);
    // Nothing is installed, and the programs are the release's as ever.
    assert!(target.toolchain.packages.is_empty() && !target.runtime.is_empty());
    assert_eq!(serde_json::to_value(PlanView::from(&plan)).unwrap()["targets"][0]["base_image"], "registry.example/devel:1");
}

#[test]
fn an_image_is_for_the_architecture_that_the_kernel_names() {
    let arm64 = PublishedRelease { arch: "arm64".into(), ..index(&[]) };
    let group = Group { unlisted: vec![held("6.1.0-57-arm64")], arches: Arch::ALL.to_vec(), ..group(&["v4l2loopback"], &["6.1.0-57-arm64"]) };
    let plan = plan_of(group, &[index(&["6.1.0-56-amd64"]), arm64]).unwrap();
    let [target] = &plan.targets[..] else { panic!("{plan:?}") };
    assert_eq!((target.arch, target.toolchain.build_arch), (Arch::Arm64, Arch::Arm64), "its compiler is not one that crosses");
}

#[test]
fn the_json_of_a_plan_says_everything_that_was_decided() {
    let plan = plan(&["v4l2loopback", "wireguard"], &["6.1.0-56-amd64"]).unwrap();
    let json = serde_json::to_value(PlanView::from(&plan)).unwrap();
    let target = &json["targets"][0];
    assert_eq!((json["schema"].as_u64(), target["target"]["kernel"].as_str()), (Some(1), Some("6.1.0-56-amd64")));
    assert_eq!(target["image"], "registry.example/drivers/v4l2loopback:0.15.3-6.1.0-56-amd64");
    assert_eq!((&target["state"], &target["why"], &target["compiler"]), (&"build".into(), &"not published".into(), &"gcc-12".into()));
    assert_eq!(target["headers"][0]["name"], "linux-headers-6.1.0-56-amd64");
    assert_eq!(json["skipped"][0]["why"], "in the kernel since 5.6");
}
