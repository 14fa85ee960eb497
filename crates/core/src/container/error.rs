//! What can go wrong with container directories, by what the caller can do about it.

use std::io;
use std::path::PathBuf;

/// An error of this module.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// No container has this id, id prefix or name.
    #[error("no container \"{0}\"")]
    NotFound(String),
    /// Several ids begin with this.
    #[error("\"{prefix}\" is the beginning of {count} container ids")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// How many match.
        count: usize,
    },
    /// The name belongs to another container.
    #[error("the name \"{name}\" is in use by container {id}")]
    NameInUse {
        /// The name.
        name: String,
        /// Whose it is.
        id: String,
    },
    /// A file of a container directory is not what we write.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `create`, `read`, `rename` ...
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A lock could not be asked for or taken.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ctr_sys::SysError,
    },
}

impl ContainerError {
    /// What the user can do about it, where that can be told.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound(_) => Some("ctr-ps --all lists the containers".to_owned()),
            Self::Ambiguous { .. } => Some("give more of the id; ctr-ps --all lists the containers".to_owned()),
            Self::NameInUse { id, .. } => Some(format!("choose another name, or stop and remove container {id}")),
            Self::Damaged { .. } => Some("ctr-gc --check tells what is wrong".to_owned()),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Some(
                "containers belong to the user who started them: run as that user, or give another --root".to_owned(),
            ),
            Self::Io { .. } | Self::Lock { .. } => None,
        }
    }

    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
