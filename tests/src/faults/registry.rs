//! An ordinary registry, in memory: manifests, blobs with ranges, tags, referrers. Uploads are in `uploads.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Value, json};

use super::request::Request;
use super::response::Response;
use super::server::Site;
use super::tokens::Guard;
use super::uploads::Uploads;
use crate::oci::{INDEX, digest};

/// One repository.
#[derive(Debug, Default, Clone)]
pub(super) struct Repository {
    /// By digest: media type and bytes.
    pub(super) manifests: BTreeMap<String, (String, Vec<u8>)>,
    /// Tags, and the digests that they mean.
    pub(super) tags: BTreeMap<String, String>,
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
}

/// A registry.
#[derive(Debug, Default)]
pub struct Registry {
    pub(super) repositories: Mutex<BTreeMap<String, Repository>>,
    pub(super) uploads: Mutex<Uploads>,
    pub(super) origin: OnceLock<String>,
    guard: Option<Guard>,
    no_referrers: bool,
    page: Option<usize>,
}

/// An error as registries tell it.
pub fn error(status: u16, code: &str, message: &str) -> Response {
    let body = json!({"errors": [{"code": code, "message": message, "detail": null}]});
    Response::new(status).header("Content-Type", "application/json").body(body.to_string())
}

impl Registry {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// One with the image `latest` of an OCI layout, as `repository:tag`.
    pub fn with(repository: &str, tag: &str, layout: &Path) -> Self {
        let registry = Self::new();
        registry.load(repository, tag, layout);
        registry
    }

    /// Wants credentials.
    pub fn guarded(mut self, guard: Guard) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Knows no referrers (a registry before distribution-spec 1.1).
    pub fn without_referrers(mut self) -> Self {
        self.no_referrers = true;
        self
    }

    /// Lists this many tags or referrers at once.
    pub fn paged(mut self, count: usize) -> Self {
        self.page = Some(count);
        self
    }

    pub(super) fn repositories(&self) -> MutexGuard<'_, BTreeMap<String, Repository>> {
        self.repositories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds all blobs of a layout; what its index names first becomes `tag`.
    pub fn load(&self, repository: &str, tag: &str, layout: &Path) {
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).expect("index")).expect("JSON");
        let named = index["manifests"][0]["digest"].as_str().expect("digest");
        for file in crate::scratch::names(&layout.join("blobs/sha256")) {
            let bytes = fs::read(layout.join("blobs/sha256").join(&file)).expect("blob");
            self.put(repository, bytes);
        }
        self.tag(repository, tag, named);
    }

    /// Adds a blob, which is a manifest too if it looks like one. Returns its digest.
    pub fn put(&self, repository: &str, bytes: impl Into<Vec<u8>>) -> String {
        let bytes = bytes.into();
        let digest = digest(&bytes);
        let json = serde_json::from_slice::<Value>(&bytes).ok();
        let mut all = self.repositories();
        let repository = all.entry(repository.to_owned()).or_default();
        if let Some(kind) =
            json.as_ref().filter(|json| json["schemaVersion"] == 2).and_then(|json| json["mediaType"].as_str())
        {
            repository.manifests.insert(digest.clone(), (kind.to_owned(), bytes.clone()));
        }
        repository.blobs.insert(digest.clone(), bytes);
        digest
    }

    /// Adds bytes as a manifest of this media type, whatever they are. Returns their digest.
    pub fn put_manifest(&self, repository: &str, media_type: &str, bytes: impl Into<Vec<u8>>) -> String {
        let bytes = bytes.into();
        let digest = digest(&bytes);
        let mut all = self.repositories();
        let manifests = &mut all.entry(repository.to_owned()).or_default().manifests;
        manifests.insert(digest.clone(), (media_type.to_owned(), bytes));
        digest
    }

    /// Lets a tag mean a digest.
    pub fn tag(&self, repository: &str, tag: &str, digest: &str) {
        let mut all = self.repositories();
        all.entry(repository.to_owned()).or_default().tags.insert(tag.to_owned(), digest.to_owned());
    }

    /// What a tag means.
    pub fn tagged(&self, repository: &str, tag: &str) -> Option<String> {
        self.repositories().get(repository)?.tags.get(tag).cloned()
    }

    /// The tags of a repository.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        self.repositories().get(repository).map(|found| found.tags.keys().cloned().collect()).unwrap_or_default()
    }

    /// The bytes of a manifest, by tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<Vec<u8>> {
        let all = self.repositories();
        let found = all.get(repository)?;
        let digest = found.tags.get(reference).map_or(reference, String::as_str);
        found.manifests.get(digest).map(|(_, bytes)| bytes.clone())
    }

    /// The bytes of a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.repositories().get(repository)?.blobs.get(digest).cloned()
    }

    /// Forgets a blob.
    pub fn forget(&self, repository: &str, digest: &str) {
        if let Some(found) = self.repositories().get_mut(repository) {
            found.blobs.remove(digest);
        }
    }

    fn get_manifest(&self, repository: &str, reference: &str) -> Response {
        let all = self.repositories();
        let Some(found) = all.get(repository) else {
            return error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let digest = found.tags.get(reference).map_or(reference, String::as_str);
        match found.manifests.get(digest) {
            None => error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
            Some((media_type, bytes)) => Response::new(200)
                .header("Content-Type", media_type)
                .header("Docker-Content-Digest", digest)
                .body(bytes.clone()),
        }
    }

    fn get_blob(&self, repository: &str, digest: &str, request: &Request) -> Response {
        match self.blob(repository, digest) {
            None => error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
            Some(bytes) => ranged(bytes, request).header("Docker-Content-Digest", digest),
        }
    }

    /// A page of a list, and a link to the next.
    fn page(&self, path: &str, all: Vec<Value>, request: &Request, wrap: impl Fn(Vec<Value>) -> Value) -> Response {
        let start: usize = request.query("last").and_then(|last| last.parse().ok()).unwrap_or(0);
        let count = self.page.unwrap_or(usize::MAX);
        let more = all.len() > start.saturating_add(count);
        let body = wrap(all.into_iter().skip(start).take(count).collect());
        let response = Response::new(200).body(body.to_string());
        if more { response.header("Link", format!("<{path}?last={}>; rel=\"next\"", start + count)) } else { response }
    }

    fn list_tags(&self, repository: &str, request: &Request) -> Response {
        let tags = self.tags(repository).into_iter().map(Value::from).collect();
        let path = format!("/v2/{repository}/tags/list");
        self.page(&path, tags, request, |tags| json!({"name": repository, "tags": tags}))
            .header("Content-Type", "application/json")
    }

    fn list_referrers(&self, repository: &str, subject: &str, request: &Request) -> Response {
        if self.no_referrers {
            return Response::new(404).body("404 page not found\n");
        }
        let wanted = request.query("artifactType");
        let list = self.referrers(repository, subject);
        let list = list
            .into_iter()
            .filter(|one| wanted.as_ref().is_none_or(|wanted| one["artifactType"] == **wanted))
            .collect();
        let path = format!("/v2/{repository}/referrers/{subject}");
        let wrap = |list| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": list});
        let response = self.page(&path, list, request, wrap).header("Content-Type", INDEX);
        if wanted.is_some() { response.header("OCI-Filters-Applied", "artifactType") } else { response }
    }

    /// Descriptors of the manifests whose subject is this.
    pub fn referrers(&self, repository: &str, subject: &str) -> Vec<Value> {
        let all = self.repositories();
        let manifests = all.get(repository).into_iter().flat_map(|found| &found.manifests);
        manifests
            .filter_map(|(digest, (media_type, bytes))| {
                let json: Value = serde_json::from_slice(bytes).ok()?;
                (json["subject"]["digest"] == subject).then(|| {
                    let kind = if json["artifactType"].is_string() { &json["artifactType"] } else { &json["config"]["mediaType"] };
                    json!({"mediaType": media_type, "digest": digest, "size": bytes.len(), "artifactType": kind, "annotations": json["annotations"]})
                })
            })
            .collect()
    }

    pub(super) fn knows_referrers(&self) -> bool {
        !self.no_referrers
    }
}

