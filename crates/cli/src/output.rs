//! Standard output: data only, and a reader that went away is no accident.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{self, Write};

use serde::Serialize;

use crate::escape;
use crate::failure::{Failure, Kind};

/// Standard output as a writer whose errors end a binary rightly when they reach [`Failure`] by `?`: without a word
/// if the reader closed the pipe, as a failure to write to standard output otherwise.
///
/// Not buffered beyond std's line buffer: a stream wraps it in a `BufWriter` and flushes it itself.
#[derive(Debug)]
pub struct Stdout(io::StdoutLock<'static>);

/// See [`Stdout`].
pub fn stdout() -> Stdout {
    Stdout(io::stdout().lock())
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(StdoutError::wrap)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(StdoutError::wrap)
    }
}

/// Marks an error of standard output, to be told from one of any other file.
#[derive(Debug)]
pub(crate) struct StdoutError(io::Error);

impl fmt::Display for StdoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write to standard output")
    }
}

impl Error for StdoutError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl StdoutError {
    fn wrap(error: io::Error) -> io::Error {
        match error.kind() {
            // Callers retry this one by its kind, and it carries nothing.
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, Self(error)),
        }
    }

    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    pub(crate) fn failure(&self) -> Failure {
        let failure = Failure::new(self.to_string()).caused_by(&self.0);
        match self.0.kind() {
            io::ErrorKind::BrokenPipe => Failure { kind: Kind::BrokenPipe, ..failure },
            _ => failure,
        }
    }
}

/// Writes `text` to standard output as it is.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes `value` to standard output as one indented JSON document (see [`to_json`]).
pub fn print_json<T: Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    let mut text = to_json(value, true)?;
    text.push('\n');
    print(&text)
}

/// `value` as JSON in which no character can act on a terminal: serde_json escapes C0 only, here the rest of
/// [`escape::is_control`] is escaped too. The document means the same.
pub fn to_json<T: Serialize + ?Sized>(value: &T, indented: bool) -> Result<String, serde_json::Error> {
    let text = if indented { serde_json::to_string_pretty(value)? } else { serde_json::to_string(value)? };
    let foreign = |c: char| c != '\n' && escape::is_control(c);
    if !text.contains(foreign) {
        return Ok(text);
    }
    // Outside of strings JSON has no such characters, and all of them lie in the first plane.
    Ok(text.chars().fold(String::with_capacity(text.len() + 16), |mut out, c| {
        if foreign(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
        out
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_reader_is_silent_and_a_full_disk_is_not() {
        let closed = Failure::from(StdoutError::wrap(io::ErrorKind::BrokenPipe.into()));
        assert_eq!(closed.kind, Kind::BrokenPipe);
        let full = Failure::from(StdoutError::wrap(io::Error::from_raw_os_error(28)));
        assert_eq!(full.kind, Kind::Failure);
        assert_eq!(full.what(), "cannot write to standard output");
        assert_eq!(full.causes().len(), 1);
    }

    #[test]
    fn a_broken_pipe_of_another_file_is_an_error() {
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).kind, Kind::Failure);
    }

    #[test]
    fn json_has_no_control_characters_and_means_the_same() {
        let foreign = "a\u{9b}b\u{7f}c\u{202e}d\ne\x1b";
        for indented in [false, true] {
            let text = to_json(&[foreign], indented).unwrap();
            assert!(!text.contains(|c| c != '\n' && escape::is_control(c)), "{text}");
            assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), [foreign]);
        }
    }
}
