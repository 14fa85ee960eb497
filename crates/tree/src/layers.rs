//! Unpacked layers as one tree, as an overlay mount shows them: the first layer that has a name decides, whiteouts and
//! opaque directories hide, directories merge (kernel Documentation/filesystems/overlayfs.rst).

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ctr_core::store::XattrDialect;
use ctr_layer::dialect::{OVERRIDE_STAT, is_opaque, is_whiteout, parse_override, recorded_device};
use ctr_layer::tar::EntryKind;
use ctr_layer::unpack::Ownership;
use ctr_sys::dirfd::{FileKind, Stat};
use ctr_sys::xattr::{self, Target};

use crate::beneath::{Beneath, entries, failed, meta, missing};
use crate::path::TreePath;
use crate::tree::{Attributes, Kind, Meta, Tree, TreeError};

/// Directories whose layers are remembered; when there are more, all are forgotten.
const KNOWN_MAX: usize = 1 << 14;

/// Which layers have a directory, top first, as indexes into [`Layers::roots`]; none if it is no directory.
type Pieces = Arc<[usize]>;

/// The merged view of unpacked layers, which nobody writes to meanwhile.
#[derive(Debug)]
pub struct Layers {
    /// Top first.
    roots: Vec<Beneath>,
    dialect: XattrDialect,
    ownership: Ownership,
    known: Mutex<HashMap<TreePath, Pieces>>,
}

/// Something in one layer.
struct Found {
    layer: usize,
    meta: Meta,
}

impl Layers {
    /// Opens the layers' directories `dirs`, lowest first. With [`Ownership::Record`] owners, modes and devices come from
    /// the attribute in which the store of a single id keeps them; that of another ordinary user keeps devices there.
    pub fn new(dirs: &[PathBuf], dialect: XattrDialect, ownership: Ownership) -> io::Result<Self> {
        let roots = dirs.iter().rev().map(|dir| Beneath::open(dir)).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { roots, dialect, ownership, known: Mutex::new(HashMap::new()) })
    }

    fn root(&self, layer: usize, path: &TreePath) -> Result<&Beneath, TreeError> {
        self.roots.get(layer).ok_or_else(|| missing("look at", path))
    }

    /// The layers that make up the directory at `path`.
    fn pieces(&self, path: &TreePath) -> Result<Pieces, TreeError> {
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(Arc::clone(known));
        }
        // Down from the nearest directory that is known, not by recursion: paths can be long.
        let mut pieces: Pieces = (0..self.roots.len()).collect();
        let mut at = TreePath::root();
        for part in path.parts() {
            at = at.join(part);
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&at).map(Arc::clone);
            pieces = match known {
                Some(known) => known,
                None => self.descend(&pieces, &at)?,
            };
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(at.clone(), Arc::clone(&pieces));
            if pieces.is_empty() {
                break;
            }
        }
        Ok(pieces)
    }

    /// Those of `above`, the layers that have the parent, that have a directory at `path`.
    fn descend(&self, above: &[usize], path: &TreePath) -> Result<Pieces, TreeError> {
        let mut below = Vec::new();
        for &layer in above {
            let Some((fd, stat)) = self.root(layer, path)?.look(path)? else { continue };
            // A whiteout or any other file ends the directory here.
            if stat.kind != FileKind::Directory {
                break;
            }
            below.push(layer);
            if is_opaque(self.dialect, fd.as_fd()).map_err(|error| failed("look at", path, &error))? {
                break;
            }
        }
        Ok(below.into())
    }

    fn find(&self, path: &TreePath) -> Result<Option<Found>, TreeError> {
        let parent = path.parent().unwrap_or_default();
        for &layer in self.pieces(&parent)?.iter() {
            let root = self.root(layer, path)?;
            let Some((fd, stat)) = root.look(path)? else { continue };
            if stat.is_whiteout_device() {
                return Ok(None);
            }
            if stat.kind == FileKind::Regular && stat.size == 0 {
                let (dir, _) = root.find(&parent)?;
                let hidden = is_whiteout(self.dialect, dir.as_fd(), path.name(), &stat);
                if hidden.map_err(|error| failed("look at", path, &error))? {
                    return Ok(None);
                }
            }
            let meta = self.meta(&stat, Target::Fd(fd.as_fd()), path)?;
            return Ok(Some(Found { layer, meta }));
        }
        Ok(None)
    }

    /// The layer that has what is visible at `path`.
    fn layer(&self, action: &'static str, path: &TreePath) -> Result<&Beneath, TreeError> {
        let found = self.find(path)?.ok_or_else(|| missing(action, path))?;
        self.root(found.layer, path)
    }

    /// What the image has at `path`: where owners and devices are on record, the recorded ones.
    fn meta(&self, stat: &Stat, target: Target<'_>, path: &TreePath) -> Result<Meta, TreeError> {
        let fail = |error| failed("look at", path, &error);
        let mut meta = meta(stat);
        let device = match (self.ownership, meta.kind) {
            (Ownership::Record, Kind::File | Kind::Directory) => {
                let value = xattr::get(target, OVERRIDE_STAT).map_err(fail)?;
                let Some(record) = value.as_deref().and_then(parse_override) else { return Ok(meta) };
                (meta.uid, meta.gid, meta.mode) = (record.uid, record.gid, record.mode);
                record.device.filter(|_| meta.kind == Kind::File)
            }
            (Ownership::Chown, Kind::File) if meta.size == 0 => recorded_device(self.dialect, target).map_err(fail)?,
            _ => None,
        };
        if let Some((kind, major, minor)) = device {
            meta.kind = if kind == EntryKind::BlockDevice { Kind::Block } else { Kind::Character };
            (meta.device, meta.size) = ((major, minor), 0);
        }
        Ok(meta)
    }

    /// Adds what one layer has in the directory at `path` to `seen`; `None` stands for a name that is hidden below.
    fn merge(
        &self,
        dir: BorrowedFd<'_>,
        path: &TreePath,
        seen: &mut BTreeMap<Vec<u8>, Option<Meta>>,
    ) -> Result<(), TreeError> {
        for (name, stat) in entries(dir, path)? {
            if seen.contains_key(&name) {
                continue;
            }
            let child = path.join(&name);
            let hidden = is_whiteout(self.dialect, dir, &name, &stat);
            let meta = if hidden.map_err(|error| failed("look at", &child, &error))? {
                None
            } else {
                Some(self.meta(&stat, Target::Child(dir, &name), &child)?)
            };
            seen.insert(name, meta);
        }
        Ok(())
    }
}

