use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;

use super::*;
use crate::builder::{BuildEvent, BuilderInfo, SolveError};
use crate::error::Failure;
use crate::fetch::FetchOptions;
use crate::fixture;
use crate::image::contents::Contents;
use crate::mirror::Mirrors;
use crate::plan::Plan;
use crate::sign::signed_by;
use crate::signer::{KeySource, Signer};

const KERNEL: &str = "6.1.0-56-amd64";

type Answer = dyn Fn(&SolveRequest) -> Result<Vec<u8>, SolveError> + Send + Sync;

/// A builder that answers at once with tars made of the modules in `tests/fixtures/kmod`.
struct FakeBuilder {
    info: BuilderInfo,
    answer: Box<Answer>,
    /// Stages in the order in which they were asked for.
    asked: Mutex<Vec<String>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl FakeBuilder {
    fn new(answer: impl Fn(&SolveRequest) -> Result<Vec<u8>, SolveError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            info: BuilderInfo::default(),
            answer: Box::new(answer),
            asked: Mutex::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    /// How often a stage was asked for.
    fn asked(&self, stage: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == stage).count()
    }
}

impl Builder for FakeBuilder {
    fn info(&self) -> &BuilderInfo {
        &self.info
    }

    fn solve<'a>(
        &'a self,
        request: SolveRequest,
        output: &'a Path,
        events: UnboundedSender<BuildEvent>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<(), SolveError>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(request.stage.clone());
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            if request.stage != "warm" {
                self.most.fetch_max(running, Ordering::SeqCst);
            }
            let _ = events.send(BuildEvent::Log { step: "1".into(), line: format!("making {}", request.stage) });
            tokio::task::yield_now().await;
            self.running.fetch_sub(1, Ordering::SeqCst);
            if cancel.is_cancelled() {
                return Err(SolveError::Cancelled);
            }
            std::fs::write(output, (self.answer)(&request)?).map_err(|error| SolveError::Local { path: output.to_owned(), message: error.to_string() })
        })
    }
}

fn fixture_file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kmod").join(KERNEL).join(name)).unwrap()
}

fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// What a good build leaves for a stage, with this file as the module.
fn result(stage: &str, module: &str) -> Vec<u8> {
    match stage {
        "facts" => tar(&[("evidence/config", fixture_file("config"))]),
        "artifacts" => tar(&[
            ("tools/usr/bin/kmod", b"kmod".to_vec()),
            (&format!("modules/opt/lib/modules/{KERNEL}/extra/kmf_core.ko"), fixture_file(module)),
            (&format!("modules/opt/lib/modules/{KERNEL}/modules.dep"), b"extra/kmf_core.ko:\n".to_vec()),
            ("evidence/config", fixture_file("config")),
            ("evidence/Module.symvers", fixture_file("Module.symvers")),
            ("evidence/reference.ko", fixture_file("kmf_empty.ko")),
            ("evidence/compiler", b"gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0\n".to_vec()),
            ("evidence/packages", b"make 4.3\n".to_vec()),
            ("evidence/built-modules", b"kmf_core.ko\n".to_vec()),
        ]),
        _ => tar(&[]),
    }
}

fn good() -> Arc<FakeBuilder> {
    FakeBuilder::new(|request| Ok(result(&request.stage, "kmf_core.ko")))
}

fn broken_compile() -> Result<Vec<u8>, SolveError> {
    Err(SolveError::Step {
        step: "[build 3/4] RUN make -C /usr/src modules".into(),
        message: "exit code: 2".into(),
        exit_code: Some(2),
        log: vec!["  CC [M]  kmf_core.o".into(), "kmf_core.c:7:1: error: unknown type name 'nonsense'".into()],
    })
}

