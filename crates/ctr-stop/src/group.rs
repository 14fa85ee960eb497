//! Ending every process of a container's control groups, on both versions of them (cgroups(7)).
//!
//! Version 2 has `cgroup.kill` (Linux 5.14), which also reaches frozen processes and leaves no room for a fork. Version 1 has
//! lists of processes: they are frozen, signalled and thawed, as often as it takes. Nothing here waits for the kernel
//! longer than its caller allows.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ctr_core::container::Container;
use ctr_sys::signal::SIGKILL;
use ctr_sys::{pidfd, procfs};

/// Groups below groups that are followed: a container may nest them, and we do not recurse without end.
const DEPTH_MAX: usize = 32;
/// Longest wait for a version 1 group to freeze: one process in an uninterruptible system call keeps it from it.
const FREEZE_TIME: Duration = Duration::from_millis(100);

/// The control groups of one container that are there.
#[derive(Debug)]
pub(crate) struct Groups {
    dirs: Vec<PathBuf>,
}

impl Groups {
    /// As recorded at the start.
    pub(crate) fn of(container: &Container) -> Self {
        Self { dirs: container.record.cgroups.iter().map(PathBuf::from).filter(|dir| dir.is_dir()).collect() }
    }

    /// Lets go what is frozen by one of the groups themselves.
    pub(crate) fn thaw(&self) {
        for dir in self.dirs.iter().filter(|dir| is_frozen(dir)) {
            let _ = fs::write(dir.join("cgroup.freeze"), "0");
            if dir.join("freezer.state").exists() {
                thaw(dir, 0);
            }
        }
    }

    /// Sends SIGKILL to all processes once; says whether there were any. `end` bounds the wait for the freezer.
    pub(crate) fn kill(&self, end: Instant) -> bool {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let mut any = false;
        for dir in &self.dirs {
            let members = members(dir, 0);
            // Who runs ctr-stop inside of the group, or recorded a group of others, must not end the host's processes.
            if members.is_empty() || members.contains(&own) || members.contains(&1) {
                continue;
            }
            any = true;
            if fs::write(dir.join("cgroup.kill"), "1").is_err() {
                kill_listed(dir, end);
            }
        }
        any
    }

    /// What keeps processes alive that were killed, for the message.
    pub(crate) fn why_alive(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let left: BTreeSet<i32> = self.dirs.iter().flat_map(|dir| members(dir, 0)).collect();
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        if left.contains(&own) {
            reasons.push("ctr-stop itself is a member of the container's control group".to_owned());
        }
        for pid in left.iter().take(8) {
            let state = procfs::process_stat(*pid).ok().flatten().map_or('?', |stat| char::from(stat.state));
            let waits = if state == 'D' { ", in an uninterruptible system call" } else { "" };
            reasons.push(format!("process {pid} is left (state {state}{waits})"));
        }
        for dir in self.dirs.iter().filter(|dir| is_frozen(dir)) {
            let parent = fs::read_to_string(dir.join("freezer.parent_freezing"));
            let above = if parent.is_ok_and(|parent| parent.trim() == "1") { " by one above it" } else { "" };
            reasons.push(format!("control group {} is frozen{above}", dir.display()));
        }
        reasons
    }
}

/// The processes of a group and the groups below it.
fn members(dir: &Path, depth: usize) -> BTreeSet<i32> {
    // Processes of a pid namespace that we do not see are listed as 0.
    let list = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let mut members: BTreeSet<i32> = list.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect();
    if depth < DEPTH_MAX {
        for below in groups_below(dir) {
            members.extend(self::members(&below, depth + 1));
        }
    }
    members
}

/// The groups right below a group.
fn groups_below(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let dirs = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|entry| entry.path()).collect()
}

/// Version 1, and version 2 before `cgroup.kill`.
fn kill_listed(dir: &Path, end: Instant) {
    let freezes = freeze(dir, end);
    let pidfds: Vec<_> = members(dir, 0).into_iter().map(|pid| (pid, pidfd::open(pid))).collect();
    // A number may have gone to another process between the list and its pidfd. If it is listed again after the pidfd
    // was made, the process behind it is a member.
    let still = members(dir, 0);
    for (pid, pidfd) in pidfds {
        if let (true, Ok(Some(pidfd))) = (still.contains(&pid), pidfd) {
            // It has ended, or it is not ours to kill; the caller looks at what is left.
            let _ = pidfd::send_signal(pidfd.as_fd(), SIGKILL);
        }
    }
    if freezes {
        // On version 1 a frozen process does not die of SIGKILL before it is thawed. This also thaws what others froze.
        thaw(dir, 0);
    }
}

/// Stops forks while the list is read; says whether the group has a freezer.
fn freeze(dir: &Path, end: Instant) -> bool {
    let state = dir.join("freezer.state");
    if !state.exists() {
        return false;
    }
    let end = end.min(Instant::now() + FREEZE_TIME);
    while fs::write(&state, "FROZEN").is_ok()
        && fs::read_to_string(&state).is_ok_and(|now| now.trim() != "FROZEN")
        && Instant::now() < end
    {
        thread::sleep(Duration::from_millis(1));
    }
    true
}

fn thaw(dir: &Path, depth: usize) {
    // Top down: a group thaws only once those above it have.
    let _ = fs::write(dir.join("freezer.state"), "THAWED");
    if depth < DEPTH_MAX {
        for below in groups_below(dir) {
            thaw(&below, depth + 1);
        }
    }
}

fn is_frozen(dir: &Path) -> bool {
    fs::read_to_string(dir.join("freezer.state")).is_ok_and(|state| state.trim() != "THAWED")
        || fs::read_to_string(dir.join("cgroup.events")).is_ok_and(|events| events.contains("frozen 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_those_of_the_whole_tree() {
        let top = std::env::temp_dir().join(format!("ctr-stop-members-{}", std::process::id()));
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("cgroup.procs"), "0\n12\n7\n12\n").unwrap();
        fs::write(top.join("a/b/cgroup.procs"), "99\nrubbish\n-4\n").unwrap();
        assert_eq!(members(&top, 0), BTreeSet::from([7, 12, 99]));
        assert_eq!(members(&top, DEPTH_MAX), BTreeSet::from([7, 12]));
        fs::remove_dir_all(&top).unwrap();
        assert!(members(&top, 0).is_empty());
    }

    #[test]
    fn a_group_that_holds_the_caller_is_left_alone() {
        let top = std::env::temp_dir().join(format!("ctr-stop-own-{}", std::process::id()));
        fs::create_dir_all(&top).unwrap();
        fs::write(top.join("cgroup.procs"), format!("{}\n", std::process::id())).unwrap();
        let groups = Groups { dirs: vec![top.clone()] };
        assert!(!groups.kill(Instant::now()));
        assert!(!top.join("cgroup.kill").exists());
        assert!(groups.why_alive().iter().any(|reason| reason.contains("ctr-stop itself")));
        fs::remove_dir_all(&top).unwrap();
    }
}
