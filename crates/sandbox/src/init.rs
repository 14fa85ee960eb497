//! PID 1 of a container: reaps, forwards signals, writes the log, records how the program ended.
//!
//! It is the launcher's own image after fork, so nothing is executed and its memory is shared with nobody's secrets: before
//! it begins it has closed every descriptor but the ones below, given up every capability but `CAP_KILL`, and cannot be
//! traced or looked at by programs of the container (`PR_SET_DUMPABLE`). Like all code after clone it does not allocate.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use ctr_core::container::{EXIT_RECORD_MAX, ExitRecord, ExitStatus};
use ctr_core::timestamp::Timestamp;
use ctr_sys::files::{self, PollEntry};
use ctr_sys::privilege::{self, CapSet};
use ctr_sys::process::{self, Ended, WaitFor};
use ctr_sys::{Errno, RawResult, signal};

use crate::log::LogWriter;

/// What init keeps open.
#[derive(Debug)]
pub(crate) struct InitFiles<'a> {
    /// The container's lock: held as long as this process lives.
    pub(crate) lock: BorrowedFd<'a>,
    /// The range of ids of the container's user namespace: its lock is held as long as this process lives.
    pub(crate) range: Option<OwnedFd>,
    /// The empty `exit` file.
    pub(crate) exit: OwnedFd,
    /// Log files and the pipes to read, with `--log=file`.
    pub(crate) log: Option<LogFiles>,
}

/// The log side of [`InitFiles`].
#[derive(Debug)]
pub(crate) struct LogFiles {
    /// The program's standard output.
    pub(crate) stdout: OwnedFd,
    /// Its standard error.
    pub(crate) stderr: OwnedFd,
    /// `log` and `log.1`, opened to append.
    pub(crate) files: [OwnedFd; 2],
}

/// How many descriptors init has at most, with the signalfd.
const KEPT_MAX: usize = 8;

/// Lives until the program `main` has ended, then ends itself, and with it the container.
pub(crate) fn run(files: &InitFiles<'_>, main: i32) -> ! {
    let ended = match lives(files, main) {
        Ok(ended) => ended,
        // Without signals or poll there is nothing to be done but to wait.
        Err(_) => wait_only(main),
    };
    let status = match ended {
        Ended::Code(code) => ExitStatus::Code(code),
        Ended::Signal(number) => ExitStatus::Signal(number),
    };
    let mut line = [0; EXIT_RECORD_MAX];
    let len = ExitRecord { status, at: Timestamp::now() }.write(&mut line);
    let _ = files::write_all(files.exit.as_fd(), line.get(..len).unwrap_or_default());
    process::exit_now(status.exit_code())
}

fn lives(files: &InitFiles<'_>, main: i32) -> RawResult<Ended> {
    let signals = signal::signalfd_all()?;
    close_all_but(files, signals.as_fd())?;
    privilege::set_capabilities(CapSet::KILL, CapSet::KILL, CapSet::default())?;
    privilege::no_new_privileges()?;
    let mut log = files.log.as_ref().map(|log| LogWriter::new([log.files[0].as_fd(), log.files[1].as_fd()]));
    let mut streams = Streams::open(files)?;
    loop {
        let mut entries = [
            PollEntry::readable(Some(signals.as_fd())),
            PollEntry::readable(streams.stdout),
            PollEntry::readable(streams.stderr),
        ];
        files::poll(&mut entries, None)?;
        let [signalled, out, err] = entries;
        if let Some(log) = &mut log {
            streams.pump(log, out.is_ready(), err.is_ready());
        }
        if !signalled.is_ready() {
            continue;
        }
        while let Some(number) = signal::read_signal(signals.as_fd())? {
            if number == signal::SIGCHLD {
                if let Some(ended) = reap(main)? {
                    // The rest of the container goes now, so that what it wrote is complete.
                    let _ = process::kill(-1, signal::SIGKILL);
                    if let Some(log) = &mut log {
                        streams.drain(log);
                    }
                    return Ok(ended);
                }
            } else if !signal::is_own_doing(number) {
                let _ = process::kill(main, number);
            }
        }
    }
}

/// Reaps all that have ended; says how the program did, if it is among them.
fn reap(main: i32) -> RawResult<Option<Ended>> {
    let mut found = None;
    loop {
        match process::wait(WaitFor::Any, false) {
            Ok(Some((pid, ended))) if pid == main => found = Some(ended),
            Ok(Some(_)) => {}
            Ok(None) | Err(Errno::ECHILD) => return Ok(found),
            Err(errno) => return Err(errno),
        }
    }
}

fn wait_only(main: i32) -> Ended {
    loop {
        match process::wait(WaitFor::Any, true) {
            Ok(Some((pid, ended))) if pid == main => return ended,
            Ok(_) => {}
            Err(_) => return Ended::Code(255),
        }
    }
}

/// Closes every descriptor that is not in `files` and not `signals`.
fn close_all_but(files: &InitFiles<'_>, signals: BorrowedFd<'_>) -> RawResult<()> {
    let mut kept = [i32::MAX; KEPT_MAX];
    let log = files.log.as_ref();
    let numbers = [
        Some(files.lock.as_raw_fd()),
        files.range.as_ref().map(AsRawFd::as_raw_fd),
        Some(files.exit.as_raw_fd()),
        Some(signals.as_raw_fd()),
        log.map(|log| log.stdout.as_raw_fd()),
        log.map(|log| log.stderr.as_raw_fd()),
        log.map(|log| log.files[0].as_raw_fd()),
        log.map(|log| log.files[1].as_raw_fd()),
    ];
    for (slot, number) in kept.iter_mut().zip(numbers.into_iter().flatten()) {
        *slot = number;
    }
    kept.sort_unstable();
    let mut first = 0;
    for number in kept {
        if number == i32::MAX {
            break;
        }
        let number = number.unsigned_abs();
        if number > first {
            files::close_range(first, number - 1)?;
        }
        first = number + 1;
    }
    files::close_range(first, u32::MAX)
}

/// The pipes that are still open.
struct Streams<'a> {
    stdout: Option<BorrowedFd<'a>>,
    stderr: Option<BorrowedFd<'a>>,
}

impl<'a> Streams<'a> {
    fn open(files: &'a InitFiles<'_>) -> RawResult<Self> {
        let Some(log) = &files.log else { return Ok(Self { stdout: None, stderr: None }) };
        files::set_nonblocking(log.stdout.as_fd())?;
        files::set_nonblocking(log.stderr.as_fd())?;
        Ok(Self { stdout: Some(log.stdout.as_fd()), stderr: Some(log.stderr.as_fd()) })
    }

    /// One read of each stream that is ready; a stream that has ended is forgotten.
    fn pump(&mut self, log: &mut LogWriter<'_>, stdout: bool, stderr: bool) -> bool {
        let mut moved = false;
        for (slot, ready, tag) in [(&mut self.stdout, stdout, b"stdout"), (&mut self.stderr, stderr, b"stderr")] {
            let Some(stream) = slot.filter(|_| ready) else { continue };
            let mut buffer = [0u8; 8192];
            match files::read(stream, &mut buffer) {
                Ok(0) => *slot = None,
                Ok(count) => {
                    log.write(*tag, buffer.get(..count).unwrap_or_default());
                    moved = true;
                }
                Err(_) => {}
            }
        }
        moved
    }

    /// All that is left in the pipes. A pipe holds 64 KiB unless the program made it larger, up to 1 MiB (pipe(7)).
    fn drain(&mut self, log: &mut LogWriter<'_>) {
        for _ in 0..256 {
            if !self.pump(log, true, true) {
                break;
            }
        }
    }
}
