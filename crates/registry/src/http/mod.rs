//! HTTP as registries need it: one connection pool per server, redirects and retries by our own rules, every body with a
//! cap and a least rate, one budget of time.
//!
//! - **Redirects** ([`Http::send`]): only requests without a body are sent on, never from https to http, never with
//!   credentials to another origin.
//! - **Retries** ([`retry`]): what may pass is tried again with growing, jittered waits, or as `Retry-After` says.
//!
//! ureq does HTTP/1.1, the pools, proxies by environment and TLS by rustls.

mod response;
pub mod retry;
mod settings;

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use response::{BodyReader, MAX_ERROR_BODY, Response, of_io};
pub use settings::Settings;
pub(crate) use settings::home;
use ureq::http::{Method, Request as Raw, Uri};
use ureq::{Agent, AsSendBody, SendBody};

use crate::auth::Secret;
use crate::error::{NetworkProblem, RegistryError};
use crate::tls::Certificates;
use crate::url::{Origin, Scheme, Url};
use retry::Wait;

/// Most redirects of one request.
pub const MAX_REDIRECTS: usize = 10;
/// For requests that tidy up.
const LAST_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of the head of an answer.
pub const MAX_HEAD: usize = 64 << 10;

/// Makes requests. Shared by all threads of a program.
#[derive(Debug)]
pub struct Http {
    shared: Arc<Shared>,
    certificates: Certificates,
    agents: Mutex<HashMap<Origin, Agent>>,
    /// Servers whose certificates are not checked.
    unchecked: Mutex<HashSet<Origin>>,
}

/// What bodies need too.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    began: Instant,
    cancelled: AtomicBool,
}

impl Shared {
    /// Whether work may go on.
    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(RegistryError::Cancelled);
        }
        match self.settings.budget {
            Some(budget) if self.began.elapsed() >= budget => Err(RegistryError::Budget { budget }),
            _ => Ok(()),
        }
    }
}

impl Shared {
    /// What is left of the budget.
    fn left(&self) -> Option<Duration> {
        self.settings.budget.map(|budget| budget.saturating_sub(self.began.elapsed()))
    }
}

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    /// GET, HEAD, PUT...
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers besides those that every request has.
    pub headers: Vec<(&'static str, String)>,
    /// Value of `Authorization`. It goes to the origin of [`Request::url`] only.
    pub authorization: Option<Secret>,
    /// What is sent.
    pub payload: Payload<'a>,
    /// Whether it may be made again after a failure: the answer must be the same each time.
    pub repeatable: bool,
    /// It tidies up behind others that failed or were cancelled: it is made whatever the time is, once and briefly.
    pub last: bool,
}

/// The body of a request.
pub enum Payload<'a> {
    /// None.
    Empty,
    /// These bytes.
    Bytes(&'a [u8]),
    /// A stream of so many bytes. Such a request is made once.
    Stream {
        /// Bytes that will be sent.
        length: u64,
        /// Where they come from.
        from: &'a mut (dyn Read + Send),
    },
}

impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream { length, .. } => write!(f, "Stream({length})"),
        }
    }
}

