//! What a layer is, entry by entry, so that an archive and a tree can be compared without writing anything.
//!
//! An archive is read once, each file's content becoming a digest; a tree is packed into a pipe and read the same way.
//! What an archive says twice counts as it stands last; a hard link counts as the file that it names.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::BorrowedFd;
use std::thread;

use ctr_core::digest::{Digest, Hasher};
use ctr_core::store::XattrDialect;
use ctr_sys::dirfd::Timestamp;

use crate::dialect::is_foreign_attribute;
use crate::error::{EntryFault, LayerError, Result, show};
use crate::limits::Limits;
use crate::pack::{PackOptions, pack_tree};
use crate::path::{self, PathError};
use crate::tar::{Entry, EntryKind, Segment, TarReader};
use crate::unpack::Ownership;

/// Whiteouts and opaque marks: only whether they are there counts.
const WHITEOUT: &[u8] = b".wh.";

/// The entries of a layer by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    nodes: BTreeMap<Vec<u8>, Node>,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    kind: EntryKind,
    mode: u32,
    uid: u64,
    gid: u64,
    size: u64,
    content: Option<Digest>,
    link: Vec<u8>,
    device: (u32, u32),
    mtime: Timestamp,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Two layers differ there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path, bytes that are not printable escaped.
    pub path: String,
    /// What is different.
    pub what: String,
}

impl Listing {
    /// Reads an archive to its end.
    pub fn of_archive<R: BufRead>(reader: &mut TarReader<R>, limits: &Limits) -> Result<Self> {
        let mut listing = Self::default();
        while let Some(entry) = reader.next_entry()? {
            let refused = |fault| LayerError::Refused { path: show(&entry.name), fault };
            let clean = |name: &[u8], fault: EntryFault| match path::clean(name, limits) {
                Ok(path) => Ok(path),
                Err(PathError::Fault(fault)) => Err(refused(fault)),
                Err(PathError::Limit(_)) => Err(refused(fault)),
            };
            let path = clean(&entry.name, EntryFault::Nul)?;
            let node = match entry.kind {
                EntryKind::Hardlink => {
                    let target = clean(&entry.link, EntryFault::LinkDotDot)?;
                    // One into the layers below cannot be followed here; the caller looks closer at what differs.
                    listing.nodes.get(&target).cloned().unwrap_or_else(|| Node::new(&entry, None))
                }
                EntryKind::Regular => {
                    let content = content(reader, &entry)?;
                    Node::new(&entry, Some(content))
                }
                _ => Node::new(&entry, None),
            };
            listing.insert(path, node);
        }
        Ok(listing)
    }

    /// Reads the tree of an unpacked layer.
    pub fn of_tree(root: BorrowedFd<'_>, dialect: XattrDialect, ownership: Ownership, limits: &Limits) -> Result<Self> {
        let options = PackOptions {
            nanoseconds: true,
            upper: Some(dialect),
            ownership,
            limits: *limits,
            ..PackOptions::default()
        };
        let (read, write) = io::pipe().map_err(LayerError::Source)?;
        thread::scope(|scope| {
            let packing = thread::Builder::new().name("layer-pack".into());
            let packing = packing.spawn_scoped(scope, move || {
                let mut out = io::BufWriter::with_capacity(1 << 17, write);
                pack_tree(root, &options, &mut out)?;
                out.flush().map_err(LayerError::Sink)
            });
            let packing = packing.map_err(LayerError::Source)?;
            let mut reader = TarReader::new(BufReader::with_capacity(1 << 17, read), *limits);
            let listing = Self::of_archive(&mut reader, limits);
            // What ends the packing early ends the reading too: the packer's error is the first one.
            drop(reader);
            packing.join().map_err(|_| LayerError::Stage("pack"))??;
            listing
        })
    }

