//! What refers to an image: signatures, bills of materials, attestations. Kept with the image, and copied with it.

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::{StoreError, record};
use crate::digest::Digest;

/// `referrers/HEX`: the referrers of the manifest or index `HEX` (spec/05-store.md "Referrers").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referrers {
    /// What they refer to.
    pub subject: Digest,
    /// Their manifests, each a blob of the store.
    pub manifests: Vec<Referrer>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referrer {
    /// Digest of its manifest.
    pub digest: Digest,
    /// The tag that it is found by, where it names no subject itself (`sha256-HEX.sig`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

pub(crate) fn read(layout: &Layout, subject: &Digest) -> Result<Option<Referrers>, StoreError> {
    let path = layout.referrers().join(subject.hex());
    let Some(found) = record::read_json::<Referrers>(&path)? else { return Ok(None) };
    if found.subject == *subject {
        return Ok(Some(found));
    }
    Err(StoreError::damaged(&path, format!("it is the list of {}", found.subject)))
}

/// All that can be read; a list that is damaged is an error of its own.
pub(crate) fn all(layout: &Layout) -> Result<Vec<Result<Referrers, StoreError>>, StoreError> {
    let names = record::names_in(&layout.referrers())?;
    let digests = names.iter().filter_map(|name| Digest::from_hex(name).ok());
    Ok(digests.filter_map(|subject| read(layout, &subject).transpose()).collect())
}
