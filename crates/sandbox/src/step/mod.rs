//! One RUN of a build, as data: what `ctr-build` says to the process of its own that carries it out. It goes there as JSON, so
//! nothing in here is an open file.

mod apart;
mod carry_out;
mod chroot;
mod etc;
mod sources;
mod strip;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use apart::apart;
pub use etc::own_files;

use crate::error::SandboxError;

/// Executes the program of `step`, waits for it, and returns its exit status: 128 and the signal if one ended it.
///
/// The process is changed for good. It has one thread, and is root, of the host or of a user namespace that has the ids of the
/// tree; for [`StepIsolation::Namespaces`] it is the child that [`apart()`] makes.
pub fn run(step: &Step) -> Result<u8, SandboxError> {
    match step.isolation {
        StepIsolation::Namespaces => carry_out::run(step),
        StepIsolation::Chroot => chroot::run(step),
    }
}

/// A program to be executed over layers, and where what it changes goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What is between it and the host.
    pub isolation: StepIsolation,
    /// Trees of the layers below, absolute paths, lowest first; none for a stage from nothing.
    pub layers: Vec<PathBuf>,
    /// Takes what the program changes: an absolute path of an empty directory. Without `layers` it may be the whole tree, and
    /// for [`StepIsolation::Chroot`] it is, with all that the program is to find there; `mounts` are empty then.
    pub upper: PathBuf,
    /// An empty directory of the same file system as `upper`, an absolute path: overlay's own, and what is mounted.
    pub scratch: PathBuf,
    /// The overlay's marks are attributes that everybody may write (`user.overlay.*`).
    pub user_xattrs: bool,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Its environment, `NAME=value`.
    pub env: Vec<String>,
    /// Its working directory: an absolute path of the tree.
    pub cwd: String,
    /// `user[:group]`, resolved in the tree's own files; empty is root.
    pub user: String,
    /// More groups, resolved likewise.
    pub groups: Vec<String>,
    /// What it sees beside the tree, in the order in which it is mounted.
    pub mounts: Vec<StepMount>,
    /// Its network.
    pub network: StepNetwork,
    /// Its host name.
    pub hostname: String,
    /// More lines of `/etc/hosts`.
    pub hosts: Vec<(IpAddr, String)>,
    /// With all capabilities and without a filter (`--security=insecure`).
    pub insecure: bool,
    /// Bytes of `/dev/shm`.
    pub shm_size: u64,
    /// In namespaces it has a terminal of its own, which is shown at the one that this process has.
    pub terminal: bool,
}

/// A mount that lasts as long as the program. Targets are absolute, normal paths of the tree; what is made to mount on is not
/// in the layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum StepMount {
    /// Files of a context, a stage or an image.
    Bind {
        /// Whose.
        source: BindSource,
        /// Which of them: a path below the source that no link leads out of; empty is all.
        subpath: String,
        /// Where.
        target: String,
        /// The program can write there; that is thrown away.
        writable: bool,
    },
    /// A directory that outlives the build.
    Cache {
        /// The host's directory, an absolute path.
        source: PathBuf,
        /// Where.
        target: String,
        /// Nothing can be written to it.
        read_only: bool,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Where.
        target: String,
        /// Bytes; the kernel's own limit without.
        size: Option<u64>,
    },
    /// A file that is never on a disk.
    Secret {
        /// Its bytes.
        content: Content,
        /// Where.
        target: String,
        /// Permission bits.
        mode: u32,
        /// Owner, an id of the image.
        uid: u32,
        /// Group, an id of the image.
        gid: u32,
    },
    /// A socket of the host, as an agent's of ssh. Who may use it is said by its own owner and mode.
    Socket {
        /// Its absolute path on the host.
        source: PathBuf,
        /// Where.
        target: String,
    },
}

impl StepMount {
    /// Where it is seen.
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. }
            | Self::Cache { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::Secret { target, .. }
            | Self::Socket { target, .. } => target,
        }
    }
}

/// Whose files a bind mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindSource {
    /// A file or directory of the host, by its absolute path.
    Host(PathBuf),
    /// Trees of layers, absolute paths, lowest first: what an overlay of them shows.
    Layers(Vec<PathBuf>),
}

/// What is between a program and the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepIsolation {
    /// Namespaces of its own, over an overlay.
    Namespaces,
    /// chroot(2) and fewer capabilities, for callers who may neither mount nor make namespaces: in a container, mostly.
    Chroot,
}

/// The network of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepNetwork {
    /// The caller's.
    Host,
    /// A loopback interface of its own.
    None,
}

/// Bytes for the program alone: never shown, not even in a message about what they are in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content(pub Vec<u8>);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.0.len())
    }
}
