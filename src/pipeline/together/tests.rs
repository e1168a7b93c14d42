use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::arch::Arch;
use crate::boot::{Accelerator, BootOptions, Emulator, Files, Plan as BootPlan};
use crate::fetch::{FetchOptions, Fetcher};
use crate::fixture;
use crate::image::scan::Kind;
use crate::mirror::Mirrors;
use crate::package::PublishedKernel;
use crate::profile::distro::BootRules;
use crate::profile::driver::Load;

/// Targets for kernels, which are told apart by their numbers.
fn targets(kernels: &[&str]) -> Vec<Target> {
    let target = |kernel: &&str| {
        let mut target = fixture::target("kmf", "6.1.0-56-amd64");
        target.kernel = Arc::new(PublishedKernel { release: kernel.parse().unwrap(), ..target.kernel.as_ref().clone() });
        target.state = State::Build("not published".into());
        target
    };
    kernels.iter().map(target).collect()
}

struct Nothing;

impl Files for Nothing {
    fn list(&self) -> BTreeMap<String, Kind> {
        BTreeMap::new()
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        Err(io::Error::other(path.to_owned()))
    }
}

/// A subject that cannot be booted: whoever asks learns at once that its kernel is not to be had.
fn subject() -> Subject {
    Subject {
        plan: BootPlan {
            kernel: "6.1.0-56-amd64".parse().unwrap(),
            base: "/opt".into(),
            remove_first: Vec::new(),
            load_first: Vec::new(),
            modules: Vec::new(),
            load: Load::default(),
            firmware: false,
            optional_firmware: None,
        },
        arch: Arch::Amd64,
        packages: Vec::new(),
        rules: BootRules { packages: Vec::new(), dependencies: None, kernel: "k".into(), modules: "m".into() },
        files: Arc::new(Nothing),
        log: "log".into(),
        tell: Arc::new(|_| ()),
    }
}

async fn booter(folder: &Path) -> Booter {
    let fetcher = Arc::new(Fetcher::new(FetchOptions::new(Mirrors::default(), folder.join("cache"))).unwrap());
    let emulator = Emulator { program: "/nowhere".into(), arch: Arch::Amd64, accelerator: Accelerator::Tcg, why: None };
    Booter::new(fetcher, BootOptions::default()).with_emulator(emulator).await
}

/// Boots as the targets at these positions, with one worker; the others leave. How many heard what became of their boot.
async fn boot(kernels: &[&str], booting: &[usize]) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let (booter, cancel, slots, answered) = (booter(folder.path()).await, CancellationToken::new(), Semaphore::new(1), AtomicUsize::new(0));
    let groups = Groups::of(&targets(kernels));
    let one = async |index: usize| {
        let mut slot = Slot::take(&slots).await;
        let seat = groups.seat(index).unwrap();
        if booting.contains(&index) {
            let result = seat.boot(&booter, subject(), folder.path(), &mut slot, &cancel).await;
            assert!(matches!(result, Err(BootError::NoPackages(_))), "{result:?}");
            assert!(slot.permit.is_some());
            answered.fetch_add(1, Ordering::SeqCst);
        }
    };
    let all = futures::future::join_all((0..kernels.len()).map(one));
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("somebody waits for ever");
    answered.into_inner()
}

#[test]
fn targets_of_a_kernel_are_worked_on_one_after_the_other() {
    let groups = Groups::of(&targets(&["6.1.1", "6.1.2", "6.1.1", "6.1.3", "6.1.2", "6.1.1"]));
    assert_eq!(groups.order(6), [0, 2, 5, 1, 4, 3]);
    assert!(groups.seat(3).is_none(), "a kernel with one driver");
    assert_eq!(groups.seat(4).unwrap().others(), [format!("kmf {}", fixture::target("kmf", "6.1.0-56-amd64").driver.version().version)]);
    assert_eq!(Groups::default().order(3), [0, 1, 2]);
}

#[tokio::test]
async fn one_worker_is_enough_for_those_who_wait_for_each_other() {
    assert_eq!(boot(&["6.1.1"; 5], &[0, 1, 2, 3, 4]).await, 5);
}

#[tokio::test]
async fn nobody_waits_for_targets_that_do_not_come_to_their_boot() {
    assert_eq!(boot(&["6.1.1"; 4], &[0, 2]).await, 2, "the last one leaves");
    assert_eq!(boot(&["6.1.1"; 4], &[1, 3]).await, 2, "the first one leaves");
    assert_eq!(boot(&["6.1.1"; 4], &[0]).await, 1);
    assert_eq!(boot(&["6.1.1"; 2], &[]).await, 0);
}

#[tokio::test]
async fn who_waits_can_be_stopped_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (booter, slots) = (booter(folder.path()).await, Semaphore::new(2));
    let groups = Groups::of(&targets(&["6.1.1"; 3]));
    let (stopped, running) = (CancellationToken::new(), CancellationToken::new());
    let mut slot = Slot::take(&slots).await;
    let waiting = groups.seat(0).unwrap().boot(&booter, subject(), folder.path(), &mut slot, &stopped);
    let stop = async {
        tokio::task::yield_now().await;
        stopped.cancel();
    };
    assert!(matches!(tokio::join!(waiting, stop).0, Err(BootError::Cancelled)));
    let (mut first, last) = (Slot::take(&slots).await, groups.seat(2).unwrap());
    let waiting = groups.seat(1).unwrap().boot(&booter, subject(), folder.path(), &mut first, &running);
    let leave = async {
        tokio::task::yield_now().await;
        drop(last);
    };
    let (result, ()) = tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(waiting, leave) }).await.unwrap();
    assert!(matches!(result, Err(BootError::NoPackages(_))));
}
