//! Named files of a source: those of a directory, or the members of a tar, opened where they lie in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctr_cli::{Context as _, Failure};
use ctr_layer::limits::{LINKS_FOLLOWED, Limits};
use ctr_layer::tar::{Entry, EntryKind, TarReader};
use ctr_registry::RegistryError;
use ctr_registry::layout::WebLayout;

/// Files by name.
pub(super) struct Members {
    place: PathBuf,
    files: Files,
}

enum Files {
    Directory,
    Web(Arc<WebLayout>),
    Tar { file: Arc<File>, index: HashMap<Vec<u8>, Slot> },
}

/// What a name in a tar stands for.
enum Slot {
    Data {
        at: u64,
        size: u64,
    },
    /// Another name, from the top of the archive.
    Link(Vec<u8>),
    /// Something that cannot be read as a file.
    Other,
}

/// A file that was opened.
pub(super) struct Member {
    /// Its length in bytes.
    pub(super) size: u64,
    /// Its content.
    pub(super) reader: Box<dyn Read + Send>,
}

impl Members {
    /// The files below the directory `path`. Symbolic links in it are its owner's own.
    pub(super) fn of_directory(path: &Path) -> Self {
        Self { place: path.to_owned(), files: Files::Directory }
    }

    /// The files that a web server has below a layout.
    pub(super) fn of_web(layout: Arc<WebLayout>) -> Self {
        Self { place: PathBuf::from(layout.base().to_string()), files: Files::Web(layout) }
    }

    /// The members of the plain tar `file`; `place` is what it is called in messages.
    pub(super) fn of_tar(file: Arc<File>, place: &Path) -> Result<Self, Failure> {
        let failed = || format!("cannot read {}", place.display());
        let length = file.metadata().context(failed)?.len();
        let mut index = HashMap::new();
        let mut tar = TarReader::seeking(BufReader::new(Positioned::new(&file, 0, length)), Limits::default());
        while let Some(entry) = tar.next_entry().context(failed)? {
            let end = entry.data_at.checked_add(entry.stored).filter(|end| *end <= length);
            if end.is_none() {
                return Err(Failure::new(failed()).because("it is cut short: the last file in it is not whole"));
            }
            if let Some(name) = join(b"", &entry.name) {
                let slot = slot(&entry, &name);
                // Of two entries with one name the last counts, as for everything that unpacks tar.
                index.insert(name, slot);
            }
        }
        Ok(Self { place: place.to_owned(), files: Files::Tar { file, index } })
    }

    /// What the source is called.
    pub(super) fn place(&self) -> std::path::Display<'_> {
        self.place.display()
    }

    /// Whether there is a file, or a link, of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        match &self.files {
            Files::Directory => self.place.join(name).exists(),
            // Nothing asks that before it opens a file there.
            Files::Web(_) => false,
            Files::Tar { index, .. } => index.contains_key(name.as_bytes()),
        }
    }

    /// Whether any name lies below the directory `name`.
    pub(super) fn has_below(&self, name: &str) -> bool {
        match &self.files {
            Files::Directory => self.place.join(name).is_dir(),
            Files::Web(_) => false,
            Files::Tar { index, .. } => index.keys().any(|key| {
                key.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            }),
        }
    }

    /// Opens the file `name`; `None` if there is none.
    pub(super) fn open(&self, name: &str) -> Result<Option<Member>, Failure> {
        let failed = || format!("cannot read {name} of {}", self.place());
        match &self.files {
            Files::Directory => {
                let path = self.place.join(name);
                // A fifo would keep us waiting: looked at before it is opened.
                let kind = match std::fs::metadata(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    other => other.context(failed)?.file_type(),
                };
                if !kind.is_file() {
                    return Err(Failure::new(failed()).because("it is not a regular file"));
                }
                let file = File::open(&path).context(failed)?;
                let size = file.metadata().context(failed)?.len();
                Ok(Some(Member { size, reader: Box::new(file) }))
            }
            Files::Web(layout) => {
                let found = layout.file(name).map_err(|error| Failure::hinted(error, RegistryError::hint))?;
                let Some((length, body)) = found else { return Ok(None) };
                let size =
                    length.ok_or_else(|| Failure::new(failed()).because("the server does not tell its length"))?;
                Ok(Some(Member { size, reader: Box::new(body) }))
            }
            Files::Tar { file, index } => {
                let Some((at, size)) =
                    find(index, name.as_bytes()).map_err(|why| Failure::new(failed()).because(why))?
                else {
                    return Ok(None);
                };
                Ok(Some(Member { size, reader: Box::new(Positioned::new(file, at, size)) }))
            }
        }
    }

    /// Reads the file `name`, which must be there and at most `limit` bytes long.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Failure> {
        let missing = || Failure::new(format!("{} has no file {name}", self.place()));
        let member = self.open(name)?.ok_or_else(missing)?;
        if member.size > limit {
            let size = member.size;
            return Err(Failure::new(format!(
                "{name} of {} has {size} bytes, more than the {limit} allowed",
                self.place()
            )));
        }
        let mut bytes = Vec::new();
        let read = member.reader.take(limit + 1).read_to_end(&mut bytes);
        read.context(|| format!("cannot read {name} of {}", self.place()))?;
        Ok(bytes)
    }
}

