//! One repository of one registry: the requests of the distribution specification, each as a method.

use std::sync::Arc;

use ctr_core::digest::Digest;
use ctr_core::spec::MAX_DOCUMENT;
use ctr_core::spec::oci::MediaType;

use crate::auth::{Authenticator, Scopes, Verdict, challenges};
use crate::error::RegistryError;
use crate::http::{BodyReader, Http, Payload, Request, Response};
use crate::url::{Origin, Scheme, Url, UrlError};

/// The media type of an image index.
pub(crate) const INDEX: &str = MediaType::INDEX;
/// What manifests we take, in the order of preference.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.docker.distribution.manifest.v2+json";

/// A repository, spoken to as one user.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) http: Arc<Http>,
    origin: Origin,
    path: String,
    login: Option<Arc<Authenticator>>,
}

/// A manifest or index as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Their digest.
    pub digest: Digest,
    /// What the server called it; nothing where that says nothing (`application/octet-stream`).
    pub media_type: Option<MediaType>,
}

/// What a HEAD says of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `Docker-Content-Digest`; only digests that we know.
    pub digest: Option<Digest>,
}

/// The body of a blob.
#[derive(Debug)]
pub struct BlobBody {
    /// Byte of the blob at which it begins: the one that was asked for, or 0 where the server knows no ranges.
    pub start: u64,
    /// The bytes. There may be more than the blob has: the reader caps.
    pub body: BodyReader,
}

impl Repository {
    /// The repository `path` of the registry at `origin`.
    pub fn new(http: Arc<Http>, origin: Origin, path: &str) -> Self {
        Self { http, origin, path: path.to_owned(), login: None }
    }

    /// The same repository, with the credentials of a user.
    #[must_use]
    pub fn with_login(self, login: Arc<Authenticator>) -> Self {
        Self { login: Some(login), ..self }
    }

    /// The connections.
    pub fn http(&self) -> &Arc<Http> {
        &self.http
    }

    /// Scheme, host and port of the registry.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path of the repository.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `/v2/PATH/REST`.
    pub(crate) fn url(&self, rest: &str) -> Result<Url, RegistryError> {
        let url = self.origin.url(&format!("/v2/{}/{rest}", self.path));
        url.map_err(|source| RegistryError::Address { what: format!("the repository \"{}\"", self.path), source })
    }

    /// Where a manifest is asked for, by tag or digest.
    pub fn manifest_url(&self, reference: &str) -> Result<Url, RegistryError> {
        self.url(&format!("manifests/{reference}"))
    }

    /// Sends a request that reads, with the credentials of the repository.
    pub(crate) fn ask(&self, request: &mut Request<'_>) -> Result<Response, RegistryError> {
        self.ask_for(Scopes::pull(&self.path), request)
    }

    /// Sends a request that needs `scopes`. A body that is a stream is sent once, whatever the answer.
    pub(crate) fn ask_for(&self, scopes: Scopes, request: &mut Request<'_>) -> Result<Response, RegistryError> {
        let Some(login) = &self.login else { return self.http.send(request) };
        let mut attempt = login.attempt(scopes);
        loop {
            request.authorization = attempt.authorization()?;
            let mut response = self.http.send(request)?;
            let verdict = attempt.judge(response.status, response.url.origin(), &challenges(&response))?;
            if verdict == Verdict::Final || matches!(request.payload, Payload::Stream { .. }) {
                response.credential = attempt.source().map(str::to_owned);
                return Ok(response);
            }
        }
    }

    /// An answer that is no success, as an error; `what` says what was asked for.
    pub(crate) fn refused(&self, response: Response, what: &str) -> RegistryError {
        let registry = self.origin.authority();
        match response.status {
            401 | 403 => {
                let credential = response.credential.clone();
                let errors = response.errors();
                RegistryError::Denied { registry, repository: self.path.clone(), credential, errors }
            }
            404 => RegistryError::NotFound { registry, what: what.to_owned(), errors: response.errors() },
            429 => RegistryError::RateLimited { registry, wait: None, errors: response.errors() },
            _ => response.into_error(),
        }
    }

    /// The manifest or index that `reference`, a tag or a digest, means (distribution-spec "Pulling manifests").
    pub fn manifest(&self, reference: &str) -> Result<RawManifest, RegistryError> {
        let url = self.url(&format!("manifests/{reference}"))?;
        let ask = || {
            let response = self.ask(&mut Request::get(url.clone()).header("accept", ACCEPT))?;
            match response.status {
                200 => Ok(((response.url.clone(), media_type(&response), content_digest(&response)), response)),
                _ => Err(self.refused(response, &self.image(reference))),
            }
        };
        let ((url, media_type, told), bytes) = self.whole("the manifest", MAX_DOCUMENT, ask)?;
        let digest = Digest::of(&bytes);
        let wrong = |expected| Err(RegistryError::WrongDigest { url: url.clone(), expected, found: digest });
        if let Ok(asked) = reference.parse::<Digest>()
            && asked != digest
        {
            return wrong(asked);
        }
        match told {
            Some(told) if told != digest => wrong(told),
            _ => Ok(RawManifest { bytes, digest, media_type }),
        }
    }

    /// Whether there is such a manifest, and its digest if the server tells it.
    pub fn head(&self, reference: &str) -> Result<Option<Head>, RegistryError> {
        let url = self.url(&format!("manifests/{reference}"))?;
        let response = self.ask(&mut Request::head(url).header("accept", ACCEPT))?;
        match response.status {
            200 => Ok(Some(Head { digest: content_digest(&response) })),
            404 => Ok(None),
            _ => Err(self.refused(response, &self.image(reference))),
        }
    }

