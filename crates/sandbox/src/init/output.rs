//! What the program writes, on its way to the log: two pipes, or the master of its terminal.

use std::os::fd::BorrowedFd;

use ctr_sys::files::{self, PollEntry};
use ctr_sys::{Errno, RawResult};

use super::Held;
use crate::log::LogWriter;

/// Bytes of one read.
const PIECE: usize = 8192;
/// Reads after the end at most. A pipe holds 64 KiB unless the program made it larger, up to 1 MiB (pipe(7)), and a
/// terminal less.
const READS_AFTER_END: usize = 256;

/// The sources that are still open, and the log.
pub(super) struct Output {
    stdout: Option<BorrowedFd<'static>>,
    stderr: Option<BorrowedFd<'static>>,
    /// `stdout` is the master of a terminal, which has no end as long as init keeps the slave open.
    is_terminal: bool,
    log: Option<LogWriter<'static>>,
}

impl Output {
    pub(super) fn open(held: &Held) -> RawResult<Self> {
        if held.slave.is_none() {
            for pipe in [held.stdout, held.stderr].into_iter().flatten() {
                files::set_nonblocking(pipe)?;
            }
        }
        let log = held.log.map(LogWriter::new);
        Ok(Self { stdout: held.stdout, stderr: held.stderr, is_terminal: held.slave.is_some(), log })
    }

    /// What to wait for. A terminal that somebody is attached to is read by them.
    pub(super) fn entries(&self, attached: bool) -> [PollEntry; 2] {
        let stdout = self.stdout.filter(|_| !(self.is_terminal && attached));
        [PollEntry::readable(stdout), PollEntry::readable(self.stderr)]
    }

    /// One read of each source that is ready; one that has ended is forgotten. Whether anything was read.
    pub(super) fn pump(&mut self, [stdout, stderr]: [bool; 2]) -> bool {
        let mut moved = false;
        for (slot, ready, tag) in [(&mut self.stdout, stdout, b"stdout"), (&mut self.stderr, stderr, b"stderr")] {
            let Some(source) = slot.filter(|_| ready) else { continue };
            let mut buffer = [0u8; PIECE];
            match files::read(source, &mut buffer) {
                Ok(0) => *slot = None,
                Ok(count) => {
                    if let Some(log) = &mut self.log {
                        log.write(*tag, buffer.get(..count).unwrap_or_default(), self.is_terminal);
                    }
                    moved = true;
                }
                Err(Errno::EAGAIN) => {}
                Err(_) => *slot = None,
            }
        }
        moved
    }

    /// All that is left when nobody is there any more who could write.
    pub(super) fn drain(&mut self, attached: bool) {
        if self.is_terminal && attached {
            return;
        }
        for _ in 0..READS_AFTER_END {
            if !self.pump([true, true]) {
                break;
            }
        }
    }
}
