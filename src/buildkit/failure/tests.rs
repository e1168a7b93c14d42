use bollard_buildkit_proto::google::protobuf::{Any, Timestamp};
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex};
use tokio::sync::mpsc;

use super::*;

fn failed(digest: &str, name: &str, seconds: i64, error: &str) -> Vertex {
    let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
    Vertex { digest: digest.to_owned(), name: name.to_owned(), started: time(1), completed: time(seconds), error: error.to_owned(), ..Vertex::default() }
}

fn progress(vertexes: Vec<Vertex>) -> Progress {
    let mut progress = Progress::new(mpsc::unbounded_channel().0);
    progress.take(StatusResponse { vertexes, ..StatusResponse::default() });
    progress
}

fn typed(message: &str, details: &[(&str, &str)]) -> Status {
    let any = |(kind, json): &(&str, &str)| Any { type_url: format!("github.com/moby/buildkit/{kind}+json"), value: json.as_bytes().to_vec() };
    let status = rpc::Status { code: 2, message: message.to_owned(), details: details.iter().map(any).collect() };
    Status::with_details(Code::Unknown, message, status.encode_to_vec().into())
}

#[test]
fn names_the_step_of_an_old_daemon() {
    let error = "executor failed running [/bin/sh -c exit 3]: exit code: 3";
    let steps = progress(vec![failed("a", "[build 2/2] RUN exit 3", 5, error)]);
    let explained = explain(&Status::unknown(error), &steps);
    let SolveError::Step { step, exit_code, message, .. } = explained else { panic!("{explained:?}") };
    assert_eq!((step.as_str(), exit_code, message.as_str()), ("[build 2/2] RUN exit 3", Some(3), error));
}

#[test]
fn trusts_typed_details_before_texts() {
    let steps = progress(vec![
        failed("cache", "importing cache manifest from r.example/c", 1, "r.example/c: not found"),
        failed("b", "[b 1/1] RUN false", 3, "exit code: 9"),
        failed("a", "[a 1/1] RUN false", 2, "something else"),
    ]);
    let status = typed("failed to solve: x", &[("errdefs.Vertex", r#"{"digest":"b"}"#), ("gatewayapi.ExitMessage", r#"{"Code":7}"#), ("stack.Stack", "{")]);
    let explained = explain(&status, &steps);
    let SolveError::Step { step, exit_code, .. } = explained else { panic!("{explained:?}") };
    assert_eq!((step.as_str(), exit_code), ("[b 1/1] RUN false", Some(7)));
}

#[test]
fn does_not_blame_a_cache_import() {
    let steps = progress(vec![failed("cache", "importing cache manifest from r.example/c", 1, "not found"), failed("a", "RUN false", 2, "exit code: 1")]);
    let explained = explain(&Status::unknown("failed to solve: other words"), &steps);
    assert!(matches!(&explained, SolveError::Step { step, .. } if step == "RUN false"), "{explained:?}");
}

#[test]
fn refusals_are_said_without_frames_and_with_help() {
    let refused = |status: &Status| match explain(status, &progress(vec![])) {
        SolveError::Refused { message, help } => (message, help.unwrap_or_default()),
        other => panic!("{other:?}"),
    };
    let old = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: unknown instruction: RUNN";
    assert_eq!(refused(&Status::unknown(old)), ("dockerfile parse error line 2: unknown instruction: RUNN".to_owned(), String::new()));
    let source = typed("failed to solve: nope: not found", &[("errdefs.Source", r#"{"info":{},"ranges":[{"start":{"line":3},"end":{"line":3}}]}"#)]);
    assert_eq!(
        refused(&source),
        ("nope: not found (line 3 of the Dockerfile)".to_owned(), "check the image's name, and `mirrors` in kmodforge.yaml".to_owned())
    );
    let network = "failed to solve: network.host is not allowed";
    assert_eq!(
        refused(&Status::unknown(network)),
        (
            "network.host is not allowed".to_owned(),
            "start buildkitd with `--allow-insecure-entitlement network.host`, or leave `--network host` out".to_owned()
        )
    );
}

#[test]
fn a_base_image_that_is_not_there_is_a_refusal() {
    let text = "docker.io/library/nope:1: pull access denied, repository does not exist";
    for name in ["[internal] load metadata for docker.io/library/nope:1", "[build 1/2] FROM docker.io/library/nope:1"] {
        let explained = explain(&Status::unknown(format!("failed to solve: {text}")), &progress(vec![failed("m", name, 2, text)]));
        let SolveError::Refused { message, help } = explained else { panic!("{explained:?}") };
        assert_eq!(message, text);
        assert_eq!(help.as_deref(), Some("check the image's name, `docker login`, and `mirrors` in kmodforge.yaml"));
    }
}

#[test]
fn a_builder_that_goes_away_is_lost() {
    let steps = progress(vec![]);
    for status in [Status::unavailable("the connection is draining"), Status::cancelled("context canceled"), Status::unknown("solve: context canceled")] {
        assert!(matches!(explain(&status, &steps), SolveError::Lost(_)));
    }
    let broken = Status::from_error(Box::new(std::io::Error::other("broken pipe")));
    assert_eq!(explain(&broken, &steps).to_string(), "the connection to the builder was lost: broken pipe");
}
