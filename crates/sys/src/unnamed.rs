//! Files without a name (open(2), "O_TMPFILE"): whoever is killed while writing one leaves nothing.

use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::linkat;

use crate::raw::{RawResult, call, owned};
use crate::{Errno, Result, SysError};

/// Opens a new file on the filesystem of the directory `dir`; `None` where that filesystem cannot have such files.
/// Its mode is what the umask leaves of 0666.
pub fn create(dir: &Path) -> Result<Option<File>> {
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    match open(dir, flags, Mode::from_bits_truncate(0o666)) {
        Ok(fd) => Ok(Some(File::from(fd))),
        // EISDIR: a kernel that does not know the flag opens the directory, and may not for writing.
        Err(Errno::EOPNOTSUPP | Errno::EISDIR) => Ok(None),
        Err(errno) => Err(SysError::new("open", format!("{}, O_TMPFILE", dir.display()), errno)),
    }
}

/// Gives the file the name `path`, which must be free.
pub fn name(file: &File, path: &Path) -> Result<()> {
    // By /proc, since AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH.
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(AT_FDCWD, own.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)
        .map_err(|errno| SysError::new("linkat", format!("{own}, {}", path.display()), errno))
}

/// A new file in memory (memfd_create(2)); `label` is seen in `/proc/PID/fd` only.
pub fn in_memory(label: &std::ffi::CStr) -> RawResult<OwnedFd> {
    call!(libc::SYS_memfd_create, label.as_ptr(), libc::MFD_CLOEXEC).map(owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_file_gets_its_name_when_it_is_whole() {
        let dir = crate::test_dir("unnamed");
        if let Some(mut file) = create(&dir).unwrap() {
            file.write_all(b"whole").unwrap();
            assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
            let path = dir.join("x");
            name(&file, &path).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"whole");
            assert_eq!(name(&file, &path).unwrap_err().errno, Errno::EEXIST);
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
