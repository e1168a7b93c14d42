use tokio::sync::mpsc;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

fn vertex(digest: &str, name: &str, started: Option<i64>, completed: Option<i64>) -> Vertex {
    Vertex { digest: digest.to_owned(), name: name.to_owned(), started: started.map(at), completed: completed.map(at), ..Vertex::default() }
}

fn log(digest: &str, stream: i64, text: &str) -> VertexLog {
    VertexLog { vertex: digest.to_owned(), stream, msg: text.as_bytes().to_vec(), timestamp: None }
}

fn steps(vertexes: Vec<Vertex>) -> StatusResponse {
    StatusResponse { vertexes, ..StatusResponse::default() }
}

/// Events in short, and the state at the end.
fn follow(messages: Vec<StatusResponse>) -> (Vec<String>, Progress) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let mut progress = Progress::new(sender);
    for message in messages {
        progress.take(message);
    }
    progress.finish();
    let mut events = Vec::new();
    while let Ok(event) = receiver.try_recv() {
        events.push(match event {
            BuildEvent::StepStarted { name, .. } => format!("start {name}"),
            BuildEvent::StepDone { name, cached: true, .. } => format!("cached {name}"),
            BuildEvent::StepDone { name, time, .. } => format!("done {name} {}s", time.as_secs()),
            BuildEvent::Log { line, .. } => format!("| {line}"),
            BuildEvent::Transfer { what, bytes } => format!("{what} {bytes}"),
            BuildEvent::Warning(text) => format!("warning {text}"),
        });
    }
    (events, progress)
}

#[test]
fn reports_a_step_with_its_lines_before_its_end() {
    let mut last = steps(vec![vertex("a", "[build 1/2] RUN make", Some(10), Some(13))]);
    last.logs = vec![log("a", 1, "lo\nlast")];
    let (events, _) = follow(vec![
        steps(vec![vertex("a", "[build 1/2] RUN make", None, None)]),
        steps(vec![vertex("a", "[build 1/2] RUN make", Some(10), None)]),
        StatusResponse { logs: vec![log("a", 1, "hel"), log("a", 2, "err\n")], ..StatusResponse::default() },
        last,
    ]);
    assert_eq!(events, ["start [build 1/2] RUN make", "| err", "| hello", "| last", "done [build 1/2] RUN make 3s"]);
}

#[test]
fn hides_the_builders_own_steps() {
    let mut message = steps(vec![vertex("i", "[internal] load metadata for x", Some(1), Some(2)), vertex("t", "[auth] library/debian:pull", Some(1), None)]);
    message.logs = vec![log("i", 1, "secret\n")];
    assert!(follow(vec![message]).0.is_empty());
}

#[test]
fn reports_cached_steps_that_come_in_one_piece() {
    let cached = Vertex { cached: true, ..vertex("a", "COPY", Some(1), Some(1)) };
    assert_eq!(follow(vec![steps(vec![cached.clone()]), steps(vec![cached])]).0, ["start COPY", "cached COPY"], "old daemons repeat records");
}

#[test]
fn reports_a_step_again_only_when_it_runs_again() {
    let from = "[build 1/2] FROM debian";
    let (events, _) = follow(vec![
        steps(vec![vertex("a", from, Some(1), Some(1))]),
        steps(vec![vertex("a", from, Some(1), None)]),
        steps(vec![vertex("a", from, Some(3), Some(3))]),
        steps(vec![vertex("a", from, Some(5), None)]),
        steps(vec![vertex("a", from, Some(5), Some(9))]),
    ]);
    let [start, first, again] = [format!("start {from}"), format!("done {from} 0s"), format!("done {from} 4s")];
    assert_eq!(events[..3], [start.clone(), first, start]);
    assert_eq!(events[3..], [again]);
}

#[test]
fn keeps_the_tail_of_a_failed_step_and_the_order_of_failures() {
    let failed = |digest: &str, name: &str, end, error: &str| Vertex { error: error.to_owned(), ..vertex(digest, name, Some(1), Some(end)) };
    let output: String = (1..=40).map(|line| format!("line {line}\n")).collect::<Vec<_>>().concat();
    let (events, progress) = follow(vec![
        steps(vec![vertex("b", "RUN b", Some(1), None)]),
        StatusResponse { logs: vec![log("b", 2, &output), log("b", 2, "no newline")], ..StatusResponse::default() },
        steps(vec![
            failed("c", "RUN c", 5, "exit code: 137: context canceled"),
            failed("d", "RUN d", 7, "exit code: 1"),
            failed("b", "RUN b", 6, "exit code: 2"),
        ]),
    ]);
    let names: Vec<&str> = progress.failed().iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["RUN b", "RUN d"]);
    let log = progress.failed()[0].log();
    assert_eq!((log.len(), log[0].as_str(), log[29].as_str()), (30, "line 12", "no newline"));
    assert!(!events.iter().any(|event| event.starts_with("done")), "what failed is not done");
}

#[test]
fn adds_up_layers_and_names_other_transfers() {
    let bar = |id: &str, current| VertexStatus { id: id.to_owned(), vertex: "f".to_owned(), current, ..VertexStatus::default() };
    let name = "[build 1/2] FROM docker.io/library/debian:bookworm@sha256:00";
    let mut first = steps(vec![vertex("f", name, Some(1), None)]);
    first.statuses = vec![bar("sha256:a", 10), bar("sha256:b", 5), bar("sha256:b", 5), bar("extracting sha256:a", 3), bar("transferring context:", 7)];
    let (events, _) = follow(vec![first]);
    let image = "fetching docker.io/library/debian:bookworm";
    assert_eq!(events[1..], [format!("{image} 10"), format!("{image} 15"), "transferring context 7".to_owned()]);
}

#[test]
fn passes_warnings_on() {
    let range = bollard_buildkit_proto::pb::Range { start: Some(bollard_buildkit_proto::pb::Position { line: 3, character: 0 }), end: None };
    let warning = VertexWarning { short: b"MaintainerDeprecated: use LABEL".to_vec(), ranges: vec![range], ..VertexWarning::default() };
    let message = StatusResponse { warnings: vec![warning], ..StatusResponse::default() };
    assert_eq!(follow(vec![message]).0, ["warning MaintainerDeprecated: use LABEL (line 3 of the Dockerfile)"]);
}
