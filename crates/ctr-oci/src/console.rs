//! The socket on which the master of a terminal is passed on (`--console-socket`): the engine listens, and gets one message with
//! the descriptor.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctr_cli::Failure;
use ctr_sandbox::terminal::Terminal;
use ctr_sys::{Errno, small, socket};

/// A connection to the engine.
#[derive(Debug)]
pub(crate) struct Console {
    path: PathBuf,
    connection: OwnedFd,
}

impl Console {
    /// Connects, before anything of the container exists.
    pub(crate) fn connect(path: &Path) -> Result<Self, Failure> {
        let failed = |why: &dyn std::fmt::Display| {
            Failure::new(format!("cannot connect to the console socket {}", path.display()))
                .because(why.to_string())
                .hint("--console-socket names the socket of a program that listens")
        };
        let (parent, name) = small::parent_and_name(path).ok_or_else(|| failed(&"it has no name"))?;
        let name = name.to_str().ok_or_else(|| failed(&"its name is not UTF-8"))?;
        let dir = File::open(parent).map_err(|error| failed(&error))?;
        let connection = socket::connect_stream(dir.as_fd(), name).map_err(|errno: Errno| failed(&errno.desc()))?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Passes the master on.
    pub(crate) fn send(self, terminal: &Terminal) -> Result<(), Failure> {
        socket::send(self.connection.as_fd(), 0, Some(terminal.master.as_fd())).map_err(|errno| {
            Failure::new(format!("cannot pass the terminal on to {}", self.path.display())).because(errno.desc())
        })
    }
}