/// The whole, or what `Range: bytes=N-M` asks for (RFC 9110 section 14).
fn ranged(bytes: Vec<u8>, request: &Request) -> Response {
    let whole = |bytes: Vec<u8>| {
        Response::new(200)
            .header("Content-Type", "application/octet-stream")
            .header("Accept-Ranges", "bytes")
            .body(bytes)
    };
    let Some(range) = request.header("range") else { return whole(bytes) };
    let Some((start, end)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return whole(bytes);
    };
    let (Ok(start), end) = (start.parse::<usize>(), end.parse::<usize>().unwrap_or(usize::MAX)) else {
        return whole(bytes);
    };
    let end = end.min(bytes.len().saturating_sub(1));
    if start >= bytes.len() || end < start {
        return Response::new(416).header("Content-Range", format!("bytes */{}", bytes.len()));
    }
    let told = format!("bytes {start}-{end}/{}", bytes.len());
    whole(bytes[start..=end].to_vec()).status(206).header("Content-Range", told)
}

impl Site for Registry {
    fn at(&self, origin: &str) {
        self.origin.set(origin.to_owned()).ok();
    }

    fn answer(&self, request: &Request) -> Response {
        let Some(rest) = request.path().strip_prefix("/v2/") else { return Response::new(404) };
        // `v2/NAME/KIND/REFERENCE`: names have slashes, so it is taken apart from behind.
        let parts: Vec<&str> = rest.split('/').collect();
        let route = match parts.as_slice() {
            [""] => None,
            [name @ .., "blobs", "uploads", id] => Some((name.join("/"), "uploads", *id)),
            [name @ .., "tags", "list"] => Some((name.join("/"), "tags", "list")),
            [name @ .., kind @ ("manifests" | "blobs" | "referrers"), reference] => {
                Some((name.join("/"), *kind, *reference))
            }
            _ => return Response::new(404),
        };
        if let Some(refused) =
            self.guard.as_ref().and_then(|guard| guard.check(request, route.as_ref().map(|(name, ..)| name.as_str())))
        {
            return refused;
        }
        let Some((name, kind, reference)) = route else {
            return Response::new(200).header("Content-Type", "application/json").body("{}");
        };
        match (request.method.as_str(), kind) {
            ("GET" | "HEAD", "manifests") => self.get_manifest(&name, reference),
            ("GET" | "HEAD", "blobs") => self.get_blob(&name, reference, request),
            ("GET", "tags") => self.list_tags(&name, request),
            ("GET", "referrers") => self.list_referrers(&name, reference, request),
            ("PUT", "manifests") => self.put_manifest_by(&name, reference, request),
            ("DELETE", "manifests") => self.delete_manifest(&name, reference),
            (_, "uploads") => self.upload(&name, reference, request),
            _ => error(405, "UNSUPPORTED", "the operation is unsupported"),
        }
    }
}
