//! Writing tar archives that depend on nothing but the entries: ustar headers, PAX records only for what does not fit.

use std::io::{self, Read, Write};

use ctr_sys::dirfd::Timestamp;
use tar::{EntryType, Header, UstarHeader};

use super::reader::BLOCK;
use super::{Entry, EntryKind};

/// Largest values of the octal fields of 8 and 12 bytes.
const MAX_7_DIGITS: u64 = 0o7_777_777;
const MAX_11_DIGITS: u64 = 0o77_777_777_777;

/// Writes entries to an archive; [`TarWriter::finish`] ends it.
pub struct TarWriter<W> {
    output: W,
    at: u64,
    /// Content on its way; made when first needed.
    buffer: Vec<u8>,
}

/// Bytes that are read of a file at once.
const READ: usize = 128 << 10;

impl<W: Write> TarWriter<W> {
    /// Starts an archive.
    pub fn new(output: W) -> Self {
        Self { output, at: 0, buffer: Vec::new() }
    }

    /// Bytes written so far: the offset of the next header.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Writes an entry with `entry.size` bytes of `data`. Holes of a sparse file are written out, [`Entry::stored`],
    /// [`Entry::data_at`] and [`Entry::sparse`] do not count. `data` that ends early is an error.
    pub fn append(&mut self, entry: &Entry, data: impl Read) -> io::Result<()> {
        let records = records(entry);
        if !records.is_empty() {
            self.write_pax(entry, &records)?;
        }
        let size = if entry.kind == EntryKind::Regular { entry.size } else { 0 };
        self.write(header(entry, size)?.as_bytes())?;
        let copied = self.copy(data, size)?;
        if copied != size {
            let text = format!("\"{}\" ended after {copied} of {size} bytes", crate::error::show(&entry.name));
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        self.pad()
    }

    /// Copies `size` bytes of `data`, fewer if it ends before. Unlike [`io::copy`] it reads large pieces, and does not
    /// read on to see the end.
    fn copy(&mut self, mut data: impl Read, size: u64) -> io::Result<u64> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(READ, 0);
        let mut copied = 0;
        while copied < size {
            let most = usize::try_from(size - copied).unwrap_or(READ).min(READ);
            let Some(room) = buffer.get_mut(..most) else { break };
            let count = match data.read(room) {
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            self.write(room.get(..count).unwrap_or_default())?;
            copied += count as u64;
        }
        self.buffer = buffer;
        Ok(copied)
    }

    /// Writes the end mark and gives the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.write(&[0; 1024])?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self) -> io::Result<()> {
        let zeros = [0; 512];
        let missing = usize::try_from(self.at.next_multiple_of(BLOCK) - self.at).unwrap_or(0);
        self.write(zeros.get(..missing).unwrap_or_default())
    }

    fn write_pax(&mut self, entry: &Entry, records: &[u8]) -> io::Result<()> {
        let base = entry.name.rsplit(|byte| *byte == b'/').find(|part| !part.is_empty()).unwrap_or_default();
        let mut name = b"PaxHeaders.0/".to_vec();
        name.extend(base.iter().take(80));
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_size(records.len() as u64);
        fill(&mut header.as_old_mut().name, &name);
        header.set_cksum();
        self.write(header.as_bytes())?;
        self.write(records)?;
        self.pad()
    }
}

/// The header of an entry; what does not fit is left at 0 or cut, PAX records have it.
fn header(entry: &Entry, size: u64) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_entry_type(match entry.kind {
        EntryKind::Regular => EntryType::Regular,
        EntryKind::Hardlink => EntryType::Link,
        EntryKind::Symlink => EntryType::Symlink,
        EntryKind::CharDevice => EntryType::Char,
        EntryKind::BlockDevice => EntryType::Block,
        EntryKind::Directory => EntryType::Directory,
        EntryKind::Fifo => EntryType::Fifo,
    });
    header.set_mode(entry.mode & 0o7777);
    header.set_uid(fits(entry.uid, MAX_7_DIGITS));
    header.set_gid(fits(entry.gid, MAX_7_DIGITS));
    header.set_size(fits(size, MAX_11_DIGITS));
    header.set_mtime(u64::try_from(entry.mtime.secs).map_or(0, |secs| fits(secs, MAX_11_DIGITS)));
    let (prefix, name) = split_name(&entry.name).unwrap_or((b"", &entry.name));
    if let Some(ustar) = header.as_ustar_mut() {
        let UstarHeader { name: name_field, linkname, prefix: prefix_field, .. } = ustar;
        fill(name_field, name);
        fill(prefix_field, prefix);
        fill(linkname, &entry.link);
    }
    if matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice) {
        header.set_device_major(entry.device.0)?;
        header.set_device_minor(entry.device.1)?;
    } else {
        header.set_device_major(0)?;
        header.set_device_minor(0)?;
    }
    header.set_cksum();
    Ok(header)
}

fn fits(value: u64, most: u64) -> u64 {
    if value <= most { value } else { 0 }
}

