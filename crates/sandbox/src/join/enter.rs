//! From the outside to the inside: namespaces, one clone3, the report, the wait.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ctr_sys::files::{self, PollEntry};
use ctr_sys::privilege;
use ctr_sys::process::{self, Cloned, Ended, Namespaces, WaitFor};
use ctr_sys::{Errno, signal};

use crate::enter::{PROGRAM, fail};
use crate::error::{SandboxError, StepCause};
use crate::plan::ProcessPlan;
use crate::prepare;
use crate::script::{Stage, Step};
use crate::seccomp::broker::Broker;
use crate::seccomp::listener::Announced;
use crate::terminal::{DetachKeys, OwnStreams, Relay, RelayEnd, Terminal};

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
    /// The caller's procfs, where labels are to be written.
    pub(super) proc: Option<OwnedFd>,
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
    /// The step before which that process is made.
    pub(super) split: usize,
    /// What the child does; the last one is the exec.
    pub(super) steps: Vec<Step>,
    /// The caller's side of the program's terminal.
    pub(super) terminal: Option<CallerTerminal>,
    /// It is a bundle's container: what cannot be executed is told in the words that engines look for.
    pub(super) in_bundle: bool,
    /// Whether the exec has to come within [`ENTER_TIME`].
    pub(super) limited: bool,
}

/// What the caller has of a terminal.
#[derive(Debug)]
pub(super) struct CallerTerminal {
    pub(super) terminal: Rc<Terminal>,
    /// Whether what is typed is passed on.
    pub(super) input: bool,
    pub(super) streams: OwnStreams,
}

/// How a wait for the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinEnd {
    /// With the program: its exit code, or 128 + the signal that ended it.
    Code(u8),
    /// It still runs after the time that was given.
    Late,
    /// The keys to detach were typed.
    Detached,
    /// The caller's own terminal has gone.
    HungUp,
}

/// A program that was executed in a container.
#[derive(Debug)]
pub struct Joined {
    /// Its process id as the caller's namespace has it.
    pub pid: i32,
    pidfd: OwnedFd,
    terminal: Option<CallerTerminal>,
}

