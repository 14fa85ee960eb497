//! The layer that a COPY makes: a tar of the files that it takes, and of the directories above them as the tree below has
//! them. Nothing is mounted and nothing is written but the archive.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read, Write};

use ctr_layer::limits::Limits;
use ctr_layer::tar::{Entry, EntryKind, TarWriter};
use ctr_sys::dirfd::Timestamp;

use crate::chmod::ModeChange;
use crate::digest::{doubted, unchanged};
use crate::path::TreePath;
use crate::resolve::resolve;
use crate::select::{Item, SelectError, Source};
use crate::tree::{Attributes, Kind, Meta, Tree, TreeError};

/// Where a copy goes and what its files become.
#[derive(Clone, Copy)]
pub struct Placing<'a> {
    /// What is there already.
    pub base: &'a dyn Tree,
    /// The destination, from the root.
    pub destination: &'a TreePath,
    /// It has to be a directory: it ended with `/`, or there are several sources.
    pub directory: bool,
    /// Owner of everything; their own, where the tree counts owners, without.
    pub owner: Option<(u32, u32)>,
    /// Permission bits.
    pub mode: Option<&'a ModeChange>,
    /// Later times become this, in seconds since 1970; all times that `fixed_times` asks for.
    pub epoch: i64,
}

/// Sources of one tree.
pub struct Taken<'a> {
    /// The tree.
    pub tree: &'a dyn Tree,
    /// What is taken of it.
    pub sources: &'a [Source],
    /// Files have no owners, times and hard links of their own: a checkout gives them by chance.
    pub anonymous: bool,
}

/// A file that is in the Dockerfile, or was downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Its name, where the destination is a directory.
    pub name: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// Why a copy cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A directory cannot take the place of something else, nor the other way round.
    #[error("{from} cannot be copied to {to}: {reason}")]
    Conflict {
        /// What is copied.
        from: TreePath,
        /// Where to.
        to: TreePath,
        /// What is in the way.
        reason: &'static str,
    },
    /// Names that layers use for what they take away.
    #[error("{0} cannot be copied: names that begin with .wh. have another meaning in layers")]
    Reserved(TreePath),
    /// Deeper, larger or longer than a layer may have it.
    #[error("{0} cannot be copied: {1}")]
    Limit(TreePath, &'static str),
    /// A tree cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// What is to be copied cannot be.
    #[error(transparent)]
    Select(SelectError),
    /// The layer cannot be written.
    #[error("cannot write the layer")]
    Sink(#[source] io::Error),
}

impl From<SelectError> for CopyError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Tree(error) => Self::Tree(error),
            other => Self::Select(other),
        }
    }
}

/// A directory of root's, 0755, that is in no tree.
pub fn directory(epoch: i64) -> Item {
    let (ctime, inode, device) = ((0, 0), (0, 0), (0, 0));
    let meta = Meta {
        kind: Kind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        size: 0,
        mtime: (epoch, 0),
        ctime,
        inode,
        links: 1,
        device,
    };
    Item { from: TreePath::root(), below: TreePath::root(), meta }
}

/// What is written for a path.
enum Content<'a> {
    /// A directory that is there, or that has to be made.
    Parent,
    /// Something of a tree.
    Item(&'a Taken<'a>, &'a Item),
    /// Bytes.
    Bytes(&'a [u8]),
}

struct Planned<'a> {
    meta: Meta,
    content: Content<'a>,
}

/// Writes the layer and says how many entries it has.
pub fn write<W: Write>(
    taken: &[Taken<'_>],
    files: &[NewFile],
    placing: Placing<'_>,
    writer: &mut TarWriter<W>,
) -> Result<u64, CopyError> {
    let mut plan = Plan { placing, entries: BTreeMap::new(), missing: HashSet::new() };
    for from in taken {
        for source in from.sources {
            plan.source(from, source)?;
        }
    }
    for file in files {
        plan.file(file)?;
    }
    plan.write(writer)
}

struct Plan<'a> {
    placing: Placing<'a>,
    entries: BTreeMap<TreePath, Planned<'a>>,
    /// Directories that the tree below does not have: nothing in them needs to be looked up.
    missing: HashSet<TreePath>,
}

