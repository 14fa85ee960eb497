//! What a root has left on the host: processes, mounts, control groups.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{oci, scratch};

/// Everything that belongs to `root` outside its directory, one line each.
pub fn outside(root: &Path, ids: &[String]) -> Vec<String> {
    let processes = processes(root, ids).into_iter().map(|pid| format!("process {pid}: {}", command_line(pid)));
    let mounts = mounts(root).into_iter().map(|line| format!("mount {line}"));
    let groups = cgroups(ids).into_iter().map(|path| format!("control group {}", path.display()));
    processes.chain(mounts).chain(groups).collect()
}

/// IDs of every container directory of the root.
pub fn container_ids(root: &Path) -> Vec<String> {
    let states = ["embryo", "prepared", "run", "garbage"];
    states.iter().flat_map(|state| scratch::names(&root.join("containers").join(state))).collect()
}

/// Mounts of the host's namespace that name the root, as target or in their options.
pub fn mounts(root: &Path) -> Vec<String> {
    let text = root.to_string_lossy().into_owned();
    let all = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    all.lines().filter(|line| line.contains(&text)).map(str::to_owned).collect()
}

/// Directories of control groups named after one of these containers.
pub fn cgroups(ids: &[String]) -> Vec<PathBuf> {
    let ids: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for hierarchy in hierarchies() {
        let mut stack: Vec<PathBuf> = own_groups(&hierarchy);
        while let Some(dir) = stack.pop() {
            if dir.file_name().is_some_and(|name| ids.contains(&*name.to_string_lossy())) {
                found.push(dir.clone());
            }
            let children = fs::read_dir(&dir).into_iter().flatten().flatten();
            stack.extend(
                children.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
            );
        }
    }
    found
}

/// The groups `ctr/ROOTHASH` of a root: the first 16 digits of its path's digest (spec/06-lifecycle.md LIFE-80). A start
/// makes them where they are missing; the collector takes them when they are empty.
pub fn parent_groups(root: &Path) -> Vec<PathBuf> {
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let digest = oci::digest(root.as_os_str().as_bytes());
    let name = &digest["sha256:".len()..][..16];
    let tops = hierarchies().into_iter().flat_map(|hierarchy| own_groups(&hierarchy));
    tops.map(|top| top.join(name)).filter(|group| group.is_dir()).collect()
}

/// Where control groups are mounted.
pub fn hierarchies() -> Vec<PathBuf> {
    let all = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup").then(|| place.split(' ').nth(4).map(PathBuf::from)).flatten()
    };
    all.lines().filter_map(mount).collect()
}

fn own_groups(hierarchy: &Path) -> Vec<PathBuf> {
    // Below the group of the test itself, or at the top.
    let mut tops = vec![hierarchy.join("ctr")];
    for line in fs::read_to_string("/proc/self/cgroup").expect("own groups").lines() {
        if let Some(path) = line.splitn(3, ':').nth(2) {
            tops.push(hierarchy.join(path.trim_start_matches('/')).join("ctr"));
        }
    }
    tops.sort();
    tops.dedup();
    tops.retain(|top| top.is_dir());
    tops
}

/// Live processes of the root: those that carry `CTR_ROOT=root`, their descendants, and all in the containers' groups.
pub fn processes(root: &Path, ids: &[String]) -> Vec<i32> {
    let mark = [b"CTR_ROOT=", root.as_os_str().as_bytes()].concat();
    let mut parents = BTreeMap::new();
    let mut found = BTreeSet::new();
    for pid in all_processes() {
        let Some((state, parent)) = state_and_parent(pid) else { continue };
        if matches!(state, 'Z' | 'X') {
            continue;
        }
        parents.insert(pid, parent);
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == mark)
            || ids.iter().any(|id| groups.contains(id))
        {
            found.insert(pid);
        }
    }
    loop {
        let more: Vec<i32> = parents
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found.remove(&(std::process::id() as i32));
    found.into_iter().collect()
}

fn all_processes() -> impl Iterator<Item = i32> {
    scratch::names(Path::new("/proc")).into_iter().filter_map(|name| name.parse().ok())
}

/// The state letter and the parent of a process (proc(5), `/proc/PID/stat`).
pub fn state_and_parent(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Ends what a test left behind, however it failed.
pub fn end_all(root: &Path) {
    let ids = container_ids(root);
    for _ in 0..50 {
        let alive = processes(root, &ids);
        if alive.is_empty() {
            break;
        }
        for pid in alive {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut groups = cgroups(&ids);
    groups.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    groups.extend(parent_groups(root));
    for group in groups {
        fs::remove_dir(group).ok();
    }
    unmount_below(root);
}

/// Takes away what the test itself mounted, in its own mount namespace, beside its root.
fn unmount_below(root: &Path) {
    let Some(dir) = root.parent() else { return };
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    let targets =
        mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|target| Path::new(target).starts_with(dir));
    for target in targets {
        nix::mount::umount2(target, nix::mount::MntFlags::MNT_DETACH).ok();
    }
}

/// Command lines of processes that have this word in them.
pub fn with_word(word: &str) -> Vec<String> {
    let all = crate::scratch::names(Path::new("/proc")).into_iter();
    let numbers = all.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let lines = numbers.filter_map(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).filter(|line| line.contains(word)).collect()
}
