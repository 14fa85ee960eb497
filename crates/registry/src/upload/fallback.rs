//! The tag that lists the referrers of an image where the registry has no API for that (distribution-spec "Referrers Tag
//! Schema").
//!
//! The list is read, changed and written back, and others may do the same at the same moment. So it is read again after it
//! was written, and what is missing then is added once more.

use ctr_core::digest::Digest;
use ctr_core::spec::oci::MediaType;
use ctr_core::spec::{Link, links};
use serde_json::{Value, json};

use super::Pusher;
use crate::error::RegistryError;
use crate::http::retry;

/// How often the list is written before somebody else has won.
const MAX_ROUNDS: u32 = 10;

/// A line of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The manifest of the referrer.
    pub link: Link,
    /// What kind of thing it is.
    pub artifact_type: Option<String>,
    /// Annotations of the manifest.
    pub annotations: Option<Value>,
}

impl Entry {
    fn json(&self) -> Value {
        let mut line = json!({
            "mediaType": self.link.media_type.0,
            "digest": self.link.digest.to_string(),
            "size": self.link.size,
        });
        if let Some(object) = line.as_object_mut() {
            object
                .extend(self.artifact_type.iter().map(|kind| ("artifactType".to_owned(), Value::from(kind.as_str()))));
            object.extend(self.annotations.iter().map(|all| ("annotations".to_owned(), all.clone())));
        }
        line
    }
}

impl Pusher {
    /// Whether the repository lists `referrer` among the referrers of `subject`, by its API or by the tag.
    pub fn lists(&self, subject: &Digest, referrer: &Digest) -> Result<bool, RegistryError> {
        Ok(self.repository.listed(subject)?.iter().any(|link| link.digest == *referrer))
    }

    /// Adds referrers to the list under the tag of `subject`.
    pub fn add_to_tag(&self, subject: &Digest, entries: &[Entry]) -> Result<(), RegistryError> {
        let tag = format!("sha256-{}", subject.hex());
        for round in 0..MAX_ROUNDS {
            let (mut list, missing) = self.list_under(&tag, entries)?;
            if missing.is_empty() {
                return Ok(());
            }
            if round > 0 {
                self.pause(retry::backoff(round - 1))?;
            }
            if let Some(lines) = list.get_mut("manifests").and_then(Value::as_array_mut) {
                lines.extend(missing.iter().map(|entry| entry.json()));
            }
            self.put_manifest(&tag, MediaType::INDEX, list.to_string().as_bytes())?;
        }
        let why = format!("others write the tag {tag} all the time");
        Err(RegistryError::Protocol { url: self.repository.url(&format!("manifests/{tag}"))?, why })
    }

    /// The list under a tag, a new one if there is none, and which of `entries` it lacks.
    fn list_under<'a>(&self, tag: &str, entries: &'a [Entry]) -> Result<(Value, Vec<&'a Entry>), RegistryError> {
        let empty = || json!({ "schemaVersion": 2, "mediaType": MediaType::INDEX, "manifests": [] });
        let found = match self.repository.manifest(tag) {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return Ok((empty(), entries.iter().collect())),
            Err(error) => return Err(error),
        };
        let url = self.repository.url(&format!("manifests/{tag}"))?;
        let listed = links(&found.bytes).map_err(|source| RegistryError::Document { url: url.clone(), source })?;
        let list: Value = serde_json::from_slice(&found.bytes).unwrap_or_default();
        if list.get("manifests").and_then(Value::as_array).is_none() {
            let why = "what stands under this tag is no list of referrers".to_owned();
            return Err(RegistryError::Protocol { url, why });
        }
        let is_listed = |entry: &&Entry| listed.manifests.iter().any(|link| link.digest == entry.link.digest);
        Ok((list, entries.iter().filter(|entry| !is_listed(entry)).collect()))
    }
}
