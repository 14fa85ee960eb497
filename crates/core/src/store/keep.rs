//! The file `keep` of a transaction: objects of the store that it relies on, roots of garbage collection as long as the
//! transaction lives.
//!
//! One line each, `blob HEX`, `layer HEX` or `image HEX`, added under the shared gate after the object was seen.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{StoreError, record};
use crate::digest::Digest;
use crate::launch::LayerId;

/// An object of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kept {
    Blob(Digest),
    Layer(LayerId),
    Image(Digest),
}

impl Kept {
    fn line(&self) -> String {
        match self {
            Self::Blob(digest) => format!("blob {}\n", digest.hex()),
            Self::Layer(id) => format!("layer {id}\n"),
            Self::Image(digest) => format!("image {}\n", digest.hex()),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let (kind, hex) = line.split_once(' ')?;
        let digest = Digest::from_hex(hex).ok()?;
        match kind {
            "blob" => Some(Self::Blob(digest)),
            "layer" => Some(Self::Layer(LayerId(digest))),
            "image" => Some(Self::Image(digest)),
            _ => None,
        }
    }
}

/// Adds objects. The caller holds the gate.
pub(crate) fn add(path: &Path, kept: &[Kept]) -> Result<(), StoreError> {
    let text: String = kept.iter().map(Kept::line).collect();
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    let mut file = file.map_err(StoreError::io("open", path))?;
    file.write_all(text.as_bytes()).map_err(StoreError::io("write", path))
}

/// Reads the objects; `None` if a line cannot be understood, so that nobody knows what else is relied on.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<Kept>>, StoreError> {
    let Some(bytes) = record::read_capped(path, record::RECORD_MAX)? else { return Ok(Some(Vec::new())) };
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(Kept::parse).collect())
}