impl Tree for Layers {
    fn look(&self, path: &TreePath) -> Result<Option<Meta>, TreeError> {
        if self.roots.is_empty() {
            return Empty.look(path);
        }
        Ok(self.find(path)?.map(|found| found.meta))
    }

    fn list(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, Meta)>, TreeError> {
        if self.roots.is_empty() {
            return Empty.list(path);
        }
        let pieces = self.pieces(path)?;
        if pieces.is_empty() {
            return Err(match self.find(path)? {
                Some(_) => TreeError::NotADirectory(path.clone()),
                None => missing("list", path),
            });
        }
        let mut seen = BTreeMap::new();
        for &layer in pieces.iter() {
            let dir = self.root(layer, path)?.directory(path)?;
            self.merge(dir.as_fd(), path, &mut seen)?;
        }
        Ok(seen.into_iter().filter_map(|(name, meta)| Some((name, meta?))).collect())
    }

    fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, TreeError> {
        self.layer("read the link", path)?.link(path)
    }

    fn open(&self, path: &TreePath) -> Result<File, TreeError> {
        self.layer("open", path)?.file(path)
    }

    fn attributes(&self, path: &TreePath) -> Result<Attributes, TreeError> {
        if self.roots.is_empty() {
            return Empty.attributes(path);
        }
        self.layer("read the attributes of", path)?.attributes(path)
    }
}

/// The tree of `FROM scratch`: a root directory and nothing in it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Empty;

impl Tree for Empty {
    fn look(&self, path: &TreePath) -> Result<Option<Meta>, TreeError> {
        let root = Meta {
            kind: Kind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: (0, 0),
            ctime: (0, 0),
            inode: (0, 0),
            links: 1,
            device: (0, 0),
        };
        Ok(path.is_root().then_some(root))
    }

    fn list(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, Meta)>, TreeError> {
        if path.is_root() { Ok(Vec::new()) } else { Err(missing("list", path)) }
    }

    fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, TreeError> {
        Err(missing("read the link", path))
    }

    fn open(&self, path: &TreePath) -> Result<File, TreeError> {
        Err(missing("open", path))
    }

