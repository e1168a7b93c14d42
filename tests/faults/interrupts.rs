//! Ctrl-C.

use std::time::{Duration, Instant};

use kmodforge::record::Outcome;
use rustix::process::{Pid, Signal, kill_process};
use snapbox::{assert_data_eq, str};
use tokio::process::Child;

use crate::bench::Act;
use crate::world::World;

const STEP: &str = "[build 3/4] RUN make modules";

fn send(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_builder_is_idle_soon_and_nothing_is_left() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut world = World::new().await;
        world.bench.set("6.1.0-5", "artifacts", Act::Hang(STEP));
        world.bench.set("6.1.0-56", "warm", Act::Hang("[toolchain 1/1] RUN apt-get"));
        let arguments = world.build_arguments("6.1.0-5*-amd64", &["--jobs", "2"]);
        let child = world.command(&world.with_profiles(&arguments)).spawn().unwrap();
        // The toolchain, and headers and modules of two.
        world.bench.begun(5).await;
        let started = Instant::now();
        send(&child, signal);
        world.builder.as_mut().unwrap().idle().await;
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        let ran = world.finish(child).await.ended(130);
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        assert!(ran.err.contains("\nstopping; once more to stop at once\n"), "{}", ran.err);
        assert_data_eq!(
            ran.errors(),
            str![[r"
exit 130

"]]
        );
        assert!(world.files("tmp").is_empty(), "{:?}", world.files("tmp"));
        let left: Vec<_> = world.files("cache").into_iter().filter(|file| file.contains("part")).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(world.files("work").iter().filter(|file| !file.starts_with(".kmodforge")).collect::<Vec<_>>(), ["kmodforge-record.json"]);
        assert!(world.record().targets.iter().all(|target| target.outcome == Outcome::Cancelled));
        assert!(world.tags().is_empty());

        world.bench.clear();
        world.run(&arguments).await.ended(0);
        assert_eq!(world.tags().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_stays_done() {
    let world = World::new().await;
    world.bench.set("6.1.0-54", "artifacts", Act::Hang(STEP));
    let arguments = world.build_arguments("6.1.0-5*-amd64", &["--jobs", "1"]);
    let child = world.command(&world.with_profiles(&arguments)).spawn().unwrap();
    world.bench.begun(7).await;
    send(&child, Signal::INT);
    let ran = world.finish(child).await.ended(130);
    assert_eq!(world.tags(), ["1.0-6.1.0-55-amd64", "1.0-6.1.0-56-amd64"]);
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
    let outcomes: Vec<_> = world.record().targets.iter().map(|target| target.outcome).collect();
    assert_eq!(outcomes, [Outcome::Built, Outcome::Built, Outcome::Cancelled]);
}

#[tokio::test(flavor = "multi_thread")]
async fn twice_is_at_once() {
    let world = World::new().await;
    world.bench.set("6.1.0-56", "artifacts", Act::HangOn(STEP));
    let child = world.command(&world.with_profiles(&world.build_arguments("latest", &[]))).spawn().unwrap();
    world.bench.begun(3).await;
    send(&child, Signal::INT);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    send(&child, Signal::INT);
    world.finish(child).await.ended(130);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn before_anything_was_built() {
    let world = World::new().await;
    world.site.put("/debian/dists/bookworm/InRelease", crate::site::Page::Silence);
    for verb in [&["plan", "--driver", "kmf", "--kernel", "latest"][..], &world.build_arguments("latest", &[])] {
        let child = world.command(&world.with_profiles(verb)).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
        let started = Instant::now();
        send(&child, Signal::INT);
        let ran = world.finish(child).await.ended(130);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        let build = if verb[0] == "build" { " before anything was built" } else { "" };
        assert_eq!(ran.err, format!("stopping; once more to stop at once\nerror: interrupted{build}\n"));
    }
}
