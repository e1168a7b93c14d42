//! Large files of which no index tells: fetched again only when their server says that they have changed.

use http::header::HeaderMap;
use serde::{Deserialize, Serialize};

use super::cached::{Validators, conditions};
use super::transfer::Request;
use super::{FetchError, Fetcher, Kind, Origin, keep, sha256};

/// A file of which no index tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlisted {
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    #[serde(flatten)]
    validators: Validators,
}

impl Fetcher {
    /// What is at a place, which is known by its digest from then on. Where the server has told how to ask whether a file has changed (`ETag`,
    /// `Last-Modified`), it is asked; else what is remembered counts.
    pub async fn unlisted(&self, kind: Kind, url: &str) -> Result<Unlisted, FetchError> {
        let asked = self.asked(kind, url);
        let request = Request { official: url, asked: &asked };
        let name = format!("{}.json", sha256(asked.as_bytes()));
        let _turn = self.turns.take(&name).await;
        let memory = self.cache_dir().join("unlisted").join(&name);
        let remembered: Option<Unlisted> = std::fs::read(&memory).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if !matches!(self.options.origin, Origin::Network) {
            let sha256 = self.digest_of(kind, url).await?;
            let path = self.verified(kind, url, &sha256).await?;
            let size = std::fs::metadata(&path).map_err(|error| FetchError::cache(&path, &error))?.len();
            return Ok(Unlisted { sha256, size, validators: Validators::default() });
        }
        let asked_with = match &remembered {
            Some(known) if known.validators.is_empty() => return Ok(known.clone()),
            Some(known) => conditions(&known.validators),
            None => HeaderMap::new(),
        };
        let part = self.part("files")?;
        let _permit = self.permit().await;
        let saved = self.transfers.save_if(&request, &asked_with, None, part.path()).await?;
        let Some((headers, sha256)) = saved else {
            return remembered.ok_or_else(|| request.failed(super::Problem::Status(304), 1));
        };
        let size = part.as_file().metadata().map_err(|error| FetchError::cache(part.path(), &error))?.len();
        keep(part, &self.cached_file(&sha256))?;
        let found = Unlisted { sha256, size, validators: Validators::of(&headers) };
        self.write("unlisted", &name, &serde_json::to_vec(&found).unwrap_or_default())?;
        Ok(found)
    }
}
