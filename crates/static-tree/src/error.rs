//! What can go wrong with a tree.

use std::io;
use std::path::PathBuf;

use ctr_core::digest::Digest;
use ctr_core::spec::SpecError;
use ctr_sys::SysError;

/// A change of a tree that failed. What was served before is served still.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
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
    /// Not the name of a repository, or one that a tree cannot have.
    #[error("\"{text}\" cannot be the name of a repository of a static registry: {why}")]
    Name {
        /// What was asked for.
        text: String,
        /// Why not.
        why: String,
    },
    /// Not a tag.
    #[error("\"{text}\" is not a tag: {why}")]
    Tag {
        /// What was asked for.
        text: String,
        /// Why not.
        why: String,
    },
    /// Content that is not what its digest says.
    #[error("content has the digest {found}, expected was {expected}")]
    WrongDigest {
        /// As announced.
        expected: Digest,
        /// As computed.
        found: Digest,
    },
    /// Content that is longer or shorter than announced.
    #[error("content of {digest} has {}{found} bytes, expected were {expected}", if found > expected { "at least " } else { "" })]
    WrongSize {
        /// Digest as announced.
        digest: Digest,
        /// As announced.
        expected: u64,
        /// As counted.
        found: u64,
    },
    /// A manifest that cannot be used.
    #[error("cannot use the document {digest}: {source}")]
    Document {
        /// Its digest.
        digest: Digest,
        /// Why.
        source: SpecError,
    },
    /// A manifest of a kind that has no place in the tree.
    #[error("the document {digest} is of the type \"{media_type}\", which no client asks for")]
    Kind {
        /// Its digest.
        digest: Digest,
        /// Its media type.
        media_type: String,
    },
    /// A manifest whose content was not published before it.
    #[error("{manifest} needs {missing}, which is not in {name} yet")]
    Incomplete {
        /// The repository.
        name: String,
        /// The manifest.
        manifest: Digest,
        /// What it needs.
        missing: Digest,
    },
    /// A tag or digest that is not there.
    #[error("{} has no {what}", path.display())]
    Missing {
        /// Directory of the tree.
        path: PathBuf,
        /// What was asked for.
        what: String,
    },
    /// A file of the tree that does not hold what it must.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl TreeError {
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

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        use ctr_sys::Errno;
        let errno = match self {
            Self::Io { source, .. } => source.raw_os_error().map(Errno::from_raw),
            Self::Sys { source, .. } => Some(source.errno),
            Self::Missing { .. } => {
                return Some("tags/list in the directory of the repository names its tags".to_owned());
            }
            Self::Damaged { .. } => return Some("remove that file and push the image again".to_owned()),
            _ => return None,
        };
        let text = match errno? {
            Errno::ENOSPC | Errno::EDQUOT => "make room on that filesystem and run the same command again",
            Errno::EACCES | Errno::EPERM => "run as the owner of the directory",
            Errno::ELOOP | Errno::ENOTDIR => "directories of a static registry are real ones: links are not followed",
            _ => return None,
        };
        Some(text.to_owned())
    }
}