    fn insert(&mut self, path: Vec<u8>, node: Node) {
        if node.kind != EntryKind::Directory {
            // A file in the place of a directory: what was in that is gone.
            let below: Vec<Vec<u8>> = self
                .nodes
                .range(path.clone()..)
                .map(|(found, _)| found)
                .skip_while(|found| **found == path)
                .take_while(|found| found.starts_with(&path))
                .filter(|found| path::is_within(found, &path))
                .cloned()
                .collect();
            for path in below {
                self.nodes.remove(&path);
            }
        }
        self.nodes.insert(path, node);
    }

    /// Where `found` differs from this listing. With `lenient`, directories that are not listed here but only named as
    /// parents may be as they like.
    pub fn differences(&self, found: &Self, lenient: bool) -> Vec<Difference> {
        let mut all = Vec::new();
        let mut tell = |path: &[u8], what: String| all.push(Difference { path: show(path), what });
        for (path, node) in &self.nodes {
            match found.nodes.get(path) {
                None => tell(path, "is missing".to_owned()),
                Some(_) if is_mark(path) => {}
                Some(other) => {
                    if let Some(what) = node.difference(other) {
                        tell(path, what);
                    }
                }
            }
        }
        for (path, node) in &found.nodes {
            let known = self.nodes.contains_key(path);
            let implicit = lenient && node.kind == EntryKind::Directory && self.names_below(path);
            if !known && !implicit {
                tell(path, "is not in the image".to_owned());
            }
        }
        all
    }

    fn names_below(&self, path: &[u8]) -> bool {
        let from = [path, b"/"].concat();
        path.is_empty() || self.nodes.range(from.clone()..).next().is_some_and(|(found, _)| found.starts_with(&from))
    }
}

fn is_mark(path: &[u8]) -> bool {
    path::split(path).1.starts_with(WHITEOUT)
}

impl Node {
    fn new(entry: &Entry, content: Option<Digest>) -> Self {
        let xattrs = entry.xattrs.iter().filter(|(name, _)| !is_foreign_attribute(name)).cloned().collect();
        Self {
            kind: entry.kind,
            // Links have no mode of their own on Linux.
            mode: if entry.kind == EntryKind::Symlink { 0o777 } else { entry.mode },
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size,
            content,
            link: if entry.kind == EntryKind::Symlink { entry.link.clone() } else { Vec::new() },
            device: entry.device,
            mtime: entry.mtime,
            xattrs,
        }
    }

    fn difference(&self, found: &Self) -> Option<String> {
        let changed = |what: &str, old: String, new: String| Some(format!("{what} is {new}, not {old}"));
        if self.kind != found.kind {
            return changed("it", format!("{:?}", self.kind), format!("{:?}", found.kind));
        }
        if self.size != found.size {
            return changed("size", self.size.to_string(), found.size.to_string());
        }
        if self.content != found.content {
            return Some("content differs".to_owned());
        }
        if self.mode != found.mode {
            return changed("mode", format!("{:04o}", self.mode), format!("{:04o}", found.mode));
        }
        if (self.uid, self.gid) != (found.uid, found.gid) {
            let owner = |node: &Self| format!("{}:{}", node.uid, node.gid);
            return changed("owner", owner(self), owner(found));
        }
        if self.link != found.link {
            return changed("link", show(&self.link), show(&found.link));
        }
        if self.device != found.device {
            return Some("device number differs".to_owned());
        }
        if self.xattrs != found.xattrs {
            return Some("extended attributes differ".to_owned());
        }
        (self.mtime != found.mtime).then(|| "modification time differs".to_owned())
    }
}

/// Digest of an entry's content, with the holes of a sparse file as zeros.
fn content<R: BufRead>(reader: &mut TarReader<R>, entry: &Entry) -> Result<Digest> {
    let mut hasher = Hasher::new();
    let whole = [Segment { offset: 0, length: entry.size }];
    let segments = entry.sparse.as_deref().unwrap_or(&whole);
    let mut at = 0;
    for segment in segments {
        zeros(&mut hasher, segment.offset.saturating_sub(at));
        let mut left = segment.length;
        while left > 0 {
            let data = reader.data()?;
            let length = usize::try_from(left).map_or(data.len(), |left| left.min(data.len()));
            if length == 0 {
                break;
            }
            hasher.update(data.get(..length).unwrap_or_default());
            reader.consume(length);
            left -= length as u64;
        }
        at = segment.offset.saturating_add(segment.length);
    }
    zeros(&mut hasher, entry.size.saturating_sub(at));
    Ok(hasher.finish())
}

