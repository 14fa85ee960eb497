//! PAX extended headers (POSIX.1-2017 pax, "pax Extended Header").

use ctr_sys::dirfd::Timestamp;

use super::number;
use super::sparse::{self, PaxSparse};
use crate::error::ArchiveFault;
use crate::limits::{LimitError, Limits};

/// What one `x` header says of the entry after it.
#[derive(Debug, Default)]
pub(super) struct PaxRecords {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: PaxSparse,
    libarchive_xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A malformed or too large header.
#[derive(Debug)]
pub(super) enum PaxError {
    Fault(ArchiveFault),
    Limit(LimitError),
}

impl From<ArchiveFault> for PaxError {
    fn from(fault: ArchiveFault) -> Self {
        Self::Fault(fault)
    }
}

/// Name in clear, value in bytes.
const XATTR: &[u8] = b"SCHILY.xattr.";
/// Name as in a URL, value in base64. libarchive writes each attribute in both forms.
const LIBARCHIVE_XATTR: &[u8] = b"LIBARCHIVE.xattr.";

impl PaxRecords {
    /// Reads the records of a header's data. Names are bytes whatever `hdrcharset` says; unknown keys are ignored, as
    /// POSIX wants.
    pub(super) fn parse(data: &[u8], limits: &Limits) -> Result<Self, PaxError> {
        let mut records = Self::default();
        let mut rest = data;
        while !rest.is_empty() {
            let (key, value, after) = record(rest).ok_or(ArchiveFault::Pax)?;
            records.take(key, value, limits)?;
            rest = after;
        }
        let twice = std::mem::take(&mut records.libarchive_xattrs);
        for (name, value) in twice {
            if !records.xattrs.iter().any(|(known, _)| *known == name) {
                take_xattr(&mut records.xattrs, &name, &value, limits)?;
            }
        }
        records.xattrs.sort();
        Ok(records)
    }

    fn take(&mut self, key: &[u8], value: &[u8], limits: &Limits) -> Result<(), PaxError> {
        if let Some(name) = key.strip_prefix(XATTR) {
            return take_xattr(&mut self.xattrs, name, value, limits);
        }
        if let Some(name) = key.strip_prefix(LIBARCHIVE_XATTR) {
            let name = url_decoded(name).ok_or(ArchiveFault::Pax)?;
            let value = base64_decoded(value).ok_or(ArchiveFault::Pax)?;
            return take_xattr(&mut self.libarchive_xattrs, &name, &value, limits);
        }
        if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
            return match sparse::take_pax(&mut self.sparse, key, value, limits.sparse_segments) {
                Ok(()) => Ok(()),
                Err(sparse::MapError::Fault) => Err(ArchiveFault::Sparse.into()),
                Err(sparse::MapError::TooMany) => {
                    Err(PaxError::Limit(LimitError::SparseSegments(limits.sparse_segments)))
                }
            };
        }
        // An empty value takes the record back: the header's own field counts.
        let number = |field| match value {
            b"" => Ok(None),
            _ => number::decimal(value).map(Some).ok_or(ArchiveFault::Number(field)),
        };
        match key {
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link = name(value)?,
            b"size" => self.size = number("PAX size")?,
            b"uid" => self.uid = number("PAX uid")?,
            b"gid" => self.gid = number("PAX gid")?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(number::pax_time(value).ok_or(ArchiveFault::Number("PAX mtime"))?),
            _ => {}
        }
        Ok(())
    }
}

fn take_xattr(
    xattrs: &mut Vec<(Vec<u8>, Vec<u8>)>,
    name: &[u8],
    value: &[u8],
    limits: &Limits,
) -> Result<(), PaxError> {
    if name.is_empty() || name.len() > crate::limits::NAME_BYTES || name.contains(&0) {
        return Err(ArchiveFault::Pax.into());
    }
    if value.len() > limits.xattr_bytes {
        return Err(PaxError::Limit(LimitError::XattrBytes { limit: limits.xattr_bytes, found: value.len() }));
    }
    xattrs.retain(|(known, _)| known != name);
    if xattrs.len() == limits.xattrs {
        return Err(PaxError::Limit(LimitError::Xattrs(limits.xattrs)));
    }
    xattrs.push((name.to_vec(), value.to_vec()));
    Ok(())
}

