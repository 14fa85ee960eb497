//! The caller stays: passes signals on, relays the terminal, and takes what is left of the container at its end.

use std::os::fd::{AsFd, OwnedFd};

use ctr_core::container::{EXIT_RECORD_MAX, ExitRecord};
use ctr_sys::files::{self, PollEntry};
use ctr_sys::process::{self, Ended, WaitFor};
use ctr_sys::{signal, small};

use crate::error::SandboxError;
use crate::start::Started;
use crate::terminal::{DetachKeys, OwnStreams, Relay, RelayEnd, Terminal};

/// How the stay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stayed {
    /// With the container.
    Ended(Outcome),
    /// The keys to detach were typed: the container goes on.
    Detached,
    /// The caller's own terminal has gone: the container goes on, unless it has no init to hold its terminal.
    HungUp,
}

/// How a container that was waited for ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The program's exit code, or 128 + the number of the signal that ended it.
    pub exit_code: u8,
    /// The kernel killed a process of it for lack of memory.
    pub out_of_memory: bool,
    /// Its time was over (`--timeout`).
    pub timed_out: bool,
}

impl Started {
    /// Waits for the end, passing signals on, and removes the control groups; with a terminal, relays it until `detach` is
    /// typed. Signals stay blocked afterwards, so that what the caller still has to remove is removed.
    pub fn wait(mut self, detach: &DetachKeys) -> Result<Stayed, SandboxError> {
        let host = |call: &'static str| move |errno| SandboxError::host("wait for the container", call, "", errno);
        let signals = signal::signalfd_all().map_err(host("signalfd"))?;
        let pidfd = &self.pidfd;
        let pass_on = |number| {
            let _ = process::pidfd_signal(pidfd.as_fd(), number);
        };
        match &self.attached {
            Some(attached) => {
                // Without init nobody would hold the terminal after us.
                let nothing = DetachKeys::none();
                let detach = if attached.connection.is_some() { detach } else { &nothing };
                let (terminal, end) = (attached.terminal.master.as_fd(), pidfd.as_fd());
                let relay = Relay {
                    terminal,
                    end,
                    signals: signals.as_fd(),
                    input: self.input,
                    detach,
                    streams: &OwnStreams::open(),
                };
                let on_signal = |number| {
                    pass_on(number);
                    true
                };
                match relay.run(on_signal)? {
                    RelayEnd::Ended | RelayEnd::Signalled(_) => {}
                    RelayEnd::Detached => return Ok(Stayed::Detached),
                    RelayEnd::HungUp => return Ok(Stayed::HungUp),
                }
            }
            None => wait_passing_signals(pidfd, &signals, pass_on)?,
        }
        let exit_code = reap(&self.pidfd)?;
        let out_of_memory = self.counts_memory && self.groups.out_of_memory();
        if out_of_memory && self.keeps_record {
            // The count in the group is what tells ctr-ps why; ctr-gc removes it with the container.
            self.groups.keep();
        } else {
            self.groups.remove();
        }
        Ok(Stayed::Ended(Outcome { exit_code, out_of_memory, timed_out: self.timed_out() }))
    }

    /// Asks the program to end by `signal`, kills it after `limit`, and removes the control groups.
    pub fn stop(mut self, signal: i32, limit: std::time::Duration) -> Result<(), SandboxError> {
        let host = |call: &'static str| move |errno| SandboxError::host("stop the container", call, "", errno);
        let _ = process::pidfd_signal(self.pidfd.as_fd(), signal);
        let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        files::poll(&mut [PollEntry::readable(Some(self.pidfd.as_fd()))], Some(limit)).map_err(host("poll"))?;
        let _ = process::pidfd_signal(self.pidfd.as_fd(), signal::SIGKILL);
        process::wait(WaitFor::PidFd(self.pidfd.as_fd()), true).map_err(host("waitid"))?;
        self.groups.remove();
        Ok(())
    }

    fn timed_out(&self) -> bool {
        let line = small::read(&self.dir.join("exit"), EXIT_RECORD_MAX).ok().flatten();
        line.and_then(|line| ExitRecord::parse(&line)).is_some_and(|record| record.timed_out)
    }
}

/// How the process behind `pidfd`, a child of this one, ended: its exit code, or 128 + the signal that ended it. Signals, which
/// are blocked, are passed on to it.
pub fn wait_for(pidfd: &OwnedFd) -> Result<u8, SandboxError> {
    let host = |call: &'static str| move |errno| SandboxError::host("wait for the container", call, "", errno);
    let signals = signal::signalfd_all().map_err(host("signalfd"))?;
    wait_passing_signals(pidfd, &signals, |number| {
        let _ = process::pidfd_signal(pidfd.as_fd(), number);
    })?;
    reap(pidfd)
}

/// [`wait_for`], with the caller's streams at the program's terminal.
pub fn wait_with_terminal(pidfd: &OwnedFd, terminal: &Terminal) -> Result<u8, SandboxError> {
    let host = |call: &'static str| move |errno| SandboxError::host("wait for the container", call, "", errno);
    let signals = signal::signalfd_all().map_err(host("signalfd"))?;
    let relay = Relay {
        terminal: terminal.master.as_fd(),
        end: pidfd.as_fd(),
        signals: signals.as_fd(),
        input: std::io::IsTerminal::is_terminal(&std::io::stdin()),
        detach: &DetachKeys::none(),
        streams: &OwnStreams::open(),
    };
    relay.run(|number| process::pidfd_signal(pidfd.as_fd(), number).is_ok())?;
    reap(pidfd)
}

fn reap(pidfd: &OwnedFd) -> Result<u8, SandboxError> {
    let host = |call: &'static str| move |errno| SandboxError::host("wait for the container", call, "", errno);
    Ok(match process::wait(WaitFor::PidFd(pidfd.as_fd()), true).map_err(host("waitid"))? {
        Some((_, Ended::Code(code))) => code,
        Some((_, Ended::Signal(number))) => number.saturating_add(128),
        None => 125,
    })
}

fn wait_passing_signals(pidfd: &OwnedFd, signals: &OwnedFd, pass_on: impl Fn(i32)) -> Result<(), SandboxError> {
    let host = |call: &'static str| move |errno| SandboxError::host("wait for the container", call, "", errno);
    loop {
        let mut entries = [PollEntry::readable(Some(pidfd.as_fd())), PollEntry::readable(Some(signals.as_fd()))];
        files::poll(&mut entries, None).map_err(host("poll"))?;
        let [ended, signalled] = entries;
        while signalled.is_ready() {
            match signal::read_signal(signals.as_fd()).map_err(host("read"))? {
                Some(number) if !signal::is_own_doing(number) => pass_on(number),
                Some(_) => {}
                None => break,
            }
        }
        if ended.is_ready() {
            return Ok(());
        }
    }
}