impl<'a> Plan<'a> {
    /// The destination without links, and what is there.
    fn destination(&self) -> Result<(TreePath, Option<Meta>), CopyError> {
        let found = resolve(self.placing.base, self.placing.destination)?;
        Ok((found.path, found.meta))
    }

    fn source(&mut self, taken: &'a Taken<'a>, source: &'a Source) -> Result<(), CopyError> {
        let (destination, there) = self.destination()?;
        let is_directory = there.as_ref().is_some_and(|meta| meta.kind == Kind::Directory);
        let Some(first) = source.items.first() else { return Ok(()) };
        if there.is_some() && !is_directory && (self.placing.directory || source.kind() == Some(Kind::Directory)) {
            return Err(conflict(&first.from, &destination, "that is no directory"));
        }
        let target = match (&source.below, source.kind()) {
            (Some(below), _) => {
                self.kept_parents(taken, &destination, source)?;
                join(&destination, below)
            }
            (None, Some(Kind::Directory)) => destination,
            (None, _) if self.placing.directory || is_directory => destination.join(&source.name),
            (None, _) => destination,
        };
        for item in &source.items {
            let to = join(&target, &item.below);
            let mut meta = item.meta.clone();
            // The content of a directory is copied: the directory that takes it is made as `mkdir -p` makes one.
            if item.below.is_root() && meta.kind == Kind::Directory && source.below.is_none() {
                (meta.mode, meta.uid, meta.gid, meta.mtime) = (0o755, 0, 0, (self.placing.epoch, 0));
                let meta = self.changed(meta, false);
                self.add(&item.from, to, meta, Content::Parent)?;
                continue;
            }
            self.add(&item.from, to, meta, Content::Item(taken, item))?;
        }
        Ok(())
    }

    fn file(&mut self, file: &'a NewFile) -> Result<(), CopyError> {
        let (destination, there) = self.destination()?;
        let is_directory = there.as_ref().is_some_and(|meta| meta.kind == Kind::Directory);
        let from = TreePath::new(&file.name);
        if self.placing.directory && there.is_some() && !is_directory {
            return Err(conflict(&from, &destination, "that is no directory"));
        }
        let to = if self.placing.directory || is_directory { destination.join(&file.name) } else { destination };
        let meta = Meta {
            kind: Kind::File,
            mode: file.mode,
            uid: 0,
            gid: 0,
            size: file.content.len() as u64,
            mtime: (self.placing.epoch, 0),
            ctime: (0, 0),
            inode: (0, 0),
            links: 1,
            device: (0, 0),
        };
        self.add(&from, to, meta, Content::Bytes(&file.content))
    }

    /// The directories that `--parents` keeps look as in the source.
    fn kept_parents(&mut self, taken: &Taken<'_>, destination: &TreePath, source: &Source) -> Result<(), CopyError> {
        for (path, meta) in &source.above {
            let mut meta = self.changed(meta.clone(), taken.anonymous);
            meta.size = 0;
            let to = join(destination, path);
            if self.existing(&to)?.is_none() && !self.entries.contains_key(&to) {
                self.parents(&to)?;
                self.missing.insert(to.clone());
                self.entries.insert(to, Planned { meta, content: Content::Parent });
            }
        }
        Ok(())
    }

    /// What the tree below has there.
    fn existing(&self, path: &TreePath) -> Result<Option<Meta>, CopyError> {
        if path.parent().is_some_and(|parent| self.missing.contains(&parent)) {
            return Ok(None);
        }
        Ok(self.placing.base.look(path)?)
    }

