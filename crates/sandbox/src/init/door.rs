//! Who is attached: a socket in the container's directory, and one connection at a time (spec/06-lifecycle.md "Attaching").
//!
//! ```text
//!   ctr-attach                                init
//!   connect(DIR/attach) --------------------> accept
//!          <---- 'T' + the terminal's master, or 'I' + the write end of the program's input; 'B': somebody is there
//!   ... reads and writes the terminal itself; init does not read it ...
//!   close -----------------------------------> hang-up: init reads the terminal again
//! ```
//! Init reads nothing from the socket, so that a client can neither fill its memory nor pass it descriptors.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_sys::files::PollEntry;
use ctr_sys::socket;

use super::Held;
use crate::terminal::attach::{BUSY, INPUT, TERMINAL};

pub(super) struct Door {
    listener: Option<BorrowedFd<'static>>,
    /// What is handed out, and its message.
    given: Option<(u8, BorrowedFd<'static>)>,
    /// The connection that ctr-run made before it cloned, until it is closed.
    first: Option<BorrowedFd<'static>>,
    /// One that was accepted.
    client: Option<OwnedFd>,
}

impl Door {
    pub(super) fn new(held: &Held) -> Self {
        let terminal = held.stdout.filter(|_| held.slave.is_some()).map(|master| (TERMINAL, master));
        let given = terminal.or(held.input.map(|input| (INPUT, input)));
        Self { listener: held.listener, given, first: held.first, client: None }
    }

    pub(super) fn is_occupied(&self) -> bool {
        self.first.is_some() || self.client.is_some()
    }

    pub(super) fn entries(&self) -> [PollEntry; 2] {
        let connection = self.first.or(self.client.as_ref().map(AsFd::as_fd));
        [PollEntry::readable(self.listener), PollEntry::hung_up(connection)]
    }

    /// Lets the one that left go, then the next one in.
    pub(super) fn serve(&mut self, [knocked, left]: [bool; 2]) {
        if left {
            self.first = None;
            self.client = None;
        }
        let Some(listener) = self.listener.filter(|_| knocked) else { return };
        let Ok(Some(connection)) = socket::accept(listener) else { return };
        match self.given {
            Some((message, given)) if !self.is_occupied() => {
                if socket::send(connection.as_fd(), message, Some(given)).is_ok() {
                    self.client = Some(connection);
                }
            }
            _ => drop(socket::send(connection.as_fd(), BUSY, None)),
        }
    }
}
