//! Writing image archives: tars of a few ordinary files, the same bytes from the same content.
//!
//! Entries have owner 0:0 without names, one fixed time, and ustar headers; a PAX record only for a size that ustar
//! cannot hold (spec/02-image-file.md, ACI-1 and ACI-7).

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

/// Largest size that eleven octal digits hold.
const USTAR_MAX: u64 = 0o77_777_777_777;
const BLOCK: usize = 512;

/// Writes an archive.
pub struct ArchiveWriter<W: Write> {
    out: W,
}

impl<W: Write> ArchiveWriter<W> {
    /// An archive that is written to `out`, which is best buffered.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Adds the directory `name`.
    pub fn directory(&mut self, name: &str) -> io::Result<()> {
        self.header(name, EntryType::Directory, 0o755, 0)
    }

    /// Adds the file `name` with the content `bytes`.
    pub fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.copy(name, bytes.len() as u64, bytes)
    }

    /// Adds the file `name` with the next `size` bytes of `content`; an error if there are less.
    pub fn copy(&mut self, name: &str, size: u64, content: impl Read) -> io::Result<()> {
        if size > USTAR_MAX {
            let record = pax_record("size", &size.to_string());
            self.header("pax_header", EntryType::XHeader, 0o644, record.len() as u64)?;
            self.out.write_all(record.as_bytes())?;
            self.pad(record.len() as u64)?;
        }
        self.header(name, EntryType::Regular, 0o644, size)?;
        let copied = io::copy(&mut content.take(size), &mut self.out)?;
        if copied != size {
            let text = format!("{name} ended after {copied} of {size} bytes");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        self.pad(size)
    }

    /// Ends the archive and gives its writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn header(&mut self, name: &str, kind: EntryType, mode: u32, size: u64) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_path(name)?;
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        // What is too large for the field stands in the PAX record; readers take that one.
        header.set_size(if size > USTAR_MAX { 0 } else { size });
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let block = BLOCK as u64;
        io::copy(&mut io::repeat(0).take((block - size % block) % block), &mut self.out).map(drop)
    }
}

/// `LENGTH KEY=VALUE\n`, where LENGTH counts itself (pax(1), "pax Extended Header").
fn pax_record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_read_back_by_the_tar_crate() {
        let write = || {
            let mut archive = ArchiveWriter::new(Vec::new());
            archive.file("oci-layout", b"{}").unwrap();
            archive.directory("blobs/").unwrap();
            archive.copy("blobs/x", 513, [7_u8; 600].as_slice()).unwrap();
            archive.finish().unwrap()
        };
        let bytes = write();
        assert_eq!(bytes, write());
        assert_eq!(bytes.len() % 512, 0);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let found: Vec<(String, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.map(|e| (e.path().unwrap().display().to_string(), e.size())).unwrap())
            .collect();
        assert_eq!(found, [("oci-layout".to_owned(), 2), ("blobs/".to_owned(), 0), ("blobs/x".to_owned(), 513)]);
    }

    #[test]
    fn content_that_ends_early_is_an_error() {
        let mut archive = ArchiveWriter::new(Vec::new());
        assert!(archive.copy("x", 10, [0_u8; 9].as_slice()).is_err());
    }

    #[test]
    fn pax_records_count_themselves() {
        assert_eq!(pax_record("size", "8589934592"), "19 size=8589934592\n");
        for length in 80..120 {
            let record = pax_record("k", &"v".repeat(length));
            assert!(record.starts_with(&format!("{} ", record.len())), "{record}");
        }
    }
}
