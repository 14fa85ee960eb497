//! `referrers/sha256:HEX`: what refers to a manifest, as an image index (distribution-spec "Listing Referrers").

use ctr_core::digest::Digest;
use ctr_core::spec::oci::MediaType;
use ctr_core::spec::{Links, MAX_DOCUMENT};
use serde_json::{Value, json};

use crate::dir::Dir;
use crate::error::TreeError;
use crate::kind::Kind;

fn empty() -> Value {
    json!({ "schemaVersion": 2, "mediaType": MediaType::INDEX, "manifests": [] })
}

/// An empty list where there is none: clients need not look for the tags that older registries have instead.
pub(crate) fn begin(dir: &Dir, subject: &Digest, staging: &Dir) -> Result<(), TreeError> {
    let name = subject.to_string();
    if dir.stat(&name)?.is_some() {
        return Ok(());
    }
    dir.write(&name, format!("{}\n", empty()).as_bytes(), staging)
}

/// How a manifest stands in the list of its subject.
pub(crate) fn entry(digest: &Digest, size: usize, kind: Kind, links: &Links) -> Value {
    let mut entry = json!({ "mediaType": kind.media_type(), "digest": digest.to_string(), "size": size });
    if let Some(object) = entry.as_object_mut() {
        object.extend(links.artifact_type.clone().map(|text| ("artifactType".to_owned(), Value::String(text))));
        object.extend(links.annotations.clone().map(|all| ("annotations".to_owned(), all)));
    }
    entry
}

fn read(dir: &Dir, subject: &Digest) -> Result<Value, TreeError> {
    let name = subject.to_string();
    let Some(bytes) = dir.read(&name, MAX_DOCUMENT)? else { return Ok(empty()) };
    let damaged = |why: String| TreeError::Damaged { path: dir.at(&name), why };
    let list: Value = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if list.get("manifests").is_some_and(Value::is_array) {
        return Ok(list);
    }
    Err(damaged("it has no list \"manifests\"".to_owned()))
}

/// Replaces the entries of the list; those of `digest` are gone, `added` is in.
fn replace(dir: &Dir, subject: &Digest, digest: &str, added: Option<&Value>, staging: &Dir) -> Result<(), TreeError> {
    let mut list = read(dir, subject)?;
    if let Some(Value::Array(manifests)) = list.get_mut("manifests") {
        if added.is_some_and(|added| manifests.contains(added)) {
            return Ok(());
        }
        manifests.retain(|entry| entry.get("digest").and_then(Value::as_str) != Some(digest));
        manifests.extend(added.cloned());
    }
    let text = format!("{list}\n");
    if text.len() as u64 > MAX_DOCUMENT {
        let why = format!("with one referrer more it had more than {MAX_DOCUMENT} bytes");
        return Err(TreeError::Damaged { path: dir.at(&subject.to_string()), why });
    }
    dir.write(&subject.to_string(), text.as_bytes(), staging)
}

/// Adds an entry. The caller holds the lock of lists.
pub(crate) fn add(dir: &Dir, subject: &Digest, entry: &Value, staging: &Dir) -> Result<(), TreeError> {
    let digest = entry.get("digest").and_then(Value::as_str).unwrap_or_default();
    replace(dir, subject, digest, Some(entry), staging)
}

/// Takes an entry out. The caller is alone in the tree.
pub(crate) fn take(dir: &Dir, subject: &Digest, digest: &Digest, staging: &Dir) -> Result<(), TreeError> {
    if dir.stat(&subject.to_string())?.is_none() {
        return Ok(());
    }
    replace(dir, subject, &digest.to_string(), None, staging)
}

/// The digests in a list.
pub(crate) fn listed(dir: &Dir, subject: &Digest) -> Result<Vec<Digest>, TreeError> {
    let list = read(dir, subject)?;
    let all = list.get("manifests").and_then(Value::as_array).into_iter().flatten();
    Ok(all.filter_map(|entry| entry.get("digest")?.as_str()?.parse().ok()).collect())
}