    fn attributes(&self, path: &TreePath) -> Result<Attributes, TreeError> {
        if path.is_root() { Ok(Vec::new()) } else { Err(missing("read the attributes of", path)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctr_sys::dirfd;
    use std::path::Path;

    fn put(root: &Path, name: &str, content: &str) {
        std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        std::fs::write(root.join(name), content).unwrap();
    }

    fn names(tree: &Layers, path: &str) -> Vec<String> {
        let list = tree.list(&TreePath::new(path)).unwrap();
        list.into_iter().map(|(name, _)| String::from_utf8(name).unwrap()).collect()
    }

    fn read(tree: &Layers, path: &str) -> Option<String> {
        tree.open(&TreePath::new(path)).ok().map(|file| io::read_to_string(file).unwrap())
    }

    // spec: BUILD-36
    #[test]
    fn layers_hide_and_merge() {
        let dir = tempfile::tempdir().unwrap();
        let (low, top) = (dir.path().join("low"), dir.path().join("top"));
        for name in ["d/gone", "d/kept", "opaque/below", "tofile/x", "both"] {
            put(&low, name, "low");
        }
        put(&low, "todir", "low");
        for name in ["d/new", "opaque/above", "tofile", "todir/x", "both"] {
            put(&top, name, "top");
        }
        let open = File::open(top.join("d")).unwrap();
        dirfd::mknodat(open.as_fd(), b"gone", FileKind::CharDevice, 0, 0).unwrap();
        let opaque = File::open(top.join("opaque")).unwrap();
        xattr::set(Target::Fd(opaque.as_fd()), b"user.overlay.opaque", b"y").unwrap();
        xattr::set(Target::Fd(opaque.as_fd()), b"user.kept", b"1").unwrap();
        let tree = Layers::new(&[low, top], XattrDialect::User, Ownership::Chown).unwrap();
        assert_eq!(names(&tree, ""), ["both", "d", "opaque", "todir", "tofile"]);
        assert_eq!(names(&tree, "d"), ["kept", "new"]);
        assert_eq!(names(&tree, "opaque"), ["above"]);
        assert_eq!(read(&tree, "both").as_deref(), Some("top"));
        assert_eq!(read(&tree, "d/kept").as_deref(), Some("low"));
        assert_eq!(read(&tree, "todir/x").as_deref(), Some("top"));
        for path in ["d/gone", "opaque/below", "tofile/x"] {
            assert_eq!(tree.look(&TreePath::new(path)).unwrap(), None, "{path}");
        }
        assert!(matches!(tree.list(&TreePath::new("tofile")), Err(TreeError::NotADirectory(_))));
        let attributes = tree.attributes(&TreePath::new("opaque")).unwrap();
        assert_eq!(attributes, [(b"user.kept".to_vec(), b"1".to_vec())]);
    }

    // spec: BUILD-36
    #[test]
    fn recorded_owners_count() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "file", "x");
        put(dir.path(), "device", "");
        for (name, value) in [("file", "5:6:04755"), ("device", "0:7:0640:block-8-1")] {
            let file = File::open(dir.path().join(name)).unwrap();
            xattr::set(Target::Fd(file.as_fd()), OVERRIDE_STAT, value.as_bytes()).unwrap();
        }
        let tree = Layers::new(&[dir.path().to_owned()], XattrDialect::User, Ownership::Record).unwrap();
        let look = |name: &str| tree.look(&TreePath::new(name)).unwrap().unwrap();
        let file = look("file");
        assert_eq!((file.kind, file.uid, file.gid, file.mode), (Kind::File, 5, 6, 0o4755));
        let device = look("device");
        assert_eq!((device.kind, device.device, device.gid, device.mode), (Kind::Block, (8, 1), 7, 0o640));
        assert_eq!(tree.list(&TreePath::root()).unwrap()[0].1, device);
        assert_eq!(tree.attributes(&TreePath::new("file")).unwrap(), []);
    }

    // spec: BUILD-36 LAY-41
    #[test]
    fn a_user_who_may_make_no_devices_has_them_on_record() {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [("device", ""), ("full", "x"), ("whiteout", ""), ("empty", "")] {
            put(dir.path(), name, content);
            let file = File::open(dir.path().join(name)).unwrap();
            let value = if name == "whiteout" { "9:9:0640:char-0-0" } else { "9:9:0640:char-1-3" };
            if name != "empty" {
                xattr::set(Target::Fd(file.as_fd()), OVERRIDE_STAT, value.as_bytes()).unwrap();
            }
        }
        let kinds = |dialect| {
            let tree = Layers::new(&[dir.path().to_owned()], dialect, Ownership::Chown).unwrap();
            let listed = tree.list(&TreePath::root()).unwrap();
            for (name, meta) in &listed {
                assert_eq!(tree.look(&TreePath::root().join(name)).unwrap().as_ref(), Some(meta));
                // Owner and permissions are those of the file.
                assert_ne!((meta.uid, meta.mode), (9, 0o640));
            }
            listed.into_iter().map(|(_, meta)| (meta.kind, meta.device)).collect::<Vec<_>>()
        };
        let file = (Kind::File, (0, 0));
        assert_eq!(kinds(XattrDialect::User), [(Kind::Character, (1, 3)), file, file, file]);
        assert_eq!(kinds(XattrDialect::Trusted), [file; 4]);
    }

    // spec: BUILD-36
    #[test]
    fn scratch_is_an_empty_root() {
        let tree = Layers::new(&[], XattrDialect::User, Ownership::Chown).unwrap();
        assert_eq!(tree.look(&TreePath::root()).unwrap().unwrap().mode, 0o755);
        assert!(tree.list(&TreePath::root()).unwrap().is_empty());
        assert_eq!(tree.look(&TreePath::new("a")).unwrap(), None);
    }
}
