//! What can go wrong with a registry, split by what the caller can do about it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ctr_core::digest::Digest;
use ctr_core::spec::SpecError;

use crate::config::ConfigError;
use crate::url::{Url, UrlError};

/// A request or a transfer that failed. [`RegistryError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The server could not be reached, or the connection broke.
    #[error("cannot reach {url}: {problem}")]
    Network {
        /// The request.
        url: Url,
        /// What happened.
        problem: NetworkProblem,
    },
    /// The server answered with a status that is an error.
    #[error("{url} answered {status}{}", told(errors))]
    Status {
        /// The request.
        url: Url,
        /// HTTP status.
        status: u16,
        /// What the body said.
        errors: Vec<ServerError>,
    },
    /// There is no such thing.
    #[error("{registry} has no {what}{}", told(errors))]
    NotFound {
        /// Host of the registry.
        registry: String,
        /// What was asked for: `image app:1`.
        what: String,
        /// What the body said.
        errors: Vec<ServerError>,
    },
    /// Credentials are missing or were refused.
    #[error("{registry} refuses access to {repository}{}{}", with(credential.as_deref()), told(errors))]
    Denied {
        /// Host of the registry.
        registry: String,
        /// The repository.
        repository: String,
        /// Where the credential came from that was used, never the credential.
        credential: Option<String>,
        /// What the body said.
        errors: Vec<ServerError>,
    },
    /// Too many requests, and the wait that the server asks for is too long.
    #[error("{registry} limits requests{}{}", wait_of(*wait), told(errors))]
    RateLimited {
        /// Host of the registry.
        registry: String,
        /// How long it wants us to wait, if it said so.
        wait: Option<Duration>,
        /// What the body said.
        errors: Vec<ServerError>,
    },
    /// More bytes than there may be.
    #[error("{what} from {url} has more than the {limit} bytes that are allowed")]
    TooLarge {
        /// Which body.
        what: &'static str,
        /// The request.
        url: Url,
        /// The cap in bytes.
        limit: u64,
    },
    /// Content that is not what its digest says.
    #[error("{url} sent content with the digest {found}, expected was {expected}")]
    WrongDigest {
        /// The request.
        url: Url,
        /// As asked for.
        expected: Digest,
        /// As computed.
        found: Digest,
    },
    /// An answer that breaks a rule of HTTP or of the distribution specification.
    #[error("{url} answered against the rules: {why}")]
    Protocol {
        /// The request.
        url: Url,
        /// Which rule.
        why: String,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects to {to}, which is not followed: {why}")]
    Redirect {
        /// The request.
        url: Url,
        /// Where to.
        to: String,
        /// Why not.
        why: &'static str,
    },
    /// A body came slower than is bearable.
    #[error("{url} sends less than {minimum} bytes per second")]
    Slow {
        /// The request.
        url: Url,
        /// The least rate, in bytes per second.
        minimum: u64,
    },
    /// The time that the caller gave for everything is over.
    #[error("the time of {} is over", ctr_core::quantity::format_duration(*budget))]
    Budget {
        /// What was given.
        budget: Duration,
    },
    /// The caller wants no more.
    #[error("cancelled")]
    Cancelled,
    /// Certificates or keys of this host that cannot be used.
    #[error("cannot use {}: {why}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An address that no request can go to.
    #[error("{what} cannot be used: {source}")]
    Address {
        /// Which address.
        what: String,
        /// Why not.
        source: UrlError,
    },
    /// registries.conf, or what it makes of a name.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A login that failed before the registry could say no.
    #[error(transparent)]
    Auth(Box<crate::auth::AuthError>),
    /// What is sent cannot be read, or is not what it must be.
    #[error("cannot read blob {digest} to send it: {source}")]
    Content {
        /// The blob.
        digest: Digest,
        /// Why.
        source: std::io::Error,
    },
    /// A tag that is there already and may not be moved.
    #[error("{registry} does not let the {image} change{}", told(errors))]
    Immutable {
        /// Host of the registry.
        registry: String,
        /// `image app:1`.
        image: String,
        /// What the body said.
        errors: Vec<ServerError>,
    },
    /// A domain that does not say where its images are, or says it wrong.
    #[error("{url} does not say where the image is: {why}")]
    Discovery {
        /// The document.
        url: Url,
        /// Why.
        why: String,
    },
    /// Without TLS from another host than this one.
    #[error("{url} is asked without TLS")]
    Plain {
        /// The address.
        url: Url,
    },
    /// A document that is refused.
    #[error("{url} sent a document that cannot be used")]
    Document {
        /// The request.
        url: Url,
        /// Why.
        source: SpecError,
    },
}

/// Why a server could not be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkProblem {
    /// The name has no address.
    UnknownHost,
    /// Nobody listens, or there is no way there.
    Connect(String),
    /// The connection ended in the middle.
    Broken(String),
    /// Nothing came in time; the phase of the request.
    Timeout(&'static str),
    /// The certificate was refused.
    Certificate(String),
    /// TLS failed in another way.
    Tls(String),
    /// What came is not HTTP/1.1.
    Http(String),
    /// The proxy refused.
    Proxy(String),
}

