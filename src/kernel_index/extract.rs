//! What is remembered of indexes: as long as an index's digest stays, it is neither fetched nor read again.

use std::fs::File;
use std::io::{BufReader, Read};
use std::sync::Arc;

use super::packages::Stanza;
use super::{IndexError, RepositoryName};
use crate::fetch::{Download, FetchError, Fetcher, decompress, sha256};
use serde::{Deserialize, Serialize};

/// Reads the wanted entries of an uncompressed index.
pub(super) type Scan = fn(Box<dyn Read + '_>, &dyn Fn(&str) -> bool) -> Result<Vec<Stanza>, String>;

/// What of indexes matters.
pub(super) struct Interest {
    /// Whether a package matters, by its name.
    pub(super) wants: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// Changes whenever an index may be read differently.
    pub(super) digest: String,
    /// Also components that the distro profile does not name (`contrib`, `non-free`).
    pub(super) every_component: bool,
}

/// What is remembered about an index.
#[derive(Debug, Serialize, Deserialize)]
struct Extract {
    /// SHA-256 of the compressed index that it is from.
    of: String,
    stanzas: Vec<Stanza>,
}

/// An index of a repository.
pub(super) struct Index<'a> {
    pub(super) name: &'a RepositoryName,
    /// Official URL.
    pub(super) url: &'a str,
    /// Path below the repository, for messages.
    pub(super) path: &'a str,
    /// SHA-256 of the file.
    pub(super) digest: &'a str,
    pub(super) scan: Scan,
}

impl Index<'_> {
    /// Its wanted entries: remembered ones as long as its digest stays.
    pub(super) async fn read<F>(&self, fetcher: &Fetcher, interest: &Arc<Interest>, fetch: F) -> Result<Vec<Stanza>, IndexError>
    where
        F: AsyncFnOnce() -> Result<Download, FetchError>,
    {
        let key = sha256(format!("{}\n{}", self.url, interest.digest).as_bytes());
        let _turn = fetcher.turn(&key).await;
        let memory = fetcher.cache_dir().join("index").join(format!("{key}.json"));
        let before = std::fs::read(&memory).ok().and_then(|bytes| serde_json::from_slice::<Extract>(&bytes).ok());
        if let Some(extract) = before.filter(|extract| extract.of == self.digest && !fetcher.is_recording()) {
            return Ok(extract.stanzas);
        }
        let failed = |error| IndexError::Fetch { repository: self.name.clone(), error: Box::new(error) };
        let file = fetch().await.map_err(failed)?;
        let stanzas = extract(file, interest, self.scan).await;
        let stanzas = stanzas.map_err(|reason| IndexError::Damaged { repository: self.name.clone(), file: self.path.to_owned(), reason })?;
        let extract = Extract { of: self.digest.to_owned(), stanzas };
        let bytes = serde_json::to_vec(&extract).unwrap_or_default();
        fetcher.write("index", &format!("{key}.json"), &bytes).map_err(failed)?;
        Ok(extract.stanzas)
    }
}

async fn extract(file: Download, interest: &Arc<Interest>, scan: Scan) -> Result<Vec<Stanza>, String> {
    let interest = Arc::clone(interest);
    let work = move || {
        let file = File::open(file.path()).map_err(|error| error.to_string())?;
        let stream = decompress(BufReader::with_capacity(1 << 16, file)).map_err(|error| error.to_string())?;
        scan(stream, &*interest.wants)
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}