fn fill(field: &mut [u8], bytes: &[u8]) {
    for (to, from) in field.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// Prefix and name as ustar has them (100 bytes, and 155 before a slash); `None` if the path does not fit.
fn split_name(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    // The slash that stands between must not be the last byte, which marks a directory.
    let from = path.len().checked_sub(101)?;
    let slash = path.iter().enumerate().skip(from).position(|(at, byte)| *byte == b'/' && at + 1 < path.len())? + from;
    let (prefix, name) = (path.get(..slash)?, path.get(slash + 1..)?);
    (prefix.len() <= 155 && !prefix.is_empty()).then_some((prefix, name))
}

fn records(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    let mut push = |key: &[u8], value: &[u8]| push_record(&mut records, key, value);
    let long_name = split_name(&entry.name).is_none();
    let long_link = entry.link.len() > 100;
    let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
    if (long_name && !is_text(&entry.name)) || (long_link && !is_text(&entry.link)) {
        push(b"hdrcharset", b"BINARY");
    }
    if entry.uid > MAX_7_DIGITS {
        push(b"uid", entry.uid.to_string().as_bytes());
    }
    if entry.gid > MAX_7_DIGITS {
        push(b"gid", entry.gid.to_string().as_bytes());
    }
    if entry.kind == EntryKind::Regular && entry.size > MAX_11_DIGITS {
        push(b"size", entry.size.to_string().as_bytes());
    }
    let plain_time = u64::try_from(entry.mtime.secs).is_ok_and(|secs| secs <= MAX_11_DIGITS) && entry.mtime.nanos == 0;
    if !plain_time {
        push(b"mtime", time_text(entry.mtime).as_bytes());
    }
    if long_link {
        push(b"linkpath", &entry.link);
    }
    if long_name {
        push(b"path", &entry.name);
    }
    for (name, value) in &entry.xattrs {
        push(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

/// Appends `LENGTH KEY=VALUE\n`, where LENGTH counts itself.
fn push_record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend(length.to_string().bytes());
    records.push(b' ');
    records.extend(key);
    records.push(b'=');
    records.extend(value);
    records.push(b'\n');
}

fn time_text(time: Timestamp) -> String {
    if time.nanos == 0 {
        return time.secs.to_string();
    }
    let text = if time.secs >= 0 {
        format!("{}.{:09}", time.secs, time.nanos)
    } else {
        // -2 s + 0.5 s is written -1.5.
        format!("-{}.{:09}", -(time.secs + 1), 1_000_000_000 - time.nanos)
    };
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, TarReader};
    use super::*;
    use crate::limits::Limits;

    fn entry(name: &[u8]) -> Entry {
        Entry {
            name: name.to_vec(),
            kind: EntryKind::Regular,
            link: Vec::new(),
            mode: 0o4755,
            uid: 0,
            gid: 0,
            size: 0,
            stored: 0,
            data_at: 0,
            mtime: Timestamp { secs: 1, nanos: 0 },
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }

    fn round_trip(entry: &Entry, data: &[u8]) -> Entry {
        let mut writer = TarWriter::new(Vec::new());
        writer.append(entry, data).unwrap();
        let archive = writer.finish().unwrap();
        assert_eq!(archive.len() % 512, 0);
        let mut reader = TarReader::new(archive.as_slice(), Limits::default());
        let read = reader.next_entry().unwrap().unwrap();
        assert_eq!(reader.read_all(1 << 20).unwrap(), data);
        assert!(reader.next_entry().unwrap().is_none());
        Entry { data_at: 0, stored: 0, ..read }
    }

    #[test]
    fn what_is_written_is_read() {
        let long = [b"d/".repeat(60).as_slice(), &[b'n'; 120]].concat();
        let deep = b"directory/".repeat(20);
        let binary = [&b"\xff"[..], &[b'x'; 120]].concat();
        for name in [&b"a"[..], b"a/b", &long, &deep, &binary, &[b'a'; 100], &[b'a'; 101]] {
            let mut wanted = entry(name);
            wanted.size = 3;
            assert_eq!(round_trip(&wanted, b"abc"), wanted);
        }
        let mut odd = entry(b"odd");
        (odd.uid, odd.gid) = (4_000_000_000, 2_097_152);
        odd.xattrs = vec![(b"security.capability".to_vec(), vec![0, 1, b'\n', 0xff]), (b"user.a".to_vec(), vec![])];
        for mtime in [(-1, 500_000_000), (-5, 0), (7, 1), (1 << 40, 0), (-2, 1)] {
            odd.mtime = Timestamp { secs: mtime.0, nanos: mtime.1 };
            assert_eq!(round_trip(&odd, b""), odd);
        }
        let mut link = entry(b"l");
        (link.kind, link.link) = (EntryKind::Symlink, vec![b't'; 300]);
        assert_eq!(round_trip(&link, b""), link);
        let mut device = entry(b"dev");
        (device.kind, device.device) = (EntryKind::CharDevice, (511, 1_048_575));
        assert_eq!(round_trip(&device, b""), device);
    }

    #[test]
    fn record_lengths_count_themselves() {
        for length in [1, 2, 3, 87, 88, 89, 90, 91, 980, 987, 988, 989, 990] {
            let mut records = Vec::new();
            push_record(&mut records, b"k", &vec![b'v'; length]);
            let text = String::from_utf8(records.clone()).unwrap();
            let stated: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(stated, records.len());
        }
    }

    #[test]
    fn short_data_is_an_error() {
        let mut wanted = entry(b"a");
        wanted.size = 4;
        assert!(TarWriter::new(Vec::new()).append(&wanted, &b"abc"[..]).is_err());
    }
}
