//! Small files read and written whole in as few system calls as can be: the start path opens a dozen of them.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::files::{self, CWD};
use crate::raw::{RawResult, call, owned, retry};
use std::os::fd::AsRawFd;

fn open(path: &Path, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let opened: RawResult<_> =
        retry(|| call!(libc::SYS_openat, CWD.as_raw_fd(), path.as_ptr(), flags | libc::O_CLOEXEC, mode));
    Ok(opened.map(owned)?)
}

/// Opens a file to read. Unlike the standard library on musl, it makes one system call of it.
pub fn open_read(path: &Path) -> io::Result<OwnedFd> {
    open(path, libc::O_RDONLY, 0)
}

/// Opens a path as a location, following links: whatever is there, and whoever may read it. The standard library cannot: on musl its
/// `custom_flags` drops `O_PATH`, which musl counts among the bits of the access mode, and opens the file itself.
pub fn open_location(path: &Path) -> io::Result<OwnedFd> {
    open(path, libc::O_PATH, 0)
}

/// The directory that a path leads to and the name in it; `None` if it has none.
pub fn parent_and_name(path: &Path) -> Option<(&Path, &OsStr)> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Some((parent.unwrap_or(Path::new(".")), path.file_name()?))
}

/// The path of a file with every link resolved, as the kernel has it (proc(5), `/proc/self/fd`).
pub fn real_path(path: &Path) -> io::Result<std::path::PathBuf> {
    let file = open(path, libc::O_PATH, 0)?;
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Opens what a location (`O_PATH`) refers to, by `/proc/self/fd`. Never blocks and takes no terminal.
pub fn reopen(location: BorrowedFd<'_>, write: bool) -> RawResult<OwnedFd> {
    let path = CString::new(format!("/proc/self/fd/{}", location.as_raw_fd())).map_err(|_| crate::Errno::EINVAL)?;
    let access = if write { libc::O_RDWR } else { libc::O_RDONLY };
    let flags = access | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    retry(|| call!(libc::SYS_openat, CWD.as_raw_fd(), path.as_ptr(), flags, 0)).map(owned)
}

/// Opens a file that must be there to write, without emptying it.
pub fn open_write(path: &Path) -> io::Result<OwnedFd> {
    open(path, libc::O_WRONLY, 0)
}

/// Opens a file that must be there to read and write.
pub fn open_read_write(path: &Path) -> io::Result<OwnedFd> {
    open(path, libc::O_RDWR, 0)
}

/// Makes a new file, which must not be there, with exactly this mode if the umask lets it.
pub fn create(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    open(path, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW, mode)
}

/// Opens a file that is only there to be locked; it is made if it is not there.
pub fn open_lock(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    open(path, libc::O_RDWR | libc::O_CREAT | libc::O_NOFOLLOW, mode)
}

/// Makes a new file to append to.
pub fn create_append(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    open(path, libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW, mode)
}

/// Opens a file to append to, which is made if it is not there. A pipe that nobody reads is an error.
pub fn open_append(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    open(path, libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_NONBLOCK | libc::O_NOCTTY, mode)
}

/// Makes a new file with this content.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let file = create(path, mode)?;
    Ok(files::write_all(file.as_fd(), bytes)?)
}

/// Writes to a file that must be there, without emptying it first: control files of the kernel.
pub fn write_existing(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = open_write(path)?;
    Ok(files::write_all(file.as_fd(), bytes)?)
}

/// Reads a file of at most `limit` bytes; `None` if it is longer. A read that gives less than was asked for is the end, as
/// it is for regular files and for those of procfs that have less than a page.
pub fn read(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let file = open(path, libc::O_RDONLY, 0)?;
    Ok(read_open(file.as_fd(), limit)?)
}

/// [`read`] of a control file of the kernel, which says what it has to say in one read of a page.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read(path, 4095)?.ok_or(io::ErrorKind::InvalidData)?;
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// [`read`] of a path that somebody else names: what is no regular file is an error, and so nothing is waited for.
pub fn read_regular(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let file = std::fs::File::from(open(path, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY, 0)?);
    let kind = file.metadata()?.file_type();
    if !kind.is_file() {
        let what = if kind.is_dir() { "it is a directory" } else { "it is no regular file" };
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok(read_open(file.as_fd(), limit)?)
}

/// [`read`] of a file that is open.
pub fn read_open(file: BorrowedFd<'_>, limit: usize) -> RawResult<Option<Vec<u8>>> {
    let mut bytes = vec![0; 4096.min(limit + 1)];
    let mut filled = 0;
    loop {
        let room = bytes.get_mut(filled..).unwrap_or_default();
        let wanted = room.len();
        let count = files::read(file, room)?;
        filled += count;
        if filled > limit {
            return Ok(None);
        }
        if count < wanted {
            bytes.truncate(filled);
            return Ok(Some(bytes));
        }
        bytes.resize((bytes.len() * 2).min(limit + 1), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_whole_or_not_at_all() {
        let dir = crate::test_dir("small");
        for size in [0usize, 1, 4095, 4096, 4097, 8192, 10000] {
            let path = dir.join(size.to_string());
            let bytes: Vec<u8> = (0..size).map(|at| at as u8).collect();
            write_new(&path, &bytes, 0o600).unwrap();
            assert_eq!(read(&path, 10000).unwrap().as_deref(), Some(bytes.as_slice()), "{size}");
            assert_eq!(read(&path, size).unwrap().as_deref(), Some(bytes.as_slice()), "{size}");
            if size > 0 {
                assert_eq!(read(&path, size - 1).unwrap(), None, "{size}");
            }
            assert!(write_new(&path, b"", 0o600).is_err(), "there already");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
