//! The processes of groups: telling, signalling, ending.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ctr_sys::dirfd::{self, FileKind, OpenFlags};
use ctr_sys::{Errno, files, process, small};

use super::{CgroupError, freeze};

/// How long the processes of a container may take to end after SIGKILL: one in an uninterruptible sleep ends when that does.
const KILL_TIME: Duration = Duration::from_secs(10);
/// Groups below one that are looked into; the kernel allows as many as it likes.
const GROUPS_MAX: usize = 100_000;
const SIGKILL: i32 = 9;

/// The process ids in a group and all below it, in order; none if it is not there. Zombies are in no group.
pub(super) fn of(dir: &Path) -> Result<Vec<i32>, CgroupError> {
    let mut pids = BTreeSet::new();
    let walked = walk(dir, &mut |group| {
        pids.extend(read_pids(group)?);
        Ok(())
    });
    walked.map_err(|error| CgroupError::host("read the processes of", "openat", dir, &error))?;
    // Of another pid namespace.
    pids.remove(&0);
    Ok(pids.into_iter().collect())
}

/// [`of`] all of these.
pub(super) fn of_all(dirs: &[PathBuf]) -> Result<Vec<i32>, CgroupError> {
    let mut pids = BTreeSet::new();
    for dir in dirs {
        pids.extend(of(dir)?);
    }
    Ok(pids.into_iter().collect())
}

fn read_pids(group: BorrowedFd<'_>) -> io::Result<Vec<i32>> {
    let read = |name: &[u8]| -> io::Result<Vec<u8>> {
        let file = dirfd::open_child(group, name, OpenFlags::O_RDONLY, 0).map_err(|error| error.errno)?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match files::read(file.as_fd(), &mut buffer)? {
                0 => return Ok(bytes),
                count => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
        }
    };
    let bytes = match read(b"cgroup.procs") {
        // A group in threaded mode has threads alone.
        Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => read(b"cgroup.threads")?,
        // It was removed meanwhile.
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        read => read?,
    };
    Ok(String::from_utf8_lossy(&bytes).lines().filter_map(|line| line.parse().ok()).collect())
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(raw) if raw == Errno::ENOENT as i32 || raw == Errno::ENODEV as i32)
}

/// Calls `visit` for a group and every one below it, by descriptors: a container may have nested deeper than a path can name.
pub(super) fn walk(dir: &Path, visit: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut at: OwnedFd = match small::open_read(dir) {
        Err(error) if is_gone(&error) => return Ok(()),
        opened => opened?,
    };
    visit(at.as_fd())?;
    let mut levels = vec![groups_in(&at)?];
    let mut seen = 0;
    while let Some(todo) = levels.last_mut() {
        let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY | OpenFlags::O_NOFOLLOW;
        if let Some(name) = todo.pop() {
            seen += 1;
            if seen > GROUPS_MAX {
                return Err(io::Error::other(format!("more than {GROUPS_MAX} groups")));
            }
            let Ok(below) = dirfd::open_child(at.as_fd(), &name, flags, 0) else { continue };
            at = below;
            visit(at.as_fd())?;
            levels.push(groups_in(&at)?);
            continue;
        }
        levels.pop();
        if !levels.is_empty() {
            at = dirfd::open_child(at.as_fd(), b"..", flags, 0).map_err(|error| error.errno)?;
        }
    }
    Ok(())
}

fn groups_in(dir: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    match dirfd::read_dir(dir.as_fd()) {
        Ok(entries) => Ok(entries
            .into_iter()
            .filter(|entry| entry.kind == Some(FileKind::Directory))
            .map(|entry| entry.name)
            .collect()),
        // Removed meanwhile.
        Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENODEV) => Ok(Vec::new()),
        Err(error) => Err(error.errno.into()),
    }
}

/// Signals every process of the groups once; says how many there were. A process that is still in a group after its
/// descriptor was opened is the one that was meant.
pub(super) fn signal(dirs: &[PathBuf], signal: i32) -> Result<usize, CgroupError> {
    let opened: Vec<(i32, OwnedFd)> =
        of_all(dirs)?.into_iter().filter_map(|pid| Some((pid, process::pidfd_open(pid).ok()?))).collect();
    if opened.is_empty() {
        return Ok(0);
    }
    let still = of_all(dirs)?;
    let meant: Vec<&OwnedFd> = opened.iter().filter(|(pid, _)| still.contains(pid)).map(|(_, pidfd)| pidfd).collect();
    for pidfd in &meant {
        match process::pidfd_signal(pidfd.as_fd(), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => {
                return Err(CgroupError::Host {
                    action: "signal a process of the container".to_owned(),
                    cause: ctr_sys::SysError::new("pidfd_send_signal", signal.to_string(), errno),
                    hint: None,
                });
            }
        }
    }
    Ok(meant.len())
}

/// Whether the group that tracks a container has nobody: one look for what has ended long ago. Who is in another of its groups
/// alone is in the way of the removal.
pub(super) fn is_empty(dirs: &[PathBuf]) -> bool {
    let Some(dir) = dirs.first() else { return true };
    match small::read(&dir.join("cgroup.events"), 4096) {
        Ok(events) => {
            events.is_some_and(|events| events.split(|byte| *byte == b'\n').any(|line| line == b"populated 0"))
        }
        // v1, or it is not there.
        Err(_) => of(dir).is_ok_and(|pids| pids.is_empty()),
    }
}

/// By the kernel's own way (Linux 5.14), where that is all it takes: `false` where something is left after a moment, as what
/// the freezer of v1 holds.
fn kill_at_once(dirs: &[PathBuf]) -> bool {
    let asked = dirs.first().is_some_and(|dir| small::write_existing(&dir.join("cgroup.kill"), b"1").is_ok());
    let mut pause = Duration::from_micros(100);
    while asked && pause < Duration::from_millis(60) {
        if is_empty(dirs) {
            return true;
        }
        thread::sleep(pause);
        pause *= 2;
    }
    false
}

/// Ends every process of the groups, frozen ones too, and waits until they are gone.
pub(super) fn kill(dirs: &[PathBuf]) -> Result<(), CgroupError> {
    if kill_at_once(dirs) {
        return Ok(());
    }
    let end = Instant::now() + KILL_TIME;
    let mut pause = Duration::from_micros(200);
    loop {
        for dir in dirs {
            // Linux 5.14; reaches what is frozen and what is being forked.
            let _ = small::write_existing(&dir.join("cgroup.kill"), b"1");
        }
        if of_all(dirs)?.is_empty() {
            return Ok(());
        }
        // Nothing forks while it is frozen, and what is thawed with a SIGKILL pending does nothing else any more.
        for dir in dirs {
            freeze::request(dir, true);
        }
        let sent = signal(dirs, SIGKILL);
        for dir in dirs {
            freeze::request_below(dir, false);
        }
        sent?;
        if Instant::now() > end {
            return Err(CgroupError::Timeout {
                action: "end the container's processes".to_owned(),
                seconds: KILL_TIME.as_secs(),
                hint: Some(
                    "a process in an uninterruptible sleep (ps: state D) ends when that does: try again".to_owned(),
                ),
            });
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