    /// All directories above `path`, as they are or as they are made.
    fn parents(&mut self, path: &TreePath) -> Result<(), CopyError> {
        let mut above = Vec::new();
        let mut at = path.parent();
        while let Some(dir) = at.filter(|dir| !dir.is_root() && !self.entries.contains_key(dir)) {
            at = dir.parent();
            above.push(dir);
        }
        for dir in above.into_iter().rev() {
            let meta = match self.existing(&dir)? {
                Some(mut meta) if meta.kind == Kind::Directory => {
                    meta.mtime = meta.mtime.min((self.placing.epoch, 0));
                    meta
                }
                Some(_) => return Err(conflict(path, &dir, "that is no directory")),
                None => {
                    self.missing.insert(dir.clone());
                    let (uid, gid) = self.placing.owner.unwrap_or_default();
                    let (mtime, mode) = ((self.placing.epoch, 0), 0o755);
                    let (ctime, inode, device) = ((0, 0), (0, 0), (0, 0));
                    Meta { kind: Kind::Directory, mode, uid, gid, size: 0, mtime, ctime, inode, links: 1, device }
                }
            };
            self.entries.insert(dir, Planned { meta, content: Content::Parent });
        }
        Ok(())
    }

    fn changed(&self, mut meta: Meta, anonymous: bool) -> Meta {
        if anonymous {
            (meta.uid, meta.gid, meta.mtime) = (0, 0, (self.placing.epoch, 0));
            (meta.inode, meta.links) = ((0, 0), 1);
        }
        if let Some((uid, gid)) = self.placing.owner {
            (meta.uid, meta.gid) = (uid, gid);
        }
        if let Some(mode) = self.placing.mode.filter(|_| meta.kind != Kind::Symlink) {
            meta.mode = mode.apply(meta.mode, meta.kind == Kind::Directory);
        }
        meta.mtime = meta.mtime.min((self.placing.epoch, 0));
        meta
    }

    fn add(&mut self, from: &TreePath, to: TreePath, meta: Meta, content: Content<'a>) -> Result<(), CopyError> {
        if to.name().starts_with(b".wh.") {
            return Err(CopyError::Reserved(from.clone()));
        }
        check_limits(&to, &meta)?;
        let directory = meta.kind == Kind::Directory;
        // The root is there, whatever is copied to it.
        if to.is_root() {
            return Ok(());
        }
        let below = match self.entries.get(&to) {
            Some(planned) => Some(planned.meta.clone()),
            None => self.existing(&to)?,
        };
        match below.map(|meta| meta.kind) {
            // They become one, and it stays what it is.
            Some(Kind::Directory) if directory => return self.parents(&to.join(".")),
            Some(Kind::Directory) => return Err(conflict(from, &to, "that is a directory")),
            Some(_) if directory => return Err(conflict(from, &to, "that is no directory")),
            None if directory => {
                self.missing.insert(to.clone());
            }
            _ => {}
        }
        self.parents(&to)?;
        let anonymous = matches!(content, Content::Item(Taken { anonymous: true, .. }, _));
        let meta = self.changed(meta, anonymous);
        self.entries.insert(to, Planned { meta, content });
        Ok(())
    }

