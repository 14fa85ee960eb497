//! One blob on its way into uploads of the server (distribution-spec "Pushing blobs").
//!
//! ```text
//!  begin (POST) ──> PUT of all of it ────────────────────────> there
//!        │             │ cut, 5xx, 401, 404, 416
//!        │             v
//!        │          there by now (HEAD)? ──────────────────> there
//!        │             │ no: where does the upload stand (GET)?
//!        │             ├─ at N: PATCH from N on, then PUT ──> there
//!        └──<──────────┴─ nobody knows: a new upload
//! ```

use std::io::{self, Read};
use std::time::Duration;

use ureq::http::Method;

use super::{Outgoing, Pusher};
use crate::client::content_digest;
use crate::error::RegistryError;
use crate::http::retry::{self, Wait};
use crate::http::{Http, Payload, Request, Response};
use crate::url::Url;

/// Bytes of a chunk, where a server wants chunks and no larger ones.
const CHUNK: u64 = 16 << 20;
/// Chunks are not made smaller than this for a server that finds them too large.
const LEAST_CHUNK: u64 = 1 << 20;
/// An upload that got so much further since it failed before begins its retries anew.
const PROGRESS: u64 = 1 << 20;
/// Servers that know no PATCH.
const UNSUPPORTED: [u16; 3] = [405, 415, 501];

/// An upload of the server.
#[derive(Debug)]
pub(super) struct Session {
    /// Where the next request goes.
    pub(super) location: Url,
    /// Bytes that the server has.
    offset: u64,
    /// `OCI-Chunk-Min-Length`: the server wants chunks, of no less than this.
    least: Option<u64>,
}

impl Session {
    pub(super) fn new(location: Url, response: &Response) -> Self {
        let least = response.header("oci-chunk-min-length").and_then(|text| text.parse().ok());
        Self { location, offset: 0, least }
    }
}

/// Why an upload did not come to its end.
enum Stop {
    /// It may go on, after a wait.
    Passing(Box<RegistryError>, Wait),
    /// The server knows no PATCH.
    NoPatch(Box<RegistryError>),
    /// The server or a proxy takes no body of this size.
    TooLarge(Box<RegistryError>),
    /// That is it.
    Failed(Box<RegistryError>),
}

impl Stop {
    fn passing(error: RegistryError, wait: Wait) -> Self {
        Self::Passing(Box::new(error), wait)
    }

    fn no_patch(error: RegistryError) -> Self {
        Self::NoPatch(Box::new(error))
    }

    fn too_large(error: RegistryError) -> Self {
        Self::TooLarge(Box::new(error))
    }

    fn failed(error: RegistryError) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// What to do after a [`Stop`].
enum Next {
    Done,
    GoOn,
    Anew,
}

/// A blob on its way.
pub(super) struct Sending<'a> {
    pusher: &'a Pusher,
    blob: Outgoing<'a>,
    /// The bytes from a position on, while they are read without a gap.
    reader: Option<(u64, Box<dyn Read + Send + 'a>)>,
    no_patch: bool,
    chunk: Option<u64>,
    failures: u32,
    /// The furthest that the server has been.
    best: u64,
    denied: bool,
}

impl<'a> Sending<'a> {
    pub(super) fn new(pusher: &'a Pusher, blob: Outgoing<'a>) -> Self {
        Self { pusher, blob, reader: None, no_patch: false, chunk: None, failures: 0, best: 0, denied: false }
    }

    pub(super) fn run(mut self, first: Option<Session>) -> Result<(), RegistryError> {
        let mut next = first;
        loop {
            let mut session = match next.take() {
                Some(session) => session,
                None => self.pusher.begin()?,
            };
            let after = self.fill(&mut session).map(|()| Next::Done);
            match after.or_else(|stop| self.recover(&mut session, stop)) {
                Ok(Next::Done) => {
                    self.pusher.forget(&session.location);
                    return Ok(());
                }
                Ok(Next::GoOn) => next = Some(session),
                Ok(Next::Anew) => self.pusher.abandon(&session.location),
                Err(error) => {
                    self.pusher.abandon(&session.location);
                    return Err(error);
                }
            }
        }
    }

    fn fill(&mut self, session: &mut Session) -> Result<(), Stop> {
        let wanted = session.least.filter(|least| *least < self.blob.size && !self.no_patch);
        let chunk = self.chunk.or(wanted.map(|_| CHUNK)).map(|chunk| chunk.max(session.least.unwrap_or(0)));
        if chunk.is_none() && session.offset == 0 {
            return self.put(session, self.blob.size);
        }
        while session.offset < self.blob.size {
            self.patch(session, chunk.unwrap_or(u64::MAX))?;
        }
        self.put(session, 0)
    }

