//! What a command finds beside the files of its stage, put where a mount would have shown it, and taken back afterwards.
//!
//! The image says what is on the way to a place, and the command what is on the way back: both go through descriptors, and
//! through no link that leads out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctr_cli::Failure;
use ctr_sandbox::step::{BindSource, Step, StepMount, own_files};
use ctr_sys::SysError;
use ctr_sys::dirfd::{self, FileKind, OpenFlags, Resolve, Timestamp};
use ctr_tree::changes::{self, Places};
use ctr_tree::{HostDir, Kind, Layers, TreePath, resolve};

use crate::builder::Builder;
use crate::copy::tree_failure;

const DIRECTORY: OpenFlags = OpenFlags::O_RDONLY.union(OpenFlags::O_DIRECTORY);

/// Devices that every program finds: name, and number.
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// What was put into a tree.
pub(super) struct Placed {
    root: PathBuf,
    dir: File,
    tree: HostDir,
    /// Things that were in the way.
    aside: PathBuf,
    places: Places,
    all: Vec<Place>,
    /// Of directories in which something was covered, by when they were changed before.
    times: BTreeMap<TreePath, Option<Timestamp>>,
}

/// One thing.
struct Place {
    path: TreePath,
    /// Where what was there before is.
    aside: Option<PathBuf>,
    /// Where it goes back to, and its inode.
    home: Option<(PathBuf, u64)>,
}

fn failed(what: impl std::fmt::Display) -> impl FnOnce(SysError) -> Failure {
    let what = format!("cannot put {what} where the command is to find it");
    move |error| Failure::new(what).caused_by(&error)
}

impl Placed {
    /// For the tree at `root`; `scratch` is on the same file system.
    pub(super) fn new(root: PathBuf, scratch: PathBuf) -> Result<Self, Failure> {
        let cannot = |error: &std::io::Error| Failure::new(format!("cannot open {}", root.display())).caused_by(error);
        let dir = File::open(&root).map_err(|error| cannot(&error))?;
        let tree = HostDir::open(&root).map_err(|error| cannot(&error))?;
        Ok(Self { root, dir, tree, aside: scratch, places: Places::default(), all: Vec::new(), times: BTreeMap::new() })
    }

    /// Where they are.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// Puts there what every command finds, and what this one mounts, in the order of the mounts.
    pub(super) fn all(&mut self, builder: &Builder<'_>, step: &Step) -> Result<(), Failure> {
        for (target, mode) in [("/proc", 0o555), ("/dev", 0o755), ("/sys", 0o555)] {
            let (dir, path) = self.clear(target, Kind::Directory)?;
            make_directory(dir.as_fd(), path.name(), mode).map_err(failed(target))?;
        }
        self.devices()?;
        for (name, text) in own_files(step) {
            self.file(&format!("/etc/{name}"), text.as_bytes(), 0o644, (0, 0))?;
        }
        for mount in &step.mounts {
            self.mount(builder, mount)?;
        }
        for (path, time) in &self.times {
            let Some(time) = time else { continue };
            let dir = self.directory(path).map_err(failed(path))?;
            dirfd::set_times(dir.as_fd(), *time).map_err(failed(path))?;
        }
        Ok(())
    }