impl fmt::Display for NetworkProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownHost => f.write_str("its name has no address"),
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
            Self::Timeout(phase) => write!(f, "nothing came in time ({phase})"),
            Self::Certificate(why) => write!(f, "its certificate is refused: {why}"),
            Self::Tls(why) => write!(f, "TLS failed: {why}"),
            Self::Http(why) => write!(f, "its answer is not HTTP: {why}"),
            Self::Proxy(why) => write!(f, "the proxy refused: {why}"),
        }
    }
}

/// One entry of an error body (distribution-spec "Error Codes"). Both texts come from outside: escape them when they
/// are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
pub struct ServerError {
    /// `MANIFEST_UNKNOWN`, for example.
    #[serde(default)]
    pub code: String,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// The blob or manifest that it is about, where `detail` names one.
    #[serde(default, rename = "detail", deserialize_with = "digest_of")]
    pub digest: Option<Digest>,
}

/// `"sha256:..."` or `{"digest": "sha256:..."}`; registries write anything there.
fn digest_of<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Digest>, D::Error> {
    let detail = <serde_json::Value as serde::Deserialize>::deserialize(from)?;
    let text = detail.as_str().or_else(|| detail.get("digest")?.as_str());
    Ok(text.and_then(|text| text.parse().ok()))
}

/// What servers say, as a clause: `: MANIFEST_UNKNOWN (manifest unknown)`.
fn told(errors: &[ServerError]) -> String {
    let texts = errors.iter().map(|error| match (error.code.as_str(), error.message.as_str()) {
        ("", message) => message.to_owned(),
        (code, "") => code.to_owned(),
        (code, message) => format!("{code} ({message})"),
    });
    let texts: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
    if texts.is_empty() { String::new() } else { format!(": {}", texts.join("; ")) }
}

fn with(credential: Option<&str>) -> String {
    credential.map(|origin| format!(" with the credential of {origin}")).unwrap_or_default()
}

fn wait_of(wait: Option<Duration>) -> String {
    wait.map(|wait| format!(" and asks to wait {}", ctr_core::quantity::format_duration(wait))).unwrap_or_default()
}

impl From<crate::auth::AuthError> for RegistryError {
    fn from(error: crate::auth::AuthError) -> Self {
        Self::Auth(Box::new(error))
    }
}

impl RegistryError {
    /// Whether the same request may succeed in a moment.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Network { problem, .. } => {
                !matches!(problem, NetworkProblem::Certificate(_) | NetworkProblem::Tls(_))
            }
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Slow { .. } => true,
            _ => false,
        }
    }

    /// Whether the registry says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Status { status: 404, .. })
    }

    /// What the registry said.
    pub fn told(&self) -> Option<&[ServerError]> {
        match self {
            Self::Status { errors, .. }
            | Self::NotFound { errors, .. }
            | Self::Denied { errors, .. }
            | Self::RateLimited { errors, .. }
            | Self::Immutable { errors, .. } => Some(errors),
            _ => None,
        }
    }

    /// Whether the registry gave this code as a reason.
    pub fn has_code(&self, code: &str) -> bool {
        self.told().is_some_and(|errors| errors.iter().any(|error| error.code == code))
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Network { url, problem } => return network_hint(url, problem),
            Self::Config(error) => return error.hint(),
            Self::NotFound { .. } => "look at the name and the tag; a private repository needs ctr-login".to_owned(),
            Self::Denied { registry, credential: None, .. } => format!("ctr-login {registry}"),
            Self::Denied { registry, credential: Some(_), .. } => {
                format!("ctr-login {registry} replaces the credential; ctr-login --which NAME tells which one is used")
            }
            Self::RateLimited { registry, .. } => {
                format!("log in with ctr-login {registry}, or name a mirror in registries.conf")
            }
            Self::Auth(error) => return error.hint(),
            Self::WrongDigest { .. } => {
                "the registry or something on the way is damaged; try another mirror".to_owned()
            }
            Self::Plain { .. } => "use https, or give --plain-http to trust whoever is on the way".to_owned(),
            Self::Slow { .. } | Self::Budget { .. } => "run it again: what has come is kept".to_owned(),
            Self::Status { status: 500.., .. } => "the server has trouble; try again later".to_owned(),
            Self::Immutable { .. } => "push it under another tag".to_owned(),
            Self::Content { .. } => {
                "ctr-fetch of the same image brings it again; ctr-gc --check shows all that is damaged".to_owned()
            }
            _ => return None,
        };
        Some(text)
    }
}

fn network_hint(url: &Url, problem: &NetworkProblem) -> Option<String> {
    let host = url.origin().authority();
    let text = match problem {
        NetworkProblem::Certificate(_) => format!(
            "put the certificate of its authority into /etc/containers/certs.d/{host}/ca.crt, or give --insecure-tls to trust \
             anybody who answers there"
        ),
        NetworkProblem::Tls(_) => "if the registry has no TLS, give --plain-http".to_owned(),
        NetworkProblem::Http(_) => {
            "something else than a registry answers there; if it speaks TLS, leave --plain-http out, \
                                    or give --insecure-tls or a certs.d entry for a loopback registry"
                .to_owned()
        }
        NetworkProblem::UnknownHost => "look at the name of the registry, and at the proxy variables".to_owned(),
        _ => return None,
    };
    Some(text)
}
