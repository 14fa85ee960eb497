//! The points of a bundle's life where its first process waits for others: the caller, hooks, the start. As all that the child
//! does: raw system calls, no allocation.

use std::os::fd::{AsFd, BorrowedFd};

use ctr_sys::files::{self, PollEntry};
use ctr_sys::process::{self, Ended, WaitFor};
use ctr_sys::{Errno, RawResult, signal, socket};

use super::Hook;

/// First byte of a report that is no failure: the caller is asked to go on.
pub(crate) const ASKS: u8 = 16;
/// The container is created.
pub(crate) const CREATED: u8 = 17;

/// Tells the caller, and waits for its byte; without one the caller has given up.
pub(super) fn ask(answer: BorrowedFd<'_>, report: BorrowedFd<'_>) -> RawResult<()> {
    say(report, ASKS)?;
    let mut byte = [0];
    match files::read(answer, &mut byte)? {
        1 => Ok(()),
        _ => Err(Errno::ECANCELED),
    }
}

/// Says that the container is created and waits for a connection, which takes the place of the report pipe: the exec closes
/// it.
pub(super) fn await_start(listener: BorrowedFd<'_>, report: BorrowedFd<'_>) -> RawResult<()> {
    use std::os::fd::AsRawFd;
    // Whoever executes something in the container before its start sees this process.
    ctr_sys::sealed::wipe_start_strings();
    say(report, CREATED)?;
    let connection = socket::accept_waiting(listener)?;
    files::duplicate_to_closing(connection.as_fd(), report.as_raw_fd())
}

fn say(report: BorrowedFd<'_>, word: u8) -> RawResult<()> {
    files::write_all(report, &[word, 0, 0, 0, 0, 0, 0, 0])
}

impl Hook {
    /// Executes it with `document` as its standard input. It has failed when it returns anything but 0, or takes too long.
    pub(super) fn run(&self, document: Option<BorrowedFd<'_>>) -> RawResult<()> {
        let Some(pid) = process::fork()? else { self.execute(document) };
        if let Some(time) = self.timeout_ms {
            let pidfd = process::pidfd_open(pid)?;
            let mut entries = [PollEntry::readable(Some(pidfd.as_fd()))];
            if files::poll(&mut entries, Some(time))? == 0 {
                process::pidfd_signal(pidfd.as_fd(), signal::SIGKILL)?;
                process::wait(WaitFor::Pid(pid), true)?;
                return Err(Errno::ETIME);
            }
        }
        match process::wait(WaitFor::Pid(pid), true)? {
            Some((_, Ended::Code(0))) => Ok(()),
            // Told as "the hook failed": errors of its exec were seen by nobody else.
            Some((_, Ended::Code(NOT_EXECUTED))) => Err(Errno::ENOEXEC),
            _ => Err(Errno::ECHILD),
        }
    }

    fn execute(&self, document: Option<BorrowedFd<'_>>) -> ! {
        let ready = document.map_or(Ok(()), |document| {
            files::rewind(document)?;
            files::duplicate_to(document, 0)
        });
        if ready.is_ok() {
            signal::default_all();
            let _ = signal::unblock_all();
            let _ = process::exec(&self.path, &self.arguments, &self.environment);
        }
        process::exit_now(NOT_EXECUTED)
    }
}

/// Exit code of a hook's process that could not execute it, as shells have it.
const NOT_EXECUTED: u8 = 127;
