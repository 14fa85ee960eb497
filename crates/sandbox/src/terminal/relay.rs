//! Between the caller's standard streams and the master of a terminal: one loop, two buffers, no thread.
//!
//! The caller's terminal is in raw mode for as long as [`Relay::run`] runs: whichever way it returns, the modes come back
//! (`ctr_sys::tty::RawMode` restores when it goes). Signals are blocked and read from a descriptor, so none ends the
//! process in between, but for SIGKILL, against which nothing can be done.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_sys::files::{self, PollEntry};
use ctr_sys::tty::{self, RawMode};
use ctr_sys::{Errno, process, signal};

use super::DetachKeys;
use super::keys::Matcher;
use crate::error::SandboxError;

/// Bytes that wait in each direction at most (spec/limits.md).
const BUFFER: usize = 16 * 1024;
/// Bytes of one write to a stream that may make us wait: what a pipe that is ready takes at once (pipe(7), `PIPE_BUF`).
const SMALL_WRITE: usize = 4096;
/// Bytes that are still shown after the end: more than a terminal holds. Without a bound a process outside of the container
/// that was given the slave could keep us for ever.
const AFTER_END: usize = 1 << 20;

/// What to relay, and until when.
#[derive(Debug)]
pub struct Relay<'a> {
    /// The master; reads and writes of it return at once.
    pub terminal: BorrowedFd<'a>,
    /// Can be read, or is hung up, when the program has ended: a pidfd, the connection to init.
    pub end: BorrowedFd<'a>,
    /// A signalfd of every signal; the caller has blocked them.
    pub signals: BorrowedFd<'a>,
    /// Whether what is typed is passed on; standard input must be a terminal then.
    pub input: bool,
    /// What detaches.
    pub detach: &'a DetachKeys,
    /// The caller's streams, opened again.
    pub streams: &'a OwnStreams,
}

/// Standard input and output by descriptions of our own, where the kernel gives them: then nothing on them ever waits. To be
/// opened before a container's mount namespace is joined, where `/proc` is the container's.
#[derive(Debug)]
pub struct OwnStreams {
    input: Option<OwnedFd>,
    output: Option<OwnedFd>,
}

impl OwnStreams {
    /// Opens them.
    pub fn open() -> Self {
        let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
        Self { input: tty::reopen_to_read(stdin.as_fd()).ok(), output: tty::reopen_to_write(stdout.as_fd()).ok() }
    }
}

/// Why a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayEnd {
    /// The program has ended, and what it wrote has been shown.
    Ended,
    /// The keys were typed.
    Detached,
    /// The caller's own terminal has gone, or nobody reads what is shown.
    HungUp,
    /// This signal shall end the caller.
    Signalled(i32),
}

impl Relay<'_> {
    /// Relays until one of these. Signals that are not about the caller's terminal are given to `pass_on`; `false` from it
    /// ends the relay.
    pub fn run(&self, pass_on: impl FnMut(i32) -> bool) -> Result<RelayEnd, SandboxError> {
        let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
        let host = |action: &'static str, call: &'static str| {
            move |errno| SandboxError::host(action, call, "the terminal", errno)
        };
        let raw = if self.input {
            Some(RawMode::enter(stdin.as_fd()).map_err(host("make the terminal raw", "tcsetattr"))?)
        } else {
            None
        };
        let input = Stream { own: self.streams.input.as_ref(), given: stdin.as_fd() };
        let output = Stream { own: self.streams.output.as_ref(), given: stdout.as_fd() };
        let mut running = Running {
            relay: self,
            raw,
            pass_on,
            input,
            output,
            matcher: Matcher::new(self.detach),
            typed: Pending::default(),
            shown: Pending::default(),
            terminal_open: true,
            ended: false,
            after_end: 0,
        };
        running.resize();
        running.run().map_err(host("relay the terminal", "poll"))
    }
}

/// A standard stream, by a description of our own where the kernel gives one: then nothing on it ever waits.
struct Stream<'a> {
    own: Option<&'a OwnedFd>,
    given: BorrowedFd<'a>,
}

impl Stream<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.own.map_or(self.given, |own| own.as_fd())
    }
}

/// Bytes on their way.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    written: usize,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn has_room(&self) -> bool {
        self.bytes.len() < BUFFER
    }

    /// Writes what the other side takes now, `at_once` bytes at most.
    fn write(&mut self, to: BorrowedFd<'_>, at_once: usize) -> Result<(), Errno> {
        let rest = self.bytes.get(self.written..).unwrap_or_default();
        let rest = rest.get(..at_once.min(rest.len())).unwrap_or_default();
        match files::write(to, rest) {
            Ok(count) => self.written += count,
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(errno),
        }
        if self.written == self.bytes.len() {
            self.clear();
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }
}

struct Running<'a, 'r, F> {
    relay: &'r Relay<'a>,
    raw: Option<RawMode<'r>>,
    pass_on: F,
    input: Stream<'r>,
    output: Stream<'r>,
    matcher: Matcher<'r>,
    typed: Pending,
    shown: Pending,
    /// Somebody may write to the slave. The caller, or init, keeps it open, so that a program may close and reopen it.
    terminal_open: bool,
    ended: bool,
    after_end: usize,
}