fn url_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = text.iter();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let (high, low) = (char::from(*bytes.next()?).to_digit(16)?, char::from(*bytes.next()?).to_digit(16)?);
        decoded.push(u8::try_from(high << 4 | low).ok()?);
    }
    Some(decoded)
}

/// Base64 with or without the padding, which libarchive leaves out.
fn base64_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let (mut bits, mut count) = (0u32, 0);
    let mut decoded = Vec::new();
    for byte in text.get(..end)? {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(decoded)
}

fn name(value: &[u8]) -> Result<Option<Vec<u8>>, PaxError> {
    match value {
        b"" => Ok(None),
        _ if value.contains(&0) => Err(ArchiveFault::Pax.into()),
        _ => Ok(Some(value.to_vec())),
    }
}

/// The first record of `data`, `LENGTH KEY=VALUE\n`, and what follows it. The value may hold any byte, so only the
/// length tells where it ends.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(number::decimal(data.get(..space)?)?).ok()?;
    let (whole, after) = data.split_at_checked(length)?;
    let body = whole.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    let (key, value) = body.split_at_checked(equals)?;
    if key.is_empty() || key.contains(&0) {
        return None;
    }
    Some((key, value.get(1..)?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_length() {
        let data = b"12 path=a\nb\n21 SCHILY.xattr.u=\0\n\n11 size=42\n8 uid=7\n7 gid=\n";
        let records = PaxRecords::parse(data, &Limits::default()).unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(records.xattrs, [(b"u".to_vec(), b"\0\n".to_vec())]);
        assert_eq!((records.size, records.uid, records.gid), (Some(42), Some(7), None));
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"path=a\n"[..],
            b"8 path=a\n",
            b"11 path=a\n",
            b"99999999999999999999 path=a\n",
            b"11 path=a\0\n",
            b"8 =abcd\n",
            b"8 patha\n",
            b"10 size=-\n",
            b"0 ",
            b" ",
            b"18 SCHILY.xattr.=\n",
        ] {
            assert!(PaxRecords::parse(bad, &Limits::default()).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn libarchive_attributes_count_where_the_plain_form_is_missing() {
        let data = b"33 LIBARCHIVE.xattr.user.a%3D=eA\n36 LIBARCHIVE.xattr.user.b=eXl6dw==\n25 SCHILY.xattr.user.b=1\n";
        let records = PaxRecords::parse(data, &Limits::default()).unwrap();
        assert_eq!(records.xattrs, [(b"user.a=".to_vec(), b"x".to_vec()), (b"user.b".to_vec(), b"1".to_vec())]);
        assert_eq!(base64_decoded(b"eXl6dw==").unwrap(), b"yyzw");
        assert_eq!(base64_decoded(b"e*"), None);
        assert_eq!(url_decoded(b"a%4"), None);
    }

    #[test]
    fn the_last_record_of_a_key_counts() {
        let records = PaxRecords::parse(b"10 path=a\n10 path=b\n", &Limits::default()).unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"b"[..]));
    }

    #[test]
    fn too_many_xattrs_meet_their_limit() {
        let limits = Limits { xattrs: 1, ..Limits::default() };
        let one = b"20 SCHILY.xattr.a=1\n";
        let two = b"20 SCHILY.xattr.b=1\n";
        assert!(PaxRecords::parse(&[&one[..], one].concat(), &limits).is_ok());
        let error = PaxRecords::parse(&[&one[..], two].concat(), &limits).unwrap_err();
        assert!(matches!(error, PaxError::Limit(LimitError::Xattrs(1))));
    }
}
