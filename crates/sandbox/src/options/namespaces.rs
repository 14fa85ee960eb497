//! Namespaces, and what is set in them.

/// Network, host name.
#[derive(Debug, Clone, Default)]
pub struct NamespaceOptions {
    /// Network.
    pub network: Network,
    /// Host name.
    pub hostname: Option<String>,
    /// Lines for `/etc/hosts`: address, name.
    pub add_hosts: Vec<(String, String)>,
    /// Name servers for `/etc/resolv.conf`.
    pub dns: Vec<String>,
}

/// Which network the container is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Its own, with the loopback interface only.
    #[default]
    None,
    /// The host's.
    Host,
}

impl Network {
    /// `none` or `host`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Host => "host",
        }
    }
}
