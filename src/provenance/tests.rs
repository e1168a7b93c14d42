use super::*;
use crate::fixture;

fn run<'a>(source: &'a str, sha256: &'a str) -> Run<'a> {
    Run {
        builder: "Docker Engine 20.10.24",
        source: (source, sha256),
        firmware: &[],
        firmware_sha256: None,
        base: None,
        compiler: "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0",
        epoch: 0,
        compression: "zstd",
    }
}

fn made(source: &str) -> Value {
    predicate(&fixture::target("v4l2loopback", "6.1.0-56-amd64"), &run(source, "00")).unwrap()
}

fn dependency<'a>(predicate: &'a Value, name: &str) -> &'a Value {
    predicate["buildDefinition"]["resolvedDependencies"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()
}

#[test]
fn names_everything_that_went_in_with_its_digest() {
    let predicate = made("https://example.org/v4l2loopback.tar.gz");
    assert_eq!(dependency(&predicate, "source"), &json!({"name": "source", "digest": {"sha256": "00"}, "uri": "https://example.org/v4l2loopback.tar.gz"}));
    let headers = dependency(&predicate, "headers: linux-headers-6.1.0-56-amd64 6.1.192-2");
    assert_eq!(headers["digest"]["sha256"], fixture::package("linux-headers-6.1.0-56-amd64").sha256);
    assert_eq!(dependency(&predicate, "Dockerfile")["digest"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(dependency(&predicate, "base image")["uri"], "docker.io/library/debian:bookworm");
    assert_eq!(predicate["buildDefinition"]["externalParameters"]["kernel"], "6.1.0-56-amd64");
    assert_eq!(predicate["runDetails"]["builder"]["version"]["buildkit"], "Docker Engine 20.10.24");
}

#[test]
fn tells_nobody_where_a_folder_of_this_machine_is() {
    assert_eq!(dependency(&made("/home/me/source"), "source"), &json!({"name": "source", "digest": {"sha256": "00"}}));
}

#[test]
fn is_the_same_for_the_same_inputs() {
    assert_eq!(made("https://example.org/a").to_string(), made("https://example.org/a").to_string());
}
