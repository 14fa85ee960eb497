//! What can go wrong with an archive, split by what the caller can do about it.

use std::io;

use ctr_core::digest::Digest;
use ctr_sys::{Errno, SysError};

use crate::limits::LimitError;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, LayerError>;

/// Why a layer could not be read, unpacked or packed.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The blob is not the one that was asked for. Fetching it again may help.
    #[error("the blob's digest is {found}, expected {expected}")]
    BlobDigest {
        /// From the descriptor.
        expected: Digest,
        /// Of the bytes that came.
        found: Digest,
    },
    /// The blob has another size than its descriptor says. Fetching it again may help.
    #[error("the blob has {found} bytes{}, expected {expected}", if *.more { " or more" } else { "" })]
    BlobSize {
        /// From the descriptor.
        expected: u64,
        /// That came.
        found: u64,
        /// Reading ended before the source did.
        more: bool,
    },
    /// The layer is not the one that the image config names: the image contradicts itself.
    #[error("the decompressed layer's digest is {found}, but the image config says {expected}")]
    DiffId {
        /// From `rootfs.diff_ids` of the image config.
        expected: Digest,
        /// Of the tar that came.
        found: Digest,
    },
    /// The compressed stream is damaged or cut.
    #[error("the {codec} stream is damaged")]
    Compressed {
        /// Name of the compression.
        codec: &'static str,
        /// What the decoder says.
        source: io::Error,
    },
    /// The archive is not a well-formed tar.
    #[error("the tar archive is malformed at byte {at}: {fault}")]
    Archive {
        /// Offset of the header in the decompressed archive.
        at: u64,
        /// What is wrong.
        fault: ArchiveFault,
    },
    /// A well-formed entry that may not be unpacked.
    #[error("entry \"{path}\" is refused: {fault}")]
    Refused {
        /// Its name, bytes that are not printable ASCII escaped.
        path: String,
        /// Why.
        fault: EntryFault,
    },
    /// The archive asks for more than any real layer does.
    #[error("the archive exceeds a limit{}", at_entry(.path))]
    Limit {
        /// The entry, empty if it is none in particular.
        path: String,
        /// Which limit.
        #[source]
        limit: LimitError,
    },
    /// The host refused: disk full, no permission, no such feature.
    #[error("cannot write the layer{}", at_entry(.path))]
    Host {
        /// The entry, empty if it is none in particular.
        path: String,
        /// The system call that failed.
        #[source]
        source: SysError,
    },
    /// The file system of the store refuses overlay's whiteouts.
    #[error(
        "cannot keep \"{path}\" deleted: the store's file system takes no device 0:0 \
         (inside of a container the store must lie on a volume, not on overlay)"
    )]
    NoWhiteouts {
        /// What the layer deletes.
        path: String,
        /// The system call that failed.
        #[source]
        source: SysError,
    },
    /// A tree that is to be packed cannot be read.
    #[error("cannot read \"{path}\" of the tree")]
    Tree {
        /// The file, empty for the tree's root.
        path: String,
        /// The system call that failed.
        #[source]
        source: SysError,
    },
    /// Reading the archive failed (disk or network).
    #[error("cannot read the archive")]
    Source(#[source] io::Error),
    /// Writing the archive or its copy failed.
    #[error("cannot write the archive")]
    Sink(#[source] io::Error),
    /// A member that must be in the archive is not.
    #[error("the archive has no file \"{0}\"")]
    NoMember(String),
    /// A stage of the pipeline ended without a word: a defect of ctr.
    #[error("the {0} stage ended unexpectedly")]
    Stage(&'static str),
}

impl LayerError {
    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::BlobDigest { .. } | Self::BlobSize { .. } | Self::Compressed { .. } => {
                "the source is damaged or was cut on its way: bring it again, or from another place"
            }
            Self::DiffId { .. } => "the image contradicts itself: who made it must make it again",
            Self::Limit { .. } => "no honest image is like this; the limits stand in spec/limits.md",
            Self::Host { source, .. } | Self::NoWhiteouts { source, .. } => return host_hint(source),
            Self::Sink(error) if error.kind() == io::ErrorKind::StorageFull => ROOM,
            _ => return None,
        };
        Some(text.to_owned())
    }
}

const ROOM: &str = "make room on that file system (ctr-gc frees what nothing uses) and run the same command again";

