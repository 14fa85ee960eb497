//! Process file descriptors (pidfd_open(2)): a process that cannot be mistaken for a later one with its number.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::{Errno, Result, SysError, process, procfs};

/// A descriptor of process `pid`; `None` if there is no such process. It is readable by poll(2) once the process ended.
pub fn open(pid: i32) -> Result<Option<OwnedFd>> {
    match process::pidfd_open(pid) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::ESRCH) => Ok(None),
        Err(errno) => Err(SysError::new("pidfd_open", pid.to_string(), errno)),
    }
}

/// A descriptor of the process that had number `pid` and started at `start_time` (clock ticks since this boot, see
/// [`procfs::ProcessStat`]); `None` if it has ended and been reaped, or the number belongs to another by now.
///
/// The start time is read after the descriptor was made: if it matches, the process with this number has been there
/// all the time, so it is the one that the descriptor refers to.
pub fn open_verified(pid: i32, start_time: u64) -> Result<Option<OwnedFd>> {
    let Some(fd) = open(pid)? else { return Ok(None) };
    let stat =
        procfs::process_stat(pid).map_err(|error| SysError::from_io("read", format!("/proc/{pid}/stat"), &error))?;
    Ok(stat.filter(|stat| stat.start_time == start_time).map(|_| fd))
}

/// Sends `signal`; `false` if the process has ended.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<bool> {
    match process::pidfd_signal(pidfd, signal) {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => Err(SysError::new("pidfd_send_signal", format!("pidfd, {signal}"), errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::process::{Child, Command};
    use std::time::Duration;

    fn sleeper() -> (Child, i32, u64) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let start = procfs::process_stat(pid).unwrap().unwrap().start_time;
        (child, pid, start)
    }

    #[test]
    fn a_process_is_signalled_and_its_end_is_seen() {
        let (mut child, pid, start) = sleeper();
        let fd = open_verified(pid, start).unwrap().unwrap();
        assert_eq!(crate::poll::readable(&[fd.as_fd()], Some(Duration::ZERO)).unwrap(), [false]);
        assert!(send_signal(fd.as_fd(), libc::SIGKILL).unwrap());
        assert_eq!(crate::poll::readable(&[fd.as_fd()], None).unwrap(), [true]);
        child.wait().unwrap();
        assert!(!send_signal(fd.as_fd(), libc::SIGKILL).unwrap());
        assert!(open_verified(pid, start).unwrap().is_none());
    }

    #[test]
    fn another_process_with_the_number_is_refused() {
        let (mut child, pid, start) = sleeper();
        assert!(open_verified(pid, start - 1).unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
