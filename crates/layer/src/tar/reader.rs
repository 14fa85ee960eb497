//! From header to header.

use std::io::{self, BufRead, Seek};

use ctr_sys::dirfd::Timestamp;
use tar::{EntryType, Header};

use super::pax::{PaxError, PaxRecords};
use super::sparse::{self, MapError, MapReader, Segment};
use super::{Entry, EntryKind, number};
use crate::error::{ArchiveFault, LayerError, Result};
use crate::limits::{LimitError, Limits};

/// Size of a tar block in bytes.
pub(crate) const BLOCK: u64 = 512;

/// Reads a tar archive as a stream of entries.
pub struct TarReader<R> {
    input: R,
    limits: Limits,
    skip: fn(&mut R, u64) -> io::Result<u64>,
    /// Bytes taken from the input.
    at: u64,
    /// Data of the current entry that was not taken yet, and the padding after it.
    remaining: u64,
    padding: u64,
    entries: u64,
    /// Offset of the header that is read now, for messages.
    header_at: u64,
    ended: bool,
}

/// Extended headers that came since the last entry.
#[derive(Default)]
struct Pending {
    pax: Option<PaxRecords>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<R: BufRead> TarReader<R> {
    /// A reader of the archive that `input` is at the start of.
    pub fn new(input: R, limits: Limits) -> Self {
        let skip = |input: &mut R, count| skip_by_reading(input, count);
        Self { input, limits, skip, at: 0, remaining: 0, padding: 0, entries: 0, header_at: 0, ended: false }
    }

    /// The next entry; `None` at the end of the archive. Data of the last entry that was not read is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut pending = Pending::default();
        loop {
            self.skip_data()?;
            let Some(header) = self.next_header()? else {
                let dangling = pending.pax.is_some() || pending.name.is_some() || pending.link.is_some();
                return if dangling { Err(self.fault(ArchiveFault::Dangling)) } else { Ok(None) };
            };
            self.entries += 1;
            // Extended headers count too, or an archive of nothing else would be endless work.
            if self.entries > self.limits.entries.saturating_mul(4) {
                return Err(self.limit(LimitError::Entries(self.limits.entries)));
            }
            match header.entry_type() {
                EntryType::XHeader => {
                    let data = self.extended(&header)?;
                    let parsed = PaxRecords::parse(&data, &self.limits);
                    pending.pax = Some(parsed.map_err(|error| self.pax_error(error))?);
                }
                // Records for all entries that follow. As in Go's reader they have no effect: git archive, which
                // writes them, puts a comment there.
                EntryType::XGlobalHeader => {
                    let data = self.extended(&header)?;
                    PaxRecords::parse(&data, &self.limits).map_err(|error| self.pax_error(error))?;
                }
                EntryType::GNULongName => pending.name = Some(self.long_name(&header)?),
                EntryType::GNULongLink => pending.link = Some(self.long_name(&header)?),
                _ => return self.entry(&header, pending).map(Some),
            }
        }
    }

