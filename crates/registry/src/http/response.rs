//! Answers, whose bodies are read with a cap and a least rate.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::HeaderMap;

use super::Shared;
use crate::auth::{Secret, scrub};
use crate::error::{NetworkProblem, RegistryError, ServerError};
use crate::url::Url;

/// Most bytes of an error body that are read.
pub const MAX_ERROR_BODY: u64 = 64 << 10;
/// Most entries of an error body that are shown.
const MAX_ERRORS: usize = 4;
/// Most characters of a text of the server that are shown.
const MAX_TEXT: usize = 300;

/// The head of an answer, and its body to read.
#[derive(Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The URL that answered, behind all redirects.
    pub url: Url,
    /// Where the credential was from that the request was made with, or that was refused before.
    pub credential: Option<String>,
    /// The header `Authorization` that it answers to.
    pub(super) sent: Option<Secret>,
    pub(super) body: ureq::Body,
    pub(super) shared: Arc<Shared>,
}

impl Response {
    /// 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header that is text; others are as if they were not there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }

    /// `Content-Length`, if there is one.
    pub fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// The whole body, if it has at most `limit` bytes. `what` names it in errors.
    pub fn bytes(self, what: &'static str, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let url = self.url.clone();
        if self.length().is_some_and(|length| length > limit) {
            return Err(RegistryError::TooLarge { what, url, limit });
        }
        let mut bytes = Vec::new();
        self.into_body().take(limit + 1).read_to_end(&mut bytes).map_err(|error| of_io(error, &url))?;
        if bytes.len() as u64 > limit {
            return Err(RegistryError::TooLarge { what, url, limit });
        }
        Ok(bytes)
    }

    /// The body as a stream. It ends with an error where it is cut, stalls, is too slow, or is cancelled.
    pub fn into_body(self) -> BodyReader {
        BodyReader {
            inner: self.body.into_with_config().limit(u64::MAX).reader(),
            url: self.url,
            window: Window { began: Instant::now(), bytes: 0 },
            shared: self.shared,
        }
    }

    /// What the body of an error says; nothing if it cannot be understood.
    pub(crate) fn errors(self) -> Vec<ServerError> {
        #[derive(serde::Deserialize)]
        struct Told {
            errors: Vec<ServerError>,
        }
        let sent = self.sent.clone().unwrap_or_default();
        let Ok(bytes) = self.bytes("an error message", MAX_ERROR_BODY) else { return Vec::new() };
        let Ok(told) = serde_json::from_slice::<Told>(&bytes) else { return Vec::new() };
        let mut errors = told.errors;
        errors.truncate(MAX_ERRORS);
        for error in &mut errors {
            for text in [&mut error.code, &mut error.message] {
                *text = scrub(text, &sent).chars().take(MAX_TEXT).collect();
            }
        }
        errors
    }

    /// The answer as an error.
    pub(crate) fn into_error(self) -> RegistryError {
        let (url, status) = (self.url.clone(), self.status);
        RegistryError::Status { url, status, errors: self.errors() }
    }
}

/// Bytes that came since a moment.
#[derive(Debug)]
struct Window {
    began: Instant,
    bytes: u64,
}

/// The body of an answer. Errors are [`RegistryError`]s inside of [`io::Error`]: see [`of_io`].
pub struct BodyReader {
    inner: ureq::BodyReader<'static>,
    url: Url,
    window: Window,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BodyReader({})", self.url)
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.shared.check().map_err(io::Error::other)?;
        let read =
            self.inner.read(buffer).map_err(|error| io::Error::other(failed(error.into(), &self.url, &self.shared)))?;
        self.window.bytes += read as u64;
        let settings = &self.shared.settings;
        let elapsed = self.window.began.elapsed();
        if elapsed >= settings.idle_timeout.max(Duration::from_millis(1)) && read > 0 {
            let least = u128::from(settings.minimum_rate) * elapsed.as_millis() / 1000;
            if u128::from(self.window.bytes) < least {
                let slow = RegistryError::Slow { url: self.url.clone(), minimum: settings.minimum_rate };
                return Err(io::Error::other(slow));
            }
            self.window = Window { began: Instant::now(), bytes: 0 };
        }
        Ok(read)
    }
}

/// The error of a body, as the registry error that it is.
pub fn of_io(error: io::Error, url: &Url) -> RegistryError {
    let ours = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<RegistryError>);
    match error.into_inner().map(<dyn std::error::Error + Send + Sync>::downcast::<RegistryError>) {
        Some(Ok(inner)) if ours => *inner,
        _ => RegistryError::broken(url, "it cannot be read"),
    }
}

/// What went wrong: the caller's time is over, or [`network`].
pub(super) fn failed(error: ureq::Error, url: &Url, shared: &Shared) -> RegistryError {
    match (&error, shared.settings.budget) {
        (ureq::Error::Timeout(ureq::Timeout::Global), Some(budget)) => RegistryError::Budget { budget },
        _ => network(error, url),
    }
}

/// What went wrong below HTTP.
fn network(error: ureq::Error, url: &Url) -> RegistryError {
    use ureq::Error;
    let url = url.clone();
    let problem = match error {
        Error::HostNotFound => NetworkProblem::UnknownHost,
        Error::Timeout(phase) => NetworkProblem::Timeout(match phase {
            ureq::Timeout::Resolve => "finding the address",
            ureq::Timeout::Connect => "connecting",
            ureq::Timeout::RecvResponse => "waiting for the answer",
            ureq::Timeout::PerWrite | ureq::Timeout::SendBody | ureq::Timeout::SendRequest => "sending",
            _ => "receiving",
        }),
        Error::Rustls(rustls::Error::InvalidCertificate(why)) => NetworkProblem::Certificate(certificate(&why)),
        Error::Rustls(error) => NetworkProblem::Tls(error.to_string()),
        Error::Tls(why) => NetworkProblem::Tls(why.to_owned()),
        Error::Io(error) => return from_io(&error, url),
        Error::ConnectionFailed => NetworkProblem::Connect("nothing answers".to_owned()),
        Error::ConnectProxyFailed(_) => NetworkProblem::Proxy("it does not connect to this host".to_owned()),
        Error::LargeResponseHeader(_, limit) => {
            return RegistryError::TooLarge { what: "the head of the answer", url, limit: limit as u64 };
        }
        other => NetworkProblem::Http(other.to_string()),
    };
    RegistryError::Network { url, problem }
}

fn from_io(error: &io::Error, url: Url) -> RegistryError {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        let problem = match tls {
            rustls::Error::InvalidCertificate(why) => NetworkProblem::Certificate(certificate(why)),
            other => NetworkProblem::Tls(other.to_string()),
        };
        return RegistryError::Network { url, problem };
    }
    let problem = match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            NetworkProblem::Connect(error.to_string())
        }
        _ => NetworkProblem::Broken(error.to_string()),
    };
    RegistryError::Network { url, problem }
}

fn certificate(why: &rustls::CertificateError) -> String {
    use rustls::CertificateError as E;
    match why {
        E::Expired | E::ExpiredContext { .. } => "it has expired".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet; is the clock right?".to_owned(),
        E::UnknownIssuer => "it is signed by nobody that this host trusts".to_owned(),
        E::NotValidForName | E::NotValidForNameContext { .. } => "it is for another host".to_owned(),
        E::BadSignature => "its signature is not of the authority that it names".to_owned(),
        E::Revoked => "it was revoked".to_owned(),
        other => format!("{other:?}"),
    }
}
