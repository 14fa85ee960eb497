//! The container to join: its PID 1, its root directory, and which of its namespaces are not ours.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use ctr_core::container::{Container, ContainerError, State};
use ctr_sys::process::{self, Namespaces};
use ctr_sys::{Errno, files, pidfd, procfs, small};

use crate::error::SandboxError;

/// Every kind, by its name in `/proc/PID/ns`, but user, pid and cgroup, which are each joined in a way of their own.
const KINDS: [(&str, Namespaces); 5] = [
    ("mnt", Namespaces::MOUNT),
    ("ipc", Namespaces::IPC),
    ("uts", Namespaces::UTS),
    ("net", Namespaces::NET),
    ("time", Namespaces::TIME),
];

/// A container that runs.
#[derive(Debug)]
pub(super) struct Target {
    /// Its PID 1 in our namespace.
    pub(super) pid: i32,
    /// The same, as a descriptor that cannot come to mean another process.
    pub(super) pidfd: OwnedFd,
    /// Its root directory.
    pub(super) root: OwnedFd,
    /// Whether it has a user namespace of its own.
    pub(super) own_user_namespace: bool,
    /// Whether a process of its user namespace may change its groups (user_namespaces(7), `/proc/PID/setgroups`).
    pub(super) set_groups: bool,
    /// What the parent joins.
    pub(super) namespaces: Namespaces,
    /// What the child joins by itself.
    pub(super) late: Vec<(OwnedFd, Namespaces)>,
}

impl Target {
    /// Looks at a container, which must run.
    pub(super) fn open(container: &Container) -> Result<Self, SandboxError> {
        let (pid, pidfd) = main_process(container)?;
        let looked = |errno| {
            let error = SandboxError::host("look at the container's PID 1", "openat", format!("/proc/{pid}"), errno);
            match errno {
                Errno::EACCES | Errno::EPERM => {
                    error.hinted("it belongs to another user: run ctr-exec as the user who started the container")
                }
                _ => error,
            }
        };
        let path = CString::new(format!("/proc/{pid}/root")).map_err(|_| looked(Errno::EINVAL))?;
        let root = files::open_directory(&path).map_err(looked)?;
        let own_user_namespace = differs(pid, "user").map_err(looked)?;
        let mut namespaces = if own_user_namespace { Namespaces::USER } else { Namespaces::NONE };
        for (name, kind) in KINDS {
            if differs(pid, name).map_err(looked)? {
                namespaces = namespaces.and(kind);
            }
        }
        let mut late = Vec::with_capacity(2);
        if differs(pid, "pid").map_err(looked)? {
            if own_user_namespace {
                namespaces = namespaces.and(Namespaces::PID);
            } else {
                late.push((namespace(pid, "pid").map_err(looked)?, Namespaces::PID));
            }
        }
        if differs(pid, "cgroup").map_err(looked)? {
            late.push((namespace(pid, "cgroup").map_err(looked)?, Namespaces::CGROUP));
        }
        let setgroups = std::fs::read_to_string(format!("/proc/{pid}/setgroups"));
        let set_groups = !setgroups.is_ok_and(|word| word.trim() == "deny");
        // All of this was that process's, if it still is there.
        if process::pidfd_signal(pidfd.as_fd(), 0) == Err(Errno::ESRCH) {
            return Err(not_running(container, "it has just ended"));
        }
        Ok(Self { pid, pidfd, root, own_user_namespace, set_groups, namespaces, late })
    }
    /// The uid that we see where the container sees `uid`, if it is mapped.
    pub(super) fn outside_uid(&self, uid: u32) -> Option<u32> {
        if !self.own_user_namespace {
            return Some(uid);
        }
        let map = std::fs::read_to_string(format!("/proc/{}/uid_map", self.pid)).ok()?;
        map.lines().find_map(|line| {
            let numbers: Vec<u32> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [inside, outside, count] = numbers.as_slice() else { return None };
            let offset = uid.checked_sub(*inside).filter(|offset| offset < count)?;
            outside.checked_add(offset)
        })
    }
}

/// Whether a process of the container can have the uid `uid` of ours: by the map of its user namespace, as we see it.
pub fn has_uid(container: &Container, uid: u32) -> Result<bool, ContainerError> {
    let Some(process) = container.process()? else { return Ok(true) };
    let map = std::fs::read_to_string(format!("/proc/{}/uid_map", process.pid));
    Ok(map.map_or(true, |map| map.lines().any(|line| maps(line, uid))))
}

/// A line of `/proc/PID/uid_map`: first id inside, first id outside, how many. One that cannot be read maps everything.
fn maps(line: &str, uid: u32) -> bool {
    let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [_, first, count] = numbers.as_slice() else { return true };
    (*first..first.saturating_add(*count)).contains(&u64::from(uid))
}

/// PID 1 as it was recorded, if it still is that process.
fn main_process(container: &Container) -> Result<(i32, OwnedFd), SandboxError> {
    let status = container.status()?;
    // One that was created of a bundle is there, and waits.
    let there =
        status.state == State::Running || (status.state == State::Prepared && container.record.bundle.is_some());
    if !there {
        return Err(not_running(container, &format!("its state is \"{}\"", status.state.name())));
    }
    let Some(record) = container.process()? else {
        return Err(not_running(container, "it is just being started"));
    };
    let io = |source| ContainerError::Io { action: "read", path: "/proc".into(), source };
    let same_boot = record.boot_id == procfs::boot_id().map_err(io)?;
    let opened = if same_boot { pidfd::open_verified(record.pid, record.start_time) } else { Ok(None) };
    let opened = opened.map_err(|cause| SandboxError::Host {
        action: "open the container's PID 1".to_owned(),
        cause,
        hint: None,
    })?;
    opened.map(|pidfd| (record.pid, pidfd)).ok_or_else(|| not_running(container, "its PID 1 has ended"))
}

fn not_running(container: &Container, why: &str) -> SandboxError {
    let record = &container.record;
    let name = record.name.clone().unwrap_or_else(|| record.id.chars().take(12).collect());
    SandboxError::request_hint(
        format!("the container {name} does not run: {why}"),
        "ctr-ps lists the containers that run",
    )
}

/// Whether a namespace of `pid` is another one than ours; not on a kernel without that kind.
fn differs(pid: i32, name: &str) -> Result<bool, Errno> {
    let identity = |process: &str| match std::fs::metadata(format!("/proc/{process}/ns/{name}")) {
        Ok(facts) => Ok(Some((facts.dev(), facts.ino()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Errno::from_raw(error.raw_os_error().unwrap_or_default())),
    };
    Ok(identity(&pid.to_string())? != identity("self")?)
}

fn namespace(pid: i32, name: &str) -> Result<OwnedFd, Errno> {
    let opened = small::open_read(format!("/proc/{pid}/ns/{name}").as_ref());
    opened.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_map() {
        assert!(maps("         0          0 4294967295", 0));
        assert!(!maps("0 100000 65536", 0) && maps("0 100000 65536", 165_535) && !maps("0 100000 65536", 165_536));
        assert!(maps("nonsense", 5));
    }
}
