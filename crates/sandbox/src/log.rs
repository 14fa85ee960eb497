//! Log files in the CRI log format: `2016-10-06T00:17:09.669794202Z stdout F text`, `P` where the line goes on in the next
//! record (spec/06-lifecycle.md "Log files").
//!
//! Init has no directory, so it cannot rename: it goes from one file to the other when the current one is full, and empties
//! the one that it goes to. What a reader finds in the two is the last 10 to 20 MiB.

use std::os::fd::BorrowedFd;

use ctr_core::timestamp::{TIMESTAMP_LEN, Timestamp};
use ctr_sys::files;

/// Bytes after which the other file is used (spec/limits.md).
pub const LOG_FILE_MAX: u64 = 10 << 20;

/// Bytes that are gathered for one write.
const BUFFER: usize = 4096;

/// Writes records; allocates nothing. A full disk loses records and nothing else.
pub(crate) struct LogWriter<'a> {
    files: [BorrowedFd<'a>; 2],
    current: usize,
    size: u64,
    buffer: [u8; BUFFER],
    used: usize,
}

impl<'a> LogWriter<'a> {
    /// On two files that are open to append and empty.
    pub(crate) fn new(files: [BorrowedFd<'a>; 2]) -> Self {
        Self { files, current: 0, size: 0, buffer: [0; BUFFER], used: 0 }
    }

    /// Writes what one read of a stream gave: one record for each line, the last one partial if no newline ends it. A
    /// terminal puts a carriage return before each newline, which is left out.
    pub(crate) fn write(&mut self, stream: [u8; 6], data: &[u8], terminal: bool) {
        let mut stamp = [0; TIMESTAMP_LEN];
        Timestamp::now().write(&mut stamp);
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            let (text, tag) = match piece.strip_suffix(b"\n") {
                Some(text) if terminal => (text.strip_suffix(b"\r").unwrap_or(text), b" F "),
                Some(text) => (text, b" F "),
                None => (piece, b" P "),
            };
            self.rotate(text.len() as u64);
            for part in [stamp.as_slice(), b" ", &stream, tag, text, b"\n"] {
                self.put(part);
            }
        }
        self.flush();
    }

    fn put(&mut self, mut part: &[u8]) {
        while !part.is_empty() {
            let room = self.buffer.get_mut(self.used..).unwrap_or_default();
            if room.is_empty() {
                self.flush();
                continue;
            }
            let (now, later) = part.split_at(part.len().min(room.len()));
            if let Some(slot) = room.get_mut(..now.len()) {
                slot.copy_from_slice(now);
            }
            self.used += now.len();
            part = later;
        }
    }

    fn flush(&mut self) {
        let [first, second] = self.files;
        let file = if self.current == 0 { first } else { second };
        let _ = files::write_all(file, self.buffer.get(..self.used).unwrap_or_default());
        self.size += self.used as u64;
        self.used = 0;
    }

    fn rotate(&mut self, next: u64) {
        let record = next + TIMESTAMP_LEN as u64 + 12;
        if self.size + self.used as u64 + record <= LOG_FILE_MAX {
            return;
        }
        self.flush();
        self.current ^= 1;
        self.size = 0;
        let [first, second] = self.files;
        let _ = files::truncate(if self.current == 0 { first } else { second });
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions, read_to_string};
    use std::os::fd::AsFd;

    use super::*;

    fn append(path: &std::path::Path) -> File {
        OpenOptions::new().create(true).append(true).open(path).unwrap()
    }

    #[test]
    fn lines_become_records_and_files_alternate() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().join("log"), dir.path().join("log.1")];
        let files = paths.each_ref().map(|path| append(path));
        let mut log = LogWriter::new([files[0].as_fd(), files[1].as_fd()]);
        log.write(*b"stdout", b"one\r\ntwo", true);
        log.write(*b"stderr", b"\nlast\n", false);
        let text = read_to_string(&paths[0]).unwrap();
        let tails: Vec<&str> = text.lines().map(|line| &line[TIMESTAMP_LEN..]).collect();
        assert_eq!(tails, [" stdout F one", " stdout P two", " stderr F ", " stderr F last"]);

        let line = [[b'x'; 8191].as_slice(), b"\n"].concat();
        for _ in 0..=LOG_FILE_MAX / 8192 {
            log.write(*b"stdout", &line, false);
        }
        let sizes = paths.each_ref().map(|path| path.metadata().unwrap().len());
        assert!(sizes[0] <= LOG_FILE_MAX && sizes[1] > 0 && sizes[1] < LOG_FILE_MAX, "{sizes:?}");
        for _ in 0..=LOG_FILE_MAX / 8192 {
            log.write(*b"stdout", &line, false);
        }
        assert!(paths[0].metadata().unwrap().len() < sizes[0], "the older file was emptied");
    }
}
