//! Namespaces, and what is set in them.

use std::path::PathBuf;

use crate::idmap::IdMap;

/// User ids, network, host name.
#[derive(Debug, Clone, Default)]
pub struct NamespaceOptions {
    /// User namespace.
    pub userns: Userns,
    /// Network; its own has the loopback interface only.
    pub network: Source,
    /// System V IPC, POSIX message queues.
    pub ipc: Source,
    /// Process ids.
    pub pid: Source,
    /// Host and domain name.
    pub uts: Source,
    /// Root of the control groups that it sees.
    pub cgroup: Source,
    /// Host name.
    pub hostname: Option<String>,
    /// `/etc/hosts` is the image's.
    pub no_hosts: bool,
    /// Lines for `/etc/hosts`: address, name.
    pub add_hosts: Vec<(String, String)>,
    /// Name servers for `/etc/resolv.conf`.
    pub dns: Vec<String>,
}

/// Whose namespace the container is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Source {
    /// Its own.
    #[default]
    Own,
    /// The host's.
    Host,
    /// That of another container, by id, id prefix or name.
    Container(String),
    /// The one that this file is of, as `/run/netns/NAME`.
    Path(PathBuf),
}

impl NamespaceOptions {
    /// Those that can be another container's, by their names in `/proc/PID/ns`.
    pub fn sources(&self) -> [(&'static str, &Source); 5] {
        [("net", &self.network), ("ipc", &self.ipc), ("pid", &self.pid), ("uts", &self.uts), ("cgroup", &self.cgroup)]
    }

    /// The other containers that are named.
    pub fn containers(&self) -> impl Iterator<Item = &str> {
        let userns = match &self.userns {
            Userns::Container(name) => Some(name.as_str()),
            _ => None,
        };
        let named = self.sources().into_iter().filter_map(|(_, source)| match source {
            Source::Container(name) => Some(name.as_str()),
            _ => None,
        });
        userns.into_iter().chain(named)
    }
}

impl Source {
    /// `own`, `host`, `container:NAME`, `ns:PATH`.
    pub fn name(&self) -> String {
        match self {
            Self::Own => "own".to_owned(),
            Self::Host => "host".to_owned(),
            Self::Container(name) => format!("container:{name}"),
            Self::Path(path) => format!("ns:{}", path.display()),
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
    /// That of another container.
    Container(String),
}
