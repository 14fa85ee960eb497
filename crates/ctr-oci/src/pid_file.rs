//! `--pid-file`, whole or not at all: engines read it as soon as it is there.
//!
//! For a program that is executed from within a container the file is made before.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ctr_cli::{Context as _, Failure};
use ctr_sys::dirfd::{self, OpenFlags};
use ctr_sys::{files, small};

/// A file that is still to be written.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    dir: OwnedFd,
    /// It, by a name of its own until it is whole.
    file: OwnedFd,
    temporary: OsString,
}

impl PidFile {
    /// Makes it, and shows nothing.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let cannot = || format!("cannot write the pid file {}", path.display());
        let (parent, name) =
            small::parent_and_name(path).ok_or_else(|| Failure::new(cannot()).because("it has no name"))?;
        let dir: OwnedFd = File::open(parent).context(cannot)?.into();
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}", std::process::id()));
        let flags = OpenFlags::O_WRONLY | OpenFlags::O_CREAT | OpenFlags::O_EXCL;
        let file = dirfd::open_child(dir.as_fd(), temporary.as_bytes(), flags, 0o644)
            .map_err(|error| Failure::new(cannot()).caused_by(&error))?;
        Ok(Self { path: path.to_owned(), dir, file, temporary })
    }

    /// Writes it and shows it, whole.
    pub(crate) fn write(self, pid: i32) -> Result<(), Failure> {
        let cannot = || Failure::new(format!("cannot write the pid file {}", self.path.display()));
        files::write_all(self.file.as_fd(), pid.to_string().as_bytes())
            .map_err(|errno| cannot().because(errno.desc()))?;
        let name = self.path.file_name().unwrap_or_default();
        let dir = self.dir.as_fd();
        dirfd::renameat(dir, self.temporary.as_bytes(), dir, name.as_bytes())
            .map_err(|error| cannot().caused_by(&error))
    }
}

impl Drop for PidFile {
    /// A name that is gone by now was renamed.
    fn drop(&mut self) {
        let _ = dirfd::unlinkat(self.dir.as_fd(), self.temporary.as_bytes());
    }
}
