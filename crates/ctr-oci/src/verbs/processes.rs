//! The processes of a container: those of its control groups and the groups below them.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use ctr_sys::{SysError, pidfd};

/// Groups that are looked at: a container may make as many as it likes.
const GROUPS_MAX: usize = 100_000;

/// Process ids as this process sees them. Which hierarchy says it makes no difference: a process that is listed in one is a
/// process of the container.
pub(super) fn members(dirs: &[PathBuf]) -> BTreeSet<i32> {
    let mut members = BTreeSet::new();
    let (mut left, mut seen) = (dirs.to_vec(), 0);
    while let Some(dir) = left.pop() {
        // A process of a PID namespace that we do not see is listed as 0.
        let list = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        members.extend(list.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
        seen += 1;
        if seen < GROUPS_MAX {
            let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
            let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            left.extend(below.map(|entry| entry.path()));
        }
    }
    members
}

/// Sends a signal to every process, once; says to how many.
pub(super) fn signal(dirs: &[PathBuf], signal: i32) -> Result<usize, SysError> {
    let mut opened = Vec::new();
    for pid in members(dirs) {
        opened.extend(pidfd::open(pid)?.map(|pidfd| (pid, pidfd)));
    }
    // A number may have gone to another process between the list and its pidfd. If it is listed again after the pidfd was
    // made, the process behind it is a member.
    let still = members(dirs);
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut sent = 0;
    for (_, pidfd) in opened.iter().filter(|(pid, _)| still.contains(pid) && *pid != own && *pid != 1) {
        sent += usize::from(pidfd::send_signal(pidfd.as_fd(), signal)?);
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Directories stand for groups.
    #[test]
    fn groups_below_count() {
        let top = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let dir = top.path().join(path);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("cgroup.procs"), text).unwrap();
        };
        write("memory", "7\n5\n");
        write("memory/a/b", "0\n9\n");
        write("pids", "5\n\nx\n-3\n");
        let dirs = ["memory", "pids", "gone"].map(|name| top.path().join(name));
        assert_eq!(members(&dirs).into_iter().collect::<Vec<_>>(), [5, 7, 9]);
    }

    #[test]
    fn a_signal_reaches_every_member() {
        let top = tempfile::tempdir().unwrap();
        let spawn = || std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let mut children = [spawn(), spawn()];
        let list = [children[0].id(), children[1].id(), std::process::id(), 1].map(|pid| pid.to_string());
        fs::write(top.path().join("cgroup.procs"), list.join("\n")).unwrap();
        let dirs = [top.path().to_owned()];
        // spec: OCI-31
        assert_eq!(signal(&dirs, 15).unwrap(), 2);
        for child in &mut children {
            assert!(!child.wait().unwrap().success());
        }
        assert_eq!(signal(&[top.path().join("gone")], 15).unwrap(), 0);
    }
}
