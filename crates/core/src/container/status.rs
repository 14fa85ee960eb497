//! Whether a container lives, and how it ended if it does not.
//!
//! Alive is: its lock is held, **or** its recorded process (boot id, pid, start time) is one that is no zombie, **or** one
//! of its control groups has a process. Each alone can be wrong for a moment: the lock is free before the last process is
//! gone, a pid can be used again, a control group can be missing.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;

use ctr_sys::small;
use serde::Serialize;

use super::dir::{Container, Place};
use super::{ContainerError, ExitRecord, ExitStatus, ProcessRecord};
use crate::timestamp::Timestamp;

/// The largest `process` that is read, in bytes.
const PROCESS_MAX: usize = 4096;

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Being made.
    Embryo,
    /// Made, not started.
    Prepared,
    /// It has a process.
    Running,
    /// It ended and init recorded how.
    Exited,
    /// It ended and nobody could record how: killed with its init, or the host went down.
    Killed,
    /// It ended without an init that could have recorded how (`--no-init`).
    Unknown,
    /// Being removed.
    Garbage,
}

impl State {
    /// `running` ...
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embryo => "embryo",
            Self::Prepared => "prepared",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Killed => "killed",
            Self::Unknown => "unknown",
            Self::Garbage => "garbage",
        }
    }
}

/// The state of a container and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where it is in its life.
    pub state: State,
    /// PID 1 of the container in the host's namespace, while it runs.
    pub pid: Option<i32>,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended, as recorded by init.
    pub finished_at: Option<Timestamp>,
    /// How it ended, as recorded by init.
    pub exit: Option<ExitStatus>,
    /// Why it was killed, where that can be told: `out of memory`, `host restarted`, `timeout`.
    pub reason: Option<&'static str>,
}

impl Container {
    /// Looks at the lock, the process and the control groups.
    pub fn status(&self) -> Result<Status, ContainerError> {
        let process = self.process()?;
        let (locked, exit) = (self.lock_is_held()?, self.exit()?);
        let other_boot = match &process {
            Some(process) => {
                process.boot_id != ctr_sys::procfs::boot_id().map_err(ContainerError::io("read", "/proc"))?
            }
            None => false,
        };
        let live_pid = match &process {
            Some(process) if !other_boot => live_pid(process)?,
            _ => None,
        };
        // The directories that are still there: of a dead container mostly none, and each costs one call to find out.
        let groups = if other_boot { Vec::new() } else { self.present_groups() };
        let alive = locked || live_pid.is_some() || groups.iter().any(|group| is_populated(group));
        let state = match (self.place, alive) {
            (Place::Garbage, _) => State::Garbage,
            (Place::Embryo, _) => State::Embryo,
            (Place::Prepared, _) => State::Prepared,
            (Place::Run, true) => State::Running,
            (Place::Run, false) if exit.is_some() => State::Exited,
            (Place::Run, false) if self.record.init => State::Killed,
            (Place::Run, false) => State::Unknown,
        };
        let reason = match state {
            State::Killed | State::Exited if oom_killed(&groups) => Some("out of memory"),
            State::Killed if other_boot => Some("host restarted"),
            State::Exited if exit.is_some_and(|exit| exit.timed_out) => Some("timeout"),
            _ => None,
        };
        Ok(Status {
            state,
            pid: live_pid,
            started_at: process.map(|process| process.started_at),
            finished_at: exit.map(|exit| exit.at),
            exit: exit.map(|exit| exit.status),
            reason,
        })
    }

    /// Its PID 1 in the caller's namespace, while that lives.
    pub fn live_pid(&self) -> Result<Option<i32>, ContainerError> {
        let Some(process) = self.process()? else { return Ok(None) };
        if process.boot_id != ctr_sys::procfs::boot_id().map_err(ContainerError::io("read", "/proc"))? {
            return Ok(None);
        }
        live_pid(&process)
    }

    /// The `process` file; `None` before it is written.
    pub fn process(&self) -> Result<Option<ProcessRecord>, ContainerError> {
        let path = self.dir.join("process");
        match small::read(&path, PROCESS_MAX) {
            // An empty or torn file is one that is being written, or whose writer was killed: the lock and the control
            // groups tell the rest.
            Ok(bytes) => Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ContainerError::io("read", path)(error)),
        }
    }

    /// The exit record; `None` before init has written it.
    pub fn exit(&self) -> Result<Option<ExitRecord>, ContainerError> {
        let path = self.dir.join("exit");
        match small::read(&path, super::EXIT_RECORD_MAX) {
            Ok(line) => Ok(line.as_deref().and_then(ExitRecord::parse)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ContainerError::io("read", path)(error)),
        }
    }

    /// Whether somebody, the maker of the container or its init, holds its lock.
    pub fn lock_is_held(&self) -> Result<bool, ContainerError> {
        let path = self.dir.join("lock");
        match small::open_read(&path) {
            Ok(file) => ctr_sys::lock::is_locked(file.as_fd()).map_err(|source| ContainerError::Lock { path, source }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(ContainerError::io("open", path)(error)),
        }
    }

    fn present_groups(&self) -> Vec<&Path> {
        self.record.cgroups.iter().map(Path::new).filter(|group| group.exists()).collect()
    }
}

/// Whether the kernel killed a process of the container for lack of memory, as its control groups count.
fn oom_killed(groups: &[&Path]) -> bool {
    let counts = |file: &str| {
        groups.iter().any(|group| {
            let text = fs::read_to_string(group.join(file)).unwrap_or_default();
            text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
        })
    };
    counts("memory.events") || counts("memory.oom_control")
}

/// The recorded pid, if that process still is the one that was recorded and no zombie.
fn live_pid(process: &ProcessRecord) -> Result<Option<i32>, ContainerError> {
    let stat = ctr_sys::procfs::process_stat(process.pid)
        .map_err(ContainerError::io("read", format!("/proc/{}/stat", process.pid)))?;
    Ok(stat.filter(|stat| stat.start_time == process.start_time && !stat.is_zombie()).map(|_| process.pid))
}

/// cgroup v2 says so in `cgroup.events`; v1 has only the list of processes, group by group.
fn is_populated(group: &Path) -> bool {
    if let Ok(events) = fs::read_to_string(group.join("cgroup.events")) {
        return events.lines().any(|line| line == "populated 1");
    }
    if fs::read(group.join("cgroup.procs")).is_ok_and(|procs| !procs.is_empty()) {
        return true;
    }
    let Ok(entries) = fs::read_dir(group) else { return false };
    entries.flatten().any(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_populated(&entry.path()))
}
