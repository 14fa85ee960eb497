//! From the outside to the inside: namespaces, one clone3, the report, the wait.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use ctr_sys::files::{self, PollEntry};
use ctr_sys::privilege;
use ctr_sys::process::{self, Cloned, Ended, Namespaces, WaitFor};
use ctr_sys::{Errno, signal};

use crate::enter::{PROGRAM, fail};
use crate::error::{SandboxError, StepCause};
use crate::prepare;
use crate::script::{Stage, Step};

/// Longest time from the clone to the exec. It takes a millisecond; a container that stops or freezes the process between the
/// two could make it last for ever.
const ENTER_TIME: Duration = Duration::from_secs(10);
/// In place of the list of a failed step: the process that is to execute is another one; its pid follows.
const GOES_ON_AS: u8 = 2;

/// All that a join needs.
#[derive(Debug)]
pub(super) struct Script {
    /// The container's root directory, for words about what could not be executed.
    pub(super) root: OwnedFd,
    /// Its PID 1.
    pub(super) pidfd: OwnedFd,
    /// What the parent joins.
    pub(super) namespaces: Namespaces,
    /// The v2 group to be born in.
    pub(super) cgroup: Option<OwnedFd>,
    /// How to join on v2 where no process can be born there.
    pub(super) fallback: Option<Step>,
    /// The container's pid namespace is entered last, by a process that has given everything up.
    pub(super) hidden: bool,
    /// What the child does; the last one is the exec.
    pub(super) steps: Vec<Step>,
}

/// A program that was executed in a container.
#[derive(Debug)]
pub struct Joined {
    /// Its process id as the caller's namespace has it.
    pub pid: i32,
    pidfd: OwnedFd,
}

/// Joins, clones, and waits until the program was executed.
pub(super) fn enter(mut script: Script, program: &str) -> Result<Joined, SandboxError> {
    let host = |call: &'static str| move |errno| SandboxError::host("enter the container", call, "", errno);
    let (report, child_report) = files::pipe().map_err(host("pipe2"))?;
    // From here on nobody without CAP_SYS_PTRACE over our own user namespace can look into us or our child (proc(5)).
    privilege::set_dumpable(false).map_err(host("prctl"))?;
    // Not only kept back: a container must not learn of the child by a signal that stops the parent in between.
    signal::block_all().map_err(host("rt_sigprocmask"))?;
    process::umask(0);
    if script.namespaces != Namespaces::NONE {
        process::join_namespaces(script.pidfd.as_fd(), script.namespaces).map_err(join_failed)?;
    }
    let (pid, pidfd) = match clone(&mut script)? {
        Cloned::Child => child(&script, child_report),
        Cloned::Parent(pid, pidfd) => (pid, pidfd),
    };
    drop(child_report);
    let mut joined = Joined { pid, pidfd };
    let entered = joined.wait_for_exec(report.as_fd());
    entered.map_err(|failed| {
        joined.kill();
        match failed {
            Failed::Step(index, errno) => explain(&script, program, index, errno),
            Failed::Late => SandboxError::request_hint(
                format!(
                    "the process did not execute {} within {} seconds",
                    program.escape_debug(),
                    ENTER_TIME.as_secs()
                ),
                "the container has stopped or frozen it, or its files do not answer",
            ),
            Failed::Host(call, errno) => host(call)(errno),
        }
    })?;
    Ok(joined)
}

fn join_failed(errno: Errno) -> SandboxError {
    let error = SandboxError::host("join the container's namespaces", "setns", "", errno);
    match errno {
        Errno::EPERM => error.hinted("it belongs to another user: run ctr-exec as the user who started the container"),
        Errno::ESRCH => error.hinted("the container has just ended"),
        _ => error,
    }
}

/// A child in the container's v2 group; where none can be born there, one that joins by itself.
fn clone(script: &mut Script) -> Result<Cloned, SandboxError> {
    let refused = match process::clone3(Namespaces::NONE, script.cgroup.as_ref().map(AsFd::as_fd)) {
        Ok(cloned) => return Ok(cloned),
        Err(errno) => errno,
    };
    // EBUSY: it has groups below that have controllers; EACCES: it belongs to the container's own root.
    let again = matches!(refused, Errno::EBUSY | Errno::EACCES | Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOENT);
    let cloned = match script.fallback.take() {
        Some(join) if again && script.cgroup.is_some() => {
            script.steps.insert(0, join);
            process::clone3(Namespaces::NONE, None)
        }
        _ => Err(refused),
    };
    cloned.map_err(|errno| {
        let error = SandboxError::host("make a process in the container", "clone3", "", errno);
        match errno {
            Errno::EAGAIN => error.hinted("the container's limit on processes is reached (--pids-limit)"),
            Errno::ENOMEM => error.hinted("the container has just ended"),
            _ => error,
        }
    })
}

/// The child. Never returns, never allocates.
fn child(script: &Script, report: OwnedFd) -> ! {
    use std::os::fd::IntoRawFd;
    let mut report = files::numbered(report.into_raw_fd());
    // `/proc/PID/cmdline` is open to everybody in the container.
    ctr_sys::sealed::wipe_start_strings();
    let mut stage = Stage::new(script.root.as_fd());
    for (index, step) in script.steps.iter().enumerate() {
        if script.hidden && index + 1 == script.steps.len() {
            go_on_in_pid_namespace(script, report);
        }
        if let Err(errno) = stage.apply(step, &mut report) {
            fail(report, PROGRAM, index, errno);
        }
    }
    fail(report, PROGRAM, script.steps.len(), Errno::ENOEXEC)
}