/// A place to work, and what becomes of targets there.
struct Place {
    folder: tempfile::TempDir,
    events: Mutex<Vec<Event>>,
    kept: Mutex<Vec<(usize, Outcome)>>,
    jobs: usize,
    fail_fast: bool,
    signing: Option<Signing>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for inner in ["src", "work"] {
            std::fs::create_dir(folder.path().join(inner)).unwrap();
        }
        std::fs::write(folder.path().join("src/Kbuild"), "obj-m := kmf_core.o\n").unwrap();
        Self { folder, events: Mutex::default(), kept: Mutex::default(), jobs: 2, fail_fast: false, signing: None }
    }

    fn workshop(&self, builder: Arc<FakeBuilder>) -> Workshop {
        let path = |inner: &str| self.folder.path().join(inner);
        Workshop {
            builder,
            fetcher: Arc::new(Fetcher::new(FetchOptions::new(Mirrors::default(), path("cache"))).unwrap()),
            registry: None,
            booter: None,
            layers: Arc::new(LayerCache::open(&path("cache/layers")).unwrap()),
            memory: KernelMemory::new(&path("cache")),
            options: Options {
                jobs: self.jobs,
                fail_fast: self.fail_fast,
                solve: Arc::default(),
                compression: Compression::Zstd,
                epoch: 0,
                attach: None,
                logs: path("logs"),
                work: path("work"),
                base_digests: BTreeMap::new(),
                signing: self.signing.clone(),
                driver_folders: [("kmf".to_owned(), self.folder.path().to_owned())].into(),
            },
            sources: Once::default(),
            firmware: Once::default(),
        }
    }

    async fn run(&self, builder: Arc<FakeBuilder>, targets: &[Target], cancel: &CancellationToken) -> Vec<Finished> {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let done = |index: usize, record: &TargetRecord| self.kept.lock().unwrap().push((index, record.outcome));
        let finished = run(&self.workshop(builder), targets, &sender, cancel, &done).await;
        drop(sender);
        while let Some(event) = receiver.recv().await {
            self.events.lock().unwrap().push(event);
        }
        finished
    }

    /// What users were told about failures.
    fn failures(&self) -> Vec<Failure> {
        let events = self.events.lock().unwrap();
        let told = |event: &Event| if let Event::TargetFinished { failure, .. } = event { failure.as_deref().cloned() } else { None };
        events.iter().filter_map(told).collect()
    }
}

/// The module under another licence, told in as many letters.
fn closed(mut bytes: Vec<u8>) -> Vec<u8> {
    let (open, closed) = (b"license=Dual BSD/GPL\0", b"license=Dual BSD/MPL\0");
    let at = bytes.windows(open.len()).position(|window| window == open).unwrap();
    bytes[at..at + closed.len()].copy_from_slice(closed);
    bytes
}

/// So many targets that differ in their tags only: the modules of the fixtures are for one kernel.
fn targets(count: usize) -> Vec<Target> {
    let target = fixture::target("kmf", KERNEL);
    let mut plan = Plan {
        targets: (0..count).map(|number| Target { image: format!("registry.example/kmf:{number}").parse().unwrap(), ..target.clone() }).collect(),
        skipped: Vec::new(),
    };
    render::fill_inputs(&mut plan, "").unwrap();
    plan.targets
}

fn outcomes(finished: &[Finished]) -> Vec<Outcome> {
    finished.iter().map(|finished| finished.record.outcome).collect()
}

#[tokio::test]
async fn a_module_that_taints_as_proprietary_is_labelled() {
    for (changed, label) in [(false, None), (true, Some("P"))] {
        let builder = FakeBuilder::new(move |request| {
            let answer = result(&request.stage, "kmf_core.ko");
            Ok(if changed && request.stage == "artifacts" { closed(answer) } else { answer })
        });
        let place = Place::new();
        let finished = place.run(builder, &targets(1), &CancellationToken::new()).await;
        let image = finished[0].image.as_ref().unwrap_or_else(|| panic!("{:?}", place.failures()));
        assert_eq!(image.annotations.get("io.kmodforge.taints").map(String::as_str), label);
    }
}

#[tokio::test]
async fn a_target_becomes_an_image_and_a_record() {
    let place = Place::new();
    let finished = place.run(good(), &targets(1), &CancellationToken::new()).await;
    let record = &finished[0].record;
    assert_eq!((record.outcome, record.why.as_str()), (Outcome::Built, "built"), "{:?} {:?}", record.findings, place.failures());
    let image = finished[0].image.as_ref().unwrap();
    assert_eq!(record.digest.as_deref(), Some(image.manifest.digest.as_str()));
    assert_eq!(record.compiler.as_deref(), Some("gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0"));
    assert!(record.checks > 10 && record.image_bytes > 0 && record.pushed_bytes == 0);
    assert!(record.source.as_ref().unwrap().contains(" sha256:"), "{:?}", record.source);
    assert_eq!(record.phases.keys().map(String::as_str).collect::<Vec<_>>(), ["assemble", "check", "compile", "fetch", "headers", "publish"]);
    assert_eq!(std::fs::read_to_string(record.log.as_ref().unwrap()).unwrap(), "making facts\nmaking artifacts\n");
}

fn signing(name: &str) -> Signing {
    let file = |end: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/sign/{name}.{end}"));
    let signer = Signer::open(&KeySource::File(file("key")), &file("crt"), None).unwrap();
    Signing { signer: Arc::new(signer), hash: None }
}