    /// The bytes of a blob from `offset` on (distribution-spec "Pulling blobs", RFC 9110 section 14).
    ///
    /// Nothing is known of the content: the caller counts and hashes it.
    pub fn blob(&self, digest: &Digest, size: u64, offset: u64) -> Result<BlobBody, RegistryError> {
        let mut request = from_offset(self.url(&format!("blobs/{digest}"))?, size, offset);
        let response = self.ask(&mut request)?;
        match response.status {
            200 => body_from(response, size, offset),
            206 if offset > 0 => body_from(response, size, offset),
            _ => Err(self.refused(response, &format!("blob {digest}"))),
        }
    }

    /// The whole of a small blob. Nothing is known of the content but that it has no more than `size` bytes.
    pub fn document(&self, digest: &Digest, size: u64) -> Result<Vec<u8>, RegistryError> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let ask = || {
            let response = self.ask(&mut Request::get(url.clone()))?;
            match response.status {
                200 => Ok(((), response)),
                _ => Err(self.refused(response, &format!("blob {digest}"))),
            }
        };
        self.whole("the blob", size.min(MAX_DOCUMENT), ask).map(|((), bytes)| bytes)
    }

    /// What an answer says in its head, and its body. One whose body breaks off is asked for again.
    fn whole<T>(
        &self,
        what: &'static str,
        limit: u64,
        ask: impl Fn() -> Result<(T, Response), RegistryError>,
    ) -> Result<(T, Vec<u8>), RegistryError> {
        let mut attempt = 0;
        loop {
            let (head, response) = ask()?;
            match response.bytes(what, limit) {
                Err(error) if error.is_passing() && attempt < self.http.settings().retries => {
                    self.http.back_off(attempt)?;
                    attempt += 1;
                }
                read => return read.map(|bytes| (head, bytes)),
            }
        }
    }

    pub(crate) fn image(&self, reference: &str) -> String {
        let separator = if reference.contains(':') { '@' } else { ':' };
        format!("image {}{separator}{reference}", self.path)
    }
}

/// The bytes of a foreign layer from `offset` on, from a server that its descriptor names (image-spec layer.md
/// "Non-Distributable Layers"). It is no registry: it gets no credentials, and is spoken to by https only.
pub fn foreign_blob(http: &Http, url: &str, size: u64, offset: u64) -> Result<BlobBody, RegistryError> {
    let address = |source| RegistryError::Address { what: "the address of a foreign layer".to_owned(), source };
    let url = Url::parse(url).map_err(address)?;
    if url.origin().scheme != Scheme::Https {
        return Err(address(UrlError::Plain));
    }
    let response = http.send(&mut from_offset(url, size, offset))?;
    match response.status {
        200 => body_from(response, size, offset),
        206 if offset > 0 => body_from(response, size, offset),
        _ => Err(response.into_error()),
    }
}

/// A request for a file of `size` bytes, from `offset` on (RFC 9110 section 14).
pub(crate) fn from_offset<'a>(url: Url, size: u64, offset: u64) -> Request<'a> {
    let request = Request::get(url);
    if offset == 0 {
        return request;
    }
    request.header("range", format!("bytes={offset}-{}", size.saturating_sub(1).max(offset)))
}

/// The body of the answer, 200 or 206, to [`from_offset`].
pub(crate) fn body_from(response: Response, size: u64, offset: u64) -> Result<BlobBody, RegistryError> {
    let start = if response.status == 206 {
        let range = response.header("content-range").and_then(ContentRange::parse);
        let fits = |range: &ContentRange| {
            range.start == offset && range.end < size && range.total.is_none_or(|total| total == size)
        };
        let Some(range) = range.filter(fits) else {
            let why = "its Content-Range is not the one that was asked for".to_owned();
            return Err(RegistryError::Protocol { url: response.url, why });
        };
        range.start
    } else {
        0
    };
    match response.length() {
        Some(length) if length > size - start.min(size) => {
            Err(RegistryError::TooLarge { what: "the blob", url: response.url, limit: size })
        }
        _ => Ok(BlobBody { start, body: response.into_body() }),
    }
}

/// `Content-Range: bytes START-END/TOTAL` (RFC 9110 section 14.4).
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    start: u64,
    /// The last byte.
    end: u64,
    /// None: `*`.
    total: Option<u64>,
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (start, end) = range.split_once('-')?;
        let (start, end) = (number(start)?, number(end)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        (start <= end).then_some(Self { start, end, total })
    }
}

/// Digits only: `+5` is no length.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

pub(crate) fn content_digest(response: &Response) -> Option<Digest> {
    response.header("docker-content-digest")?.parse().ok()
}

/// The type that a server tells, without its parameters. What plain file servers say of any file says nothing.
fn media_type(response: &Response) -> Option<MediaType> {
    let told = response.header("content-type")?.split(';').next()?.trim().to_ascii_lowercase();
    let generic = ["application/octet-stream", "binary/octet-stream", "text/plain", "application/json", ""];
    (!generic.contains(&told.as_str())).then_some(MediaType(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        let range = |start, end, total| Some(ContentRange { start, end, total });
        for (text, expected) in [
            ("bytes 5-9/10", range(5, 9, Some(10))),
            ("bytes 5-9/*", range(5, 9, None)),
            ("bytes 9-5/10", None),
            ("bytes */10", None),
            ("bytes +5-9/10", None),
            ("bytes 5-/10", None),
            ("items 5-9/10", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }
}
