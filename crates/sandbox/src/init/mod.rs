//! PID 1 of a container: reaps, forwards signals, writes the log, holds the terminal, watches the time, records how the
//! program ended.
//!
//! It is the launcher's own image after fork, so nothing is executed and its memory is shared with nobody's secrets: before
//! it begins it has closed every descriptor but the ones below, given up every capability but `CAP_KILL`, and cannot be
//! traced or looked at by programs of the container (`PR_SET_DUMPABLE`). Like all code after clone it does not allocate.

mod clock;
mod door;
mod output;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use ctr_core::container::{EXIT_RECORD_MAX, ExitRecord, ExitStatus};
use ctr_core::timestamp::Timestamp;
use ctr_sys::files::{self, PollEntry};
use ctr_sys::privilege::{self, CapSet};
use ctr_sys::process::{self, Ended, WaitFor};
use ctr_sys::{Errno, RawResult, signal};

pub(crate) use clock::TimeLimit;

use crate::orphans;
use crate::terminal::Terminal;
use clock::Clock;
use door::Door;
use output::Output;

/// What init keeps open.
#[derive(Debug)]
pub(crate) struct InitFiles<'a> {
    /// The container's lock: held as long as this process lives.
    pub(crate) lock: BorrowedFd<'a>,
    /// The range of ids of the container's user namespace: its lock is held as long as this process lives.
    pub(crate) range: Option<OwnedFd>,
    /// The empty `exit` file.
    pub(crate) exit: OwnedFd,
    /// What it reads of the program.
    pub(crate) source: Source,
    /// `log` and `log.1`, opened to append, with `--log=file`.
    pub(crate) log: Option<[OwnedFd; 2]>,
    /// How others come to the terminal or the program's input.
    pub(crate) attach: Option<Attach>,
    /// How long the program may run.
    pub(crate) limit: Option<TimeLimit>,
}

/// What the program writes to.
#[derive(Debug)]
pub(crate) enum Source {
    /// Nothing of init's.
    None,
    /// Two pipes, of which these are the ends to read.
    Pipes {
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A terminal. The slave is kept open too, so that the program may close it and open it again.
    Terminal(Rc<Terminal>),
}

/// The way in for others.
#[derive(Debug)]
pub(crate) struct Attach {
    /// The listening socket in the container's directory.
    pub(crate) listener: OwnedFd,
    /// The write end of the program's standard input, if that is what is handed out.
    pub(crate) input: Option<OwnedFd>,
    /// The connection to the caller who stays.
    pub(crate) first: Option<OwnedFd>,
}

/// How many descriptors init has at most, with the signalfd.
const KEPT_MAX: usize = 13;

/// Lives until the program `main` has ended, then ends itself, and with it the container.
/// `children` lists its children where it is not PID 1 of a namespace of its own.
pub(crate) fn run(files: &InitFiles<'_>, main: i32, children: Option<BorrowedFd<'_>>) -> ! {
    let (ended, timed_out) = match lives(files, main, children) {
        Ok(ended) => ended,
        // Without signals or poll there is nothing to be done but to wait.
        Err(_) => (wait_only(main), false),
    };
    let status = match ended {
        Ended::Code(code) => ExitStatus::Code(code),
        Ended::Signal(number) => ExitStatus::Signal(number),
    };
    let mut line = [0; EXIT_RECORD_MAX];
    let len = ExitRecord { status, at: Timestamp::now(), timed_out }.write(&mut line);
    let _ = files::write_all(files.exit.as_fd(), line.get(..len).unwrap_or_default());
    process::exit_now(status.exit_code())
}

/// How the program ended, and whether its time was over.
fn lives(files: &InitFiles<'_>, main: i32, children: Option<BorrowedFd<'_>>) -> RawResult<(Ended, bool)> {
    let signals = signal::signalfd_all()?;
    close_all_but(files, signals.as_fd(), children)?;
    privilege::set_capabilities(CapSet::KILL, CapSet::KILL, CapSet::default())?;
    privilege::no_new_privileges()?;
    let mut output = Output::open(files)?;
    let mut door = Door::new(files);
    let mut clock = Clock::start(files.limit);
    loop {
        let [out, err] = output.entries(door.is_occupied());
        let [knock, leave] = door.entries();
        let mut entries = [PollEntry::readable(Some(signals.as_fd())), out, err, knock, leave];
        files::poll(&mut entries, clock.wait_ms())?;
        let [signalled, out, err, knock, leave] = entries.map(|entry| entry.is_ready());
        output.pump([out, err]);
        door.serve([knock, leave]);
        clock.strike(main);
        if !signalled {
            continue;
        }
        while let Some(number) = signal::read_signal(signals.as_fd())? {
            if number == signal::SIGCHLD {
                if let Some(ended) = reap(main)? {
                    // The rest of the container goes now, so that what it wrote is complete.
                    orphans::kill_rest(children);
                    output.drain(door.is_occupied());
                    return Ok((ended, clock.struck));
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
fn close_all_but(files: &InitFiles<'_>, signals: BorrowedFd<'_>, children: Option<BorrowedFd<'_>>) -> RawResult<()> {
    let mut kept = [i32::MAX; KEPT_MAX];
    let (source, log, attach) = (&files.source, files.log.as_ref(), files.attach.as_ref());
    let (first, second) = match source {
        Source::None => (None, None),
        Source::Pipes { stdout, stderr } => (Some(stdout), Some(stderr)),
        Source::Terminal(terminal) => (Some(&terminal.master), Some(&terminal.slave)),
    };
    let owned = [
        Some(&files.exit),
        files.range.as_ref(),
        first,
        second,
        log.map(|[file, _]| file),
        log.map(|[_, file]| file),
        attach.map(|attach| &attach.listener),
        attach.and_then(|attach| attach.input.as_ref()),
        attach.and_then(|attach| attach.first.as_ref()),
    ];
    let numbers = owned.into_iter().flatten().map(AsRawFd::as_raw_fd);
    let numbers = numbers.chain(children.map(|children| children.as_raw_fd()));
    for (slot, number) in kept.iter_mut().zip([files.lock.as_raw_fd(), signals.as_raw_fd()].into_iter().chain(numbers))
    {
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
