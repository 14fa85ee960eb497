//! The outside of a listener for a caller that enters the container: once it is in the container's user namespace it may not
//! take descriptors from the program's process, which belongs to the host's by its memory. A process that stays outside does it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_sys::files::{self, PollEntry};
use ctr_sys::process::{self, WaitFor};
use ctr_sys::{Errno, RawResult, signal, socket};

use super::listener::{Announced, Notify};
use crate::error::SandboxError;

/// The longest text of an error that is told.
const TEXT_MAX: usize = 1024;

/// A process that stays outside, with a connection to the agent.
#[derive(Debug)]
pub(crate) struct Broker {
    pid: i32,
    socket: OwnedFd,
}

impl Broker {
    /// Forks it. The caller has one thread.
    pub(crate) fn start(notify: Notify) -> Result<Self, SandboxError> {
        let failed = |call: &'static str| {
            move |errno| SandboxError::host("make a process that talks to the seccomp agent", call, "", errno)
        };
        let (ours, theirs) = socket::pair().map_err(failed("socketpair"))?;
        if let Some(pid) = process::fork().map_err(failed("fork"))? {
            return Ok(Self { pid, socket: ours });
        }
        drop(ours);
        // Ended by the end of its maker, not by what is typed at its terminal.
        let _ = signal::block_all();
        serve(notify, theirs.as_fd());
        process::exit_now(0)
    }

    /// Has the listener passed on that `announced` tells of, by the process `pid`.
    pub(crate) fn pass_on(&self, pid: i32, pidfd: BorrowedFd<'_>, announced: Announced) -> Result<(), SandboxError> {
        let failed = |call: &'static str| move |errno| SandboxError::host("talk to the seccomp agent", call, "", errno);
        let mut message = [0u8; 12];
        let (number, rest) = message.split_at_mut(4);
        number.copy_from_slice(&pid.to_ne_bytes());
        rest.copy_from_slice(&announced.to_bytes());
        socket::send_bytes(self.socket.as_fd(), &message, Some(pidfd)).map_err(failed("sendmsg"))?;
        let mut text = [0u8; TEXT_MAX];
        files::poll(&mut [PollEntry::readable(Some(self.socket.as_fd()))], None).map_err(failed("poll"))?;
        let length = files::read(self.socket.as_fd(), &mut text).map_err(failed("read"))?;
        match text.get(..length) {
            Some([b'+']) => Ok(()),
            Some(text) if !text.is_empty() => Err(SandboxError::request(String::from_utf8_lossy(text))),
            _ => Err(failed("read")(Errno::EPIPE)),
        }
    }
}

impl Drop for Broker {
    /// It is told by the end of the connection.
    fn drop(&mut self) {
        let null = files::pipe().map(|(end, _)| end);
        if let Ok(null) = null {
            drop(std::mem::replace(&mut self.socket, null));
        }
        let _ = process::wait(WaitFor::Pid(self.pid), true);
    }
}

fn serve(notify: Notify, socket: BorrowedFd<'_>) {
    let Ok(Some((pid, pidfd, announced))) = receive(socket) else { return };
    let text = match notify.hand_over(pid, pidfd.as_fd(), announced, socket) {
        Ok(()) => "+".to_owned(),
        Err(error) => on_a_line(&error),
    };
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let _ = files::write(socket, text.get(..end).unwrap_or_default().as_bytes());
}

/// The error with its causes and its hint, on a line.
fn on_a_line(error: &SandboxError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str(" (");
        text.push_str(hint);
        text.push(')');
    }
    text
}

/// `None` if there is nothing to do after all.
fn receive(socket: BorrowedFd<'_>) -> RawResult<Option<(i32, OwnedFd, Announced)>> {
    files::poll(&mut [PollEntry::readable(Some(socket))], None)?;
    let mut message = [0u8; 12];
    let (length, pidfd) = socket::receive_bytes(socket, &mut message)?;
    let (Some(pidfd), 12) = (pidfd, length) else { return Ok(None) };
    let [a, b, c, d, announced @ ..] = message;
    Ok(Announced::read(announced).map(|announced| (i32::from_ne_bytes([a, b, c, d]), pidfd, announced)))
}