fn zeros(hasher: &mut Hasher, mut count: u64) {
    let block = [0; 1 << 14];
    while count > 0 {
        let length = usize::try_from(count).map_or(block.len(), |count| count.min(block.len()));
        hasher.update(block.get(..length).unwrap_or_default());
        count -= length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::TarWriter;
    use std::os::fd::AsFd as _;

    fn entry(name: &str, kind: EntryKind, size: u64) -> Entry {
        Entry {
            name: name.as_bytes().to_vec(),
            kind,
            link: Vec::new(),
            mode: 0o755,
            uid: 0,
            gid: 0,
            size,
            stored: size,
            data_at: 0,
            mtime: Timestamp::default(),
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }

    fn listing(entries: &[(Entry, &str)]) -> Listing {
        let mut writer = TarWriter::new(Vec::new());
        for (entry, content) in entries {
            writer.append(entry, content.as_bytes()).unwrap();
        }
        let bytes = writer.finish().unwrap();
        Listing::of_archive(&mut TarReader::new(bytes.as_slice(), Limits::default()), &Limits::default()).unwrap()
    }

    fn file(name: &str, content: &'static str) -> (Entry, &'static str) {
        (entry(name, EntryKind::Regular, content.len() as u64), content)
    }

    fn dir(name: &str) -> (Entry, &'static str) {
        (entry(name, EntryKind::Directory, 0), "")
    }

    fn told(expected: &[(Entry, &str)], found: &[(Entry, &str)]) -> Vec<String> {
        let all = listing(expected).differences(&listing(found), true);
        all.into_iter().map(|d| format!("{} {}", d.path, d.what)).collect()
    }

    #[test]
    fn differences_are_told() {
        let mut other = file("a", "1");
        other.0.mode = 0o600;
        assert_eq!(told(&[file("a", "1")], &[other]), ["a mode is 0600, not 0755"]);
        assert_eq!(told(&[file("a", "1")], &[file("a", "2")]), ["a content differs"]);
        assert_eq!(told(&[file("a", "1")], &[]), ["a is missing"]);
        assert_eq!(told(&[], &[file("a", "1")]), ["a is not in the image"]);
        assert_eq!(told(&[file("a", "1")], &[dir("a")]), ["a it is Directory, not Regular"]);
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        assert!(
            told(&[file("d/a", "1")], &[dir("./"), dir("d"), file("./d/a", "1")]).is_empty(),
            "implicit directories"
        );
        assert!(told(&[file("a", "x"), file("a", "1")], &[file("a", "1")]).is_empty(), "the last counts");
        assert!(told(&[dir("a"), file("a/b", "1"), file("a", "2")], &[file("a", "2")]).is_empty(), "a file for a dir");
        let mut link = (entry("b", EntryKind::Hardlink, 0), "");
        link.0.link = b"a".to_vec();
        assert!(told(&[file("a", "1"), link], &[file("a", "1"), file("b", "1")]).is_empty(), "a hard link");
    }

    #[test]
    fn trees_are_listed_like_archives() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "content").unwrap();
        let open = std::fs::File::open(root.path()).unwrap();
        let read = || Listing::of_tree(open.as_fd(), XattrDialect::User, Ownership::Chown, &Limits::default()).unwrap();
        let before = read();
        assert!(before.differences(&read(), false).is_empty());
        std::fs::write(root.path().join("a"), "c0ntent").unwrap();
        let told: Vec<String> = before.differences(&read(), false).into_iter().map(|d| d.what).collect();
        assert_eq!(told, ["content differs"]);
    }
}
