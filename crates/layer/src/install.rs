//! A blob into a layer directory of the store.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use ctr_core::store::XattrDialect;

use crate::error::{LayerError, Result};
use crate::limits::Limits;
use crate::pipeline::{Expected, unpack_blob};
use crate::unpack::{Ownership, UnpackOptions, Unpacked, Unpacker};

/// Where and how a layer is unpacked. The paths are the store's own.
#[derive(Debug)]
pub struct Target<'a> {
    /// The empty directory that becomes the layer's `fs`.
    pub dir: &'a Path,
    /// The `fs` directories of the layers below, lowest first.
    pub below: &'a [PathBuf],
    /// Namespace of overlay's attributes in the store.
    pub dialect: XattrDialect,
    /// How owners are kept.
    pub ownership: Ownership,
}

/// Reads a blob from `source`, copies it to `sink`, and unpacks it into `target`. All of `expected` holds when this
/// returns `Ok`; the directory is to be thrown away otherwise.
pub fn install(
    source: impl Read + Send,
    expected: &Expected,
    sink: Option<&mut (dyn Write + Send)>,
    target: &Target<'_>,
) -> Result<Unpacked> {
    let mut parents = Vec::with_capacity(target.below.len());
    for path in target.below.iter().rev() {
        parents.push(open(path)?);
    }
    let parents: Vec<BorrowedFd<'_>> = parents.iter().map(File::as_fd).collect();
    let options = UnpackOptions {
        dialect: target.dialect,
        parents: &parents,
        ownership: target.ownership,
        limits: Limits::default(),
    };
    let dir = open(target.dir)?;
    let unpacker = Unpacker::new(dir.as_fd(), options)?;
    unpack_blob(source, expected, sink, unpacker).map(|(_, unpacked)| unpacked)
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| LayerError::Host {
        path: String::new(),
        source: ctr_sys::SysError::from_io("open", path.display().to_string(), &error),
    })
}
