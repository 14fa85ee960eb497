//! The isolation of the running program as the kernel tells it, to be held against the recorded one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ctr_core::container::Container;
use ctr_sys::procfs;
use serde::Serialize;

/// The namespaces that are compared with ours, by their names in `/proc/PID/ns`.
const NAMESPACES: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

/// What `/proc` says of the container's program: the first child of our init, or PID 1 without one.
#[derive(Debug, Serialize)]
pub(crate) struct Live {
    /// The program in the host's namespace.
    pid: i32,
    /// For each namespace whether it is the one of `ctr-ps` (`shared`) or not (`own`).
    namespaces: BTreeMap<&'static str, &'static str>,
    /// `none`, `strict` or `filter`.
    seccomp: &'static str,
    no_new_privileges: bool,
    /// User and group ids, effective, as the namespace of `ctr-ps` sees them.
    uid: u32,
    gid: u32,
    /// Sets as 64-bit masks in hexadecimal, as in proc_pid_status(5).
    capabilities_effective: String,
    capabilities_bounding: String,
}

impl Live {
    /// Looks at the program of `container`; `None` if it ended meanwhile or hides from us.
    pub(crate) fn of(container: &Container) -> Option<Self> {
        let process = container.process().ok()??;
        let pid = if container.record.init { first_child(process.pid)? } else { process.pid };
        let live = Self::read(pid)?;
        // If PID 1 still is the recorded one, the numbers read in between were not given to others: a child of a living
        // parent keeps its number until that has reaped it, and then another first child would have been found.
        let same = procfs::process_stat(process.pid).ok()??.start_time == process.start_time;
        let still_child = !container.record.init || first_child(process.pid) == Some(pid);
        (same && still_child).then_some(live)
    }

    fn read(pid: i32) -> Option<Self> {
        let proc_dir = format!("/proc/{pid}");
        let status = fs::read_to_string(Path::new(&proc_dir).join("status")).ok()?;
        let mut namespaces = BTreeMap::new();
        for name in NAMESPACES {
            let theirs = fs::read_link(format!("{proc_dir}/ns/{name}")).ok()?;
            let ours = fs::read_link(format!("/proc/self/ns/{name}")).ok()?;
            namespaces.insert(name, if theirs == ours { "shared" } else { "own" });
        }
        parse(pid, &status, namespaces)
    }
}

fn parse(pid: i32, status: &str, namespaces: BTreeMap<&'static str, &'static str>) -> Option<Live> {
    let field = |name: &str| {
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
    };
    let effective_id = |name: &str| field(name)?.split_ascii_whitespace().nth(1)?.parse().ok();
    Some(Live {
        pid,
        namespaces,
        seccomp: match field("Seccomp")? {
            "0" => "none",
            "1" => "strict",
            _ => "filter",
        },
        no_new_privileges: field("NoNewPrivs")? == "1",
        uid: effective_id("Uid")?,
        gid: effective_id("Gid")?,
        capabilities_effective: field("CapEff")?.to_owned(),
        capabilities_bounding: field("CapBnd")?.to_owned(),
    })
}

/// The first child of `pid` (proc(5), `/proc/PID/task/TID/children`).
fn first_child(pid: i32) -> Option<i32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_shares_all() {
        let live = Live::read(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(live.namespaces.values().all(|kind| *kind == "shared"), "{live:?}");
        assert_eq!(live.namespaces.len(), NAMESPACES.len());
    }

    #[test]
    fn status_is_read_by_name() {
        let status = "Name:\tSeccomp:\nUid:\t0\t1000\t0\t0\nGid:\t0\t5\t0\t0\nCapEff:\t00000000a80425fb\n\
                      CapBnd:\t00000000a80425ff\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let live = parse(7, status, BTreeMap::new()).unwrap();
        assert_eq!((live.seccomp, live.no_new_privileges, live.uid, live.gid), ("filter", true, 1000, 5));
        assert_eq!(live.capabilities_effective, "00000000a80425fb");
        assert!(parse(7, "", BTreeMap::new()).is_none());
    }
}
