//! Creating and starting a container of a bundle.
//!
//! ```text
//!  create (parent)                         the container's first process (child)            start
//!  ---------------                         -------------------------------------            -----
//!  block signals; pipe; clone3  ------->   joins, mounts
//!  [reads "asks"        <--------------    tells that the mounts are there; waits
//!   hooks of the caller  ------------->    goes on]
//!                                          hooks in the container, pivot_root, sysctls, masks, ids, capabilities ...
//!                                          looks whether the program is there
//!  reads "created"      <--------------    waits on the socket `start` <------------------- connects
//!  or eight bytes: a step failed           hooks of the start
//!                                          exec closes the connection --------------------> reads the end
//!                                          or eight bytes: a step failed -----------------> says what
//! ```
//! A step that failed is put in words by whoever has the script: by create. The start has the plan of the process only, and
//! knows the few steps that are left by their place.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use ctr_core::container::ContainerError;
use ctr_sys::{Errno, files, process, signal, socket};

use super::plan::Bundle;
use super::prepare::{self, JoinedGroups, START_SOCKET};
use super::words;
use crate::enter::{self, Entered, Script, Word};
use crate::error::{SandboxError, StepCause};
use crate::inherited::{Inherited, Names};
use crate::options::ClockOffsets;
use crate::plan::ProcessPlan;
use crate::script::Step;
use crate::seccomp::listener::{Announced, Notify};
use crate::start::write_process;
use crate::terminal::Terminal;

/// Runs the hooks that belong to the caller, for the container whose first process has this id. Returns the state for hooks in
/// the container: while it is being created, and when it is started.
pub type CallersHooks<'a> = dyn FnMut(i32) -> Result<[Vec<u8>; 2], SandboxError> + 'a;

/// A container that was created: its first process waits for the start.
#[derive(Debug)]
pub struct Created {
    /// That process, in the caller's namespace.
    pub pid: i32,
    /// The same, as a descriptor.
    pub pidfd: OwnedFd,
    /// The signal mask from before: all are blocked now.
    pub mask: u64,
    /// The caller's end of the program's terminal.
    pub terminal: Option<Rc<Terminal>>,
}

impl Created {
    /// Ends it: it was never seen by anybody.
    pub fn kill(&self) {
        let _ = process::pidfd_signal(self.pidfd.as_fd(), signal::SIGKILL);
        let _ = process::wait(process::WaitFor::PidFd(self.pidfd.as_fd()), true);
    }
}

/// Creates the container of `bundle`, whose directory is `dir`. When it fails, no process of it is left.
pub fn create(
    bundle: &Bundle,
    dir: &Path,
    groups: JoinedGroups,
    hooks: &mut CallersHooks<'_>,
) -> Result<Created, SandboxError> {
    // What is created from here on has exactly the mode that is asked for.
    process::umask(0);
    let prepared = prepare::prepare(bundle, dir, groups)?;
    let own_clocks = bundle.namespaces.contains(&"time").then(ClockOffsets::default);
    let clocks = bundle.kernel.clocks.or(own_clocks);
    let inherited = Inherited::take(&bundle.process, clocks, &Names::PROPERTIES)?;
    let entered = enter::enter(&prepared.script).map_err(clone_failed)?;
    drop(inherited);
    let recorded = write_process(dir, entered.pid).map_err(SandboxError::from);
    let outcome = recorded.and_then(|()| accompany(&entered, bundle, &prepared, hooks));
    if let Err(error) = outcome {
        entered.kill();
        let _ = signal::restore(entered.mask);
        return Err(error);
    }
    let terminal = prepared.terminal.clone();
    std::mem::forget(prepared.script);
    let Entered { pid, pidfd, mask, .. } = entered;
    Ok(Created { pid, pidfd, mask, terminal })
}

fn clone_failed(errno: Errno) -> SandboxError {
    let error = SandboxError::host("make the container's process", "clone3", "new namespaces", errno);
    match errno {
        Errno::EPERM => {
            error.hinted("new namespaces need CAP_SYS_ADMIN: run as root, or give linux.namespaces one of type user")
        }
        Errno::ENOSPC => error.hinted("a limit on namespaces is reached: see /proc/sys/user/max_*_namespaces"),
        Errno::EBUSY | Errno::EOPNOTSUPP => {
            error.hinted("the control group cannot take processes: is it or its parent in threaded mode?")
        }
        Errno::EAGAIN => error.hinted("the limit on processes is reached: see ulimit -u and pids.max"),
        _ => error,
    }
}

