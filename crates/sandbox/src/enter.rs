//! One clone3, and what each side does after it.
//!
//! ```text
//!  ctr-run (parent)                        PID 1 of the container (child)          the program
//!  ----------------                        ------------------------------          -----------
//!  block signals; pipe; clone3  ---------> joins, mounts, pivots (setup steps)
//!  writes the process record               fork --------------------------------> streams, limits, ids,
//!  reads the pipe                          closes the pipe, becomes init           capabilities, seccomp
//!    EOF: the program runs  <------------------------------------------------------ exec closes the pipe
//!    8 bytes: stage, step, errno  <-------- a step failed                  <------- a step failed
//! ```
//! Where namespaces exist already (the container's own user namespace, which prepare has made, or those of others), a
//! helper joins them and clones for the parent
//! (`sys::process::clone3_in`), so that the parent keeps its privileges on the host and the child never has them.
//!
//! Without init the child goes on with the program's steps itself. No message goes from the parent to the child: all that
//! the child needs is in the script, and it joins v1 control groups by itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_sys::files;
use ctr_sys::privilege;
use ctr_sys::process::{self, Cloned, Namespaces, WaitFor};
use ctr_sys::{Errno, signal};

use crate::init::{self, InitFiles};
use crate::script::{Stage, Step, hook};

/// What [`enter`] needs; the child takes it as it is.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    /// Namespaces that exist and that the container is in, the user namespace that the new ones shall belong to last.
    pub(crate) joined: Vec<(OwnedFd, Namespaces)>,
    pub(crate) namespaces: Namespaces,
    /// Its PID namespace is new: the end of its first process is the end of all.
    pub(crate) own_pids: bool,
    /// The root filesystem, detached.
    pub(crate) root: OwnedFd,
    /// The v2 control group to be born in.
    pub(crate) cgroup: Option<OwnedFd>,
    /// Steps of PID 1.
    pub(crate) setup: Vec<Step>,
    /// Steps of the program's process.
    pub(crate) program: Vec<Step>,
    /// What init keeps; `None` without init.
    pub(crate) init: Option<InitFiles<'a>>,
    /// Without init: the range of ids, locked until the program is executed. From then on the container's record says that
    /// it is in use (`ctr_core::ranges`).
    #[expect(dead_code, reason = "held, not read")]
    pub(crate) range: Option<OwnedFd>,
}

/// A container whose PID 1 exists.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    /// The signal mask from before.
    pub(crate) mask: u64,
    report: OwnedFd,
}

/// Which list of steps a report is about.
const SETUP: u8 = 0;
pub(crate) const PROGRAM: u8 = 1;

/// A step that failed in the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FailedStep {
    pub(crate) in_program: bool,
    pub(crate) index: usize,
    pub(crate) errno: Errno,
}

impl FailedStep {
    fn read([stage, _, low, high, errno @ ..]: [u8; 8]) -> Self {
        let index = usize::from(u16::from_ne_bytes([low, high]));
        Self { in_program: stage == PROGRAM, index, errno: Errno::from_raw(i32::from_ne_bytes(errno)) }
    }
}

/// What the first process of a bundle says to its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// The mounts are there; it waits.
    Asks,
    /// It waits for the start.
    Created,
    /// A step failed.
    Failed(FailedStep),
    /// It has ended without a word.
    Gone,
}

/// Clones. Signals stay blocked in the parent until it restores `mask`.
pub(crate) fn enter(script: &Script<'_>) -> Result<Entered, Errno> {
    let (report, child_report) = files::pipe()?;
    let mask = signal::block_all()?;
    let cgroup = script.cgroup.as_ref().map(AsFd::as_fd);
    let cloned = if script.joined.is_empty() {
        process::clone3(script.namespaces, cgroup)
    } else {
        process::clone3_in(&script.joined, script.namespaces, cgroup)
    };
    match cloned {
        Ok(Cloned::Child) => child(script, child_report),
        Ok(Cloned::Parent(pid, pidfd)) => Ok(Entered { pid, pidfd, mask, report }),
        Err(errno) => {
            let _ = signal::restore(mask);
            Err(errno)
        }
    }
}

