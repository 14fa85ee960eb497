//! Options of every binary that speaks to registries.

use std::path::PathBuf;
use std::time::Duration;

use ctr_core::quantity::parse_duration;

use crate::auth::Places;
use crate::http::{Settings, home};
use crate::policy::{Policy, PolicyError};

/// How registries are spoken to: flatten this into the options of a binary.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Options for registries")]
pub struct RegistryArgs {
    /// Speak http, not https. Registries on this machine (localhost, 127.0.0.1, ::1) without an entry in certs.d are spoken to
    /// like that anyway
    #[arg(long)]
    pub plain_http: bool,
    /// Do not check certificates: whoever answers is believed
    #[arg(long, conflicts_with = "plain_http")]
    pub insecure_tls: bool,
    /// A directory like /etc/containers/certs.d, looked at before that
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Vec<PathBuf>,
    /// File with credentials, in place of the usual ones [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
    /// Policy that says which images may be taken, in place of the user's or the system's containers-policy.json(5)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Give up after so long, whatever is going on [default: never]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Give up a connection that is not there after so long
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "15s")]
    pub connect_timeout: Duration,
    /// Give up a connection on which nothing comes for so long
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "60s")]
    pub idle_timeout: Duration,
    /// How often to try again what may pass (429, 408, 5xx, broken connections)
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub retries: u32,
}

impl RegistryArgs {
    /// The policy that they name, else the user's or the system's.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        Policy::load(self.policy.as_deref(), home().as_deref())
    }

    /// What they say; the rest is default. The environment is read here: do it before a user namespace is entered.
    pub fn settings(&self) -> Settings {
        Settings {
            plain_http: self.plain_http,
            insecure_tls: self.insecure_tls,
            certificates: self.cert_dir.clone(),
            credentials: Some(Places::from_environment(self.authfile.as_deref())),
            connect_timeout: self.connect_timeout,
            idle_timeout: self.idle_timeout,
            retries: self.retries,
            budget: self.timeout,
            ..Settings::of_caller()
        }
    }
}
