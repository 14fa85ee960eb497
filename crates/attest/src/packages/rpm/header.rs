//! The header of an rpm package, as the database keeps it: without the magic of package files.
//!
//! Two numbers of four bytes say how many entries there are and how many bytes of data; an entry is tag, type, offset in the data and
//! count, each of four bytes, big-endian.

use super::sqlite::be32;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const LICENSE: u32 = 1014;
const ARCH: u32 = 1022;

/// Types of entries.
const INT32: u32 = 4;
const STRING: u32 = 6;

/// What is used of a header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) release: String,
    pub(super) epoch: Option<u32>,
    pub(super) licence: Option<String>,
    pub(super) arch: Option<String>,
}

/// The header that `blob` is; `None` if it is none, or lacks a name or a version.
pub(super) fn parse(blob: &[u8]) -> Option<Header> {
    let entries = usize::try_from(be32(blob, 0)?).ok()?;
    let bytes = usize::try_from(be32(blob, 4)?).ok()?;
    let start = entries.checked_mul(16)?.checked_add(8)?;
    let index = blob.get(8..start)?;
    let data = blob.get(start..start.checked_add(bytes)?)?;
    let mut header = Header::default();
    for entry in index.chunks_exact(16) {
        let (tag, kind) = (be32(entry, 0)?, be32(entry, 4)?);
        let at = usize::try_from(be32(entry, 8)?).ok()?;
        let string = || if kind == STRING { string(data, at) } else { None };
        match tag {
            NAME => header.name = string()?,
            VERSION => header.version = string()?,
            RELEASE => header.release = string()?,
            LICENSE => header.licence = string(),
            ARCH => header.arch = string(),
            EPOCH if kind == INT32 => header.epoch = be32(data, at),
            _ => {}
        }
    }
    (!header.name.is_empty() && !header.version.is_empty()).then_some(header)
}

fn string(data: &[u8], at: usize) -> Option<String> {
    let text = data.get(at..)?;
    let end = text.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(text.get(..end)?).into_owned())
}
