use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::google::protobuf::Any;
use bollard_buildkit_proto::google::rpc;
use bollard_buildkit_proto::health::HealthCheckRequest;
use bollard_buildkit_proto::health::health_client::HealthClient;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::GetSecretRequest;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_client::SecretsClient;
use bollard_buildkit_proto::moby::filesync::v1::auth_client::AuthClient;
use bollard_buildkit_proto::moby::filesync::v1::file_sync_client::FileSyncClient;
use bollard_buildkit_proto::moby::filesync::v1::{CredentialsRequest, GetTokenAuthorityRequest};
use prost::Message;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};

use super::*;
use crate::builder::{Builder, Content, ContextFile, Secret, SolveOptions};
use crate::buildkit::context::hex;
use crate::buildkit::fake::{Fake, Job, Kind};

fn request() -> SolveRequest {
    SolveRequest {
        name: "test".to_owned(),
        dockerfile: "FROM scratch AS out\n".into(),
        stage: "out".to_owned(),
        build_args: Vec::new(),
        context: Vec::new(),
        platform: None,
        options: Arc::new(SolveOptions::default()),
    }
}

/// Solves, and tells what came of it, with the events.
async fn solve(fake: &Fake, request: SolveRequest, cancel: CancellationToken) -> (Result<(), SolveError>, Vec<BuildEvent>, PathBuf) {
    let output = fake.dir().join("out/result.tar");
    fs::create_dir_all(output.parent().unwrap()).unwrap();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let builder = fake.connect().await;
    let result = builder.solve(request, &output, sender, cancel).await;
    let mut events = Vec::new();
    while let Ok(event) = receiver.try_recv() {
        events.push(event);
    }
    (result, events, output)
}

fn assert_nothing_left(output: &std::path::Path) {
    let names: Vec<_> = fs::read_dir(output.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.is_empty(), "{names:?}");
}

