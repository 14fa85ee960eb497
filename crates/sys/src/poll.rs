//! Waiting for descriptors (poll(2)).

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::{Errno, Result, SysError};

/// Waits until one of `fds` is readable (or its other end is closed, or it is in error), or `timeout` is over; `None`
/// waits for ever. Says of each descriptor whether it is ready: none is after the timeout. Goes on after signals.
pub fn readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> Result<Vec<bool>> {
    // A time that the clock cannot hold is for ever.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut polled: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    loop {
        let remaining = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // In milliseconds, rounded up: rounded down, the last one would be spent spinning.
        let timeout = remaining.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
        });
        match nix::poll::poll(&mut polled, timeout) {
            Ok(0) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => return Ok(vec![false; fds.len()]),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(polled.iter().map(|fd| fd.any().unwrap_or(true)).collect()),
            Err(errno) => return Err(SysError::new("poll", format!("{} descriptors", fds.len()), errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::fd::AsFd;

    #[test]
    fn readiness_and_timeout() {
        let (silent, _keep) = std::io::pipe().unwrap();
        let (ready, mut writer) = std::io::pipe().unwrap();
        let start = Instant::now();
        let both = [silent.as_fd(), ready.as_fd()];
        assert_eq!(readable(&both, Some(Duration::from_millis(30))).unwrap(), [false, false]);
        assert!(start.elapsed() >= Duration::from_millis(30));
        writer.write_all(b"x").unwrap();
        assert_eq!(readable(&both, None).unwrap(), [false, true]);
        drop((writer, ready));
        let (closed, writer) = std::io::pipe().unwrap();
        drop(writer);
        assert_eq!(readable(&[closed.as_fd()], Some(Duration::MAX)).unwrap(), [true]);
    }
}