/// The steps are done: this process has the program's own ids, capabilities and filter. Its child, which is the first that
/// the container can see, has no more than the program itself will have.
fn go_on_in_pid_namespace(script: &Script, report: BorrowedFd<'_>) {
    match process::fork_sibling() {
        Ok(None) => {}
        Ok(Some(pid)) => {
            let [a, b, c, d] = pid.to_ne_bytes();
            let _ = files::write(report, &[GOES_ON_AS, 0, 0, 0, a, b, c, d]);
            process::exit_now(0)
        }
        Err(errno) => fail(report, PROGRAM, script.steps.len(), errno),
    }
}

enum Failed {
    Step(usize, Errno),
    Late,
    Host(&'static str, Errno),
}

impl Joined {
    fn wait_for_exec(&mut self, report: BorrowedFd<'_>) -> Result<(), Failed> {
        let end = Instant::now() + ENTER_TIME;
        loop {
            let left = i32::try_from(end.saturating_duration_since(Instant::now()).as_millis()).unwrap_or(i32::MAX);
            let mut entries = [PollEntry::readable(Some(report))];
            files::poll(&mut entries, Some(left)).map_err(|errno| Failed::Host("poll", errno))?;
            let [ready] = entries;
            if !ready.is_ready() {
                if left == 0 {
                    return Err(Failed::Late);
                }
                continue;
            }
            let mut message = [0u8; 8];
            match files::read(report, &mut message) {
                Ok(8) => {
                    let [kind, _, low, high, number @ ..] = message;
                    let number = i32::from_ne_bytes(number);
                    if kind != GOES_ON_AS {
                        return Err(Failed::Step(
                            usize::from(u16::from_ne_bytes([low, high])),
                            Errno::from_raw(number),
                        ));
                    }
                    self.go_on_as(number).map_err(|errno| Failed::Host("pidfd_open", errno))?;
                }
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    }

    /// The first child has ended or is about to; the second is ours too, and its number is its own until we reap it.
    fn go_on_as(&mut self, pid: i32) -> Result<(), Errno> {
        let _ = process::wait(WaitFor::PidFd(self.pidfd.as_fd()), true);
        self.pidfd = process::pidfd_open(pid)?;
        self.pid = pid;
        Ok(())
    }

    /// Waits for the end, passing signals on, and returns the exit code, or 128 + the signal that ended it. `None`: it still
    /// runs after `limit`.
    pub fn wait(&self, limit: Option<Duration>) -> Result<Option<u8>, SandboxError> {
        let host = |call: &'static str| move |errno| SandboxError::host("wait for the program", call, "", errno);
        let signals = signal::signalfd_all().map_err(host("signalfd"))?;
        let end = limit.map(|limit| Instant::now() + limit);
        loop {
            let left = end.map(|end| {
                i32::try_from(end.saturating_duration_since(Instant::now()).as_millis()).unwrap_or(i32::MAX)
            });
            let mut entries =
                [PollEntry::readable(Some(self.pidfd.as_fd())), PollEntry::readable(Some(signals.as_fd()))];
            files::poll(&mut entries, left).map_err(host("poll"))?;
            let [ended, signalled] = entries;
            while signalled.is_ready() {
                match signal::read_signal(signals.as_fd()).map_err(host("read"))? {
                    Some(number) if !signal::is_own_doing(number) => {
                        let _ = process::pidfd_signal(self.pidfd.as_fd(), number);
                    }
                    Some(_) => {}
                    None => break,
                }
            }
            if ended.is_ready() {
                break;
            }
            if left == Some(0) {
                return Ok(None);
            }
        }
        let ended = process::wait(WaitFor::PidFd(self.pidfd.as_fd()), true).map_err(host("waitid"))?;
        Ok(Some(match ended {
            Some((_, Ended::Code(code))) => code,
            Some((_, Ended::Signal(number))) => number.saturating_add(128),
            None => 125,
        }))
    }

    /// Ends the program. A process that is frozen by a v1 freezer ends when it is thawed; it is not waited for.
    pub fn kill(&self) {
        let _ = process::pidfd_signal(self.pidfd.as_fd(), signal::SIGKILL);
        let mut entries = [PollEntry::readable(Some(self.pidfd.as_fd()))];
        let _ = files::poll(&mut entries, Some(1000));
        let _ = process::wait(WaitFor::PidFd(self.pidfd.as_fd()), false);
    }
}

/// The step that failed, in words, with what to do.
fn explain(script: &Script, program: &str, index: usize, errno: Errno) -> SandboxError {
    match script.steps.get(index) {
        None => SandboxError::host("make the program's process", "clone", "CLONE_PARENT", errno),
        Some(step @ Step::Exec { .. }) => prepare::exec_failed(program, &script.root, step, errno),
        Some(step) => SandboxError::Step {
            step: step.to_string(),
            cause: StepCause { errno },
            hint: crate::start::step_hint(step, errno).map(str::to_owned),
        },
    }
}