#[tokio::test]
async fn receives_the_tar_from_every_kind_of_builder() {
    for (kind, name) in
        [(Kind::Buildkitd, "buildkitd 0.32.2"), (Kind::OldEngine, "Docker Engine 20.10.24"), (Kind::NewEngine, "Docker Engine 31.0.0, BuildKit 0.32.2")]
    {
        let fake = Fake::start(kind, async |job: Job| {
            job.step("[out 1/1] COPY . /", Some(""));
            job.send_tar(vec![vec![1; 3 << 20], vec![2; 10]]).await
        });
        assert_eq!(fake.connect().await.info().name, name);
        let (result, events, output) = solve(&fake, request(), CancellationToken::new()).await;
        result.unwrap();
        assert_eq!(fs::read(&output).unwrap(), [vec![1; 3 << 20], vec![2; 10]].concat());
        assert!(events.contains(&BuildEvent::Transfer { what: "receiving the result".to_owned(), bytes: (3 << 20) + 10 }));
        assert!(events.iter().any(|event| matches!(event, BuildEvent::StepDone { name, .. } if name == "[out 1/1] COPY . /")));
        assert_eq!(fs::read_dir(output.parent().unwrap()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn serves_health_secrets_and_credentials() {
    let fake = Fake::start(Kind::Buildkitd, async |job: Job| {
        let methods: Vec<_> = job.metadata.get_all("x-docker-expose-session-grpc-method").iter().map(|method| method.to_str().unwrap()).collect();
        assert_eq!(methods.len(), 4, "no file sync for a small context");
        HealthClient::new(job.session.clone()).check(HealthCheckRequest::default()).await?;
        let mut secrets = SecretsClient::new(job.session.clone());
        let ask = |id: &str| GetSecretRequest { id: id.to_owned(), ..Default::default() };
        assert_eq!(secrets.get_secret(ask("token")).await?.into_inner().data, b"s3cret");
        assert_eq!(secrets.get_secret(ask("other")).await.unwrap_err().code(), Code::NotFound);
        let mut auth = AuthClient::new(job.session.clone());
        let answer = auth.credentials(CredentialsRequest { host: "r.example".to_owned() }).await?.into_inner();
        assert_eq!((answer.username.as_str(), answer.secret.as_str()), ("", ""), "an unknown registry is no error");
        assert_eq!(auth.get_token_authority(GetTokenAuthorityRequest::default()).await.unwrap_err().code(), Code::Unimplemented);
        job.send_tar(vec![vec![0; 1024]]).await
    });
    let secret = Secret { id: "token".to_owned(), data: b"s3cret".as_slice().into() };
    let options = SolveOptions { secrets: vec![secret], ..SolveOptions::default() };
    let (result, ..) = solve(&fake, SolveRequest { options: Arc::new(options), ..request() }, CancellationToken::new()).await;
    result.unwrap();
}

/// What the daemon's side of a file sync gets to see.
async fn fetch_context(job: &Job, want: &[u32]) -> Result<(Vec<Stat>, Vec<Vec<u8>>), Status> {
    let (packets, outgoing) = mpsc::channel(8);
    let mut call = Request::new(ReceiverStream::new(outgoing));
    call.metadata_mut().insert("dir-name", "context".parse().unwrap());
    let mut incoming = FileSyncClient::new(job.session.clone()).diff_copy(call).await?.into_inner();
    let mut stats = Vec::new();
    while let Some(Packet { stat: Some(stat), .. }) = incoming.message().await? {
        stats.push(stat);
    }
    let mut files = Vec::new();
    for id in want {
        packets.send(Packet { r#type: PacketType::PacketReq.into(), id: *id, ..Packet::default() }).await.unwrap();
        let mut file = Vec::new();
        loop {
            let packet = incoming.message().await?.expect("the stream ended early");
            match PacketType::try_from(packet.r#type) {
                Ok(PacketType::PacketData) if packet.data.is_empty() => break,
                Ok(PacketType::PacketData) => file.extend(packet.data),
                _ => return Err(Status::unknown(String::from_utf8_lossy(&packet.data).into_owned())),
            }
        }
        files.push(file);
    }
    packets.send(Packet { r#type: PacketType::PacketFin.into(), ..Packet::default() }).await.unwrap();
    assert_eq!(incoming.message().await?.unwrap().r#type, i32::from(PacketType::PacketFin));
    Ok((stats, files))
}

fn on_disk(path: &std::path::Path, data: &[u8]) -> ContextFile {
    fs::write(path, data).unwrap();
    ContextFile { path: "src/big".to_owned(), content: Content::File { path: path.to_owned(), sha256: hex(&Sha256::digest(data)) } }
}

#[tokio::test]
async fn sends_a_large_context_by_file_sync() {
    let fake = Fake::start(Kind::Buildkitd, async |job: Job| {
        assert!(!job.request.frontend_inputs.contains_key("context"));
        let key = job.metadata.get("x-docker-expose-session-sharedkey").unwrap();
        assert_eq!(key.to_str().unwrap().len(), 64, "named after the content");
        let (stats, files) = fetch_context(&job, &[0, 2]).await?;
        let seen: Vec<_> = stats.iter().map(|stat| (stat.path.as_str(), stat.mode, stat.size)).collect();
        assert_eq!(seen, [("a.txt", 0o644, 1), ("src", 1 << 31 | 0o755, 0), ("src/big", 0o644, 3 << 20)]);
        assert!(files[0] == b"x" && files[1] == vec![7; 3 << 20]);
        job.send_tar(vec![vec![0; 1024]]).await
    });
    let small = ContextFile { path: "a.txt".to_owned(), content: Content::Bytes(b"x".as_slice().into()) };
    let context = vec![on_disk(&fake.dir().join("big"), &vec![7; 3 << 20]), small];
    let (result, ..) = solve(&fake, SolveRequest { context, ..request() }, CancellationToken::new()).await;
    result.unwrap();
}

#[tokio::test]
async fn stops_when_a_context_file_is_not_what_it_was() {
    let fake = Fake::start(Kind::Buildkitd, async |job: Job| fetch_context(&job, &[1]).await.map(|_| ()));
    let path = fake.dir().join("big");
    let context = vec![on_disk(&path, &vec![7; 3 << 20])];
    fs::write(&path, vec![8; 3 << 20]).unwrap();
    let (result, _, output) = solve(&fake, SolveRequest { context, ..request() }, CancellationToken::new()).await;
    assert_eq!(result.unwrap_err().to_string(), format!("{}: the file changed since its digest was computed", path.display()));
    assert_nothing_left(&output);
}

#[tokio::test]
async fn a_tar_that_ended_well_does_not_make_a_failed_solve_good() {
    let fake = Fake::start(Kind::Buildkitd, async |job: Job| {
        job.send_tar(vec![vec![1; 100]]).await?;
        Err(Status::unknown("failed to solve: no space left on device"))
    });
    let (result, _, output) = solve(&fake, request(), CancellationToken::new()).await;
    assert_eq!(result.unwrap_err().to_string(), "no space left on device");
    assert_nothing_left(&output);
}

#[tokio::test]
async fn a_solve_without_a_result_is_no_success() {
    let fake = Fake::start(Kind::Buildkitd, async |_| Ok(()));
    let (result, _, output) = solve(&fake, request(), CancellationToken::new()).await;
    assert_eq!(result.unwrap_err().to_string(), "the builder did not send its result");
    assert_nothing_left(&output);
}

#[tokio::test]
async fn tells_the_failed_step_with_its_last_lines_however_long_the_error_is() {
    let fake = Fake::start(Kind::Buildkitd, async |job: Job| {
        let step = "[build 2/2] RUN make";
        job.step(step, None);
        job.print(step, "cc: error\nno newline");
        let error = format!("process \"/bin/sh -c {}\" did not complete successfully: exit code: 2", "x".repeat(20_000));
        job.step(step, Some(&error));
        let any = |kind: &str, json: &str| Any { type_url: format!("github.com/moby/buildkit/{kind}+json"), value: json.as_bytes().to_vec() };
        let source = format!(r#"{{"info":{{"data":"{}"}},"ranges":[]}}"#, "A".repeat(60_000));
        let details = vec![any("errdefs.Vertex", r#"{"digest":"[build 2/2] RUN make"}"#), any("errdefs.Source", &source)];
        let details = rpc::Status { code: 2, message: error.clone(), details };
        Err(Status::with_details(Code::Unknown, error, details.encode_to_vec().into()))
    });
    let (result, events, output) = solve(&fake, request(), CancellationToken::new()).await;
    let Err(SolveError::Step { step, exit_code, message, log }) = result else { panic!("{result:?}") };
    assert_eq!((step.as_str(), exit_code, log), ("[build 2/2] RUN make", Some(2), vec!["cc: error".to_owned(), "no newline".to_owned()]));
    assert!(message.len() > 20_000);
    assert!(events.contains(&BuildEvent::Log { step: step.clone(), line: "no newline".to_owned() }));
    assert_nothing_left(&output);
}

#[tokio::test]
async fn cancelling_stops_the_builder() {
    let mut fake = Fake::start(Kind::OldEngine, async |job: Job| {
        job.step("[build 1/1] RUN sleep", None);
        std::future::pending().await
    });
    let cancel = CancellationToken::new();
    let mut running = fake.running.clone();
    let token = cancel.clone();
    tokio::spawn(async move {
        running.wait_for(|running| *running == 1).await.unwrap();
        token.cancel();
    });
    let (result, _, output) = solve(&fake, request(), cancel).await;
    assert!(matches!(result, Err(SolveError::Cancelled)), "{result:?}");
    fake.idle().await;
    assert_nothing_left(&output);
}

#[tokio::test]
async fn dropping_the_future_stops_the_builder() {
    let mut fake = Fake::start(Kind::Buildkitd, async |_| std::future::pending().await);
    let mut running = fake.running.clone();
    let output = fake.dir().join("out/x.tar");
    let solving = solve(&fake, request(), CancellationToken::new());
    tokio::select! {
        _ = solving => panic!("it never ends"),
        _ = async { running.wait_for(|running| *running == 1).await.map(|_| ()) } => {}
    }
    fake.idle().await;
    assert_nothing_left(&output);
}

#[tokio::test]
async fn a_builder_that_dies_is_lost() {
    let mut fake = Fake::start(Kind::Buildkitd, async |job: Job| {
        job.step("[build 1/1] RUN make", None);
        std::future::pending().await
    });
    let builder = fake.connect().await;
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("x.tar");
    let solving = builder.solve(request(), &output, mpsc::unbounded_channel().0, CancellationToken::new());
    let dying = async {
        fake.running.wait_for(|running| *running == 1).await.unwrap();
        drop(fake);
    };
    let (result, ()) = tokio::join!(solving, dying);
    assert!(matches!(result, Err(SolveError::Lost(_))), "{result:?}");
    assert_nothing_left(&output);
    let again = builder.solve(request(), &output, mpsc::unbounded_channel().0, CancellationToken::new()).await;
    assert!(matches!(again, Err(SolveError::Lost(_))), "{again:?}");
}

#[tokio::test]
async fn repeats_what_failed_for_no_reason_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    let fake = Fake::start(Kind::OldEngine, move |job: Job| {
        let call = seen.fetch_add(1, Ordering::SeqCst);
        async move { if call == 0 { Err(Status::unknown(SPURIOUS)) } else { job.send_tar(vec![vec![0; 10]]).await } }
    });
    solve(&fake, request(), CancellationToken::new()).await.0.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn says_what_it_cannot_write() {
    let fake = Fake::start(Kind::Buildkitd, async |job: Job| job.send_tar(vec![vec![0; 4 << 20]; 3]).await);
    let builder = fake.connect().await;
    let missing = fake.dir().join("missing/x.tar");
    let result = builder.solve(request(), &missing, mpsc::unbounded_channel().0, CancellationToken::new()).await;
    assert_eq!(result.unwrap_err().to_string(), format!("{}: No such file or directory (os error 2)", missing.display()));
}

#[tokio::test]
async fn a_full_disk_is_an_error_of_this_side() {
    let fake = Fake::start(Kind::Buildkitd, async |job: Job| job.send_tar(vec![vec![0; 3 << 20]; 3]).await);
    let builder = fake.connect().await;
    let ledger = Arc::new(Ledger::default());
    let full = tokio::fs::OpenOptions::new().write(true).open("/dev/full").await.unwrap();
    let target = PathBuf::from("/data/out.tar");
    let receiver = Receiver::new(full, &target, Arc::clone(&ledger), mpsc::unbounded_channel().0);
    let offer = Offer { receiver, credentials: crate::credentials::Credentials::default(), secrets: Vec::new(), context: None };
    let tree = Tree::new(&[]).await.unwrap();
    let sent = request::compose(&request(), &tree, &builder.facts, Names { solve: "r", session: "s" }).await.unwrap();
    let _session = Session::open(builder.channel.clone(), "s", offer, &ledger);
    let mut progress = Progress::new(mpsc::unbounded_channel().0);
    let mut news = News::of(builder.channel.clone(), "r".to_owned());
    let ending = watch(&builder, sent, &ledger, &mut news, &mut progress, &CancellationToken::new()).await;
    assert!(matches!(ending, Ending::Broken(_) | Ending::Answered(Err(_))));
    assert_eq!(ledger.failure().unwrap().to_string(), "/data/out.tar: No space left on device (os error 28)");
}
