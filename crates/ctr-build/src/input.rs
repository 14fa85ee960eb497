//! Files that the command line names: Dockerfiles, secrets. They may be pipes (`--file <(cmd)`), and nothing waits for a pipe
//! that nobody writes to.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use ctr_sys::poll;

/// How long the writer of a named pipe may take to open it.
const WRITER_WAIT: Duration = Duration::from_secs(2);

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Reads a regular file or a pipe to its end; `None` if it has more than `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    // Looked at before it is opened: to open a device may do something.
    let location = ctr_sys::small::open_location(path)?;
    let kind = File::from(location.try_clone()?).metadata()?.file_type();
    let what = match kind {
        _ if kind.is_file() || kind.is_fifo() => None,
        _ if kind.is_dir() => Some("it is a directory"),
        _ if kind.is_socket() => Some("it is a socket"),
        _ => Some("it is a device"),
    };
    if let Some(what) = what {
        return Err(io::Error::new(ErrorKind::InvalidInput, what));
    }
    let mut file = File::from(ctr_sys::small::reopen(location.as_fd(), false)?);
    let mut bytes = Vec::new();
    let begun = Instant::now();
    // A pipe is at its end only after a writer was there.
    let mut written = !kind.is_fifo();
    loop {
        let room = (limit + 1).saturating_sub(bytes.len()) as u64;
        match file.by_ref().take(room).read_to_end(&mut bytes) {
            // What was read until now is in `bytes`.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                written = readable(&file, None)?;
            }
            Err(error) => return Err(error),
            Ok(_) if !written && bytes.is_empty() => {
                written = readable(&file, Some(LOOK_EVERY))?;
                if !written && begun.elapsed() > WRITER_WAIT {
                    return Err(io::Error::new(ErrorKind::TimedOut, "it is a pipe that nobody writes to"));
                }
            }
            Ok(_) => return Ok((bytes.len() <= limit).then_some(bytes)),
        }
    }
}

/// Whether there is something to read, or the end.
fn readable(file: &File, timeout: Option<Duration>) -> io::Result<bool> {
    let ready = poll::readable(&[file.as_fd()], timeout).map_err(io::Error::other)?;
    Ok(ready.contains(&true))
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: BUILD-140
    #[test]
    fn files_are_read_to_their_limit() {
        let path = std::env::temp_dir().join(format!("ctr-build-input-{}", std::process::id()));
        std::fs::write(&path, b"0123456789").unwrap();
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"0123456789");
        assert_eq!(read(&path, 9).unwrap(), None);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(&path, 9).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(read(Path::new("/"), 9).unwrap_err().to_string(), "it is a directory");
        assert_eq!(read(Path::new("/dev/zero"), 9).unwrap_err().to_string(), "it is a device");
    }
}