    /// The last request of an upload, with the `length` bytes that come last.
    fn put(&mut self, session: &mut Session, length: u64) -> Result<(), Stop> {
        let url = session.location.with_query("digest", &self.blob.digest.to_string());
        let url =
            url.map_err(|source| Stop::failed(RegistryError::Address { what: "an upload".to_owned(), source }))?;
        let request = Request::new(Method::PUT, url).header("content-type", "application/octet-stream");
        let response = self.transfer(request, session.offset, length)?;
        match response.status {
            201 => match content_digest(&response) {
                Some(found) if found != *self.blob.digest => {
                    let (url, expected) = (response.url, *self.blob.digest);
                    Err(Stop::failed(RegistryError::WrongDigest { url, expected, found }))
                }
                _ => Ok(()),
            },
            200..300 => match self.is_there() {
                Ok(true) => Ok(()),
                Ok(false) => {
                    let why = format!("{} to an upload that did not make the blob", response.status);
                    Err(Stop::failed(RegistryError::Protocol { url: response.url, why }))
                }
                Err(error) => Err(Stop::failed(error)),
            },
            405 | 413 | 501 if length > 0 => Err(Stop::too_large(self.refused(response))),
            _ => Err(self.stop(response)),
        }
    }

    /// One chunk, of at most `most` bytes.
    fn patch(&mut self, session: &mut Session, most: u64) -> Result<(), Stop> {
        let (start, length) = (session.offset, most.min(self.blob.size - session.offset));
        let request = Request::new(Method::PATCH, session.location.clone())
            .header("content-type", "application/octet-stream")
            .header("content-range", format!("{start}-{}", start + length - 1));
        let response = self.transfer(request, start, length)?;
        match response.status {
            200..300 => {
                self.relocate(session, &response).map_err(Stop::failed)?;
                let there = response.header("range").and_then(offset).unwrap_or(start + length);
                if there < start || there > start + length {
                    let why = format!("it says that it has {there} bytes of an upload of {}", start + length);
                    return Err(Stop::failed(RegistryError::Protocol { url: response.url, why }));
                }
                session.offset = there;
                if there == start {
                    let stuck = RegistryError::broken(&session.location, "it took nothing of what was sent");
                    return Err(Stop::passing(stuck, retry::backoff(self.failures)));
                }
                Ok(())
            }
            413 => Err(Stop::too_large(self.refused(response))),
            status if UNSUPPORTED.contains(&status) => Err(Stop::no_patch(self.refused(response))),
            404 if start == 0 => match self.refused(response) {
                error if error.has_code("BLOB_UPLOAD_UNKNOWN") => Err(self.passing(error)),
                error => Err(Stop::no_patch(error)),
            },
            _ => Err(self.stop(response)),
        }
    }

    /// An answer that is no success to a request that is a part of an upload.
    fn stop(&mut self, response: Response) -> Stop {
        match response.status {
            // A token that ended on the way: the next request gets a new one.
            401 if !self.denied => {
                self.denied = true;
                Stop::passing(self.refused(response), Wait::For(Duration::ZERO))
            }
            404 | 416 => {
                let error = self.refused(response);
                self.passing(error)
            }
            status if retry::is_passing(status) => {
                let longest = self.http().settings().longest_wait;
                let wait = retry::after(response.header("retry-after"), self.failures, longest);
                Stop::passing(self.refused(response), wait)
            }
            _ => Stop::failed(self.refused(response)),
        }
    }

    fn passing(&self, error: RegistryError) -> Stop {
        Stop::passing(error, retry::backoff(self.failures))
    }

    /// What to do after an upload stopped; `session` knows how far the server is then.
    fn recover(&mut self, session: &mut Session, stop: Stop) -> Result<Next, RegistryError> {
        match stop {
            Stop::Failed(error) => Err(*error),
            Stop::NoPatch(error) if self.no_patch => Err(*error),
            Stop::NoPatch(_) => {
                (self.no_patch, self.chunk) = (true, None);
                Ok(Next::Anew)
            }
            Stop::TooLarge(error) => {
                let smaller = self.chunk.map_or(CHUNK, |chunk| chunk / 2);
                if self.no_patch || smaller < LEAST_CHUNK {
                    return Err(*error);
                }
                self.chunk = Some(smaller);
                Ok(Next::Anew)
            }
            Stop::Passing(error, wait) => {
                if self.failures >= self.http().settings().retries {
                    return Err(*error);
                }
                self.failures += 1;
                self.pusher.pause(wait)?;
                if self.is_there()? {
                    return Ok(Next::Done);
                }
                if self.no_patch || !self.look(session)? {
                    return Ok(Next::Anew);
                }
                if session.offset >= self.best + PROGRESS {
                    (self.best, self.failures) = (session.offset, 0);
                }
                Ok(Next::GoOn)
            }
        }
    }

