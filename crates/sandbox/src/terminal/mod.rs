//! Terminals of containers: the pair, the keys that detach, the relay between two terminals.
//!
//! ```text
//!   the caller's terminal <-- relay (ctr-run, ctr-attach, ctr-exec) --> master | slave <-- program
//!        in raw mode                                                      |
//!                                       init keeps a copy of the master --'  and writes to the log what comes while
//!                                                                            nobody is attached
//! ```
//! The program gets the slave of a devpts instance of the container's own, never the caller's terminal: what it puts
//! into its own terminal's input (`TIOCSTI`) only it reads itself.

pub mod attach;
mod keys;
mod relay;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_sys::files::{self, OpenAs};
use ctr_sys::{RawResult, tty};

pub use ctr_sys::tty::WindowSize;
pub use keys::{DEFAULT_DETACH_KEYS, DetachKeys};
pub use relay::{OwnStreams, Relay, RelayEnd};

use crate::error::SandboxError;

/// A pseudo terminal.
#[derive(Debug)]
pub struct Terminal {
    /// What the outside holds; reads and writes return at once.
    pub master: OwnedFd,
    /// What the program gets as its standard streams and its controlling terminal.
    pub slave: OwnedFd,
}

impl Terminal {
    /// A new pair of the devpts mount whose root is `devpts`.
    pub fn open(devpts: BorrowedFd<'_>) -> RawResult<Self> {
        let master = tty::open_master(devpts)?;
        let slave = tty::open_slave(master.as_fd())?;
        Ok(Self { master, slave })
    }

    /// A new pair of the devpts instance of a running container whose root directory is `root`. What the container has put
    /// at the place is used only if it is the `ptmx` of a devpts file system.
    pub fn open_in(root: BorrowedFd<'_>) -> Result<Self, SandboxError> {
        let path = c"dev/pts/ptmx";
        let host = |call| move |errno| SandboxError::host("make a terminal", call, "/dev/pts/ptmx", errno);
        let place = files::open_in_root(root, path, OpenAs::Location, 0)
            .map_err(|errno| host("openat2")(errno).hinted("the container has no /dev/pts: run without a terminal"))?;
        let master = tty::open_foreign_master(place.as_fd()).map_err(|errno| {
            host("open")(errno).hinted("the container has put something else at /dev/pts: run without a terminal")
        })?;
        let slave = tty::open_slave(master.as_fd()).map_err(host("ioctl TIOCGPTPEER"))?;
        Ok(Self { master, slave })
    }

    /// Gives the slave to the program's user; the group stays that of the file system's option (tty).
    pub fn give_to(&self, host_uid: u32) -> RawResult<()> {
        files::change_user(self.slave.as_fd(), host_uid)
    }
}

/// The size of the caller's terminal: of its first standard stream that is one.
pub fn own_size() -> Option<WindowSize> {
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    [input.as_fd(), output.as_fd(), error.as_fd()].into_iter().find_map(|fd| tty::window_size(fd).ok())
}
