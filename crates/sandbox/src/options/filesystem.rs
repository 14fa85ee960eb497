//! The root filesystem and what is mounted on it.

use std::path::PathBuf;

/// Root filesystem, volumes, memory.
#[derive(Debug, Clone, Default)]
pub struct FilesystemOptions {
    /// The root filesystem is read-only.
    pub read_only: bool,
    /// tmpfs, volumes.
    pub mounts: Vec<MountRequest>,
}

/// A mount that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRequest {
    /// Where in the container: an absolute path.
    pub target: String,
    /// What.
    pub kind: MountKind,
    /// Read-only.
    pub read_only: bool,
    /// Programs on it cannot be executed.
    pub noexec: bool,
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
        /// Receives mounts that the host makes below it.
        slave: bool,
    },
    /// Memory.
    Tmpfs {
        /// Bytes, if limited.
        size: Option<u64>,
        /// Mode of its root.
        mode: u32,
    },
}
