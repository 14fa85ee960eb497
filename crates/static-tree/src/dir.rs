//! Directories of the tree by descriptor: what lies in them is looked up without following links, and what is made is readable for the
//! user of a web server, whatever the umask.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctr_sys::dirfd::{self, FileKind, OpenFlags, Stat};
use ctr_sys::{Errno, SysError};

use crate::error::TreeError;

/// Mode of files that are served.
const FILE_MODE: u32 = 0o644;
/// Mode of directories that are served.
const DIR_MODE: u32 = 0o755;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

fn none(error: &SysError) -> bool {
    error.errno == Errno::ENOENT
}

impl Dir {
    /// The directory of the tree, which the user named: links on the way are theirs.
    pub(crate) fn open(path: &Path) -> Result<Self, TreeError> {
        let fd = ctr_sys::durable::open_dir(path).map_err(TreeError::sys("open", path))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Path of an entry, for messages.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory `name` if there is one.
    pub(crate) fn child(&self, name: &str) -> Result<Option<Self>, TreeError> {
        let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY;
        match dirfd::open_child(self.fd(), name.as_bytes(), flags, 0) {
            Ok(fd) => Ok(Some(Self { fd, path: self.at(name) })),
            Err(error) if none(&error) => Ok(None),
            Err(error) => Err(TreeError::sys("open", self.at(name))(error)),
        }
    }

    /// The directory `name`, made if there is none. `mode` replaces the usual one.
    pub(crate) fn make(&self, name: &str, mode: Option<u32>) -> Result<Self, TreeError> {
        if let Some(found) = self.child(name)? {
            return Ok(found);
        }
        let mode = mode.unwrap_or(DIR_MODE);
        match dirfd::mkdirat(self.fd(), name.as_bytes(), mode) {
            Ok(()) => {}
            Err(error) if error.errno == Errno::EEXIST => {}
            Err(error) => return Err(TreeError::sys("create", self.at(name))(error)),
        }
        let made = self.child(name)?;
        let made = made.ok_or_else(|| TreeError::Missing { path: self.path.clone(), what: name.to_owned() })?;
        // The umask may have taken bits away.
        dirfd::fchmod(made.fd(), mode).map_err(TreeError::sys("set the mode of", made.path.clone()))?;
        self.sync()?;
        Ok(made)
    }

    /// A new file for writing.
    pub(crate) fn create(&self, name: &str) -> Result<File, TreeError> {
        let flags = OpenFlags::O_RDWR | OpenFlags::O_CREAT | OpenFlags::O_EXCL;
        let file = dirfd::open_child(self.fd(), name.as_bytes(), flags, FILE_MODE);
        let file = file.map_err(TreeError::sys("create", self.at(name)))?;
        dirfd::fchmod(file.as_fd(), FILE_MODE).map_err(TreeError::sys("set the mode of", self.at(name)))?;
        Ok(File::from(file))
    }

    /// A file that stays, for locks.
    pub(crate) fn lock_file(&self, name: &str) -> Result<File, TreeError> {
        let flags = OpenFlags::O_RDWR | OpenFlags::O_CREAT;
        let file = dirfd::open_child(self.fd(), name.as_bytes(), flags, 0o600);
        file.map(File::from).map_err(TreeError::sys("open", self.at(name)))
    }

    /// What `name` is; links are not followed.
    pub(crate) fn stat(&self, name: &str) -> Result<Option<Stat>, TreeError> {
        match dirfd::statat(self.fd(), name.as_bytes()) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if none(&error) => Ok(None),
            Err(error) => Err(TreeError::sys("look at", self.at(name))(error)),
        }
    }

    /// The content of the file `name`, if there is one, of at most `limit` bytes.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, TreeError> {
        let flags = OpenFlags::O_RDONLY | OpenFlags::O_NONBLOCK;
        let file = match dirfd::open_child(self.fd(), name.as_bytes(), flags, 0) {
            Ok(file) => File::from(file),
            Err(error) if none(&error) => return Ok(None),
            Err(error) => return Err(TreeError::sys("open", self.at(name))(error)),
        };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(TreeError::io("read", self.at(name)))?;
        if bytes.len() as u64 > limit {
            return Err(TreeError::Damaged { path: self.at(name), why: format!("it has more than {limit} bytes") });
        }
        Ok(Some(bytes))
    }

    /// Where the link `name` leads; nothing if it is none.
    pub(crate) fn link(&self, name: &str) -> Result<Option<String>, TreeError> {
        match self.stat(name)? {
            Some(stat) if stat.kind == FileKind::Symlink => {
                let target = dirfd::readlinkat(self.fd(), name.as_bytes());
                let target = target.map_err(TreeError::sys("read the link", self.at(name)))?;
                Ok(String::from_utf8(target).ok())
            }
            _ => Ok(None),
        }
    }

    /// All names that are text, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, TreeError> {
        let entries = dirfd::read_dir(self.fd()).map_err(TreeError::sys("list", self.path.clone()))?;
        let mut names: Vec<String> =
            entries.into_iter().filter_map(|entry| String::from_utf8(entry.name).ok()).collect();
        names.sort();
        Ok(names)
    }

    /// Makes `name` a link to `target`, in one step, whatever it was before. `staging` is on the same filesystem.
    pub(crate) fn point(&self, name: &str, target: &str, staging: &Self) -> Result<(), TreeError> {
        if self.link(name)?.as_deref() == Some(target) {
            return Ok(());
        }
        let fresh = random_name()?;
        let made = dirfd::symlinkat(target.as_bytes(), staging.fd(), fresh.as_bytes());
        made.map_err(TreeError::sys("create a link for", self.at(name)))?;
        self.take(name, &fresh, staging)
    }

    /// Writes the file `name` in whole, in one step.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], staging: &Self) -> Result<(), TreeError> {
        let fresh = random_name()?;
        let mut file = staging.create(&fresh)?;
        file.write_all(bytes).map_err(TreeError::io("write", self.at(name)))?;
        ctr_sys::durable::fsync(&file).map_err(TreeError::sys("write", self.at(name)))?;
        self.take(name, &fresh, staging)
    }

    /// Moves `fresh` of `staging` here as `name`.
    pub(crate) fn take(&self, name: &str, fresh: &str, staging: &Self) -> Result<(), TreeError> {
        dirfd::renameat(staging.fd(), fresh.as_bytes(), self.fd(), name.as_bytes())
            .map_err(TreeError::sys("write", self.at(name)))
    }

    /// Removes a file or link; whether there was one.
    pub(crate) fn remove(&self, name: &str) -> Result<bool, TreeError> {
        match dirfd::unlinkat(self.fd(), name.as_bytes()) {
            Ok(()) => Ok(true),
            Err(error) if none(&error) => Ok(false),
            Err(error) => Err(TreeError::sys("remove", self.at(name))(error)),
        }
    }

    /// The names in it are on the disk.
    pub(crate) fn sync(&self) -> Result<(), TreeError> {
        ctr_sys::durable::fsync(self.fd()).map_err(TreeError::sys("write", self.path.clone()))
    }
}

/// A name that nobody else takes.
pub(crate) fn random_name() -> Result<String, TreeError> {
    let random = ctr_sys::random::bytes::<16>().map_err(TreeError::sys("draw a name in", PathBuf::from(".ctr")))?;
    Ok(format!("{:032x}", u128::from_le_bytes(random)))
}
