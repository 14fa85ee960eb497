//! Namespaces, and what is set in them.

use crate::idmap::IdMap;

/// User ids, network, host name.
#[derive(Debug, Clone, Default)]
pub struct NamespaceOptions {
    /// User namespace.
    pub userns: Userns,
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

/// Which ids the container's ids are outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Userns {
    /// A user namespace of its own, with ids that are nobody else's where that can be.
    #[default]
    Auto,
    /// The caller's ids.
    Host,
    /// As [`Userns::Auto`], but one user and group keep their ids, so that what they own in volumes is theirs inside.
    KeepId {
        /// User id, in the container and outside; the caller's if none.
        uid: Option<u32>,
        /// Group id; the caller's if none.
        gid: Option<u32>,
    },
    /// As the caller says.
    Map(IdMap),
}
