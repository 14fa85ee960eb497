//! What is mounted on the root filesystem.

use std::path::PathBuf;

use ctr_core::digest::Digest;
use ctr_core::launch::LayerId;
use ctr_sys::mount::Propagation;
use serde::Serialize;

/// A mount that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRequest {
    /// Where in the container: an absolute path.
    pub target: String,
    /// What.
    pub kind: MountKind,
    /// How.
    pub flags: MountFlags,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// A file or directory of the host.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
        /// With the mounts below it.
        recursive: bool,
    },
    /// Memory.
    Tmpfs(TmpfsRequest),
    /// A directory that the store keeps.
    Volume {
        /// Its name; `None` is one of the container's own, which goes with it.
        name: Option<String>,
        /// An empty volume gets what the image has at the target.
        copy: bool,
    },
    /// The root filesystem of another image.
    Image {
        /// As it was named.
        name: String,
        /// What the store has by that name; filled in when the image is taken.
        found: Option<ImageFound>,
    },
}

/// An image of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFound {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its layer directories, lowest first.
    pub layers: Vec<LayerId>,
}

/// A tmpfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TmpfsRequest {
    /// Bytes, if limited.
    pub size: Option<u64>,
    /// Files and directories, if limited.
    pub inodes: Option<u64>,
    /// Mode of its root.
    pub mode: u32,
    /// Owner of its root.
    pub uid: u32,
    /// Group of its root.
    pub gid: u32,
    /// It begins with what the image has there.
    pub copy_up: bool,
}

/// Attributes and propagation of a mount. `None`: as the kind of mount has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct MountFlags {
    /// Read-only, or expressly not.
    pub read_only: Option<bool>,
    /// Mounts below a read-only volume stay as they are.
    pub writable_below: bool,
    /// Set-user-ID bits count.
    pub suid: bool,
    /// Programs can be executed, or not.
    pub exec: Option<bool>,
    /// When access times are written.
    pub atime: Option<Atime>,
    /// Access times of directories are not written.
    pub nodiratime: bool,
    /// Symbolic links are not followed.
    pub nosymfollow: bool,
    /// Ids are mapped, or expressly not.
    pub idmap: Option<bool>,
    /// Mounts that appear later, here or there.
    pub propagation: PropagationKind,
}

/// When access times are written (mount_setattr(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Atime {
    /// When the file changed since, or a day later.
    Relatime,
    /// Never.
    Noatime,
    /// Always.
    Strictatime,
}

/// Propagation of a volume, and of the mounts below it (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PropagationKind {
    /// None.
    #[default]
    Private,
    /// What the host mounts is seen.
    Slave,
    /// What either mounts is seen by both.
    Shared,
    /// None, and it cannot be bound again.
    Unbindable,
}

impl PropagationKind {
    /// Reads `private`, `rprivate` ... `runbindable`. The forms with and without `r` mean the same.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.strip_prefix('r').unwrap_or(text) {
            "private" => Self::Private,
            "slave" => Self::Slave,
            "shared" => Self::Shared,
            "unbindable" => Self::Unbindable,
            _ => return None,
        })
    }

    /// The same in the words of mount_setattr(2).
    pub(crate) fn attribute(self) -> Propagation {
        match self {
            Self::Private => Propagation::Private,
            Self::Slave => Propagation::Slave,
            Self::Shared => Propagation::Shared,
            Self::Unbindable => Propagation::Unbindable,
        }
    }

    /// The name with `r`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Private => "rprivate",
            Self::Slave => "rslave",
            Self::Shared => "rshared",
            Self::Unbindable => "runbindable",
        }
    }
}

/// A secret: bytes that the container sees in a file or a variable, and that are written nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRequest {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub content: SecretBytes,
    /// Where the program finds it.
    pub place: SecretPlace,
}

/// Bytes that are neither printed nor recorded.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretBytes(pub Vec<u8>);

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Where a program finds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SecretPlace {
    /// A file.
    File {
        /// Absolute path in the container.
        target: String,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Permission bits.
        mode: u32,
    },
    /// A variable of the environment.
    Env {
        /// Its name.
        variable: String,
    },
}

impl SecretPlace {
    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn propagation_is_read_and_written() {
        for name in ["rprivate", "rslave", "rshared", "runbindable"] {
            assert_eq!(PropagationKind::parse(name).unwrap().name(), name);
            assert_eq!(PropagationKind::parse(&name[1..]).unwrap().name(), name);
        }
        for bad in ["", "r", "rrprivate", "Private", "none"] {
            assert_eq!(PropagationKind::parse(bad), None, "{bad}");
        }
    }
}