#[tokio::test]
async fn modules_are_signed_before_anything_is_made_of_them() {
    let (mut place, plain) = (Place::new(), Place::new());
    place.signing = Some(signing("rsa"));
    let finished = place.run(good(), &targets(1), &CancellationToken::new()).await;
    let (record, image) = (&finished[0].record, finished[0].image.as_ref().unwrap());
    let signer = record.signer.as_ref().unwrap();
    assert_eq!((signer.subject.as_str(), signer.hash.as_str()), ("CN=kmodforge test signer, O=Example", "sha256"));
    assert!(record.phases.contains_key("sign"), "{:?}", record.phases);
    assert_eq!(image.annotations["io.kmodforge.signer"], signer.subject);
    assert_eq!(image.annotations["io.kmodforge.signer-certificate"], signer.certificate);

    let layers: Vec<_> = image.layers.iter().map(|layer| layer.path.clone()).collect();
    let contents = Contents::open(&layers, place.folder.path()).unwrap();
    let module = contents.read(&format!("opt/lib/modules/{KERNEL}/extra/kmf_core.ko")).unwrap().unwrap();
    assert!(module.starts_with(&fixture_file("kmf_core.ko")));
    assert_eq!(signed_by(signing("rsa").signer.certificate(), "kmf_core.ko", &module), Ok(Ok(())));

    let unsigned = plain.run(good(), &targets(1), &CancellationToken::new()).await;
    let tools = |finished: &[Finished]| finished[0].image.as_ref().unwrap().layers[0].digest.clone();
    assert_eq!((tools(&unsigned), unsigned[0].record.signer.as_ref()), (tools(&finished), None), "only modules are signed");
}

#[tokio::test]
async fn a_kernel_that_knows_no_such_signatures_is_told() {
    let mut place = Place::new();
    place.signing = Some(signing("p256"));
    let finished = place.run(good(), &targets(1), &CancellationToken::new()).await;
    let finding = finished[0].record.findings.iter().find(|finding| finding.check == "module-signature").unwrap();
    assert_eq!((finished[0].record.outcome, finding.message.as_str()), (Outcome::Built, "the kernel cannot verify the modules' signatures"));
    assert_eq!((finding.found.as_deref(), finding.severity), (Some("ECDSA P-256"), crate::finding::Severity::Warning));
}

#[tokio::test]
async fn signed_images_are_reproducible_with_rsa() {
    let mut digests = Vec::new();
    for _ in 0..2 {
        let mut place = Place::new();
        place.signing = Some(signing("rsa"));
        digests.push(place.run(good(), &targets(1), &CancellationToken::new()).await[0].record.digest.clone().unwrap());
    }
    assert_eq!(digests[0], digests[1]);
}

#[tokio::test]
async fn the_same_inputs_give_the_same_image() {
    let (one, other) = (Place::new(), Place::new());
    let digest = |finished: Vec<Finished>| finished[0].record.digest.clone().unwrap();
    let first = digest(one.run(good(), &targets(1), &CancellationToken::new()).await);
    assert_eq!(first, digest(other.run(good(), &targets(1), &CancellationToken::new()).await));
}

#[tokio::test]
async fn a_driver_that_does_not_compile_says_why_in_its_own_words_and_disturbs_nobody() {
    let place = Place::new();
    let builder = FakeBuilder::new(|request| {
        let broken = request.stage == "artifacts" && request.dockerfile.contains("broken");
        if broken { broken_compile() } else { Ok(result(&request.stage, "kmf_core.ko")) }
    });
    let mut targets = targets(3);
    let mut profile = targets[1].driver.profile.as_ref().clone();
    profile.summary = "broken".into();
    targets[1].driver = crate::plan::PlannedDriver { profile: profile.into(), index: 0 }.into();
    let finished = place.run(builder, &targets, &CancellationToken::new()).await;
    assert_eq!(outcomes(&finished), [Outcome::Built, Outcome::Failed, Outcome::Built]);
    assert_eq!(finished[1].record.why, "did not compile");
    let failures = place.failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].headline, format!("kmf 1.0 for {KERNEL} (debian bookworm, amd64) did not compile"));
    assert_eq!(failures[0].facts[0], ("step".into(), "[build 3/4] RUN make -C /usr/src modules".into()));
    assert!(failures[0].facts[1].1.ends_with("\nkmf_core.c:7:1: error: unknown type name 'nonsense'"), "{}", failures[0]);
    assert_eq!(place.kept.lock().unwrap().len(), 3, "every result is kept as it comes");
}

#[tokio::test]
async fn what_the_configuration_forbids_is_found_before_anything_compiles_and_remembered() {
    let place = Place::new();
    let builder = FakeBuilder::new(|request| match request.stage.as_str() {
        "facts" => Ok(tar(&[("evidence/config", b"# CONFIG_CC_IS_GCC is not set\n".to_vec())])),
        stage => Ok(result(stage, "kmf_core.ko")),
    });
    let finished = place.run(builder.clone(), &targets(1), &CancellationToken::new()).await;
    assert_eq!((finished[0].record.outcome, finished[0].record.why.as_str()), (Outcome::Unsupported, "kernel has no `CONFIG_CC_IS_GCC`"));
    assert_eq!((builder.asked("facts"), builder.asked("artifacts")), (1, 0));
    let again = place.run(builder.clone(), &targets(1), &CancellationToken::new()).await;
    assert_eq!(again[0].record.outcome, Outcome::Unsupported);
    assert_eq!((builder.asked("facts"), builder.asked("artifacts")), (1, 0), "the second run knows");
    assert!(place.failures().is_empty(), "not possible is no failure");
}