    /// Some of the current entry's data; empty when all was taken. Call [`TarReader::consume`] for what was used.
    pub fn data(&mut self) -> Result<&[u8]> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let fault = LayerError::Archive { at: self.header_at, fault: ArchiveFault::Truncated };
        let available = self.input.fill_buf().map_err(LayerError::Source)?;
        if available.is_empty() {
            return Err(fault);
        }
        let length = usize::try_from(self.remaining).map_or(available.len(), |most| most.min(available.len()));
        Ok(available.get(..length).unwrap_or_default())
    }

    /// Takes `count` bytes, at most what [`TarReader::data`] gave.
    pub fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.at += count as u64;
        self.remaining = self.remaining.saturating_sub(count as u64);
    }

    /// The current entry's data in whole, if it is at most `most` bytes.
    pub fn read_all(&mut self, most: u64) -> Result<Vec<u8>> {
        if self.remaining > most {
            return Err(self.limit(LimitError::FileBytes { limit: most, found: self.remaining }));
        }
        let mut all = Vec::with_capacity(usize::try_from(self.remaining).unwrap_or(0));
        loop {
            let data = self.data()?;
            let length = data.len();
            if length == 0 {
                return Ok(all);
            }
            all.extend_from_slice(data);
            self.consume(length);
        }
    }

    /// The input, after the last block that was read.
    pub fn into_inner(self) -> R {
        self.input
    }

    fn fault(&self, fault: ArchiveFault) -> LayerError {
        LayerError::Archive { at: self.header_at, fault }
    }

    #[allow(clippy::unused_self)]
    fn limit(&self, limit: LimitError) -> LayerError {
        LayerError::Limit { path: String::new(), limit }
    }

    fn pax_error(&self, error: PaxError) -> LayerError {
        match error {
            PaxError::Fault(fault) => self.fault(fault),
            PaxError::Limit(limit) => self.limit(limit),
        }
    }

    fn map_error(&self, error: &MapError) -> LayerError {
        match error {
            MapError::Fault => self.fault(ArchiveFault::Sparse),
            MapError::TooMany => self.limit(LimitError::SparseSegments(self.limits.sparse_segments)),
        }
    }

    fn skip_data(&mut self) -> Result<()> {
        let count = self.remaining.saturating_add(self.padding);
        if count > 0 {
            let skipped = (self.skip)(&mut self.input, count).map_err(LayerError::Source)?;
            self.at += skipped;
            // The padding of the last file may be missing: Go's reader takes that too.
            if skipped < self.remaining {
                return Err(self.fault(ArchiveFault::Truncated));
            }
        }
        self.remaining = 0;
        self.padding = 0;
        Ok(())
    }

    /// One block; `None` at the end of the input.
    fn block(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut filled = 0;
        while filled < block.len() {
            let available = self.input.fill_buf().map_err(LayerError::Source)?;
            let Some(room) = block.get_mut(filled..) else { break };
            let length = available.len().min(room.len());
            if length == 0 {
                return if filled == 0 { Ok(None) } else { Err(self.fault(ArchiveFault::Truncated)) };
            }
            for (to, from) in room.iter_mut().zip(available) {
                *to = *from;
            }
            self.input.consume(length);
            self.at += length as u64;
            filled += length;
        }
        Ok(Some(header))
    }

    fn next_header(&mut self) -> Result<Option<Header>> {
        if self.ended {
            return Ok(None);
        }
        self.header_at = self.at;
        let is_zero = |header: &Header| header.as_bytes().iter().all(|byte| *byte == 0);
        match self.block()? {
            // No end mark at all: cut archives of old tools, taken by every reader.
            None => self.ended = true,
            Some(header) if is_zero(&header) => {
                if self.block()?.is_some_and(|second| !is_zero(&second)) {
                    return Err(self.fault(ArchiveFault::LoneZeroBlock));
                }
                self.ended = true;
            }
            Some(header) if checksum_holds(&header) => return Ok(Some(header)),
            Some(_) => return Err(self.fault(ArchiveFault::Checksum)),
        }
        Ok(None)
    }

    fn set_data(&mut self, size: u64) {
        self.remaining = size;
        self.padding = size.next_multiple_of(BLOCK) - size;
    }

    fn size_field(&self, header: &Header) -> Result<u64> {
        let size = number::unsigned(&header.as_old().size);
        // The largest offset of a file, less room for rounding up.
        size.filter(|size| *size < i64::MAX as u64 - BLOCK).ok_or_else(|| self.fault(ArchiveFault::Number("size")))
    }

    fn extended(&mut self, header: &Header) -> Result<Vec<u8>> {
        let size = self.size_field(header)?;
        if size > self.limits.header_bytes {
            return Err(self.limit(LimitError::HeaderBytes { limit: self.limits.header_bytes, found: size }));
        }
        self.set_data(size);
        self.read_all(size)
    }

    fn long_name(&mut self, header: &Header) -> Result<Vec<u8>> {
        let mut name = self.extended(header)?;
        if let Some(end) = name.iter().position(|byte| *byte == 0) {
            name.truncate(end);
        }
        Ok(name)
    }

    fn entry(&mut self, header: &Header, pending: Pending) -> Result<Entry> {
        let pax = pending.pax.unwrap_or_default();
        let mut name = pending.name.or(pax.path).unwrap_or_else(|| header_name(header));
        let link = pending.link.or(pax.link);
        let link = link.unwrap_or_else(|| header.link_name_bytes().map_or_else(Vec::new, std::borrow::Cow::into_owned));
        let kind = self.kind(header, &name)?;
        let number = |field: &[u8], what| number::unsigned(field).ok_or_else(|| self.fault(ArchiveFault::Number(what)));
        let old = header.as_old();
        let mode = u32::try_from(number(&old.mode, "mode")? & 0o7777).unwrap_or(0);
        let uid = pax.uid.map_or_else(|| number(&old.uid, "uid"), Ok)?;
        let gid = pax.gid.map_or_else(|| number(&old.gid, "gid"), Ok)?;
        let mtime = match pax.mtime {
            Some(time) => time,
            None => number::field(&old.mtime)
                .map(|secs| Timestamp { secs, nanos: 0 })
                .ok_or_else(|| self.fault(ArchiveFault::Number("mtime")))?,
        };
        let device = self.device(header, kind)?;
        // What is no file has no data, whatever its size field says (Go's isHeaderOnlyType; GNU tar for links).
        let mut stored = 0;
        if kind == EntryKind::Regular {
            stored = pax.size.map_or_else(|| self.size_field(header), Ok)?;
            if stored >= i64::MAX as u64 - BLOCK {
                return Err(self.fault(ArchiveFault::Number("size")));
            }
        }
        self.set_data(stored);
        let (mut size, mut map) = (stored, None);
        if kind == EntryKind::Regular {
            if header.entry_type() == EntryType::GNUSparse {
                (size, map) = self.gnu_sparse(header)?;
            } else if pax.sparse.version == (Some(1), Some(0)) || pax.sparse.map.is_some() {
                (size, map) = self.pax_sparse(&pax.sparse)?;
                name = pax.sparse.name.unwrap_or(name);
            }
        }
        if let Some(map) = &map {
            stored = self.remaining;
            sparse::check(map, size, stored).map_err(|error| self.map_error(&error))?;
        }
        if name.is_empty() {
            return Err(self.fault(ArchiveFault::Nameless));
        }
        Ok(Entry {
            name,
            kind,
            link,
            mode,
            uid,
            gid,
            size,
            stored,
            data_at: self.at,
            mtime,
            device,
            xattrs: pax.xattrs,
            sparse: map,
        })
    }

    fn kind(&self, header: &Header, name: &[u8]) -> Result<EntryKind> {
        Ok(match header.entry_type() {
            EntryType::Regular => match header.as_old().linkflag {
                // Before ustar a directory was a file whose name ends in a slash.
                [0] if name.ends_with(b"/") => EntryKind::Directory,
                _ => EntryKind::Regular,
            },
            EntryType::Continuous | EntryType::GNUSparse => EntryKind::Regular,
            EntryType::Link => EntryKind::Hardlink,
            EntryType::Symlink => EntryKind::Symlink,
            EntryType::Char => EntryKind::CharDevice,
            EntryType::Block => EntryKind::BlockDevice,
            EntryType::Directory => EntryKind::Directory,
            EntryType::Fifo => EntryKind::Fifo,
            other => return Err(self.fault(ArchiveFault::Type(char::from(other.as_byte())))),
        })
    }

    fn device(&self, header: &Header, kind: EntryKind) -> Result<(u32, u32)> {
        if !matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
            return Ok((0, 0));
        }
        let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
            (Some(ustar), _) => (&ustar.dev_major, &ustar.dev_minor),
            (_, Some(gnu)) => (&gnu.dev_major, &gnu.dev_minor),
            _ => return Ok((0, 0)),
        };
        let number = |field: &[u8]| number::unsigned(field).and_then(|value| u32::try_from(value).ok());
        match (number(major), number(minor)) {
            (Some(major), Some(minor)) => Ok((major, minor)),
            _ => Err(self.fault(ArchiveFault::Number("device"))),
        }
    }

    /// The old GNU form: up to four segments in the header, the rest in blocks after it.
    fn gnu_sparse(&mut self, header: &Header) -> Result<(u64, Option<Vec<Segment>>)> {
        let gnu = header.as_gnu().ok_or_else(|| self.fault(ArchiveFault::Sparse))?;
        let real = number::unsigned(&gnu.realsize).ok_or_else(|| self.fault(ArchiveFault::Number("realsize")))?;
        let mut map = Vec::new();
        self.gnu_segments(&gnu.sparse, &mut map)?;
        let mut more = gnu.is_extended();
        while more {
            let block = self.block()?.ok_or_else(|| self.fault(ArchiveFault::Truncated))?;
            let mut extension = tar::GnuExtSparseHeader::new();
            *extension.as_mut_bytes() = *block.as_bytes();
            self.gnu_segments(extension.sparse(), &mut map)?;
            more = extension.is_extended();
        }
        Ok((real, Some(map)))
    }

    fn gnu_segments(&self, segments: &[tar::GnuSparseHeader], map: &mut Vec<Segment>) -> Result<()> {
        for segment in segments {
            if segment.is_empty() {
                break;
            }
            let number =
                |field: &[u8]| number::unsigned(field).ok_or_else(|| self.fault(ArchiveFault::Number("sparse")));
            let segment = Segment { offset: number(&segment.offset)?, length: number(&segment.numbytes)? };
            sparse::push(map, segment, self.limits.sparse_segments).map_err(|error| self.map_error(&error))?;
        }
        Ok(())
    }

    /// The PAX forms: the map is in the records (0.x) or, as text, before the data (1.0).
    fn pax_sparse(&mut self, records: &sparse::PaxSparse) -> Result<(u64, Option<Vec<Segment>>)> {
        let size = records.size.ok_or_else(|| self.fault(ArchiveFault::Sparse))?;
        if let Some(map) = &records.map {
            return Ok((size, Some(map.clone())));
        }
        let mut reader = MapReader::default();
        loop {
            if self.remaining < BLOCK {
                return Err(self.fault(ArchiveFault::Sparse));
            }
            let block = self.block()?.ok_or_else(|| self.fault(ArchiveFault::Truncated))?;
            self.remaining -= BLOCK;
            let taken = reader.take(block.as_bytes(), self.limits.sparse_segments);
            if let Some(map) = taken.map_err(|error| self.map_error(&error))? {
                return Ok((size, Some(map)));
            }
        }
    }
}

