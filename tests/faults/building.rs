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
    let ran =
        world.run_mounted("mount -t tmpfs none /run; [ ! -d /var/run ] || [ -L /var/run ] || mount -t tmpfs none /var/run; export PATH=/nowhere", &arguments);
    assert_data_eq!(
        ran.await.errors(),
        str![[r"
error: no builder answers
  tried     unix:///var/run/docker.sock: No such file or directory (os error 2)
            unix:///run/buildkit/buildkitd.sock: No such file or directory (os error 2)
            a private buildkitd: no `buildkitd` on PATH
            a private dockerd: no `dockerd` on PATH
  help      start Docker or `buildkitd`, or name one with `--builder` or `KMODFORGE_BUILDER`
  help      with `buildkitd` and `runc`, or `dockerd`, on PATH, kmodforge run as root starts one by itself
exit 1

"]]
    );
    assert!(world.tags().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_builder_that_was_asked_for_is_not_there() {
    let world = World::new().await;
    assert_data_eq!(
        world.build(ALL, &["--builder", "unix:///nowhere/b.sock"]).await.errors(),
        str![[r"
error: no builder answers at `unix:///nowhere/b.sock`
  found     No such file or directory (os error 2)
  asked by  --builder
  help      start it, or name another one with `--builder`; `kmodforge doctor` shows what there is
exit 1

"]]
    );
    assert_data_eq!(
        world.build(ALL, &["--builder", "nowhere"]).await.errors(),
        str![[r"
error: `nowhere` is no builder; expected `auto`, `docker`, `docker:SOCKET`, `unix://PATH`, `tcp://HOST:PORT`, `ssh://HOST` or `private`
exit 2

"]]
    );
    let mut command = world.command(&world.with_profiles(&world.build_arguments(ALL, &[])));
    let child = command.env("KMODFORGE_BUILDER", "tcp://").spawn().unwrap();
    assert_data_eq!(
        world.finish(child).await.errors(),
        str![[r"
error: `tcp://` is not a builder's address
  found     the port is missing
  set by    KMODFORGE_BUILDER
  help      addresses look like `unix:///run/buildkit/buildkitd.sock`, `tcp://host:1234?cacert=ca.pem&cert=cert.pem&key=key.pem`, `ssh://user@host`
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_builder_dies_in_the_middle() {
    let mut world = World::new().await;
    world.bench.set("6.1.0", "artifacts", Act::Hang("[build 3/4] RUN make modules"));
    let arguments = world.build_arguments("6.1.0-5[56]-amd64", &["--jobs", "1"]);
    let child = world.command(&world.with_profiles(&arguments)).spawn().unwrap();
    // The toolchain, the headers, and what hangs.
    world.bench.begun(3).await;
    world.logged(".kmodforge/logs/kmf-1.0-6.1.0-56-amd64-amd64.log", 3).await;
    let builder = world.builder.take();
    drop(builder);
    let ran = world.finish(child).await;
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: the connection to the builder was lost: [..]
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  log       .kmodforge/logs/kmf-1.0-6.1.0-56-amd64-amd64.log (3 lines)
  help      see whether the builder still runs (kmodforge doctor), then run the same command again: finished targets are skipped
error: the connection to the builder was lost: [..]
  target    kmf 1.0 for 6.1.0-55-amd64 (debian bookworm, amd64)
  log       .kmodforge/logs/kmf-1.0-6.1.0-55-amd64-amd64.log (0 lines)
  help      see whether the builder still runs (kmodforge doctor), then run the same command again: finished targets are skipped
exit 1

"]]
    );
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
    let lines =
        vec!["  CC [M]  /src/kmf_core.o", "/src/kmf_core.c:7:9: error: too few arguments to function `v4l2_fh_add`", "make[1]: *** [Makefile:1] Error 1"];
    world.bench.set("6.1.0-55", "artifacts", Act::Fail("[build 3/4] RUN --mount=type=bind,from=headers make -C /usr/src modules", lines, 2));
    let ran = world.build(ALL, &["--jobs", "1"]).await.ended(1);
    assert!(ran.err.contains("\n2 targets done, 1 failed\n"), "{}", ran.err);
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: kmf 1.0 for 6.1.0-55-amd64 (debian bookworm, amd64) did not compile
  step      [build 3/4] RUN make -C /usr/src modules
  log       .kmodforge/logs/kmf-1.0-6.1.0-55-amd64-amd64.log (6 lines)
            /src/kmf_core.c:7:9: error: too few arguments to function `v4l2_fh_add`
            make[1]: *** [Makefile:1] Error 1
exit 1

"]]
    );
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
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64) did not compile
  step      [build 3/4] RUN make
  log       .kmodforge/logs/kmf-1.0-6.1.0-56-amd64-amd64.log (4 lines)
            no
exit 1

"]]
    );
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
    assert_data_eq!(
        world.build(ALL, &["--jobs", "1"]).await.ended(1).errors(),
        str![[r"
error: kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64) could not be built: the toolchain could not be installed
  step      [toolchain 1/1] RUN apt-get update
  log       .kmodforge/logs/kmf-1.0-6.1.0-56-amd64-amd64.log (4 lines)
            E: Unable to locate package gcc-12
error: kmf 1.0 for 6.1.0-55-amd64 (debian bookworm, amd64) could not be built: its kernel's headers could not be unpacked
  step      [headers 1/1] RUN for package in a b
  log       .kmodforge/logs/kmf-1.0-6.1.0-55-amd64-amd64.log (2 lines)
            E: Failed to fetch http://ftp.debian.org/debian/pool/x.deb  404  Not Found
error: kmf 1.0 for 6.1.0-54-amd64 (debian bookworm, amd64) could not be built
  builder   REGISTRY/library/debian:bookworm: not found
  log       .kmodforge/logs/kmf-1.0-6.1.0-54-amd64-amd64.log (2 lines)
  help      check the image's name, and `mirrors` in kmodforge.yaml
exit 1

"]]
    );
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
    assert_data_eq!(
        told,
        str![[r"
error: the builder's tar is refused: entry `/etc/passwd` has an absolute path
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      nothing was published; look at what the driver's build recipe installs
exit 1
error: the builder's tar is refused: entry `tools/../../etc/passwd` has `..` in its path
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      nothing was published; look at what the driver's build recipe installs
exit 1
error: the builder's tar is refused: entry `tools/dev/sda` is a device node
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      nothing was published; look at what the driver's build recipe installs
exit 1
error: the builder's tar is refused: entry `modules/dev` is a device node
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      nothing was published; look at what the driver's build recipe installs
exit 1
error: the builder's tar is refused: entry `tools/usr/lib` is a link out of the image: `../../../etc`
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      nothing was published; look at what the driver's build recipe installs
exit 1
error: the builder's tar is refused: entry `tools/shadow` is a hard link to `etc/shadow`, which is no file of the same layer
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      nothing was published; look at what the driver's build recipe installs
exit 1
error: the builder's tar is refused: entry `etc/passwd` is not below `tools/`, `modules/`, `evidence/`
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      nothing was published; look at what the driver's build recipe installs
exit 1
error: the builder's tar is refused: entry `tools/.wh.sh` is an overlay whiteout
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      nothing was published; look at what the driver's build recipe installs
exit 1

"]]
    );
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
    assert_data_eq!(
        world.build(ALL, &["--jobs", "1"]).await.ended(1).errors(),
        str![[r"
error: the builder's tar is refused: it is truncated: it ends at byte 10496
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      run again: the transfer may have been cut short
error: the builder's tar is refused: it is truncated: it ends at byte 0
  target    kmf 1.0 for 6.1.0-55-amd64 (debian bookworm, amd64)
  help      run again: the transfer may have been cut short
error: the builder's tar has no file `evidence/reference.ko`
  target    kmf 1.0 for 6.1.0-54-amd64 (debian bookworm, amd64)
  help      the Dockerfile's stage `artifacts` must make this file
exit 1

"]]
    );
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
    assert_data_eq!(
        ran.errors(),
        str![[r"
error[vermagic]: `kmf_core.ko` was compiled for another kernel than 6.1.0-56-amd64
  image     REGISTRY/drivers/kmf:1.0-6.1.0-56-amd64
  file      /opt/lib/modules/6.1.0-56-amd64/extra/kmf_core.ko
  found     6.1.0-55-amd64 SMP preempt mod_unload modversions
  expected  6.1.0-56-amd64 SMP preempt mod_unload modversions
  help      the headers used were not this kernel's; nothing was pushed
error[symbol-crc]: `kmf_core.ko` was compiled for another kernel than 6.1.0-55-amd64
  image     REGISTRY/drivers/kmf:1.0-6.1.0-55-amd64
  file      /opt/lib/modules/6.1.0-55-amd64/extra/kmf_core.ko
  found     `module_layout` 0x906032c0
  expected  0x9060323f (Module.symvers of linux-headers-6.1.0-55-amd64 6.1.192-2)
  help      the headers used were not this kernel's; nothing was pushed
error[modules-present]: the image holds no module for 6.1.0-54-amd64
  image     REGISTRY/drivers/kmf:1.0-6.1.0-54-amd64
  also      depmod: the image has no `modules.dep` for 6.1.0-54-amd64; modprobe finds no module
  help      nothing was pushed
exit 3

"]]
    );
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
    assert_data_eq!(
        ran.calm(),
        str![[r"
builder: buildkitd 0.32.2 at unix://BUILDER
TIME run started, 1 target
TIME kmf@1.0/6.1.0-56-amd64 started
TIME kmf@1.0/6.1.0-56-amd64 headers started
TIME kmf@1.0/6.1.0-56-amd64 headers [build 3/4] RUN make modules started
TIME kmf@1.0/6.1.0-56-amd64 headers [build 3/4] RUN make modules done SOMEs
TIME kmf@1.0/6.1.0-56-amd64 skipped kernel has no `CONFIG_DRM` SOMEs
DRIVER DISTRO KERNEL ARCH RESULT TIME SIZE NEW DIGEST
kmf 1.0 debian bookworm 6.1.0-56-amd64 amd64 kernel has no `CONFIG_DRM`
0 targets done, 1 not possible
record kmodforge-record.json

"]]
    );
    assert!(world.bench.solved("artifacts").is_empty(), "nothing is compiled");
    let ran = world.run(&["plan", "--driver", "kmf", "--kernel", "latest", "--repo", "REPO"]).await.ended(4);
    assert_data_eq!(
        ran.out + &ran.err,
        str![[r"
DRIVER   DISTRO           KERNEL          ARCH   STATE    WHY
kmf 1.0  debian bookworm  6.1.0-56-amd64  amd64  not for  kernel has no `CONFIG_DRM`
1 not possible

"]]
    );
}
