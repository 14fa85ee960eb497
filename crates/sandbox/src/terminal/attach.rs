//! The messages that init sends to who attaches: one byte, with a descriptor where there is something to give.

/// With the master of the program's terminal.
pub(crate) const TERMINAL: u8 = b'T';
/// With the write end of the program's standard input.
pub(crate) const INPUT: u8 = b'I';
/// Somebody else is attached.
pub(crate) const BUSY: u8 = b'B';

/// The socket's name in the container's directory.
pub(crate) const SOCKET: &str = "attach";
