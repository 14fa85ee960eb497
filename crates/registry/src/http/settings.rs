//! How patient we are, and how careful.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::Places;
use crate::config::Locations;

/// How requests are made. The defaults are spec/limits.md's.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `User-Agent`.
    pub user_agent: String,
    /// Speak http where https is the rule.
    pub plain_http: bool,
    /// Do not check certificates.
    pub insecure_tls: bool,
    /// Directories like `certs.d`, before the user's and the system's.
    pub certificates: Vec<PathBuf>,
    /// Where registries.conf lies; none: names are asked for where they say.
    pub registries: Option<Locations>,
    /// Where credentials lie; none: nobody is logged in anywhere.
    pub credentials: Option<Places>,
    /// The user's home directory, for `~/.config/containers/certs.d`.
    pub home: Option<PathBuf>,
    /// For resolving the name, connecting and TLS together.
    pub connect_timeout: Duration,
    /// For the next bytes, of headers and of bodies.
    pub idle_timeout: Duration,
    /// Least rate of a body in bytes per second, over a window of [`Settings::idle_timeout`].
    pub minimum_rate: u64,
    /// How often a request is made again after a failure that may pass.
    pub retries: u32,
    /// The longest wait that a server may ask for.
    pub longest_wait: Duration,
    /// For everything together; none: as long as bytes come.
    pub budget: Option<Duration>,
}

impl Settings {
    /// Those of the user who calls: configuration and credentials are where that user has them. The environment is read
    /// here: do it before a user namespace is entered.
    pub fn of_caller() -> Self {
        let (registries, credentials) = (Locations::of_caller(), Places::from_environment(None));
        Self { registries: Some(registries), credentials: Some(credentials), home: home(), ..Self::default() }
    }
}

/// The home directory of the user who calls.
pub(crate) fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user_agent: concat!("ctr/", env!("CARGO_PKG_VERSION")).to_owned(),
            plain_http: false,
            insecure_tls: false,
            certificates: Vec::new(),
            registries: None,
            credentials: None,
            home: None,
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            minimum_rate: 1 << 10,
            retries: 5,
            longest_wait: Duration::from_secs(300),
            budget: None,
        }
    }
}
