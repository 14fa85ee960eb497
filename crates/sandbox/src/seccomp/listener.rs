//! The outside of `SCMP_ACT_NOTIFY`: the listener of a filter is taken from the process that has loaded it and sent to an agent
//! (runtime-spec, config-linux.md "Seccomp", "The container process state"). What the process does: `script/notify.rs`.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ctr_sys::files::{self, PollEntry};
use ctr_sys::{Errno, seccomp, small, socket};

use crate::error::SandboxError;
use crate::script::LISTENER;

/// How long the agent may take to accept a connection and to take the message. It is there before the container is, and what it
/// gets is small: an agent that takes longer hangs.
const AGENT_TIME: Duration = Duration::from_secs(10);
/// Between two looks whether the filter is loaded: that takes some ten microseconds.
const LOOK_AGAIN: Duration = Duration::from_micros(50);

/// A connection to an agent, and what it will be told.
pub struct Notify {
    path: PathBuf,
    connection: OwnedFd,
    state: Box<dyn Fn(i32) -> Vec<u8>>,
}

impl std::fmt::Debug for Notify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notify").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Notify {
    /// Connects to the agent that listens at `path`, ten seconds at most. `state` is the container process state for a process
    /// with this id.
    pub fn connect(path: &Path, state: Box<dyn Fn(i32) -> Vec<u8>>) -> Result<Self, SandboxError> {
        let failed = |why: &dyn std::fmt::Display| {
            SandboxError::request_hint(
                format!("linux.seccomp.listenerPath: cannot connect to {}: {why}", path.display()),
                "an agent has to listen there before the container starts",
            )
        };
        let (parent, name) = small::parent_and_name(path).ok_or_else(|| failed(&"it has no name"))?;
        let name = name.to_str().ok_or_else(|| failed(&"its name is not UTF-8"))?;
        let dir = File::open(parent).map_err(|error| failed(&error))?;
        let end = Instant::now() + AGENT_TIME;
        loop {
            match socket::connect_stream_now(dir.as_fd(), name) {
                Ok(connection) => return Ok(Self { path: path.to_owned(), connection, state }),
                Err(Errno::EAGAIN) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
                Err(Errno::EAGAIN) => return Err(failed(&"it does not accept the connection")),
                Err(errno) => return Err(failed(&errno.desc())),
            }
        }
    }

    /// Takes the listener that `announced` tells of from the process `pid`, sends it to the agent, lets the process go on, and
    /// waits until it has executed its program or says why not, by `report`. If the filter could not be loaded nothing is sent.
    pub(crate) fn pass_on(
        self,
        pid: i32,
        pidfd: BorrowedFd<'_>,
        announced: Announced,
        report: BorrowedFd<'_>,
    ) -> Result<(), SandboxError> {
        let path = self.path.clone();
        self.hand_over(pid, pidfd, announced, report)?;
        let end = Instant::now() + AGENT_TIME;
        let mut entries = [PollEntry::readable(Some(report))];
        let failed = |errno| SandboxError::host("wait for the exec of the program", "poll", "", errno);
        while files::poll(&mut entries, Some(1000)).map_err(failed)? == 0 {
            if Instant::now() > end {
                let path = path.display();
                return Err(SandboxError::request(format!(
                    "linux.seccomp.listenerPath: the agent at {path} did not let the program be executed within ten seconds"
                )));
            }
        }
        Ok(())
    }

    /// The same without the wait. `other` becomes readable when there is nothing to take any more.
    pub(crate) fn hand_over(
        self,
        pid: i32,
        pidfd: BorrowedFd<'_>,
        announced: Announced,
        other: BorrowedFd<'_>,
    ) -> Result<(), SandboxError> {
        let failed = |call: &'static str| {
            move |errno| {
                let error = SandboxError::host("take the listener of the seccomp filter", call, "", errno);
                match errno {
                    Errno::EPERM => error.hinted("it takes the right to trace the process: CAP_SYS_PTRACE"),
                    Errno::ENOSYS => error.hinted("SCMP_ACT_NOTIFY takes Linux 5.6"),
                    _ => error,
                }
            }
        };
        let gate = seccomp::descriptor_of(pidfd, announced.gate).map_err(failed("pidfd_getfd"))?;
        let Some(listener) = taken(pidfd, announced.listener, other).map_err(failed("pidfd_getfd"))? else {
            return Ok(());
        };
        self.send(&(self.state)(pid), listener.as_fd())?;
        // The end of the message, for an agent that reads to the end before it answers a call.
        drop(self);
        seccomp::open_gate(gate.as_fd()).map_err(failed("pwrite"))
    }

    fn send(&self, state: &[u8], listener: BorrowedFd<'_>) -> Result<(), SandboxError> {
        let end = Instant::now() + AGENT_TIME;
        let mut passed = Some(listener);
        let mut rest = state;
        while !rest.is_empty() {
            let error = match socket::send_bytes(self.connection.as_fd(), rest, passed) {
                Ok(sent) => {
                    passed = None;
                    rest = rest.get(sent..).unwrap_or_default();
                    continue;
                }
                Err(Errno::EAGAIN) if Instant::now() < end => {
                    let _ = files::poll(&mut [PollEntry::of(self.connection.as_fd(), false, true)], Some(100));
                    continue;
                }
                Err(Errno::EAGAIN) => "it does not take the message".to_owned(),
                Err(errno) => errno.desc().to_owned(),
            };
            let path = self.path.display();
            return Err(SandboxError::request(format!("linux.seccomp.listenerPath: cannot tell {path}: {error}")));
        }
        Ok(())
    }
}

/// The numbers that a process has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    gate: i32,
    listener: i32,
}

impl Announced {
    /// As it was told.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        let gate = u16::try_from(self.gate).unwrap_or(u16::MAX);
        let ([low, high], [a, b, c, d]) = (gate.to_ne_bytes(), self.listener.to_ne_bytes());
        [LISTENER, 0, low, high, a, b, c, d]
    }

    /// What a report tells, if it tells of a listener.
    pub(crate) fn read([kind, _, low, high, listener @ ..]: [u8; 8]) -> Option<Self> {
        let gate = i32::from(u16::from_ne_bytes([low, high]));
        (kind == LISTENER).then(|| Self { gate, listener: i32::from_ne_bytes(listener) })
    }
}

/// The listener, once it is there; `None` if the process has said something else or has ended.
fn taken(pidfd: BorrowedFd<'_>, number: i32, report: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Errno> {
    let end = Instant::now() + AGENT_TIME;
    loop {
        match seccomp::descriptor_of(pidfd, number) {
            Ok(listener) => return Ok(Some(listener)),
            // Not there yet.
            Err(Errno::EBADF) if Instant::now() < end => {}
            Err(Errno::ESRCH) => return Ok(None),
            Err(errno) => return Err(errno),
        }
        let mut entries = [PollEntry::readable(Some(report)), PollEntry::readable(Some(pidfd))];
        if files::poll(&mut entries, Some(0))? > 0 {
            return Ok(None);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
