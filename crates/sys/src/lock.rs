//! Open file description locks (fcntl(2), "Open file description locks").
//!
//! They belong to the open file description: they survive fork and exec with the descriptor, vanish with its last
//! copy however the process ended, and can be asked for without being taken. Threads of one process exclude each
//! other when each opened the file itself.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::{Result, SysError};

/// How a range is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Many may hold it at once. The descriptor must be readable.
    Shared,
    /// One alone holds it. The descriptor must be writable.
    Exclusive,
}

/// Bytes of a file that a lock covers. They need not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockRange {
    /// The first byte.
    pub start: u64,
    /// How many; 0 means to the end of the file, however far that moves.
    pub len: u64,
}

impl LockRange {
    /// The whole file.
    pub const WHOLE: Self = Self { start: 0, len: 0 };

    /// The one byte at `start`.
    pub const fn byte(start: u64) -> Self {
        Self { start, len: 1 }
    }

    fn flock(self, kind: libc::c_int) -> libc::flock {
        // SAFETY: flock is a plain C struct for which all-zero bytes are a valid value.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = libc::c_short::try_from(kind).unwrap_or(libc::c_short::MAX);
        lock.l_whence = 0; // SEEK_SET
        lock.l_start = i64::try_from(self.start).unwrap_or(i64::MAX);
        lock.l_len = i64::try_from(self.len).unwrap_or(0);
        lock
    }
}

fn kind_number(kind: LockKind) -> libc::c_int {
    match kind {
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
    }
}

fn describe(fd: impl AsFd, kind: LockKind, range: LockRange) -> String {
    format!("fd {}, {kind:?}, byte {} + {}", fd.as_fd().as_raw_fd(), range.start, range.len)
}

/// Takes the lock if nobody holds one in its way. `false`: somebody does.
pub fn try_lock(fd: impl AsFd, kind: LockKind, range: LockRange) -> Result<bool> {
    let lock = range.flock(kind_number(kind));
    loop {
        return match fcntl(fd.as_fd(), FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(Errno::EINTR) => continue,
            Err(errno) => Err(SysError::new("fcntl(F_OFD_SETLK)", describe(fd, kind, range), errno)),
        };
    }
}

/// Takes the lock, waiting as long as it takes.
pub fn lock(fd: impl AsFd, kind: LockKind, range: LockRange) -> Result<()> {
    let lock = range.flock(kind_number(kind));
    loop {
        return match fcntl(fd.as_fd(), FcntlArg::F_OFD_SETLKW(&lock)) {
            Ok(_) => Ok(()),
            Err(Errno::EINTR) => continue,
            Err(errno) => Err(SysError::new("fcntl(F_OFD_SETLKW)", describe(fd, kind, range), errno)),
        };
    }
}

/// Takes the lock, asking again for at most `wait`. `false`: it was held by others all the time.
///
/// The kernel has no lock wait with a time limit other than by a signal, which a library must not use.
pub fn lock_within(fd: impl AsFd, kind: LockKind, range: LockRange, wait: Duration) -> Result<bool> {
    let end = Instant::now() + wait;
    let mut pause = Duration::from_micros(200);
    loop {
        if try_lock(fd.as_fd(), kind, range)? {
            return Ok(true);
        }
        let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
            return Ok(false);
        };
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

/// Gives the range up. Closing the last copy of the descriptor does the same.
pub fn unlock_range(fd: impl AsFd, range: LockRange) -> Result<()> {
    let lock = range.flock(libc::F_UNLCK);
    match fcntl(fd.as_fd(), FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(()),
        Err(errno) => Err(SysError::new("fcntl(F_OFD_SETLK)", format!("fd {}, unlock", fd.as_fd().as_raw_fd()), errno)),
    }
}

/// Asks whether a lock of `kind` would be refused now, without taking it: `true` if somebody else is in its way.
///
/// A question does not disturb: unlike a lock that is tried and given back, it can never be seen by another asker.
pub fn is_held(fd: impl AsFd, kind: LockKind, range: LockRange) -> Result<bool> {
    let mut lock = range.flock(kind_number(kind));
    match fcntl(fd.as_fd(), FcntlArg::F_OFD_GETLK(&mut lock)) {
        Ok(_) => Ok(libc::c_int::from(lock.l_type) != libc::F_UNLCK),
        Err(errno) => Err(SysError::new("fcntl(F_OFD_GETLK)", describe(fd, kind, range), errno)),
    }
}

/// [`try_lock`], exclusive, of the whole file.
pub fn try_exclusive(fd: BorrowedFd<'_>) -> Result<bool> {
    try_lock(fd, LockKind::Exclusive, LockRange::WHOLE)
}

/// [`lock`], exclusive, of the whole file.
pub fn exclusive(fd: BorrowedFd<'_>) -> Result<()> {
    lock(fd, LockKind::Exclusive, LockRange::WHOLE)
}

/// [`lock`], shared, of the whole file.
pub fn shared(fd: BorrowedFd<'_>) -> Result<()> {
    lock(fd, LockKind::Shared, LockRange::WHOLE)
}

/// Gives the lock of the whole file back.
pub fn unlock(fd: BorrowedFd<'_>) -> Result<()> {
    unlock_range(fd, LockRange::WHOLE)
}

/// Whether another open file holds any lock; takes none.
pub fn is_locked(fd: BorrowedFd<'_>) -> Result<bool> {
    is_held(fd, LockKind::Exclusive, LockRange::WHOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &std::path::Path) -> std::fs::File {
        std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
    }

    #[test]
    fn exclusive_excludes_and_can_be_asked_for() {
        let dir = crate::test_dir("lock");
        let path = dir.join("l");
        let (a, b) = (open(&path), open(&path));
        assert!(try_lock(&a, LockKind::Exclusive, LockRange::WHOLE).unwrap());
        assert!(!try_lock(&b, LockKind::Shared, LockRange::WHOLE).unwrap());
        assert!(is_held(&b, LockKind::Shared, LockRange::WHOLE).unwrap());
        assert!(!is_held(&a, LockKind::Exclusive, LockRange::WHOLE).unwrap(), "one's own lock is not in the way");
        assert!(!lock_within(&b, LockKind::Shared, LockRange::WHOLE, Duration::from_millis(10)).unwrap());
        drop(a);
        assert!(!is_held(&b, LockKind::Exclusive, LockRange::WHOLE).unwrap());
        lock(&b, LockKind::Exclusive, LockRange::WHOLE).unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn ranges_are_apart() {
        let dir = crate::test_dir("lock-range");
        let path = dir.join("l");
        let (a, b) = (open(&path), open(&path));
        assert!(try_lock(&a, LockKind::Exclusive, LockRange::byte(5)).unwrap());
        assert!(try_lock(&b, LockKind::Exclusive, LockRange::byte(6)).unwrap());
        assert!(!try_lock(&b, LockKind::Exclusive, LockRange::byte(5)).unwrap());
        unlock_range(&a, LockRange::byte(5)).unwrap();
        assert!(try_lock(&b, LockKind::Exclusive, LockRange::byte(5)).unwrap());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