    /// Where the launcher will mount: the directories above it change by that, and what it makes it takes away.
    pub(super) fn expect(&mut self, step: &Step) -> Result<(), Failure> {
        let own = ["/proc", "/dev", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
        for target in own.into_iter().chain(step.mounts.iter().map(StepMount::target)) {
            let found = resolve(&self.tree, &TreePath::new(target)).map_err(|error| tree_failure(&error))?;
            self.places.keep_above(&found.path);
        }
        Ok(())
    }

    fn devices(&self) -> Result<(), Failure> {
        let dir = self.directory(&TreePath::new("dev")).map_err(failed("/dev"))?;
        for (name, major, minor) in DEVICES {
            let number = dirfd::makedev(major, minor);
            let made = dirfd::mknodat(dir.as_fd(), name.as_bytes(), FileKind::CharDevice, 0o666, number)
                .and_then(|()| dirfd::fchmodat_own(dir.as_fd(), name.as_bytes(), 0o666));
            made.map_err(|error| {
                failed(format!("/dev/{name}"))(error).hint(
                    "RUN in a chroot makes its own devices: that takes CAP_MKNOD, which containers have by default",
                )
            })?;
        }
        // A file system that was mounted with nodev has them, and they do nothing.
        File::open(TreePath::new("dev/null").below(&self.root)).map_err(|error| {
            Failure::new("devices do not work on the file system of the store")
                .caused_by(&error)
                .hint("put --root on one that is mounted without nodev")
        })?;
        for (name, mode) in [("shm", 0o1777), ("pts", 0o755), ("mqueue", 0o1777)] {
            make_directory(dir.as_fd(), name.as_bytes(), mode).map_err(failed(format!("/dev/{name}")))?;
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            dirfd::symlinkat(target.as_bytes(), dir.as_fd(), name.as_bytes())
                .map_err(failed(format!("/dev/{name}")))?;
        }
        Ok(())
    }

    fn mount(&mut self, builder: &Builder<'_>, mount: &StepMount) -> Result<(), Failure> {
        match mount {
            StepMount::Bind { source: BindSource::Host(path), target, .. } => self.moved(path, target, false),
            StepMount::Bind { source: BindSource::Layers(layers), subpath, target, .. } => {
                let tree = Layers::new(layers, builder.store.dialect(), builder.ownership);
                let tree = tree.map_err(|error| Failure::new("cannot open the source of a mount").caused_by(&error))?;
                self.copied(&tree, &TreePath::new(subpath), target)
            }
            StepMount::Cache { source, target, read_only: true } => {
                let tree = HostDir::open(source);
                let tree = tree.map_err(|error| Failure::new("cannot open a cache").caused_by(&error))?;
                self.copied(&tree, &TreePath::root(), target)
            }
            StepMount::Cache { source, target, .. } => self.moved(source, target, true),
            StepMount::Tmpfs { target, .. } => {
                let (dir, path) = self.clear(target, Kind::Directory)?;
                make_directory(dir.as_fd(), path.name(), 0o1777).map_err(failed(target))
            }
            StepMount::Secret { content, target, mode, uid, gid } => self.file(target, &content.0, *mode, (*uid, *gid)),
            StepMount::Socket { target, .. } => {
                Err(Failure::new(format!("an agent's socket cannot be shown at {target} in a chroot"))
                    .hint("build this one with CAP_SYS_ADMIN or with user namespaces"))
            }
        }
    }

    /// Makes room at `target` for a directory or a file: the directory that it will be in, and its path without links.
    fn clear(&mut self, target: &str, kind: Kind) -> Result<(OwnedFd, TreePath), Failure> {
        let found = resolve(&self.tree, &TreePath::new(target)).map_err(|error| tree_failure(&error))?;
        let path = found.path;
        let is_dir = found.meta.as_ref().map(|meta| meta.kind == Kind::Directory);
        if path.is_root() || is_dir.is_some_and(|is_dir| is_dir != (kind == Kind::Directory)) {
            let thing = if kind == Kind::Directory { "a directory" } else { "a file" };
            return Err(Failure::new(format!("{thing} cannot be shown at {target}, where there is something else")));
        }
        for missing in found.missing.iter().filter(|missing| **missing != path) {
            let above = self.directory(&missing.parent().unwrap_or_default()).map_err(failed(target))?;
            make_directory(above.as_fd(), missing.name(), 0o755).map_err(failed(target))?;
        }
        for missing in &found.missing {
            self.times.insert(missing.parent().unwrap_or_default(), None);
        }
        self.places.add(&path, &found.missing);
        let dir = path.parent().unwrap_or_default();
        let above = self.directory(&dir).map_err(failed(target))?;
        let mtime = dirfd::fstat(above.as_fd()).map_err(failed(target))?.mtime;
        // A directory in which something was made has another time; one in which something was covered has not.
        let known = self.times.entry(dir).or_insert(Some(mtime));
        if found.meta.is_none() {
            *known = None;
        }
        let mut place = Place { path: path.clone(), aside: None, home: None };
        if found.meta.is_some() {
            let aside = self.aside.join(format!("aside-{}", self.all.len()));
            rename_out(above.as_fd(), path.name(), &aside).map_err(failed(target))?;
            place.aside = Some(aside);
        }
        self.all.push(place);
        Ok((above, path))
    }

    fn file(&mut self, target: &str, bytes: &[u8], mode: u32, (uid, gid): (u32, u32)) -> Result<(), Failure> {
        let (dir, path) = self.clear(target, Kind::File)?;
        let flags = OpenFlags::O_WRONLY | OpenFlags::O_CREAT | OpenFlags::O_EXCL;
        let fd = dirfd::open_child(dir.as_fd(), path.name(), flags, 0o600).map_err(failed(target))?;
        let mut file = File::from(fd);
        file.write_all(bytes)
            .map_err(|error| Failure::new(format!("cannot write {target} for the command")).caused_by(&error))?;
        dirfd::fchown(file.as_fd(), uid, gid).map_err(failed(target))?;
        dirfd::fchmod(file.as_fd(), mode & 0o7777).map_err(failed(target))
    }

    fn copied(&mut self, tree: &dyn ctr_tree::Tree, from: &TreePath, target: &str) -> Result<(), Failure> {
        let from = resolve(tree, from).map_err(|error| tree_failure(&error))?;
        let kind = from.meta.as_ref().map_or(Kind::Directory, |meta| meta.kind);
        let (dir, path) = self.clear(target, kind)?;
        changes::copy(tree, &from.path, dir.as_fd(), path.name()).map_err(|error| tree_failure(&error))
    }

    /// Moves a file or directory of the host there; `back`: it belongs where it was.
    fn moved(&mut self, source: &Path, target: &str, back: bool) -> Result<(), Failure> {
        let cannot = |error: &std::io::Error| Failure::new(format!("cannot use {}", source.display())).caused_by(error);
        let facts = std::fs::symlink_metadata(source).map_err(|error| cannot(&error))?;
        let kind = if facts.is_dir() { Kind::Directory } else { Kind::File };
        let (dir, path) = self.clear(target, kind)?;
        let (from, name) = parent(source).map_err(|error| cannot(&error))?;
        dirfd::renameat(from.as_fd(), &name, dir.as_fd(), path.name()).map_err(failed(target))?;
        if let Some(place) = self.all.last_mut().filter(|_| back) {
            place.home = Some((source.to_owned(), std::os::unix::fs::MetadataExt::ino(&facts)));
        }
        Ok(())
    }

    /// Opens a directory of the tree; no link is followed.
    fn directory(&self, path: &TreePath) -> Result<OwnedFd, SysError> {
        let bytes = if path.is_root() { b"." } else { path.as_bytes() };
        let resolve = dirfd::BENEATH_NO_LINKS | Resolve::RESOLVE_NO_XDEV;
        dirfd::openat2(self.dir.as_fd(), bytes, DIRECTORY, 0, resolve)
    }

    /// Takes everything back, the last first.
    pub(super) fn take_back(&mut self) -> Result<(), Failure> {
        let mut lost = None;
        while let Some(place) = self.all.pop() {
            if let Err(failure) = self.one_back(&place) {
                lost.get_or_insert(failure);
            }
        }
        lost.map_or(Ok(()), Err)
    }

    fn one_back(&self, place: &Place) -> Result<(), Failure> {
        let moved = || {
            Failure::new(format!("the command moved {} away, which was only lent to it", place.path))
                .hint("a cache stays where it is mounted; copy out of it what is to be in the image")
        };
        let Ok(above) = self.directory(&place.path.parent().unwrap_or_default()) else {
            return if place.home.is_some() { Err(moved()) } else { Ok(()) };
        };
        let cannot = |error: SysError| Failure::new(format!("cannot take {} back", place.path)).caused_by(&error);
        let mtime = dirfd::fstat(above.as_fd()).map_err(cannot)?.mtime;
        if let Some((home, inode)) = &place.home {
            let stat = dirfd::statat(above.as_fd(), place.path.name()).map_err(|_| moved())?;
            if stat.ino != *inode {
                return Err(moved());
            }
            rename_out(above.as_fd(), place.path.name(), home).map_err(cannot)?;
        } else {
            let name = std::ffi::CString::new(place.path.name()).map_err(|_| moved())?;
            ctr_sys::tree::remove_tree_at(&above, &name).map_err(cannot)?;
        }
        if let Some(aside) = &place.aside {
            let (from, name) = parent(aside)
                .map_err(|error| Failure::new(format!("cannot put {} back", place.path)).caused_by(&error))?;
            dirfd::renameat(from.as_fd(), &name, above.as_fd(), place.path.name()).map_err(cannot)?;
        }
        // By this it was not changed.
        dirfd::set_times(above.as_fd(), mtime).map_err(cannot)
    }
}

impl Drop for Placed {
    /// Caches go back also where the command failed.
    fn drop(&mut self) {
        let _ = self.take_back();
    }
}

fn rename_out(from: BorrowedFd<'_>, name: &[u8], to: &Path) -> Result<(), SysError> {
    let (dir, new) = parent(to).map_err(|error| SysError::from_io("open", to.display().to_string(), &error))?;
    dirfd::renameat(from, name, dir.as_fd(), &new)
}

fn make_directory(above: BorrowedFd<'_>, name: &[u8], mode: u32) -> Result<(), SysError> {
    dirfd::mkdirat(above, name, 0o700)?;
    dirfd::fchmodat_own(above, name, mode)
}

/// The directory of a path of the host, and the name in it.
fn parent(path: &Path) -> std::io::Result<(File, Vec<u8>)> {
    use std::os::unix::ffi::OsStrExt as _;
    let name = path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
    Ok((File::open(path.parent().unwrap_or(Path::new("/")))?, name))
}