#[tokio::test]
async fn a_module_that_a_check_rejects_becomes_no_image() {
    let place = Place::new();
    // Another module in the place of the expected one.
    let builder = FakeBuilder::new(|request| Ok(result(&request.stage, "kmf_closed.ko")));
    let finished = place.run(builder, &targets(1), &CancellationToken::new()).await;
    assert_eq!(finished[0].record.outcome, Outcome::Rejected, "{}", finished[0].record.why);
    assert!(finished[0].image.is_none() && finished[0].record.digest.is_none());
    assert!(!finished[0].record.findings.is_empty());
    assert_eq!(place.failures()[0].exit, crate::error::Exit::CheckFailed);
}

#[tokio::test]
async fn a_result_without_evidence_is_told_as_such() {
    let place = Place::new();
    let builder = FakeBuilder::new(|request| if request.stage == "artifacts" { Ok(tar(&[])) } else { Ok(result(&request.stage, "kmf_core.ko")) });
    let finished = place.run(builder, &targets(1), &CancellationToken::new()).await;
    assert_eq!(finished[0].record.outcome, Outcome::Failed);
    assert!(place.failures()[0].headline.contains("Module.symvers"), "{}", place.failures()[0]);
}

#[tokio::test]
async fn what_is_published_already_asks_nothing() {
    let place = Place::new();
    let builder = good();
    let mut targets = targets(1);
    let (digest, index) = (Digest::of(b"published"), Digest::of(b"index"));
    targets[0].state = State::Published { manifest: digest.clone(), index: index.clone() };
    let finished = place.run(builder.clone(), &targets, &CancellationToken::new()).await;
    assert_eq!((finished[0].record.outcome, finished[0].record.digest.as_deref()), (Outcome::Published, Some(digest.as_str())));
    assert_eq!(finished[0].record.index_digest.as_deref(), Some(index.as_str()));
    assert!(builder.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn toolchains_are_warmed_up_once_and_jobs_are_limited() {
    let place = Place::new();
    let builder = good();
    let finished = place.run(builder.clone(), &targets(6), &CancellationToken::new()).await;
    assert!(outcomes(&finished).iter().all(|outcome| *outcome == Outcome::Built));
    assert_eq!(builder.asked("warm"), 1, "one toolchain serves all");
    assert!(builder.most.load(Ordering::SeqCst) <= 3, "two jobs, and the toolchain beside them");
}

#[tokio::test]
async fn fail_fast_begins_nothing_after_a_failure() {
    let place = Place { jobs: 1, fail_fast: true, ..Place::new() };
    let builder = FakeBuilder::new(|request| if request.stage == "artifacts" { broken_compile() } else { Ok(result(&request.stage, "kmf_core.ko")) });
    let finished = place.run(builder.clone(), &targets(3), &CancellationToken::new()).await;
    assert_eq!(outcomes(&finished), [Outcome::Failed, Outcome::Cancelled, Outcome::Cancelled]);
    assert_eq!(builder.asked("artifacts"), 1);
    assert_eq!(place.failures().len(), 1, "what was only stopped is no failure");
}

#[tokio::test]
async fn a_run_that_is_stopped_keeps_what_is_done() {
    let place = Place { jobs: 1, ..Place::new() };
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let solved = AtomicUsize::new(0);
    let builder = FakeBuilder::new(move |request| {
        if request.stage == "artifacts" && solved.fetch_add(1, Ordering::SeqCst) == 1 {
            stop.cancel();
            return Err(SolveError::Cancelled);
        }
        Ok(result(&request.stage, "kmf_core.ko"))
    });
    let finished = place.run(builder, &targets(4), &cancel).await;
    assert_eq!(outcomes(&finished), [Outcome::Built, Outcome::Cancelled, Outcome::Cancelled, Outcome::Cancelled]);
    assert_eq!(*place.kept.lock().unwrap(), [(0, Outcome::Built), (1, Outcome::Cancelled), (2, Outcome::Cancelled), (3, Outcome::Cancelled)]);
    assert!(place.failures().is_empty());
}

#[tokio::test]
async fn sharing_makes_things_once_and_keeps_no_failure() {
    let once: Once<&str, u32> = Once::default();
    assert_eq!(once.get("a", || async { Err::<u32, _>("broken") }).await, Err("broken"));
    assert_eq!(once.get("a", || async { Ok::<_, &str>(1) }).await, Ok(1));
    assert_eq!(once.get("a", || async { Ok::<_, &str>(2) }).await, Ok(1));
}
