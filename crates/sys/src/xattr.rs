//! Extended attributes (xattr(7)), on open files and on names below a directory fd, symbolic links included.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Errno, Result, SysError};

/// Where the attributes are.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// An open file. `O_PATH` fds work too.
    Fd(BorrowedFd<'a>),
    /// A name, one component, in a directory; a symbolic link is not followed.
    Child(BorrowedFd<'a>, &'a [u8]),
}

impl Target<'_> {
    /// A path that leads to the target. There are no `*xattrat` calls before Linux 6.13, so the fd is named through
    /// procfs, which an `O_PATH` fd needs as well.
    fn path(&self) -> Result<CString> {
        let mut path = b"/proc/self/fd/".to_vec();
        match self {
            Self::Fd(fd) => path.extend(fd.as_raw_fd().to_string().bytes()),
            Self::Child(dir, name) => {
                path.extend(dir.as_raw_fd().to_string().bytes());
                path.push(b'/');
                path.extend(*name);
            }
        }
        CString::new(path).map_err(|_| SysError::new("lsetxattr", "a name with a NUL byte", Errno::EINVAL))
    }

    fn follows(&self) -> bool {
        // The magic link of an fd must be followed, the last component of a name must not.
        matches!(self, Self::Fd(_))
    }
}

fn c_name(name: &[u8]) -> Result<CString> {
    CString::new(name).map_err(|_| SysError::new("setxattr", "an attribute name with a NUL byte", Errno::EINVAL))
}

fn fail(call: &'static str, name: &CStr) -> SysError {
    // Read before anything else may change it.
    let errno = Errno::last();
    SysError::new(call, format!("\"{}\"", name.to_bytes().escape_ascii()), errno)
}

/// Sets the attribute `name` to `value`, made new or replaced.
pub fn set(target: Target<'_>, name: &[u8], value: &[u8]) -> Result<()> {
    let (path, name) = (target.path()?, c_name(name)?);
    let call = if target.follows() { libc::setxattr } else { libc::lsetxattr };
    // SAFETY: both strings end in NUL and live through the call; value is valid for value.len() bytes.
    let result = unsafe { call(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if result == 0 { Ok(()) } else { Err(fail("setxattr", &name)) }
}

/// fsetxattr(2) on a file that is open for reading or writing (not `O_PATH`): one call without procfs.
pub fn set_open(fd: BorrowedFd<'_>, name: &[u8], value: &[u8]) -> Result<()> {
    let name = c_name(name)?;
    // SAFETY: name ends in NUL and lives through the call; value is valid for value.len() bytes.
    let result = unsafe { libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if result == 0 { Ok(()) } else { Err(fail("fsetxattr", &name)) }
}

/// Value of the attribute `name`; `None` if there is no such attribute or the file system has none at all.
pub fn get(target: Target<'_>, name: &[u8]) -> Result<Option<Vec<u8>>> {
    let (path, name) = (target.path()?, c_name(name)?);
    let call = if target.follows() { libc::getxattr } else { libc::lgetxattr };
    let value = read_growing(|buffer| {
        // SAFETY: the strings end in NUL; the buffer is valid for its length.
        unsafe { call(path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
    });
    match value {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENODATA | Errno::ENOTSUP) => Ok(None),
        Err(errno) => Err(SysError::new("getxattr", format!("\"{}\"", name.to_bytes().escape_ascii()), errno)),
    }
}

/// Names of all attributes, sorted; none where the file system has no attributes.
pub fn list(target: Target<'_>) -> Result<Vec<Vec<u8>>> {
    let path = target.path()?;
    let call = if target.follows() { libc::listxattr } else { libc::llistxattr };
    let names = read_growing(|buffer| {
        // SAFETY: path ends in NUL; the buffer is valid for its length.
        unsafe { call(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
    });
    match names {
        Ok(names) => {
            let mut names: Vec<Vec<u8>> =
                names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
            names.sort_unstable();
            Ok(names)
        }
        Err(Errno::ENOTSUP) => Ok(Vec::new()),
        Err(errno) => Err(SysError::new("listxattr", path.to_string_lossy(), errno)),
    }
}

/// Removes the attribute `name`; one that is not there is no error.
pub fn remove(target: Target<'_>, name: &[u8]) -> Result<()> {
    let (path, name) = (target.path()?, c_name(name)?);
    let call = if target.follows() { libc::removexattr } else { libc::lremovexattr };
    // SAFETY: both strings end in NUL and live through the call.
    if unsafe { call(path.as_ptr(), name.as_ptr()) } == 0 {
        return Ok(());
    }
    match Errno::last() {
        Errno::ENODATA | Errno::ENOTSUP => Ok(()),
        _ => Err(fail("removexattr", &name)),
    }
}

/// Calls `read` with a buffer that grows until the answer fits (the kernel's limit is 64 KiB, xattr(7)).
fn read_growing(read: impl Fn(&mut [u8]) -> libc::ssize_t) -> std::result::Result<Vec<u8>, Errno> {
    for size in [256, 4096, 65536, 1 << 20] {
        let mut buffer = vec![0u8; size];
        match usize::try_from(read(&mut buffer)) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(_) if Errno::last() == Errno::ERANGE => {}
            Err(_) => return Err(Errno::last()),
        }
    }
    Err(Errno::ERANGE)
}