    fn write<W: Write>(self, writer: &mut TarWriter<W>) -> Result<u64, CopyError> {
        let mut links: HashMap<(u64, u64), TreePath> = HashMap::new();
        let count = self.entries.len() as u64;
        if count > Limits::default().entries {
            return Err(CopyError::Limit(self.placing.destination.clone(), "a layer cannot have as many files"));
        }
        for (path, planned) in &self.entries {
            let meta = &planned.meta;
            let mut entry = entry(path, meta);
            match &planned.content {
                Content::Parent => {
                    let known = !self.missing.contains(path);
                    if known {
                        entry.xattrs = sorted(self.placing.base.attributes(path)?);
                    }
                    writer.append(&entry, io::empty()).map_err(CopyError::Sink)?;
                }
                Content::Bytes(bytes) => writer.append(&entry, *bytes).map_err(CopyError::Sink)?,
                Content::Item(taken, item) => {
                    if meta.kind == Kind::File && meta.links > 1 {
                        if let Some(first) = links.get(&meta.inode) {
                            entry.kind = EntryKind::Hardlink;
                            entry.link = first.as_bytes().to_vec();
                            entry.size = 0;
                            writer.append(&entry, io::empty()).map_err(CopyError::Sink)?;
                            continue;
                        }
                        links.insert(meta.inode, path.clone());
                    }
                    match meta.kind {
                        Kind::Symlink => entry.link = taken.tree.read_link(&item.from)?,
                        Kind::File | Kind::Directory => entry.xattrs = sorted(taken.tree.attributes(&item.from)?),
                        _ => {}
                    }
                    if meta.kind == Kind::File {
                        append_file(writer, &entry, taken.tree, item)?;
                    } else {
                        writer.append(&entry, io::empty()).map_err(CopyError::Sink)?;
                    }
                }
            }
        }
        Ok(count)
    }
}

/// Writes a file of a tree. One that is not what it was when it was looked at, before its digest was made, is an error: the
/// layer would have something else in it than its key says.
fn append_file<W: Write>(
    writer: &mut TarWriter<W>,
    entry: &Entry,
    tree: &dyn Tree,
    item: &Item,
) -> Result<(), CopyError> {
    let file = tree.open(&item.from)?;
    match writer.append(entry, (&file).take(entry.size)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Ok(doubted(tree, Err(TreeError::Changed(item.from.clone())))?)
        }
        Err(error) => Err(CopyError::Sink(error)),
        Ok(()) => Ok(doubted(tree, unchanged(&item.from, &file, &item.meta))?),
    }
}

fn sorted(mut attributes: Attributes) -> Attributes {
    attributes.sort();
    attributes
}

fn conflict(from: &TreePath, to: &TreePath, reason: &'static str) -> CopyError {
    CopyError::Conflict { from: from.clone(), to: to.clone(), reason }
}

fn join(dir: &TreePath, below: &TreePath) -> TreePath {
    if below.is_root() { dir.clone() } else { dir.join(below.as_bytes()) }
}

fn check_limits(to: &TreePath, meta: &Meta) -> Result<(), CopyError> {
    let limits = Limits::default();
    if to.parts().count() > limits.path_depth {
        return Err(CopyError::Limit(to.clone(), "it lies too deep"));
    }
    if meta.kind == Kind::File && meta.size > limits.file_bytes {
        return Err(CopyError::Limit(to.clone(), "it is too large"));
    }
    Ok(())
}

fn entry(path: &TreePath, meta: &Meta) -> Entry {
    let mut name = path.as_bytes().to_vec();
    if meta.kind == Kind::Directory {
        name.push(b'/');
    }
    let kind = match meta.kind {
        Kind::Directory => EntryKind::Directory,
        Kind::Symlink => EntryKind::Symlink,
        Kind::Fifo => EntryKind::Fifo,
        Kind::Character => EntryKind::CharDevice,
        Kind::Block => EntryKind::BlockDevice,
        Kind::File | Kind::Socket => EntryKind::Regular,
    };
    Entry {
        name,
        kind,
        link: Vec::new(),
        mode: if meta.kind == Kind::Symlink { 0o777 } else { meta.mode },
        uid: meta.uid.into(),
        gid: meta.gid.into(),
        size: if meta.kind == Kind::File { meta.size } else { 0 },
        stored: 0,
        data_at: 0,
        mtime: Timestamp { secs: meta.mtime.0, nanos: 0 },
        device: if matches!(meta.kind, Kind::Character | Kind::Block) { meta.device } else { (0, 0) },
        xattrs: Vec::new(),
        sparse: None,
    }
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
