//! Builders that are not there, die, fail, or send what nobody should accept.

use kmodforge::record::Outcome;
use snapbox::{assert_data_eq, str};
use tar::EntryType;

use crate::bench::Act;
use crate::results::Kernel;
use crate::world::World;

const ALL: &str = "6.1.0-5*-amd64";

#[tokio::test(flavor = "multi_thread")]
async fn no_builder_anywhere() {
    let mut world = World::new().await;
    world.builder = None;
    let arguments = world.build_arguments(ALL, &[]);
    let ran = world.run_mounted("mount -t tmpfs none /run; [ ! -d /var/run ] || [ -L /var/run ] || mount -t tmpfs none /var/run; export PATH=/nowhere", &arguments);
    assert_data_eq!(ran.await.errors(), str![[""]]);
    assert!(world.tags().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_builder_that_was_asked_for_is_not_there() {
    let world = World::new().await;
    assert_data_eq!(world.build(ALL, &["--builder", "unix:///nowhere/b.sock"]).await.errors(), str![[""]]);
    assert_data_eq!(world.build(ALL, &["--builder", "nowhere"]).await.errors(), str![[""]]);
    let mut command = world.command(&world.with_profiles(&world.build_arguments(ALL, &[])));
    let child = command.env("KMODFORGE_BUILDER", "tcp://").spawn().unwrap();
    assert_data_eq!(world.finish(child).await.errors(), str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_builder_dies_in_the_middle() {
    let mut world = World::new().await;
    world.bench.set("6.1.0", "artifacts", Act::Hang("[build 3/4] RUN make modules"));
    let arguments = world.build_arguments("6.1.0-5[56]-amd64", &["--jobs", "1"]);
    let child = world.command(&world.with_profiles(&arguments)).spawn().unwrap();
    // The toolchain, the headers, and what hangs.
    world.bench.begun(3).await;
    let builder = world.builder.take();
    drop(builder);
    let ran = world.finish(child).await;
    assert_data_eq!(ran.errors(), str![[""]]);
    assert!(world.tags().is_empty() && world.files("tmp").is_empty());
    assert!(world.record().targets.iter().all(|target| target.outcome == Outcome::Failed));

    world.bench.clear();
    world.builder = Some(world.bench.start());
    world.run(&arguments).await.ended(0);
    assert_eq!(world.tags().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_does_not_compile() {
    let world = World::new().await;
    let lines = vec!["  CC [M]  /src/kmf_core.o", "/src/kmf_core.c:7:9: error: too few arguments to function `v4l2_fh_add`", "make[1]: *** [Makefile:1] Error 1"];
    world.bench.set("6.1.0-55", "artifacts", Act::Fail("[build 3/4] RUN --mount=type=bind,from=headers make -C /usr/src modules", lines, 2));
    let ran = world.build(ALL, &["--jobs", "1"]).await.ended(1);
    assert_data_eq!(ran.errors(), str![[""]]);
    assert_eq!(world.tags(), ["1.0-6.1.0-54-amd64", "1.0-6.1.0-56-amd64"], "the others are done");
    assert_eq!(ran.out.lines().count(), 2);
    let record = world.record();
    let failed = record.targets.iter().find(|target| target.outcome == Outcome::Failed).unwrap();
    assert_eq!(failed.why, "did not compile");
    let log = std::fs::read_to_string(world.path("work").join(failed.log.as_ref().unwrap())).unwrap();
    assert!(log.contains("too few arguments") && log.contains("make[1]: *** [Makefile:1] Error 1"), "{log}");

    world.bench.clear();
    world.build(ALL, &[]).await.ended(0);
    assert_eq!(world.bench.solved("artifacts"), ["6.1.0-55-amd64"], "the others are not built again");
}

#[tokio::test(flavor = "multi_thread")]
async fn fails_fast_when_told() {
    let world = World::new().await;
    world.bench.set("6.1.0-56", "artifacts", Act::Fail("[build 3/4] RUN make", vec!["no"], 2));
    let ran = world.build(ALL, &["--jobs", "1", "--fail-fast"]).await.ended(1);
    assert_data_eq!(ran.errors(), str![[""]]);
    let outcomes: Vec<_> = world.record().targets.iter().map(|target| (target.outcome, target.why.clone())).collect();
    assert_eq!(outcomes[0].0, Outcome::Failed);
    assert_eq!(outcomes[1..], [(Outcome::Cancelled, "not begun".to_owned()), (Outcome::Cancelled, "not begun".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_toolchain_or_the_headers_are_not_to_be_had() {
    let world = World::new().await;
    let lines = vec!["E: Unable to locate package gcc-12"];
    world.bench.set("6.1.0-56", "artifacts", Act::Fail("[toolchain 1/1] RUN apt-get update", lines, 100));
    let lines = vec!["E: Failed to fetch http://ftp.debian.org/debian/pool/x.deb  404  Not Found"];
    world.bench.set("6.1.0-55", "facts", Act::Fail("[headers 1/1] RUN for package in a b", lines, 100));
    world.bench.set("6.1.0-54", "artifacts", Act::Refuse("REGISTRY/library/debian:bookworm: not found"));
    assert_data_eq!(world.build(ALL, &["--jobs", "1"]).await.ended(1).errors(), str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tars_with_traps_are_refused() {
    let good = || Kernel::new("6.1.0-56-amd64").artifacts();
    let tars = [
        good().file("/etc/passwd", b"x"),
        good().file("tools/../../etc/passwd", b"x"),
        good().entry(EntryType::Char, "tools/dev/sda", "", b""),
        good().entry(EntryType::Block, "modules/dev", "", b""),
        good().entry(EntryType::Symlink, "tools/usr/lib", "../../../etc", b""),
        good().entry(EntryType::Link, "tools/shadow", "/etc/shadow", b""),
        good().file("etc/passwd", b"x"),
        good().file("tools/.wh.sh", b""),
    ];
    let world = World::new().await;
    let mut told = String::new();
    for tar in tars {
        world.bench.clear();
        world.bench.set("6.1.0-56", "artifacts", Act::Send(tar.bytes()));
        told += &world.build("latest", &[]).await.ended(1).errors();
    }
    assert_data_eq!(told, str![[""]]);
    assert!(world.tags().is_empty() && world.registry.state().manifests.is_empty() && world.registry.state().blobs.is_empty());
    assert!(world.files("tmp").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_are_cut_short_or_empty() {
    let world = World::new().await;
    let kernel = |release| Kernel::new(release);
    world.bench.set("6.1.0-56", "artifacts", Act::SendHalf(kernel("6.1.0-56-amd64").artifacts().bytes()));
    world.bench.set("6.1.0-55", "artifacts", Act::Send(Vec::new()));
    world.bench.set("6.1.0-54", "artifacts", Act::Send(kernel("6.1.0-54-amd64").facts().bytes()));
    assert_data_eq!(world.build(ALL, &["--jobs", "1"]).await.ended(1).errors(), str![[""]]);
    assert!(world.tags().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_for_another_kernel_is_not_pushed() {
    let world = World::new().await;
    let (this, other) = (Kernel::new("6.1.0-56-amd64"), Kernel::new("6.1.0-55-amd64"));
    world.bench.set("6.1.0-56", "artifacts", Act::Send(this.artifacts_with(&other.file("kmf_core.ko")).bytes()));
    // The symbol versions of the headers are another kernel's.
    let other = Kernel::new("6.1.0-55-amd64");
    let symvers = String::from_utf8(other.file("Module.symvers")).unwrap();
    assert!(symvers.contains("0x9060323f\tmodule_layout"));
    let mut module = other.file("kmf_core.ko");
    let at = module.windows(4).position(|bytes| bytes == [0x3f, 0x32, 0x60, 0x90]).unwrap();
    module[at] = 0xc0;
    world.bench.set("6.1.0-55", "artifacts", Act::Send(other.artifacts_with(&module).bytes()));
    // The build left no module at all.
    world.bench.set("6.1.0-54", "artifacts", Act::Send(Kernel::new("6.1.0-54-amd64").evidence().bytes()));
    let ran = world.build(ALL, &["--jobs", "1"]).await.ended(3);
    assert_data_eq!(ran.errors(), str![[""]]);
    assert!(world.tags().is_empty() && world.registry.state().blobs.is_empty());
    let record = world.record();
    assert!(record.targets.iter().all(|target| target.outcome == Outcome::Rejected && target.digest.is_none() && !target.findings.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_that_lacks_an_option_is_remembered() {
    let world = World::new().await;
    let driver = std::fs::read_to_string(world.path("profiles/drivers/kmf.yaml")).unwrap();
    world.profile("drivers/kmf.yaml", &driver.replace("CONFIG_VIDEO_DEV", "CONFIG_DRM"));
    let ran = world.build("latest", &[]).await.ended(4);
    assert_data_eq!(ran.err, str![[""]]);
    assert!(world.bench.solved("artifacts").is_empty(), "nothing is compiled");
    let ran = world.run(&["plan", "--driver", "kmf", "--kernel", "latest", "--repo", "REPO"]).await.ended(4);
    assert_data_eq!(ran.out + &ran.err, str![[""]]);
}
