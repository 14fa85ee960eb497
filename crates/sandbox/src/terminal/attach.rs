//! Attaching to a container that runs: the messages that init sends, one byte each, with a descriptor where there is
//! something to give, and the client's side (the server's is `init/door.rs`).

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ctr_sys::{Errno, socket, tty};

use super::WindowSize;
use crate::error::SandboxError;

/// With the master of the program's terminal.
pub(crate) const TERMINAL: u8 = b'T';
/// With the write end of the program's standard input.
pub(crate) const INPUT: u8 = b'I';
/// Somebody else is attached.
pub(crate) const BUSY: u8 = b'B';

/// The socket's name in the container's directory.
pub(crate) const SOCKET: &str = "attach";

/// What init has given. It lasts as long as the connection, which is readable when init has ended.
#[derive(Debug)]
pub struct Attached {
    /// The connection; closing it gives the place to the next one.
    pub connection: OwnedFd,
    /// The terminal's master, or the write end of the program's standard input.
    pub given: OwnedFd,
}

/// Connects to the init of the container in `dir` and takes what it gives.
pub fn attach(dir: &Path) -> Result<Attached, SandboxError> {
    let shown = dir.join(SOCKET);
    let shown = || shown.display().to_string();
    let host = |call: &'static str| move |errno| (call, errno);
    let attached = || -> Result<_, (&'static str, Errno)> {
        let dir = File::open(dir).map_err(|error| ("open", Errno::from_raw(error.raw_os_error().unwrap_or(0))))?;
        let connection = socket::connect(dir.as_fd(), SOCKET).map_err(host("connect"))?;
        let message = socket::receive(connection.as_fd()).map_err(host("recvmsg"))?;
        Ok((connection, message))
    };
    match attached() {
        Ok((connection, Some((TERMINAL | INPUT, Some(given))))) => Ok(Attached { connection, given }),
        Ok((_, Some((BUSY, _)))) => Err(SandboxError::request_hint(
            "somebody is attached to the container already",
            "detach there first; ctr-logs --follow shows what comes while nobody is attached",
        )),
        Ok(_) | Err(("connect", Errno::ECONNREFUSED)) => Err(SandboxError::request("the container has just ended")),
        Err(("connect", Errno::ENOENT)) => Err(SandboxError::request_hint(
            "there is nothing to attach to",
            "start the container with --tty, or with --interactive --detach, and with ctr's init",
        )),
        Err((call, errno)) => Err(SandboxError::host("attach to the container", call, shown(), errno)),
    }
}

/// Has the program draw its screen again: it does so when the size changes, so the size that it shall have in the end must
/// not be the one that it has.
pub fn make_redraw(terminal: &OwnedFd) {
    let size = tty::window_size(terminal.as_fd());
    if let (Ok(size), Some(own)) = (size, super::own_size())
        && size == own
    {
        let other = WindowSize { rows: size.rows.saturating_sub(1).max(1), ..size };
        let _ = tty::set_window_size(terminal.as_fd(), other);
    }
}
