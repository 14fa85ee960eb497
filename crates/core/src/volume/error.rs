//! What can go wrong with a volume.

use std::io;
use std::path::{Path, PathBuf};

use ctr_sys::SysError;

use crate::container::ContainerError;
use crate::name::NameError;

/// An error of the volumes.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// No name that a volume can have.
    #[error(transparent)]
    Name(NameError),
    /// There is no such volume.
    #[error("there is no volume {0}")]
    NotFound(String),
    /// Containers that run have it.
    #[error("the volume {name} is in use by {}", containers.join(", "))]
    InUse {
        /// The volume.
        name: String,
        /// Names or ids of the containers.
        containers: Vec<String>,
    },
    /// Containers could not be read, so that nobody knows what they use.
    #[error("cannot tell which volumes are in use")]
    Containers(#[from] ContainerError),
    /// A file call failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A system call failed.
    #[error("cannot use {}", path.display())]
    Call {
        /// On what.
        path: PathBuf,
        /// Which and why.
        source: SysError,
    },
    /// A lock could not be taken.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SysError,
    },
    /// A file of ours is not what it should be.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        reason: String,
    },
}

impl VolumeError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// What to do, if that can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound(_) => Some("ctr-volume ls shows those that are there".to_owned()),
            Self::InUse { .. } => Some("stop them with ctr-stop first".to_owned()),
            Self::Containers(_) => Some("ctr-gc removes what is damaged and dead; ctr-ps --all tells which".to_owned()),
            _ => None,
        }
    }
}
