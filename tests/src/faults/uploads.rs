//! The half of the registry that is written to: uploads, mounts, manifests.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use serde_json::Value;

use super::registry::{Registry, error};
use super::request::Request;
use super::response::Response;
use crate::oci::digest;

/// What was begun and not finished.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    next: usize,
    open: BTreeMap<String, Vec<u8>>,
}

impl Registry {
    fn uploads(&self) -> std::sync::MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many uploads are begun and not finished.
    pub fn open_uploads(&self) -> usize {
        self.uploads().open.len()
    }

    fn location(name: &str, id: &str) -> String {
        format!("/v2/{name}/blobs/uploads/{id}?state=opaque")
    }

    fn progress(name: &str, id: &str, status: u16, have: usize) -> Response {
        Response::new(status)
            .header("Location", Self::location(name, id))
            .header("Docker-Upload-UUID", id)
            // `0-0` also means nothing yet: as docker-registry has it.
            .header("Range", format!("0-{}", have.saturating_sub(1)))
    }

    fn stored(&self, name: &str, wanted: &str, bytes: Vec<u8>) -> Response {
        if digest(&bytes) != wanted {
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
        }
        self.put(name, bytes);
        Self::created(name, wanted)
    }

    fn created(name: &str, digest: &str) -> Response {
        Response::new(201)
            .header("Location", format!("/v2/{name}/blobs/{digest}"))
            .header("Docker-Content-Digest", digest)
    }

    /// `POST`, `PATCH`, `PUT`, `GET` and `DELETE` of `/v2/NAME/blobs/uploads/ID`.
    pub(super) fn upload(&self, name: &str, id: &str, request: &Request) -> Response {
        if request.method == "POST" && id.is_empty() {
            return self.begin(name, request);
        }
        let mut uploads = self.uploads();
        let Some(have) = uploads.open.get_mut(id) else {
            return error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
        };
        match request.method.as_str() {
            "GET" => Self::progress(name, id, 204, have.len()),
            "DELETE" => {
                uploads.open.remove(id);
                Response::new(204)
            }
            "PATCH" => {
                let start = request.header("content-range").and_then(|range| range.split('-').next()?.parse().ok());
                if start.is_some_and(|start: usize| start != have.len()) {
                    return Self::progress(name, id, 416, have.len());
                }
                have.extend(&request.body);
                Self::progress(name, id, 202, have.len())
            }
            "PUT" => {
                let Some(wanted) = request.query("digest") else {
                    return error(400, "DIGEST_INVALID", "no digest");
                };
                have.extend(&request.body);
                let bytes = uploads.open.remove(id).unwrap_or_default();
                drop(uploads);
                self.stored(name, &wanted, bytes)
            }
            _ => error(405, "UNSUPPORTED", "the operation is unsupported"),
        }
    }

    fn begin(&self, name: &str, request: &Request) -> Response {
        if let (Some(wanted), Some(from)) = (request.query("mount"), request.query("from"))
            && let Some(bytes) = self.blob(&from, &wanted)
        {
            self.put(name, bytes);
            return Self::created(name, &wanted);
        }
        if let Some(wanted) = request.query("digest") {
            return self.stored(name, &wanted, request.body.clone());
        }
        let mut uploads = self.uploads();
        uploads.next += 1;
        let id = format!("upload-{}", uploads.next);
        uploads.open.insert(id.clone(), Vec::new());
        Self::progress(name, &id, 202, 0)
    }

    /// `PUT /v2/NAME/manifests/REFERENCE`: what the manifest names must be there.
    pub(super) fn put_manifest_by(&self, name: &str, reference: &str, request: &Request) -> Response {
        let digest = digest(&request.body);
        let Ok(json) = serde_json::from_slice::<Value>(&request.body) else {
            return error(400, "MANIFEST_INVALID", "manifest invalid");
        };
        if reference.contains(':') && reference != digest {
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
        }
        let mut all = self.repositories();
        let repository = all.entry(name.to_owned()).or_default();
        let list = |key: &str| json[key].as_array().cloned().unwrap_or_default();
        let blobs = list("layers").into_iter().chain([json["config"].clone()]);
        let known = |one: &Value, is_there: &dyn Fn(&str) -> bool| one["digest"].as_str().is_none_or(is_there);
        let lacks = blobs.into_iter().any(|blob| !known(&blob, &|digest| repository.blobs.contains_key(digest)))
            || list("manifests").iter().any(|one| !known(one, &|digest| repository.manifests.contains_key(digest)));
        if lacks {
            return error(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
        }
        let media_type = request.header("content-type").unwrap_or_default();
        repository.manifests.insert(digest.clone(), (media_type, request.body.clone()));
        if !reference.contains(':') {
            repository.tags.insert(reference.to_owned(), digest.clone());
        }
        let response = Response::new(201)
            .header("Location", format!("/v2/{name}/manifests/{digest}"))
            .header("Docker-Content-Digest", &digest);
        match json["subject"]["digest"].as_str() {
            Some(subject) if self.knows_referrers() => response.header("OCI-Subject", subject),
            _ => response,
        }
    }

    /// `DELETE /v2/NAME/manifests/REFERENCE`.
    pub(super) fn delete_manifest(&self, name: &str, reference: &str) -> Response {
        let mut all = self.repositories();
        let repository = all.entry(name.to_owned()).or_default();
        let gone = repository.tags.remove(reference).is_some() || repository.manifests.remove(reference).is_some();
        if gone { Response::new(202) } else { error(404, "MANIFEST_UNKNOWN", "manifest unknown") }
    }
}
