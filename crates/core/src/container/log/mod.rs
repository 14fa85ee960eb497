//! Reading a log while init writes it (spec/06-lifecycle.md "Log").

mod files;

pub use files::LogFiles;

use crate::timestamp::Timestamp;

/// Which of the program's output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line of a log file: `TIME STREAM TAG TEXT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEntry<'a> {
    /// When it was written.
    pub time: Timestamp,
    /// To which stream.
    pub stream: Stream,
    /// Tag `P`: the program's line goes on in the next entry of the stream.
    pub partial: bool,
    /// The text, without the newline.
    pub text: &'a [u8],
}

impl<'a> LogEntry<'a> {
    /// Reads a line without its newline; `None` if it is not one of ours.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        let stream = match parts.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        // More tags may follow the first after colons.
        let partial = match parts.next()?.split(|byte| *byte == b':').next()? {
            b"F" => false,
            b"P" => true,
            _ => return None,
        };
        Some(Self { time, stream, partial, text: parts.next()? })
    }
}