impl Entered {
    /// Waits until there is a report or the exec. Asks `stuck` every half second whether there will ever be one: a process in
    /// a group that somebody froze does not run, and does not end.
    pub(crate) fn wait_for_report<E>(&self, stuck: impl Fn() -> Option<E>) -> Result<(), E> {
        loop {
            let mut entries = [files::PollEntry::readable(Some(self.report.as_fd()))];
            match files::poll(&mut entries, Some(500)) {
                Ok(0) => stuck().map_or(Ok(()), Err)?,
                // What is wrong with the pipe is seen by who reads it.
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    }

    /// Waits until the program was executed, or says which step failed.
    pub(crate) fn wait_for_exec(&self) -> Result<(), FailedStep> {
        let mut message = [0u8; 8];
        match files::read(self.report.as_fd(), &mut message) {
            Ok(8) => Err(FailedStep::read(message)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// What the child of a bundle says next.
    pub(crate) fn next_word(&self) -> Word {
        let mut message = [0u8; 8];
        match files::read(self.report.as_fd(), &mut message) {
            Ok(8) => match message {
                [hook::ASKS, ..] => Word::Asks,
                [hook::CREATED, ..] => Word::Created,
                message => Word::Failed(FailedStep::read(message)),
            },
            Ok(_) | Err(_) => Word::Gone,
        }
    }

    /// Ends the container and waits for its PID 1.
    pub(crate) fn kill(&self) {
        let _ = process::pidfd_signal(self.pidfd.as_fd(), signal::SIGKILL);
        let _ = process::wait(WaitFor::PidFd(self.pidfd.as_fd()), true);
    }
}

/// PID 1. Never returns, never unwinds, never allocates.
fn child(script: &Script<'_>, report: OwnedFd) -> ! {
    use std::os::fd::IntoRawFd;
    let mut report = files::numbered(report.into_raw_fd());
    // Nobody of the container may look into this process (proc(5), PTRACE_MODE_READ).
    let _ = privilege::set_dumpable(false);
    process::umask(0);
    let mut stage = Stage::new(script.root.as_fd());
    run_steps(SETUP, &script.setup, &mut stage, &mut report);
    let Some(init) = &script.init else { program(script, &mut stage, &mut report) };
    let children = (!script.own_pids).then(|| match stage.adopt() {
        Ok(children) => children,
        Err(errno) => fail(report, SETUP, script.setup.len(), errno),
    });
    match process::fork() {
        Ok(None) => program(script, &mut stage, &mut report),
        // Init closes the pipe with all that it does not keep, so that the exec alone ends it.
        Ok(Some(main)) => {
            process::set_name(c"ctr-init");
            ctr_sys::sealed::wipe_start_strings();
            init::run(init, main, children.as_ref().map(AsFd::as_fd))
        }
        Err(errno) => fail(report, SETUP, script.setup.len(), errno),
    }
}

fn program(script: &Script<'_>, stage: &mut Stage<'_>, report: &mut BorrowedFd<'static>) -> ! {
    run_steps(PROGRAM, &script.program, stage, report);
    // The last step is the exec, which does not return unless it failed.
    fail(*report, PROGRAM, script.program.len(), Errno::ENOEXEC)
}

fn run_steps(list: u8, steps: &[Step], stage: &mut Stage<'_>, report: &mut BorrowedFd<'static>) {
    for (index, step) in steps.iter().enumerate() {
        if let Err(errno) = stage.apply(step, report) {
            fail(*report, list, index, errno);
        }
    }
}

pub(crate) fn fail(report: BorrowedFd<'_>, list: u8, index: usize, errno: Errno) -> ! {
    let [low, high] = u16::try_from(index).unwrap_or(u16::MAX).to_ne_bytes();
    let [a, b, c, d] = (errno as i32).to_ne_bytes();
    let _ = files::write(report, &[list, 0, low, high, a, b, c, d]);
    process::exit_now(125)
}
