//! Open file description locks (fcntl(2), "Open file description locks"): they belong to the open file, not to the
//! process, so a child that inherits the descriptor holds the lock on; and they can be asked about without being taken.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Errno, Result, SysError};

fn whole_file(kind: libc::c_int) -> libc::flock {
    // SAFETY: flock is plain integers; all zeroes is a valid value and means "the whole file from its start".
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock
}

fn fcntl(fd: BorrowedFd<'_>, command: libc::c_int, name: &str, lock: &mut libc::flock) -> Result<()> {
    loop {
        // SAFETY: `lock` is a valid flock for the duration of the call and the descriptor is borrowed.
        if unsafe { libc::fcntl(fd.as_raw_fd(), command, std::ptr::from_mut(lock)) } == 0 {
            return Ok(());
        }
        if Errno::last() != Errno::EINTR {
            return Err(SysError::last("fcntl", name));
        }
    }
}

fn try_lock(fd: BorrowedFd<'_>, kind: libc::c_int) -> Result<bool> {
    match fcntl(fd, libc::F_OFD_SETLK, "F_OFD_SETLK", &mut whole_file(kind)) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.errno, Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the exclusive lock if nobody holds any; says whether it did.
pub fn try_exclusive(fd: BorrowedFd<'_>) -> Result<bool> {
    try_lock(fd, libc::F_WRLCK)
}

/// Takes a shared lock if nobody holds the exclusive one; says whether it did.
pub fn try_shared(fd: BorrowedFd<'_>) -> Result<bool> {
    try_lock(fd, libc::F_RDLCK)
}

/// Takes the exclusive lock, waiting for it.
pub fn exclusive(fd: BorrowedFd<'_>) -> Result<()> {
    fcntl(fd, libc::F_OFD_SETLKW, "F_OFD_SETLKW", &mut whole_file(libc::F_WRLCK))
}

/// Takes a shared lock, waiting for it.
pub fn shared(fd: BorrowedFd<'_>) -> Result<()> {
    fcntl(fd, libc::F_OFD_SETLKW, "F_OFD_SETLKW", &mut whole_file(libc::F_RDLCK))
}

/// Gives the lock back.
pub fn unlock(fd: BorrowedFd<'_>) -> Result<()> {
    fcntl(fd, libc::F_OFD_SETLK, "F_OFD_SETLK", &mut whole_file(libc::F_UNLCK))
}

/// Whether another open file holds any lock; takes none.
pub fn is_locked(fd: BorrowedFd<'_>) -> Result<bool> {
    let mut lock = whole_file(libc::F_WRLCK);
    fcntl(fd, libc::F_OFD_GETLK, "F_OFD_GETLK", &mut lock)?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}