impl<R: io::Read + Seek> TarReader<io::BufReader<R>> {
    /// A reader that seeks over data instead of reading it. It cannot notice that the last file is cut: compare
    /// [`Entry::data_at`] and [`Entry::stored`] with the length of the input.
    pub fn seeking(input: io::BufReader<R>, limits: Limits) -> Self {
        let skip = |input: &mut io::BufReader<R>, count: u64| {
            let distance = i64::try_from(count).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            input.seek_relative(distance)?;
            Ok(count)
        };
        Self { skip, ..Self::new(input, limits) }
    }
}

fn skip_by_reading<R: BufRead>(input: &mut R, count: u64) -> io::Result<u64> {
    let mut skipped = 0;
    while skipped < count {
        let available = input.fill_buf()?.len() as u64;
        if available == 0 {
            break;
        }
        let length = available.min(count - skipped);
        input.consume(usize::try_from(length).unwrap_or(usize::MAX));
        skipped += length;
    }
    Ok(skipped)
}

/// The name in the header itself. The `star` variant of ustar keeps times at the end of what else is the prefix.
fn header_name(header: &Header) -> Vec<u8> {
    if header.as_ustar().is_some() && header.as_bytes().ends_with(b"tar\0") {
        let mut header = header.clone();
        if let Some(ustar) = header.as_ustar_mut() {
            ustar.prefix.iter_mut().skip(131).for_each(|byte| *byte = 0);
        }
        return header.path_bytes().into_owned();
    }
    header.path_bytes().into_owned()
}

/// The sum of all bytes, the checksum field taken as spaces. Some old writers summed signed bytes.
fn checksum_holds(header: &Header) -> bool {
    let Some(stored) = number::field(&header.as_old().cksum) else { return false };
    let (mut plain, mut signed) = (0i64, 0i64);
    for (index, byte) in header.as_bytes().iter().enumerate() {
        let byte = if (148..156).contains(&index) { b' ' } else { *byte };
        plain += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    stored == plain || stored == signed
}
