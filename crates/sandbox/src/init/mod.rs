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

/// [`InitFiles`] as plain numbers: what is left when the launcher's memory has been given back.
#[derive(Debug, Clone, Copy)]
struct Held {
    main: i32,
    lock: BorrowedFd<'static>,
    range: Option<BorrowedFd<'static>>,
    exit: BorrowedFd<'static>,
    stdout: Option<BorrowedFd<'static>>,
    stderr: Option<BorrowedFd<'static>>,
    /// `stdout` is the master of a terminal, and this its slave.
    slave: Option<BorrowedFd<'static>>,
    log: Option<[BorrowedFd<'static>; 2]>,
    listener: Option<BorrowedFd<'static>>,
    input: Option<BorrowedFd<'static>>,
    first: Option<BorrowedFd<'static>>,
    /// Lists its children, where init is not PID 1 of a namespace of its own.
    children: Option<BorrowedFd<'static>>,
    limit: Option<TimeLimit>,
}

impl Held {
    /// The descriptors stay open because nobody drops `files` any more: [`run`] never returns.
    fn new(files: &InitFiles<'_>, main: i32, children: Option<BorrowedFd<'_>>) -> Self {
        let number = |fd: BorrowedFd<'_>| files::numbered(fd.as_raw_fd());
        let owned = |fd: &OwnedFd| number(fd.as_fd());
        let (stdout, stderr, slave) = match &files.source {
            Source::None => (None, None, None),
            Source::Pipes { stdout, stderr } => (Some(owned(stdout)), Some(owned(stderr)), None),
            Source::Terminal(terminal) => (Some(owned(&terminal.master)), None, Some(owned(&terminal.slave))),
        };
        let attach = files.attach.as_ref();
        Self {
            main,
            lock: number(files.lock),
            range: files.range.as_ref().map(owned),
            exit: owned(&files.exit),
            stdout,
            stderr,
            slave,
            log: files.log.as_ref().map(|[first, second]| [owned(first), owned(second)]),
            listener: attach.map(|attach| owned(&attach.listener)),
            input: attach.and_then(|attach| attach.input.as_ref()).map(owned),
            first: attach.and_then(|attach| attach.first.as_ref()).map(owned),
            children: children.map(number),
            limit: files.limit,
        }
    }

    /// All of them but the signals.
    fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'static>> {
        let [log, other_log] = self.log.map_or([None, None], |[first, second]| [Some(first), Some(second)]);
        let kept = [
            Some(self.lock),
            Some(self.exit),
            self.range,
            self.stdout,
            self.stderr,
            self.slave,
            log,
            other_log,
            self.listener,
            self.input,
            self.first,
            self.children,
        ];
        kept.into_iter().flatten()
    }
}

/// How many descriptors init has at most, with the signalfd.
const KEPT_MAX: usize = 13;

/// Lives until the program `main` has ended, then ends itself, and with it the container.
/// `children` lists its children where it is not PID 1 of a namespace of its own.
pub(crate) fn run(files: &InitFiles<'_>, main: i32, children: Option<BorrowedFd<'_>>) -> ! {
    let held = Held::new(files, main, children);
    // What the launcher prepared would stay in memory as long as the container lives, some hundred kilobytes for each.
    ctr_sys::arena::give_back(held, live)
}

fn live(held: Held) -> ! {
    let (ended, timed_out) = match lives(&held) {
        Ok(ended) => ended,
        // Without signals or poll there is nothing to be done but to wait.
        Err(_) => (wait_only(held.main), false),
    };
    let status = match ended {
        Ended::Code(code) => ExitStatus::Code(code),
        Ended::Signal(number) => ExitStatus::Signal(number),
    };
    let mut line = [0; EXIT_RECORD_MAX];
    let len = ExitRecord { status, at: Timestamp::now(), timed_out }.write(&mut line);
    let _ = files::write_all(held.exit, line.get(..len).unwrap_or_default());
    process::exit_now(status.exit_code())
}

/// How the program ended, and whether its time was over.
fn lives(held: &Held) -> RawResult<(Ended, bool)> {
    let signals = signal::signalfd_all()?;
    close_all_but(held, signals.as_fd())?;
    privilege::set_capabilities(CapSet::KILL, CapSet::KILL, CapSet::default())?;
    privilege::no_new_privileges()?;
    let mut output = Output::open(held)?;
    let mut door = Door::new(held);
    let mut clock = Clock::start(held.limit);
    loop {
        let [out, err] = output.entries(door.is_occupied());
        let [knock, leave] = door.entries();
        let mut entries = [PollEntry::readable(Some(signals.as_fd())), out, err, knock, leave];
        files::poll(&mut entries, clock.wait_ms())?;
        let [signalled, out, err, knock, leave] = entries.map(|entry| entry.is_ready());
        output.pump([out, err]);
        door.serve([knock, leave]);
        clock.strike(held.main);
        if !signalled {
            continue;
        }
        while let Some(number) = signal::read_signal(signals.as_fd())? {
            if number == signal::SIGCHLD {
                if let Some(ended) = reap(held.main)? {
                    // The rest of the container goes now, so that what it wrote is complete.
                    orphans::kill_rest(held.children);
                    output.drain(door.is_occupied());
                    return Ok((ended, clock.struck));
                }
            } else if !signal::is_own_doing(number) {
                let _ = process::kill(held.main, number);
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

/// Closes every descriptor that is not in `held` and not `signals`.
fn close_all_but(held: &Held, signals: BorrowedFd<'_>) -> RawResult<()> {
    let mut kept = [i32::MAX; KEPT_MAX];
    let numbers = held.descriptors().map(|fd| fd.as_raw_fd());
    for (slot, number) in kept.iter_mut().zip(numbers.chain([signals.as_raw_fd()])) {
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
