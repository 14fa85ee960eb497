//! What can go wrong with the store, split by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ctr_sys::SysError;

use crate::digest::Digest;
use crate::reference::ReferenceError;

/// A store operation that failed. [`StoreError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store at this root.
    #[error("there is no store in {}", root.display())]
    Missing {
        /// The root that was asked for.
        root: PathBuf,
    },
    /// The store belongs to somebody else.
    #[error("the store in {} belongs to user id {owner}", root.display())]
    Foreign {
        /// The root that was asked for.
        root: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A system call failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Sys {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: SysError,
    },
    /// A file of the store does not hold what it must.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The store needs a feature that this release does not have.
    #[error("the store in {} uses the feature \"{feature}\", which this release does not know", root.display())]
    UnknownFeature {
        /// The root.
        root: PathBuf,
        /// The feature's name.
        feature: String,
        /// Whether the store can still be read.
        readable: bool,
    },
    /// The store has a later format.
    #[error("the store in {} has format {found}; this release knows format {known}", root.display())]
    Newer {
        /// The root.
        root: PathBuf,
        /// The store's version.
        found: u64,
        /// Our version.
        known: u64,
    },
    /// The store keeps overlay attributes in another namespace than this user can mount.
    #[error("the store in {} was made for {} (overlay attributes \"{found}.\"), not for {}", root.display(), who(found), who(expected))]
    Dialect {
        /// The root.
        root: PathBuf,
        /// `trusted` or `user`, as the store says.
        found: &'static str,
        /// What the caller's user id asks for.
        expected: &'static str,
    },
    /// No image has this name or digest.
    #[error("there is no image \"{0}\" in the store")]
    NoImage(String),
    /// A beginning of a digest that several images share.
    #[error("\"{text}\" is the beginning of {count} images' digests")]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// How many match.
        count: usize,
    },
    /// Not a name.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A blob that should be there is not.
    #[error("blob {0} is not in the store")]
    NoBlob(Digest),
    /// An unpacked layer that should be there is not.
    #[error("layer {0} is not in the store")]
    NoLayer(String),
    /// Content does not have the digest that it was announced with.
    #[error("content has the digest {found}, expected was {expected}")]
    WrongDigest {
        /// As announced.
        expected: Digest,
        /// As computed.
        found: Digest,
    },
    /// Content does not have the size that it was announced with.
    #[error("content of {digest} has {found}{} bytes, expected were {expected}", if *more { " or more" } else { "" })]
    WrongSize {
        /// Digest as announced.
        digest: Digest,
        /// As announced.
        expected: u64,
        /// As counted.
        found: u64,
        /// Counting stopped there.
        more: bool,
    },
    /// Longer than the caller wants to read.
    #[error("{} has {size} bytes, more than the limit of {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// Somebody else held the gate all the time.
    #[error("the store in {} was in use for {}", root.display(), crate::quantity::format_duration(*waited))]
    Busy {
        /// The root.
        root: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
}

fn who(dialect: &str) -> &'static str {
    if dialect == "trusted" { "root" } else { "an ordinary user" }
}

impl StoreError {
    /// For `map_err`: a failed file operation on `path`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// For `map_err`: a failed system call on `path`.
    pub(crate) fn sys(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(SysError) -> Self {
        let path = path.into();
        move |source| Self::Sys { action, path, source }
    }

    pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }

    fn errno(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            Self::Sys { source, .. } => Some(source.errno as i32),
            _ => None,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        use ctr_sys::Errno;
        let text = match self {
            Self::Missing { root } => {
                format!(
                    "nothing was fetched into {} yet: ctr-fetch SOURCE brings an image, --root chooses another store",
                    root.display()
                )
            }
            Self::Foreign { .. } => "run as that user, or choose another store with --root".to_owned(),
            Self::Damaged { .. } | Self::NoBlob(_) | Self::NoLayer(_) => {
                "ctr-fetch of the same image brings it again; ctr-gc --check shows all that is damaged".to_owned()
            }
            Self::UnknownFeature { readable: true, .. } => {
                "it can be read, not changed, by this release: use the newer release to change it".to_owned()
            }
            Self::UnknownFeature { .. } | Self::Newer { .. } => {
                "use the newer release that wrote it, or another --root; the store itself is all right".to_owned()
            }
            Self::Dialect { .. } => "give every user a store of their own with --root".to_owned(),
            Self::NoImage(name) => format!("ctr-image list shows what is there; ctr-fetch brings {name}"),
            Self::Ambiguous { .. } => "give more of the digest".to_owned(),
            Self::WrongDigest { .. } | Self::WrongSize { .. } => {
                "the source is damaged or was changed on its way: fetch it from another place".to_owned()
            }
            Self::Busy { .. } => "try again; fuser shows who holds store/lock".to_owned(),
            Self::Io { .. } | Self::Sys { .. } => match self.errno().map(Errno::from_raw) {
                Some(Errno::ENOSPC | Errno::EDQUOT) => {
                    "make room on that filesystem (ctr-gc frees what nothing uses) and run the same command again"
                        .to_owned()
                }
                Some(Errno::EACCES | Errno::EPERM) => {
                    "run as the owner of the store, or choose your own with --root".to_owned()
                }
                Some(Errno::EROFS) => "the store lies on a filesystem that is mounted read-only".to_owned(),
                Some(Errno::EIO) => "the disk reports errors; ctr-gc --check shows what it has damaged".to_owned(),
                _ => return None,
            },
            Self::Reference(_) | Self::TooLarge { .. } => return None,
        };
        Some(text)
    }
}