impl Request<'_> {
    /// A GET without more headers.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A HEAD.
    pub fn head(url: Url) -> Self {
        Self::new(Method::HEAD, url)
    }

    /// Any method. GET and HEAD may be repeated, others not.
    pub fn new(method: Method, url: Url) -> Self {
        let repeatable = method == Method::GET || method == Method::HEAD;
        Self { method, url, headers: Vec::new(), authorization: None, payload: Payload::Empty, repeatable, last: false }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets what is sent.
    #[must_use]
    pub fn payload(self, payload: Payload<'_>) -> Request<'_> {
        let Self { method, url, headers, authorization, payload: _, repeatable, last } = self;
        Request { method, url, headers, authorization, payload, repeatable, last }
    }
}

impl Http {
    /// Nothing is sent yet; the budget of time begins.
    pub fn new(settings: Settings) -> Self {
        let certificates = Certificates::new(&settings.certificates, settings.home.as_deref());
        let shared = Arc::new(Shared { settings, began: Instant::now(), cancelled: AtomicBool::new(false) });
        Self { shared, certificates, agents: Mutex::default(), unchecked: Mutex::default() }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Whether work may go on.
    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        self.shared.check()
    }

    /// All requests and bodies end with [`RegistryError::Cancelled`] from now on.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
    }

    /// How a registry is spoken to: https, but http with `plain`, and for loopback hosts that have no certificates in
    /// `certs.d`. Never the one after the other.
    pub fn origin(&self, authority: &str, plain: bool) -> Result<Origin, RegistryError> {
        let address = |source| RegistryError::Address { what: format!("the registry \"{authority}\""), source };
        let secure = Origin::new(Scheme::Https, authority).map_err(address)?;
        let settings = self.settings();
        let loopback = secure.is_loopback() && !settings.insecure_tls && self.certificates.directory(&secure).is_none();
        if plain || settings.plain_http || loopback {
            return Origin::new(Scheme::Http, authority).map_err(address);
        }
        Ok(secure)
    }

    /// How a registry is spoken to that registries.conf calls insecure: https with any certificate if it speaks TLS, else
    /// http. One request finds out.
    pub(crate) fn insecure_origin(&self, authority: &str) -> Result<Origin, RegistryError> {
        if self.settings().plain_http {
            return self.origin(authority, true);
        }
        let address = |source| RegistryError::Address { what: format!("the registry \"{authority}\""), source };
        let secure = Origin::new(Scheme::Https, authority).map_err(address)?;
        self.unchecked.lock().unwrap_or_else(PoisonError::into_inner).insert(secure.clone());
        let mut ping = Request::get(secure.url("/v2/").map_err(address)?);
        ping.repeatable = false;
        match self.send(&mut ping) {
            Err(RegistryError::Network { .. }) => Origin::new(Scheme::Http, authority).map_err(address),
            Err(error @ (RegistryError::Budget { .. } | RegistryError::Cancelled)) => Err(error),
            _ => Ok(secure),
        }
    }

    fn is_unchecked(&self, origin: &Origin) -> bool {
        self.settings().insecure_tls || self.unchecked.lock().unwrap_or_else(PoisonError::into_inner).contains(origin)
    }

    /// Sends a request, follows its redirects, and makes it again as long as it is repeatable and its failure may pass.
    /// Statuses that are errors are answers here; only passing ones are tried again.
    pub fn send(&self, request: &mut Request<'_>) -> Result<Response, RegistryError> {
        let settings = self.settings();
        let mut attempt = 0;
        loop {
            if !request.last {
                self.shared.check()?;
            }
            let result = self.follow(request);
            let wait = match &result {
                _ if !request.repeatable || attempt >= settings.retries => return result,
                Ok(response) if !retry::is_passing(response.status) => return result,
                Err(error) if !error.is_passing() => return result,
                Ok(response) => retry::after(response.header("retry-after"), attempt, settings.longest_wait),
                Err(_) => retry::backoff(attempt),
            };
            match wait {
                Wait::For(time) => self.pause(time)?,
                Wait::TooLong(wait) => {
                    let registry = request.url.origin().authority();
                    let errors = result.map(Response::errors).unwrap_or_default();
                    return Err(RegistryError::RateLimited { registry, wait: Some(wait), errors });
                }
            }
            attempt += 1;
        }
    }

    /// Waits as long as is right after failure number `attempt` (from 0).
    pub fn back_off(&self, attempt: u32) -> Result<(), RegistryError> {
        match retry::backoff(attempt) {
            Wait::For(time) | Wait::TooLong(time) => self.pause(time),
        }
    }

    /// Waits, but not beyond the budget and not when cancelled.
    pub fn pause(&self, time: Duration) -> Result<(), RegistryError> {
        let end = Instant::now() + time;
        loop {
            self.shared.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// Takes [`Http::cancel`] back: what is asked from now on is of another piece of work.
    pub fn resume(&self) {
        self.shared.cancelled.store(false, Ordering::Relaxed);
    }

    fn follow(&self, request: &mut Request<'_>) -> Result<Response, RegistryError> {
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.once(request, &url)?;
            if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let refused = |to: String, why| Err(RegistryError::Redirect { url: url.clone(), to, why });
            let Some(location) = response.header("location") else {
                return Err(RegistryError::Protocol { url, why: "a redirect without Location".to_owned() });
            };
            let Ok(next) = url.join(location) else { return refused("an address".to_owned(), "it is not valid") };
            if request.method != Method::GET && request.method != Method::HEAD {
                return refused(next.to_string(), "what is sent goes to the registry only");
            }
            if url.origin().scheme == Scheme::Https && next.origin().scheme == Scheme::Http {
                return refused(next.to_string(), "it leaves TLS");
            }
            url = next;
        }
        let to = url.to_string();
        Err(RegistryError::Redirect { url: request.url.clone(), to, why: "there were too many of them" })
    }

    fn once(&self, request: &mut Request<'_>, url: &Url) -> Result<Response, RegistryError> {
        let agent = self.agent(url.origin())?;
        let malformed =
            || RegistryError::Protocol { url: url.clone(), why: "the request cannot be written".to_owned() };
        let uri: Uri = url.full().parse().map_err(|_| malformed())?;
        let mut raw = Raw::builder().method(request.method.clone()).uri(uri).header("accept-encoding", "identity");
        for (name, value) in &request.headers {
            raw = raw.header(*name, value);
        }
        // Credentials belong to the server that the request was made for, not to where it sends us.
        if let Some(authorization) = request.authorization.as_ref().filter(|_| url.origin() == request.url.origin()) {
            raw = raw.header("authorization", authorization.expose());
        }
        let result = match &mut request.payload {
            Payload::Empty if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) => {
                self.run(&agent, raw.header("content-length", "0").body(&b""[..]).map_err(|_| malformed())?)
            }
            Payload::Empty if request.last => {
                let raw = raw.body(SendBody::none()).map_err(|_| malformed())?;
                agent.run(agent.configure_request(raw).timeout_global(Some(LAST_TIMEOUT)).build())
            }
            Payload::Empty => self.run(&agent, raw.body(SendBody::none()).map_err(|_| malformed())?),
            Payload::Bytes(bytes) => self.run(&agent, raw.body(*bytes).map_err(|_| malformed())?),
            Payload::Stream { length, from } => {
                let raw = raw.header("content-length", length.to_string());
                self.run(&agent, raw.body(SendBody::from_reader(from)).map_err(|_| malformed())?)
            }
        };
        let (head, body) = result.map_err(|error| response::failed(error, url, &self.shared))?.into_parts();
        let response = Response {
            status: head.status.as_u16(),
            headers: head.headers,
            url: url.clone(),
            credential: None,
            sent: request.authorization.clone().filter(|_| url.origin() == request.url.origin()),
            body,
            shared: self.shared.clone(),
        };
        match response.header("content-encoding") {
            None | Some("identity" | "") => Ok(response),
            // A second compression that nobody asked for: the digest is of what it hides.
            Some(_) => Err(RegistryError::Protocol {
                url: url.clone(),
                why: "it compresses what must come as it is".to_owned(),
            }),
        }
    }

    /// One exchange; its body too ends with the budget.
    fn run<S: AsSendBody>(
        &self,
        agent: &Agent,
        request: Raw<S>,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        match self.shared.left() {
            Some(left) => agent.run(agent.configure_request(request).timeout_global(Some(left)).build()),
            None => agent.run(request),
        }
    }

    fn agent(&self, origin: &Origin) -> Result<Agent, RegistryError> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(origin) {
            return Ok(agent.clone());
        }
        let settings = self.settings();
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .user_agent(settings.user_agent.as_str())
            .accept("")
            .timeout_connect(Some(settings.connect_timeout))
            .timeout_recv_response(Some(settings.idle_timeout))
            .timeout_per_read(Some(settings.idle_timeout))
            .timeout_per_write(Some(settings.idle_timeout))
            .max_response_header_size(MAX_HEAD)
            .max_idle_connections_per_host(8);
        if origin.is_loopback() {
            config = config.proxy(None);
        }
        if origin.scheme == Scheme::Https {
            config = config.tls_config(self.certificates.config(origin, self.is_unchecked(origin))?);
        }
        let agent: Agent = config.build().into();
        agents.insert(origin.clone(), agent.clone());
        Ok(agent)
    }
}

impl RegistryError {
    pub(crate) fn broken(url: &Url, why: impl Into<String>) -> Self {
        Self::Network { url: url.clone(), problem: NetworkProblem::Broken(why.into()) }
    }
}