/// Listens to the child until it is created.
fn accompany(
    entered: &Entered,
    bundle: &Bundle,
    prepared: &prepare::Prepared,
    hooks: &mut CallersHooks<'_>,
) -> Result<(), SandboxError> {
    loop {
        match entered.next_word() {
            Word::Created => return Ok(()),
            Word::Asks => {
                super::netdev::take(bundle, entered.pid)?;
                let states = hooks(entered.pid)?;
                for (document, state) in prepared.documents.iter().zip(states) {
                    if let Some(document) = document {
                        files::write_all(document.as_fd(), &state)
                            .map_err(|errno| SandboxError::host("write the state for hooks", "write", "", errno))?;
                    }
                }
                if let Some(answer) = &prepared.answer {
                    files::write_all(answer.as_fd(), b"1")
                        .map_err(|errno| SandboxError::host("go on after the hooks", "write", "", errno))?;
                }
            }
            Word::Failed(failed) => return Err(explain(bundle, &prepared.script, failed)),
            Word::Gone => {
                return Err(SandboxError::request_hint(
                    "the container's first process was ended while it was being created",
                    "was it killed, or out of memory by its own limit?",
                ));
            }
        }
    }
}

fn explain(bundle: &Bundle, script: &Script<'_>, failed: enter::FailedStep) -> SandboxError {
    let list = if failed.in_program { &script.program } else { &script.setup };
    let Some(step) = list.get(failed.index) else {
        return SandboxError::host("create the container", "clone", "its first process", failed.errno);
    };
    match step {
        Step::FindProgram { .. } => not_executed(&bundle.process, failed.errno),
        Step::Hook { .. } => hook_failed(step, failed.errno),
        step => SandboxError::Step {
            step: format!("{step}{}", words::property(bundle, step)),
            cause: StepCause { errno: failed.errno },
            hint: words::hint(step, failed.errno).or(crate::start::step_hint(step, failed.errno)).map(str::to_owned),
        },
    }
}

fn hook_failed(step: &Step, errno: Errno) -> SandboxError {
    let why = match errno {
        Errno::ETIME => "it took longer than its timeout and was ended",
        Errno::ENOEXEC => "it could not be executed, or returned 127",
        _ => "it returned something else than 0",
    };
    SandboxError::request(format!("cannot {step}: {why}"))
}

/// In the words that engines look for.
pub fn not_executed(process: &ProcessPlan, errno: Errno) -> SandboxError {
    let program = process.args.first().map_or("", String::as_str);
    let shown = format!("exec: \"{}\"", program.escape_debug());
    let by_path = program.contains('/');
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => SandboxError::NotFound {
            program: shown,
            reason: if by_path { "stat: no such file or directory" } else { "executable file not found in $PATH" }
                .to_owned(),
            hint: None,
        },
        Errno::EACCES => {
            SandboxError::NotInvocable { program: shown, reason: "permission denied".to_owned(), hint: None }
        }
        Errno::ENOEXEC => {
            SandboxError::NotInvocable { program: shown, reason: "exec format error".to_owned(), hint: None }
        }
        errno => SandboxError::NotInvocable { program: shown, reason: StepCause { errno }.to_string(), hint: None },
    }
}

/// Starts the container whose directory is `dir` and whose first process is `pid`, and waits until its program was executed.
/// `notify`: the agent of its filter.
pub fn start(dir: &Path, pid: i32, process: &ProcessPlan, mut notify: Option<Notify>) -> Result<(), SandboxError> {
    let opened =
        File::open(dir).map_err(|source| ContainerError::Io { action: "open", path: dir.to_owned(), source })?;
    let connection = socket::connect(opened.as_fd(), START_SOCKET).map_err(|errno| {
        let error = SandboxError::host("reach the container's first process", "connect", START_SOCKET, errno);
        match errno {
            Errno::ECONNREFUSED | Errno::ENOENT => error.hinted("it has ended, or was started already"),
            _ => error,
        }
    })?;
    loop {
        let mut message = [0u8; 8];
        match files::read(connection.as_fd(), &mut message) {
            Ok(8) => match Announced::read(message) {
                Some(announced) => listen_outside(pid, notify.take(), announced, connection.as_fd())?,
                None => return Err(not_started(process, message)),
            },
            Ok(_) => return Ok(()),
            Err(errno) => {
                return Err(SandboxError::host("hear of the container's first process", "read", START_SOCKET, errno));
            }
        }
    }
}

fn not_started(process: &ProcessPlan, [_, _, _, _, errno @ ..]: [u8; 8]) -> SandboxError {
    match Errno::from_raw(i32::from_ne_bytes(errno)) {
        Errno::ETIME | Errno::ECHILD => {
            SandboxError::request("a startContainer hook failed, or took longer than its timeout")
        }
        errno => not_executed(process, errno),
    }
}

/// The listener of the program's filter goes to the agent. A process that the agent lets wait for its exec is ended.
fn listen_outside(
    pid: i32,
    notify: Option<Notify>,
    announced: Announced,
    connection: BorrowedFd<'_>,
) -> Result<(), SandboxError> {
    let pidfd = process::pidfd_open(pid)
        .map_err(|errno| SandboxError::host("open the container's first process", "pidfd_open", "", errno))?;
    let passed = notify.map_or_else(
        || Err(SandboxError::request("the container's seccomp filter has an agent that nobody has connected to")),
        |notify| notify.pass_on(pid, pidfd.as_fd(), announced, connection),
    );
    passed.inspect_err(|_| {
        let _ = process::pidfd_signal(pidfd.as_fd(), signal::SIGKILL);
    })
}
