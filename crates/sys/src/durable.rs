//! What makes a change of the disk last, and changes that are all or nothing: fsync, syncfs, renameat2.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::{Result, SysError};

/// Writes a file's (or a directory's) data and metadata to the disk. Errors of earlier writes show up here.
pub fn fsync(fd: impl AsFd) -> Result<()> {
    let raw = fd.as_fd().as_raw_fd();
    nix::unistd::fsync(fd).map_err(|errno| SysError::new("fsync", format!("fd {raw}"), errno))
}

/// Makes the names in the directory `path` last.
pub fn fsync_dir(path: &Path) -> Result<()> {
    let dir = open_dir(path)?;
    nix::unistd::fsync(dir).map_err(|errno| SysError::new("fsync", path.display().to_string(), errno))
}

/// Writes all that is dirty in the filesystem that holds `fd`. Reports write-back errors since Linux 5.8.
pub fn syncfs(fd: impl AsFd) -> Result<()> {
    let raw = fd.as_fd().as_raw_fd();
    nix::unistd::syncfs(fd).map_err(|errno| SysError::new("syncfs", format!("fd {raw}"), errno))
}

/// Opens the directory `path` to read it.
pub fn open_dir(path: &Path) -> Result<OwnedFd> {
    open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| SysError::new("open", format!("{}, O_DIRECTORY", path.display()), errno))
}

/// Renames `from` to `to`; fails with `EEXIST` if `to` is there already. Never replaces.
pub fn rename_noreplace(from: &Path, to: &Path) -> Result<()> {
    renameat2(from, to, libc::RENAME_NOREPLACE)
}

/// Makes `a` and `b` change places in one step. Both must exist. `EINVAL` where the filesystem cannot.
pub fn rename_exchange(a: &Path, b: &Path) -> Result<()> {
    renameat2(a, b, libc::RENAME_EXCHANGE)
}

fn renameat2(from: &Path, to: &Path, flags: libc::c_uint) -> Result<()> {
    let args = || format!("{}, {}, flags {flags}", from.display(), to.display());
    let c = |path: &Path| {
        CString::new(path.as_os_str().as_bytes()).map_err(|_| SysError::new("renameat2", args(), Errno::EINVAL))
    };
    let (from_c, to_c) = (c(from)?, c(to)?);
    // SAFETY: both pointers are to strings that end in NUL and live across the call; the kernel only reads them.
    // The raw system call is used since musl has no renameat2 of its own.
    let result = unsafe {
        libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from_c.as_ptr(), libc::AT_FDCWD, to_c.as_ptr(), flags)
    };
    if result == 0 { Ok(()) } else { Err(SysError::last("renameat2", args())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noreplace_refuses_and_exchange_swaps() {
        let dir = crate::test_dir("durable");
        let (a, b) = (dir.join("a"), dir.join("b"));
        std::fs::write(&a, "a").unwrap();
        std::fs::write(&b, "b").unwrap();
        assert_eq!(rename_noreplace(&a, &b).unwrap_err().errno, Errno::EEXIST);
        rename_exchange(&a, &b).unwrap();
        assert_eq!(std::fs::read(&a).unwrap(), b"b");
        fsync_dir(&dir).unwrap();
        syncfs(open_dir(&dir).unwrap()).unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }
}
