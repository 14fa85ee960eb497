//! Pushing to one repository (distribution-spec "Push").
//!
//! - [`Pusher::has_blob`], [`Pusher::mount`], [`Pusher::send`]: a blob is there, comes from another repository, or is uploaded
//!   (`session`: by one PUT, or by PATCHes where the server wants that or where a PUT was cut).
//! - [`Pusher::put_manifest`]: manifests and tags (`manifest`), and the tag that stands in for the referrers API (`fallback`).
//! - [`Pusher::abandon_all`]: what was begun is taken back when the user wants no more.
//!
//! Blobs are streams: they are opened again from where the server has them, never kept in memory, and what the server has
//! is never sent into the same upload again.

mod fallback;
mod manifest;
mod session;

use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ctr_core::digest::Digest;
use ureq::http::Method;

use crate::auth::Scopes;
use crate::client::Repository;
use crate::error::RegistryError;
use crate::http::retry::Wait;
use crate::http::{Request, Response};
use crate::url::{Scheme, Url};
pub use fallback::Entry;
pub use manifest::Put;
use session::{Sending, Session};

/// The bytes of a blob. Whoever implements it checks the content: the last read fails if it is not the blob's.
pub trait Content: Sync {
    /// The bytes from `offset` on.
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send + '_>>;
}

/// A blob that is pushed.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its digest.
    pub digest: &'a Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Its bytes.
    pub content: &'a dyn Content,
}

/// An upload that a server offered in place of a mount.
#[derive(Debug)]
pub struct Offered(Session);

/// The answer to the wish for a mount.
#[derive(Debug)]
pub enum Mount {
    /// The blob is there now.
    Done,
    /// It has to be uploaded: into this upload, if the server began one.
    Upload(Option<Offered>),
}

/// Pushes to a repository. Shared by all threads of a program.
#[derive(Debug)]
pub struct Pusher {
    repository: Repository,
    /// Uploads that are begun and not finished.
    open: Mutex<Vec<Url>>,
}

impl Pusher {
    /// Nothing is sent yet.
    pub fn new(repository: Repository) -> Self {
        Self { repository, open: Mutex::default() }
    }

    /// Where it goes.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Whether the repository has a blob of this digest and size.
    pub fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, RegistryError> {
        let url = self.repository.url(&format!("blobs/{digest}"))?;
        let response = self.ask(&mut Request::head(url))?;
        match response.status {
            // Servers that tell no length tell nothing, or 0.
            200 => Ok(response.length().is_none_or(|length| length == size || length == 0)),
            404 => Ok(false),
            _ => Err(self.repository.refused(response, &format!("blob {digest}"))),
        }
    }

    /// Asks for a blob of the repository `from` of the same registry (distribution-spec "Mounting a blob from another
    /// repository"). That is a wish: any refusal means that the blob has to be uploaded.
    pub fn mount(&self, digest: &Digest, from: &str) -> Result<Mount, RegistryError> {
        let url = self.uploads()?.with_query("mount", &digest.to_string()).and_then(|url| url.with_query("from", from));
        let Ok(url) = url else { return Ok(Mount::Upload(None)) };
        let response = match self.ask_with(&mut repeatable(Method::POST, url), Some(from)) {
            // Who may not read the source gets no token for both.
            Err(RegistryError::Denied { .. }) => return Ok(Mount::Upload(None)),
            answer => answer?,
        };
        match response.status {
            201 => Ok(Mount::Done),
            202 => Ok(Mount::Upload(Some(Offered(self.session(&response)?)))),
            _ => Ok(Mount::Upload(None)),
        }
    }

    /// Uploads a blob, whatever the repository has.
    pub fn send(&self, blob: Outgoing<'_>, offered: Option<Offered>) -> Result<(), RegistryError> {
        Sending::new(self, blob).run(offered.map(|offered| offered.0))
    }

    /// Takes all uploads back that are begun and not finished, whatever else is cancelled. Errors are nobody's
    /// concern any more: servers forget such uploads in time.
    pub fn abandon_all(&self) {
        let open = std::mem::take(&mut *self.open());
        for url in open {
            self.delete(url);
        }
    }

    /// `blobs/uploads/`.
    fn uploads(&self) -> Result<Url, RegistryError> {
        self.repository.url("blobs/uploads/")
    }

    fn begin(&self) -> Result<Session, RegistryError> {
        let response = self.ask(&mut repeatable(Method::POST, self.uploads()?))?;
        if response.status != 202 {
            return Err(self.refused(response, "uploads"));
        }
        self.session(&response)
    }

    fn session(&self, response: &Response) -> Result<Session, RegistryError> {
        let session = Session::new(self.location(response)?, response);
        self.open().push(session.location.clone());
        Ok(session)
    }

    /// Where `Location` leads. Another host than the registry may be meant, but never one without TLS instead of one with.
    fn location(&self, response: &Response) -> Result<Url, RegistryError> {
        let wrong = |why: &str| RegistryError::Protocol { url: response.url.clone(), why: why.to_owned() };
        let text = response.header("location").filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| wrong("an upload without Location"))?;
        let url = response.url.join(text).map_err(|error| wrong(&format!("its Location is refused: {error}")))?;
        if self.repository.origin().scheme == Scheme::Https && url.origin().scheme == Scheme::Http {
            return Err(wrong("its Location leaves TLS; is its proxy configured to tell it the scheme?"));
        }
        Ok(url)
    }

    /// Sends a request that writes. Credentials go to the registry alone.
    fn ask(&self, request: &mut Request<'_>) -> Result<Response, RegistryError> {
        self.ask_with(request, None)
    }

    /// The same, with the right to read `source` too.
    fn ask_with(&self, request: &mut Request<'_>, source: Option<&str>) -> Result<Response, RegistryError> {
        if request.url.origin() != self.repository.origin() {
            return self.repository.http.send(request);
        }
        let scopes = Scopes::push(self.repository.path());
        let scopes = source.map_or(scopes.clone(), |source| scopes.and_pull_from(source));
        self.repository.ask_for(scopes, request)
    }

    fn refused(&self, response: Response, what: &str) -> RegistryError {
        self.repository.refused(response, &format!("{what} in {}", self.repository.path()))
    }

    fn open(&self) -> MutexGuard<'_, Vec<Url>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An upload has another address now.
    fn moved(&self, from: &Url, to: &Url) {
        if let Some(place) = self.open().iter_mut().find(|place| *place == from) {
            *place = to.clone();
        }
    }

    /// Whether it was known until now.
    fn forget(&self, location: &Url) -> bool {
        let mut open = self.open();
        let at = open.iter().position(|known| known == location);
        at.map(|at| open.swap_remove(at)).is_some()
    }

    /// Takes one upload back.
    fn abandon(&self, location: &Url) {
        if self.forget(location) {
            self.delete(location.clone());
        }
    }

    fn delete(&self, location: Url) {
        let mut request = Request::new(Method::DELETE, location);
        request.last = true;
        let _ = self.ask(&mut request);
    }

    /// Waits before a request is made again.
    fn pause(&self, wait: Wait) -> Result<(), RegistryError> {
        match wait {
            Wait::For(time) => self.repository.http.pause(time),
            Wait::TooLong(wait) => {
                let registry = self.repository.origin().authority();
                Err(RegistryError::RateLimited { registry, wait: Some(wait), errors: Vec::new() })
            }
        }
    }
}

/// A request that may be made again: a second upload that is begun costs nothing.
fn repeatable(method: Method, url: Url) -> Request<'static> {
    let mut request = Request::new(method, url);
    request.repeatable = true;
    request
}
