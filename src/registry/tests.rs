//! The client against a registry in this process.

mod faults;
mod login;
mod publish;
mod referrers;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tempfile::TempDir;

use super::fake::Fake;
use super::{Anonymous, Credential, CredentialSource, Registry, RegistryError, RegistryOptions, Retry};
use crate::arch::Arch;
use crate::error::Failure;
use crate::image::Image;
use crate::image::fixture::image;

/// Waits too short to notice.
const FAST: Retry = Retry { tries: 3, first: Duration::from_millis(1), longest: Duration::from_millis(20) };

fn options() -> RegistryOptions {
    RegistryOptions { retry: FAST, ..RegistryOptions::default() }
}

fn registry() -> Registry {
    Registry::new(options(), Arc::new(Anonymous)).unwrap()
}

fn registry_for(credential: Credential) -> Registry {
    Registry::new(options(), Arc::new(Only(credential))).unwrap()
}

struct Only(Credential);

impl CredentialSource for Only {
    fn credential<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, Result<Option<Credential>, Failure>> {
        Box::pin(async { Ok(Some(self.0.clone())) })
    }
}

fn ci(password: &str) -> Credential {
    Credential::Basic { username: "ci".into(), password: password.into() }
}

/// A small image and the folder it lives in.
fn small(arch: Arch, module: &str) -> (TempDir, Image) {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), arch, module);
    (dir, image)
}

async fn push(registry: &Registry, fake: &Fake, name: &str, image: &Image) -> Result<super::Pushed, RegistryError> {
    registry.push(&fake.reference(name), image, &|_, _| {}).await
}

/// As it is shown, without the port.
fn shown(error: RegistryError, fake: &Fake) -> String {
    Failure::from(error).to_string().replace(&fake.address.to_string(), "HOST")
}

/// What a reader of the tag gets is whole: every manifest and blob is there.
fn assert_whole(fake: &Fake, repository: &str, tag: &str) {
    let state = fake.state();
    let manifest = |name: &str| {
        state.manifests.get(&(repository.to_owned(), name.to_owned())).map(|(_, bytes)| serde_json::from_slice::<serde_json::Value>(bytes).unwrap())
    };
    let Some(index) = manifest(tag) else { return };
    for entry in index["manifests"].as_array().unwrap() {
        let manifest = manifest(entry["digest"].as_str().unwrap()).unwrap();
        let layers = manifest["layers"].as_array().unwrap().iter();
        for blob in layers.chain([&manifest["config"]]) {
            assert!(state.blobs.contains_key(&(repository.to_owned(), blob["digest"].as_str().unwrap().to_owned())));
        }
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