fn host_hint(error: &SysError) -> Option<String> {
    let text = match (error.errno, error.call) {
        (Errno::ENOSPC | Errno::EDQUOT, _) => ROOM,
        (Errno::EINVAL, "fchown" | "fchownat") => {
            "no id of the user's ranges in /etc/subuid and /etc/subgid stands for this owner: larger ranges are needed"
        }
        (Errno::EOPNOTSUPP, "fsetxattr" | "setxattr") => {
            "the store's file system keeps no such attributes: choose another place with --root"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn at_entry(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at entry \"{path}\"") }
}

/// What is wrong with a tar archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveFault {
    /// It ends inside a header or a file.
    #[error("it is cut short")]
    Truncated,
    /// The header's checksum does not match (or this is no tar at all).
    #[error("header checksum mismatch")]
    Checksum,
    /// One zero block where two end an archive.
    #[error("a single zero block between entries")]
    LoneZeroBlock,
    /// A numeric field that is none.
    #[error("bad number in field \"{0}\"")]
    Number(&'static str),
    /// A PAX record that is not `LENGTH KEY=VALUE\n`.
    #[error("bad PAX record")]
    Pax,
    /// A PAX record or GNU long name header with nothing after it.
    #[error("an extended header without an entry")]
    Dangling,
    /// A sparse map out of order, beyond the file, or not matching the data.
    #[error("bad sparse map")]
    Sparse,
    /// An entry type that layers do not have.
    #[error("entry type {0:?} is not known")]
    Type(char),
    /// A file without a name.
    #[error("an entry without a name")]
    Nameless,
}

/// Why an entry may not be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// `..` in its path.
    #[error("its path has a \"..\" component")]
    DotDot,
    /// `..` in the path of a hard link's target.
    #[error("the path of its link target has a \"..\" component")]
    LinkDotDot,
    /// NUL in a name.
    #[error("a name with a NUL byte")]
    Nul,
    /// The root of the layer as anything but a directory.
    #[error("the root of a layer must be a directory")]
    Root,
    /// `.wh.` with no usable name after it.
    #[error("a whiteout without a valid name")]
    Whiteout,
    /// A directory named `.wh.…`: the prefix is reserved (OCI image-spec layer.md, "Whiteouts").
    #[error("names that start with \".wh.\" are reserved for whiteouts")]
    Reserved,
    /// An attribute by which overlay itself is told what to show.
    #[error("it sets overlay's own attribute \"{0}\"")]
    OverlayAttribute(String),
    /// A device 0:0, which overlay takes for a whiteout.
    #[error("a character device 0:0 is overlay's form of a whiteout")]
    WhiteoutDevice,
    /// A hard link to nothing, neither in this layer nor below.
    #[error("its hard link target \"{0}\" does not exist")]
    NoLinkTarget(String),
    /// A hard link to a directory.
    #[error("its hard link target \"{0}\" is a directory")]
    LinkToDirectory(String),
    /// A symbolic link without a target.
    #[error("a link without a target")]
    EmptyLink,
    /// More links than Linux would follow.
    #[error("too many symbolic links in its path")]
    LinkLoop,
    /// An owner beyond 32 bits, or the reserved 4294967295.
    #[error("its owner {0} is not a valid id")]
    Owner(u64),
    /// A device number beyond what Linux has.
    #[error("its device number is not valid")]
    Device,
}

/// `name` for people: bytes that are not printable ASCII escaped.
pub(crate) fn show(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => name.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_for_what_the_user_can_change() {
        let host = |call, errno| LayerError::Host { path: String::new(), source: SysError::new(call, "", errno) };
        for (error, part) in [
            (host("write", Errno::ENOSPC), "make room"),
            (host("fchown", Errno::EINVAL), "/etc/subuid"),
            (host("fsetxattr", Errno::EOPNOTSUPP), "--root"),
            (LayerError::BlobSize { expected: 1, found: 2, more: true }, "bring it again"),
        ] {
            assert!(error.hint().unwrap().contains(part), "{error}");
        }
        assert_eq!(host("fchown", Errno::EIO).hint(), None);
    }

    #[test]
    fn names_are_shown_without_control_characters() {
        assert_eq!(show(b"etc/passwd"), "etc/passwd");
        assert_eq!(show("\u{fc}n\u{ef}".as_bytes()), "\u{fc}n\u{ef}");
        assert_eq!(show(b"a\x1b[2J"), "a\\x1b[2J");
        assert_eq!(show(b"\xff"), "\\xff");
    }
}
