//! Waiting for descriptors (poll(2)).

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::{Errno, Result, SysError};

/// What is waited for.
#[derive(Debug, Clone, Copy)]
pub enum Interest<'a> {
    /// There is something to read, or the other end is closed, or the descriptor is in error.
    Readable(BorrowedFd<'a>),
    /// The other end is closed, or the descriptor is in error: a pipe that nobody reads any more.
    Closed(BorrowedFd<'a>),
}

/// [`wait`] for any of `fds` to be readable.
pub fn readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> Result<Vec<bool>> {
    let interests: Vec<Interest<'_>> = fds.iter().map(|fd| Interest::Readable(*fd)).collect();
    wait(&interests, timeout)
}

/// Waits until one of `interests` is met or `timeout` is over; `None` waits for ever. Says of each whether it is met: none
/// is after the timeout. Goes on after signals.
pub fn wait(interests: &[Interest<'_>], timeout: Option<Duration>) -> Result<Vec<bool>> {
    // A time that the clock cannot hold is for ever.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let polled = interests.iter().map(|interest| match interest {
        Interest::Readable(fd) => PollFd::new(*fd, PollFlags::POLLIN),
        // Error and hang-up are always told.
        Interest::Closed(fd) => PollFd::new(*fd, PollFlags::empty()),
    });
    let mut polled: Vec<PollFd<'_>> = polled.collect();
    loop {
        let remaining = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // In milliseconds, rounded up: rounded down, the last one would be spent spinning.
        let timeout = remaining.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
        });
        match nix::poll::poll(&mut polled, timeout) {
            Ok(0) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                return Ok(vec![false; interests.len()]);
            }
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(polled.iter().map(is_met).collect()),
            Err(errno) => return Err(SysError::new("poll", format!("{} descriptors", interests.len()), errno)),
        }
    }
}

/// A bit that this program does not know is news, too.
fn is_met(polled: &PollFd<'_>) -> bool {
    polled.revents().is_none_or(|events| !events.is_empty())
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

    #[test]
    fn a_reader_that_goes_is_seen_and_input_is_not() {
        let (reader, writer) = std::io::pipe().unwrap();
        let (full, mut filler) = std::io::pipe().unwrap();
        filler.write_all(b"x").unwrap();
        let interests = [Interest::Closed(writer.as_fd()), Interest::Closed(full.as_fd())];
        assert_eq!(wait(&interests, Some(Duration::ZERO)).unwrap(), [false, false]);
        drop(reader);
        assert_eq!(wait(&interests, None).unwrap(), [true, false]);
    }
}
