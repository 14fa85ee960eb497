//! Runs a command under ptrace: records the system calls that change the disk, and can end or spoil one of them.
//!
//! ```text
//! test thread (tracer)                     sh -c 'kill -STOP $$; exec "$@"'
//!   spawn ------------------------------->  stops itself
//!   PTRACE_SEIZE, SIGCONT --------------->  exec: from here on calls count
//!   waitpid loop: at entry of call N         - record it, or
//!                                            - SIGKILL the caller or the whole tree before it happens, or
//!                                            - make it a call that fails with ENOSPC or EIO
//! ```
//! All processes and threads that the command starts are followed. One thread does all ptrace calls (the kernel wants that).

mod call;
mod engine;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

pub use call::Change;
pub use nix::errno::Errno;

/// What to do at one of the counted calls (counted from 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: record.
    None,
    /// `SIGKILL` to every process of the tree at entry of the call: what a crash of the machine's user space is.
    KillTree(usize),
    /// `SIGKILL` to the process that makes the call; its children live on, as after `kill -9` by a person.
    KillCaller(usize),
    /// The call fails with this errno; later calls work.
    Fail(usize, Errno),
    /// The call and every later one that takes space fail with `ENOSPC`.
    DiskFull(usize),
}

/// One counted call.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its number, from 1, as [`Fault`] names it.
    pub number: usize,
    /// The system call.
    pub call: &'static str,
    /// What it changed, or would have.
    pub change: Change,
    /// Whether it succeeded (`None`: the process ended in it).
    pub ok: Option<bool>,
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{} {} {:?}", self.number, self.call, self.change)?;
        match self.ok {
            Some(true) => Ok(()),
            Some(false) => f.write_str(" (failed)"),
            None => f.write_str(" (not finished)"),
        }
    }
}

/// A command to run under the tracer.
#[derive(Debug, Clone)]
pub struct Traced {
    /// Program and arguments.
    pub argv: Vec<OsString>,
    /// The environment, whole.
    pub env: BTreeMap<OsString, OsString>,
    /// Only changes below these paths count; mounts and new processes count if `machinery` says so.
    pub below: Vec<PathBuf>,
    /// Count mounts and new processes too.
    pub machinery: bool,
    /// What to do at which call.
    pub fault: Fault,
}

/// What became of a traced command.
#[derive(Debug)]
pub struct Outcome {
    /// Every counted call, in order.
    pub events: Vec<Event>,
    /// The exit code, or 128 + the signal that ended the command.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether the fault was reached.
    pub hit: bool,
}

impl Traced {
    /// `argv` in this process's environment, counting changes below `below`.
    pub fn new<I: IntoIterator<Item = S>, S: Into<OsString>>(argv: I, below: Vec<PathBuf>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: std::env::vars_os().collect(),
            below,
            machinery: false,
            fault: Fault::None,
        }
    }

    /// The same command with another fault.
    pub fn with(&self, fault: Fault) -> Self {
        Self { fault, ..self.clone() }
    }

    /// Runs it to the end of every process of its tree.
    pub fn run(&self) -> Outcome {
        engine::run(self)
    }
}