    /// Asks how far the server is (distribution-spec "Getting upload status"); `false`: nobody knows.
    fn look(&self, session: &mut Session) -> Result<bool, RegistryError> {
        let response = match self.pusher.ask(&mut Request::get(session.location.clone())) {
            Ok(response) => response,
            Err(error @ (RegistryError::Cancelled | RegistryError::Budget { .. })) => return Err(error),
            Err(_) => return Ok(false),
        };
        let there = response.header("range").and_then(offset).filter(|there| *there <= self.blob.size);
        let Some(there) = there.filter(|_| response.is_success()) else { return Ok(false) };
        if response.header("location").is_some() {
            self.relocate(session, &response)?;
        }
        session.offset = there;
        Ok(true)
    }

    fn relocate(&self, session: &mut Session, response: &Response) -> Result<(), RegistryError> {
        let location = self.pusher.location(response)?;
        self.pusher.moved(&session.location, &location);
        session.location = location;
        Ok(())
    }

    /// Sends `length` bytes of the blob from `start` on.
    fn transfer(&mut self, request: Request<'_>, start: u64, length: u64) -> Result<Response, Stop> {
        if length == 0 {
            let mut request = request;
            return self.pusher.ask(&mut request).map_err(|error| self.failed(error));
        }
        let content = |source| Stop::failed(RegistryError::Content { digest: *self.blob.digest, source });
        let reader = match self.reader.take() {
            Some((at, reader)) if at == start => reader,
            _ => self.blob.content.open(start).map_err(content)?,
        };
        let http = self.pusher.repository.http.clone();
        let mut source = Source { reader, http: &http, left: length, failed: None };
        let mut request = request.payload(Payload::Stream { length, from: &mut source });
        let result = self.pusher.ask(&mut request);
        let Source { reader, left, failed, .. } = source;
        if let Some(error) = failed {
            return Err(match error.downcast::<RegistryError>() {
                Ok(error) => Stop::failed(error),
                Err(error) => content(error),
            });
        }
        if left == 0 {
            self.reader = Some((start + length, reader));
        }
        result.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: RegistryError) -> Stop {
        if error.is_passing() { self.passing(error) } else { Stop::failed(error) }
    }

    fn is_there(&self) -> Result<bool, RegistryError> {
        self.pusher.has_blob(self.blob.digest, self.blob.size)
    }

    fn refused(&self, response: Response) -> RegistryError {
        self.pusher.refused(response, "such upload")
    }

    fn http(&self) -> &Http {
        &self.pusher.repository.http
    }
}

/// What is sent, as long as nobody cancels; keeps the error of what it reads.
struct Source<'a, 'r> {
    reader: Box<dyn Read + Send + 'r>,
    http: &'a Http,
    left: u64,
    failed: Option<io::Error>,
}

impl Read for Source<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let result = self.http.check().map_err(io::Error::other).and_then(|()| self.reader.read(buffer));
        match result {
            Ok(0) => Err(self.fail(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.fail(error)),
        }
    }
}

impl Source<'_, '_> {
    fn fail(&mut self, error: io::Error) -> io::Error {
        self.failed = Some(error);
        io::ErrorKind::BrokenPipe.into()
    }
}

/// Bytes that a server has, by its `Range: 0-LAST`. `0-0` means one or none, which helps nobody.
fn offset(text: &str) -> Option<u64> {
    let last = text.strip_prefix("bytes=").unwrap_or(text).strip_prefix("0-")?;
    if !last.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    last.parse::<u64>().ok().filter(|last| *last > 0)?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_uploads_are_read_strictly() {
        for (text, expected) in [
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            ("0-0", None),
            ("1-99", None),
            ("0-", None),
            ("0-+5", None),
            ("0-18446744073709551615", None),
            ("", None),
        ] {
            assert_eq!(offset(text), expected, "{text}");
        }
    }
}