fn slot(entry: &Entry, name: &[u8]) -> Slot {
    match entry.kind {
        EntryKind::Regular if entry.sparse.is_none() => Slot::Data { at: entry.data_at, size: entry.size },
        EntryKind::Hardlink => join(b"", &entry.link).map_or(Slot::Other, Slot::Link),
        EntryKind::Symlink => {
            let parent = name.iter().rposition(|b| *b == b'/').and_then(|at| name.get(..at)).unwrap_or_default();
            join(parent, &entry.link).map_or(Slot::Other, Slot::Link)
        }
        _ => Slot::Other,
    }
}

/// `path` taken from the directory `base`, without `.` and `..`; `None` if it is absolute or leads out of the archive.
fn join(base: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    if path.starts_with(b"/") {
        return None;
    }
    let mut parts: Vec<&[u8]> = base.split(|b| *b == b'/').filter(|part| !part.is_empty()).collect();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

/// Follows links from `name` to data.
fn find(index: &HashMap<Vec<u8>, Slot>, name: &[u8]) -> Result<Option<(u64, u64)>, &'static str> {
    let mut name = name;
    for hop in 0..LINKS_FOLLOWED {
        match index.get(name) {
            None if hop == 0 => return Ok(None),
            None => return Err("it is a link to nothing in the archive"),
            Some(Slot::Data { at, size }) => return Ok(Some((*at, *size))),
            Some(Slot::Link(next)) => name = next,
            Some(Slot::Other) => return Err("it is no regular file, or a link that leads out of the archive"),
        }
    }
    Err("it is a link that leads in a circle")
}

/// A part of a file, read by position: several can be read at once.
pub(super) struct Positioned {
    file: Arc<File>,
    start: u64,
    at: u64,
    end: u64,
}

impl Positioned {
    pub(super) fn new(file: &Arc<File>, at: u64, length: u64) -> Self {
        Self { file: Arc::clone(file), start: at, at, end: at.saturating_add(length) }
    }
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let Some(buffer) = buffer.get_mut(..length) else { return Ok(0) };
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl io::Seek for Positioned {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let (from, offset) = match to {
            io::SeekFrom::Start(at) => (self.start, i64::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?),
            io::SeekFrom::Current(offset) => (self.at, offset),
            io::SeekFrom::End(offset) => (self.end, offset),
        };
        self.at = from.checked_add_signed(offset).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at.saturating_sub(self.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_data_or_to_an_error() {
        let link = |to: &str| Slot::Link(to.as_bytes().to_vec());
        let index: HashMap<Vec<u8>, Slot> = [
            ("a", Slot::Data { at: 1, size: 2 }),
            ("b", link("a")),
            ("c", link("b")),
            ("x", link("y")),
            ("y", link("x")),
            ("gone", link("nothing")),
            ("dir", Slot::Other),
        ]
        .map(|(name, slot)| (name.as_bytes().to_vec(), slot))
        .into();
        assert_eq!(find(&index, b"c"), Ok(Some((1, 2))));
        assert_eq!(find(&index, b"none"), Ok(None));
        for bad in ["x", "gone", "dir"] {
            assert!(find(&index, bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_keys_only() {
        for (base, path, joined) in [
            ("", "./a//b/.", Some("a/b")),
            ("d", "../a.tar", Some("a.tar")),
            ("d/e", "x", Some("d/e/x")),
            ("", "../x", None),
            ("d", "../../x", None),
            ("", "/etc/passwd", None),
        ] {
            let found = join(base.as_bytes(), path.as_bytes());
            assert_eq!(found.as_deref(), joined.map(str::as_bytes), "{base} {path}");
        }
    }
}