impl<F: FnMut(i32) -> bool> Running<'_, '_, F> {
    fn run(&mut self) -> Result<RelayEnd, Errno> {
        loop {
            if self.ended && self.shown.is_empty() && (!self.terminal_open || self.after_end > AFTER_END) {
                return Ok(RelayEnd::Ended);
            }
            let relay = self.relay;
            let mut entries = [
                PollEntry::readable(Some(relay.signals)),
                PollEntry::readable((!self.ended).then_some(relay.end)),
                PollEntry::readable((relay.input && self.typed.has_room()).then(|| self.input.fd())),
                if self.shown.is_empty() {
                    PollEntry::readable(None)
                } else {
                    PollEntry::of(self.output.fd(), false, true)
                },
                // Left out when nothing can be done with it: a hang-up would be told again and again.
                if self.terminal_open && (self.shown.has_room() || !self.typed.is_empty()) {
                    PollEntry::of(relay.terminal, self.shown.has_room(), !self.typed.is_empty())
                } else {
                    PollEntry::readable(None)
                },
            ];
            let rest = self.ended && self.shown.is_empty();
            files::poll(&mut entries, rest.then_some(0))?;
            let [signalled, ended, typed, output, terminal] = entries;
            if signalled.is_ready()
                && let Some(end) = self.take_signals()?
            {
                return Ok(end);
            }
            if typed.is_ready()
                && let Some(end) = self.read_typed()
            {
                return Ok(end);
            }
            if terminal.is_ready() {
                self.serve_terminal(terminal);
            } else if rest {
                return Ok(RelayEnd::Ended);
            }
            if output.is_ready() && self.show().is_err() {
                return Ok(if self.ended { RelayEnd::Ended } else { RelayEnd::HungUp });
            }
            // Seen last: what the program wrote before it ended is read in the next round.
            self.ended |= ended.is_ready();
        }
    }

    /// Some: the relay is over.
    fn take_signals(&mut self) -> Result<Option<RelayEnd>, Errno> {
        while let Some(number) = signal::read_signal(self.relay.signals)? {
            match number {
                signal::SIGWINCH => self.resize(),
                signal::SIGTSTP => {
                    match &mut self.raw {
                        Some(raw) => raw.suspend()?,
                        None => process::kill(process::own_pid(), signal::SIGSTOP)?,
                    }
                    self.resize();
                }
                signal::SIGCONT => {
                    if let Some(raw) = &mut self.raw {
                        raw.resume()?;
                    }
                    self.resize();
                }
                // The caller's terminal has gone; the container goes on without it.
                signal::SIGHUP if self.raw.is_some() => return Ok(Some(RelayEnd::HungUp)),
                number if signal::is_own_doing(number) => {}
                // Whoever reads what we show does not go on, and the caller wants an end.
                _ if self.ended => return Ok(Some(RelayEnd::Ended)),
                number if (self.pass_on)(number) => {}
                number => return Ok(Some(RelayEnd::Signalled(number))),
            }
        }
        Ok(None)
    }

    /// The terminal of the program gets the size of the caller's.
    fn resize(&self) {
        if let Some(size) = super::own_size() {
            let _ = tty::set_window_size(self.relay.terminal, size);
        }
    }

    fn read_typed(&mut self) -> Option<RelayEnd> {
        let mut buffer = [0; 1024];
        match files::read(self.input.fd(), &mut buffer) {
            Err(Errno::EAGAIN) => None,
            // No terminal gives an end in raw mode unless it is gone.
            Ok(0) | Err(_) => {
                self.matcher.finish(&mut self.typed.bytes);
                Some(RelayEnd::HungUp)
            }
            Ok(count) => {
                let typed = buffer.get(..count).unwrap_or_default();
                let detached = self.matcher.pass(typed, &mut self.typed.bytes);
                if !self.terminal_open {
                    self.typed.clear();
                }
                if !self.typed.is_empty() {
                    let _ = self.typed.write(self.relay.terminal, BUFFER);
                }
                detached.then_some(RelayEnd::Detached)
            }
        }
    }

    fn serve_terminal(&mut self, terminal: PollEntry) {
        if !self.typed.is_empty() && terminal.is_writable() && self.typed.write(self.relay.terminal, BUFFER).is_err() {
            self.typed.clear();
        }
        if !terminal.is_readable() || !self.shown.has_room() {
            return;
        }
        let mut buffer = [0; 8192];
        match files::read(self.relay.terminal, &mut buffer) {
            Err(Errno::EAGAIN) => {}
            // EIO: nobody has the slave open any more, and all has been read.
            Ok(0) | Err(_) => {
                self.terminal_open = false;
                self.typed.clear();
            }
            Ok(count) => {
                self.shown.bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
                self.after_end += if self.ended { count } else { 0 };
            }
        }
    }

    fn show(&mut self) -> Result<(), Errno> {
        let at_once = if self.output.own.is_some() { BUFFER } else { SMALL_WRITE };
        self.shown.write(self.output.fd(), at_once)
    }
}
