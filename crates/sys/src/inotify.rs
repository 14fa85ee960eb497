//! Being told of changes in a directory (inotify(7)).

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::{Errno, Result, SysError};

/// Becomes readable when something in one directory changes, or the directory itself is moved or removed.
#[derive(Debug)]
pub struct DirWatch {
    inner: Inotify,
}

impl DirWatch {
    /// Watches the files of `dir` for writes, truncations, creation, removal and renames.
    pub fn new(dir: &Path) -> Result<Self> {
        let inner = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(|errno| SysError::new("inotify_init1", "", errno))?;
        let changes = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inner
            .add_watch(dir, changes)
            .map_err(|errno| SysError::new("inotify_add_watch", format!("{:?}", dir.display()), errno))?;
        Ok(Self { inner })
    }

    /// Takes all events that are queued; says whether there were any. Never waits: use [`crate::poll::readable`].
    ///
    /// What happened is not told: events can be merged and lost (`IN_Q_OVERFLOW`), so the caller looks at the files.
    pub fn drain(&self) -> Result<bool> {
        let mut any = false;
        loop {
            match self.inner.read_events() {
                Ok(_) => any = true,
                Err(Errno::EAGAIN) => return Ok(any),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(SysError::new("read", "inotify", errno)),
            }
        }
    }
}

impl AsFd for DirWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn changes_are_seen_once() {
        let dir = std::env::temp_dir().join(format!("ctr-sys-inotify-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("log"), "a").unwrap();
        let watch = DirWatch::new(&dir).unwrap();
        let ready = |timeout| crate::poll::readable(&[watch.as_fd()], Some(timeout)).unwrap() == [true];
        assert!(!ready(Duration::ZERO) && !watch.drain().unwrap());
        std::fs::write(dir.join("log"), "bb").unwrap();
        assert!(ready(Duration::from_secs(5)) && watch.drain().unwrap());
        assert!(!ready(Duration::ZERO));
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(ready(Duration::from_secs(5)) && watch.drain().unwrap());
        assert!(DirWatch::new(&dir).is_err());
    }
}
