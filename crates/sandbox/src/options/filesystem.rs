//! The root filesystem.

use super::{MountRequest, SecretRequest};

/// Root filesystem, volumes, memory, secrets.
#[derive(Debug, Clone, Default)]
pub struct FilesystemOptions {
    /// The root filesystem is read-only.
    pub read_only: bool,
    /// tmpfs, volumes, images.
    pub mounts: Vec<MountRequest>,
    /// Volumes that the image declares get no directory of their own.
    pub no_image_volumes: bool,
    /// `/dev/shm`.
    pub shm: ShmChoice,
    /// Secrets.
    pub secrets: Vec<SecretRequest>,
}

/// What is at `/dev/shm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShmChoice {
    /// A tmpfs of the usual size.
    #[default]
    Default,
    /// A tmpfs of this many bytes.
    Size(u64),
    /// Nothing but an empty directory that cannot be written to.
    None,
}