/// Joins, clones, and waits until the program of `plan` was executed. `broker` talks to the agent of its filter.
pub(super) fn enter(mut script: Script, broker: Option<&Broker>, plan: &ProcessPlan) -> Result<Joined, SandboxError> {
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
    let mut joined = Joined { pid, pidfd, terminal: script.terminal.take() };
    let limit = script.limited.then_some(ENTER_TIME);
    let entered = joined.wait_for_exec(report.as_fd(), limit, broker);
    entered.map_err(|failed| {
        joined.kill();
        let program = plan.args.first().map_or("", String::as_str);
        match failed {
            Failed::Step(index, errno) => explain(&script, plan, index, errno),
            Failed::Agent(error) => error,
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
    if let Some(proc) = &script.proc
        && let Err(errno) = stage.keep_proc(proc.as_fd())
    {
        fail(report, PROGRAM, 0, errno);
    }
    for (index, step) in script.steps.iter().enumerate() {
        if script.hidden && index == script.split {
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
    Agent(SandboxError),
    Host(&'static str, Errno),
}

impl Joined {
    fn wait_for_exec(
        &mut self,
        report: BorrowedFd<'_>,
        limit: Option<Duration>,
        broker: Option<&Broker>,
    ) -> Result<(), Failed> {
        let end = limit.map(|limit| Instant::now() + limit);
        loop {
            let left = end.map(|end| {
                i32::try_from(end.saturating_duration_since(Instant::now()).as_millis()).unwrap_or(i32::MAX)
            });
            let mut entries = [PollEntry::readable(Some(report))];
            files::poll(&mut entries, left).map_err(|errno| Failed::Host("poll", errno))?;
            let [ready] = entries;
            if !ready.is_ready() {
                if left == Some(0) {
                    return Err(Failed::Late);
                }
                continue;
            }
            let mut message = [0u8; 8];
            match files::read(report, &mut message) {
                Ok(8) if let Some(announced) = Announced::read(message) => {
                    let broker = broker.ok_or_else(|| {
                        Failed::Agent(SandboxError::request(
                            "the seccomp filter has an agent that nobody has connected to",
                        ))
                    })?;
                    broker.pass_on(self.pid, self.pidfd.as_fd(), announced).map_err(Failed::Agent)?;
                }
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

    /// Waits for the end, passing signals on; with a terminal, relays it until `detach` is typed.
    pub fn wait(&self, detach: &DetachKeys) -> Result<JoinEnd, SandboxError> {
        let signals = signal::signalfd_all().map_err(wait_failed("signalfd"))?;
        let pass_on = |number| process::pidfd_signal(self.pidfd.as_fd(), number).is_ok() || !self.has_ended();
        let Some(caller) = &self.terminal else {
            while self.look(signals.as_fd(), None)?.is_none() {}
            return self.reap();
        };
        let relay = Relay {
            terminal: caller.terminal.master.as_fd(),
            end: self.pidfd.as_fd(),
            signals: signals.as_fd(),
            input: caller.input,
            detach,
            streams: &caller.streams,
        };
        match relay.run(pass_on)? {
            RelayEnd::Ended | RelayEnd::Signalled(_) => self.reap(),
            RelayEnd::Detached => Ok(JoinEnd::Detached),
            RelayEnd::HungUp => Ok(JoinEnd::HungUp),
        }
    }

    /// Waits for the end, `limit` at most.
    pub fn wait_for(&self, limit: Duration) -> Result<JoinEnd, SandboxError> {
        let signals = signal::signalfd_all().map_err(wait_failed("signalfd"))?;
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if self.look(signals.as_fd(), Some(left))?.is_some() {
                return self.reap();
            }
            if left.is_zero() {
                return Ok(JoinEnd::Late);
            }
        }
    }

    /// Waits for a signal, which is passed on, or the end, which is told; `limit` at most.
    fn look(&self, signals: BorrowedFd<'_>, limit: Option<Duration>) -> Result<Option<()>, SandboxError> {
        let left = limit.map(|limit| i32::try_from(limit.as_millis()).unwrap_or(i32::MAX));
        let mut entries = [PollEntry::readable(Some(self.pidfd.as_fd())), PollEntry::readable(Some(signals))];
        files::poll(&mut entries, left).map_err(wait_failed("poll"))?;
        let [ended, signalled] = entries;
        while signalled.is_ready() {
            match signal::read_signal(signals).map_err(wait_failed("read"))? {
                Some(number) if !signal::is_own_doing(number) => {
                    let _ = process::pidfd_signal(self.pidfd.as_fd(), number);
                }
                Some(_) => {}
                None => break,
            }
        }
        Ok(ended.is_ready().then_some(()))
    }

    fn has_ended(&self) -> bool {
        process::pidfd_signal(self.pidfd.as_fd(), 0).is_err()
    }

    fn reap(&self) -> Result<JoinEnd, SandboxError> {
        let ended = process::wait(WaitFor::PidFd(self.pidfd.as_fd()), true).map_err(wait_failed("waitid"))?;
        Ok(JoinEnd::Code(match ended {
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

fn wait_failed(call: &'static str) -> impl FnOnce(Errno) -> SandboxError {
    move |errno| SandboxError::host("wait for the program", call, "", errno)
}

/// The step that failed, in words, with what to do.
fn explain(script: &Script, plan: &ProcessPlan, index: usize, errno: Errno) -> SandboxError {
    let program = plan.args.first().map_or("", String::as_str);
    match script.steps.get(index) {
        None => SandboxError::host("make the program's process", "clone", "CLONE_PARENT", errno),
        Some(Step::Exec { .. }) if script.in_bundle => crate::bundle::not_executed(plan, errno),
        Some(step @ Step::Exec { .. }) => prepare::exec_failed(program, &script.root, step, errno),
        Some(step) => SandboxError::Step {
            step: step.to_string(),
            cause: StepCause { errno },
            hint: crate::start::step_hint(step, errno).map(str::to_owned),
        },
    }
}
