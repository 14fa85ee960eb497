//! One RUN of a build, as data: what `ctr-build` says to the process of its own that carries it out. It goes there as JSON, so
//! nothing in here is an open file.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A program to be executed over layers, and where what it changes goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Trees of the layers below, absolute paths, lowest first; none for a stage from nothing.
    pub layers: Vec<PathBuf>,
    /// Takes what the program changes: an absolute path of an empty directory.
    pub upper: PathBuf,
    /// The overlay's own: an empty directory of the same file system as `upper`.
    pub work: PathBuf,
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
    /// How it is kept from the host.
    pub isolation: Isolation,
    /// Bytes of `/dev/shm`.
    pub shm_size: u64,
    /// What it reads as its standard input, at once the end without it: the text of a heredoc.
    pub stdin: Option<Content>,
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
    /// A socket of the host, as an agent's of ssh.
    Socket {
        /// Its absolute path on the host.
        source: PathBuf,
        /// Where.
        target: String,
        /// Permission bits.
        mode: u32,
        /// Owner, an id of the image.
        uid: u32,
        /// Group, an id of the image.
        gid: u32,
    },
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

/// The network of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepNetwork {
    /// The caller's.
    Host,
    /// A loopback interface of its own.
    None,
}

/// How a program is kept from the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// The first of the others that the host allows.
    #[default]
    Auto,
    /// Namespaces, and an overlay over a range of ids.
    Userns,
    /// The same over one id: nothing can be given to another.
    Single,
    /// chroot(2) alone.
    Chroot,
}

/// Bytes for the program alone: never shown, not even in a message about what they are in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content(pub Vec<u8>);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.0.len())
    }
}

pub fn run(_step: &Step) -> Result<i32, crate::SandboxError> {
    Err(crate::SandboxError::request("not there"))
}
