//! Control groups of containers on the host: where ours are, and taking them away (spec/06-lifecycle.md LIFE-80 to 84).
//!
//! A container's groups are `ctr/ROOTHASH/ID` below the root of each hierarchy, or below the group that an ordinary user was
//! given. Its record names those that it was started with; a broken start, or a program with the rights to do so, may have
//! left others, so whoever removes looks into every hierarchy.

use std::ffi::CString;
use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ctr_sys::dirfd::{self, FileKind, OpenFlags};
use ctr_sys::{Errno, SysError, small};

/// Where every distribution mounts the hierarchies (cgroups(7)).
pub const MOUNTS: &str = "/sys/fs/cgroup";

/// Groups of one container that a removal takes away at most; what is left is for the next one.
const GROUPS_MAX: usize = 100_000;

/// How long a removal waits for the kernel, which counts a process of a group a moment longer than it is seen.
const BUSY_TIME: Duration = Duration::from_millis(250);

/// The mount point of the v2 hierarchy: [`MOUNTS`] itself, or beside those of v1.
pub fn unified_mount() -> Option<PathBuf> {
    let is_v2 =
        |path: &Path| CString::new(path.as_os_str().as_bytes()).is_ok_and(|path| ctr_sys::files::is_cgroup2(&path));
    let top = PathBuf::from(MOUNTS);
    if is_v2(&top) {
        return Some(top);
    }
    Some(top.join("unified")).filter(|path| is_v2(path))
}

/// The group of the v2 hierarchy at `mount` below which the caller makes its groups, as a path below the mount.
///
/// Empty where the root of the hierarchy is the caller's: root on the host, and root of a container whose group was handed
/// to it. Else the topmost group above the caller's own that the caller owns: by delegation (systemd's `user@.service`,
/// `Delegate=`). `Err` says why there is none.
pub fn base(mount: &Path) -> std::result::Result<String, String> {
    let uid = ctr_sys::ids::effective_uid();
    let owns = |dir: &Path| {
        fs::metadata(dir).is_ok_and(|meta| meta.uid() == uid)
            && fs::metadata(dir.join("cgroup.procs")).is_ok_and(|meta| meta.uid() == uid)
    };
    // The root of the whole hierarchy on a host has a cgroup.procs too.
    if owns(mount) {
        return Ok(String::new());
    }
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    if own.split('/').any(|name| name == "..") {
        return Err(format!("this process is in a control group outside of its cgroup namespace (/{own})"));
    }
    let mut path = String::new();
    for name in own.split('/').filter(|name| !name.is_empty()) {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(name);
        if owns(&mount.join(&path)) {
            return Ok(path);
        }
    }
    Err(format!("no control group is delegated to this user: neither /{own} nor one above it belongs to it"))
}

/// `ctr/ROOTHASH` in every hierarchy that has it.
pub fn parents(root_hash: &str) -> Vec<PathBuf> {
    parents_below("ctr", root_hash)
}

/// `TOP/ROOTHASH` in every hierarchy that has it.
pub fn parents_below(name: &str, root_hash: &str) -> Vec<PathBuf> {
    let top = Path::new(MOUNTS);
    let mut tops = vec![top.to_owned()];
    for entry in fs::read_dir(top).into_iter().flatten().flatten() {
        // v1 controllers that are mounted together have several names for one directory.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            tops.push(entry.path());
        }
    }
    if let Some(mount) = unified_mount()
        && let Ok(base) = base(&mount)
        && !base.is_empty()
    {
        tops.push(mount.join(base));
    }
    tops.into_iter().map(|top| top.join(name).join(root_hash)).filter(|ours| ours.is_dir()).collect()
}

/// The groups of container `id` of the store `root_hash` that are there: the recorded ones and any others.
pub fn of(id: &str, root_hash: &str, recorded: &[String]) -> Vec<PathBuf> {
    let mut groups: Vec<PathBuf> = recorded.iter().map(PathBuf::from).filter(|group| is_group_of(group, id)).collect();
    for parent in parents(root_hash) {
        let group = parent.join(id);
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups.retain(|group| group.is_dir());
    groups
}

/// Whether a path has the form of a group of this container: `/sys/fs/cgroup/.../ctr/ROOTHASH/ID`.
pub fn is_group_of(group: &Path, id: &str) -> bool {
    group.starts_with(MOUNTS)
        && group.file_name().is_some_and(|name| name == id)
        && group.components().all(|part| part.as_os_str() != "..")
        && group.ancestors().nth(2).and_then(Path::file_name).is_some_and(|name| name == "ctr")
}

/// Gives a v1 cpuset group the CPUs and memory nodes of the one above: one without any takes no process, and a new one has none.
/// The error is about this file.
pub fn fill_cpuset(dir: &Path) -> std::result::Result<(), (PathBuf, Error)> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let path = dir.join(file);
        if small::read_text(&path).is_ok_and(|own| !own.trim().is_empty()) {
            continue;
        }
        let above = dir.parent().and_then(|above| small::read_text(&above.join(file)).ok()).unwrap_or_default();
        small::write_existing(&path, above.trim().as_bytes()).map_err(|error| (path, error))?;
    }
    Ok(())
}

/// Removes every group of container `id`, which has ended. The first that could not be removed is the error.
pub fn remove_all(id: &str, root_hash: &str, recorded: &[String]) -> std::result::Result<(), SysError> {
    let mut result = Ok(());
    for group in of(id, root_hash, recorded) {
        let removed = remove(&group);
        result = result.and(removed.map_err(|error| SysError::from_io("rmdir", group.display().to_string(), &error)));
    }
    result
}

/// Removes a group and those below it, the deepest first; one that is not there is no error. No process is ended: a group
/// that has one stays and is an error, after a quarter of a second.
pub fn remove(group: &Path) -> Result<()> {
    // Mostly there is nothing below.
    match fs::remove_dir(group) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    let end = Instant::now() + BUSY_TIME;
    let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY;
    let here = ctr_sys::files::CWD;
    let top = match dirfd::open_child(here, group.as_os_str().as_bytes(), flags, 0) {
        Err(error) if error.errno == Errno::ENOENT => return Ok(()),
        opened => opened.map_err(io)?,
    };
    empty(top, end)?;
    retry_busy(end, || fs::remove_dir(group))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn io(error: SysError) -> Error {
    Error::from_raw_os_error(error.errno as i32)
}

/// Removes all below a directory, by descriptors: a container may have nested deeper than a path can name.
fn empty(top: OwnedFd, end: Instant) -> Result<()> {
    let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY;
    let mut dir = top;
    // For each level its name in the one above, and what is still to do in it.
    let mut levels = vec![(Vec::new(), groups_in(&dir)?)];
    let mut seen = 0;
    while let Some((_, todo)) = levels.last_mut() {
        if let Some(name) = todo.pop() {
            seen += 1;
            if seen > GROUPS_MAX {
                return Err(Error::other(format!("more than {GROUPS_MAX} groups: run it again")));
            }
            match ctr_sys::dirfd::rmdirat(dir.as_fd(), &name) {
                Ok(()) => {}
                Err(error) if error.errno == Errno::ENOENT => {}
                Err(_) => {
                    dir = dirfd::open_child(dir.as_fd(), &name, flags, 0).map_err(io)?;
                    levels.push((name, groups_in(&dir)?));
                }
            }
            continue;
        }
        let Some((name, _)) = levels.pop() else { break };
        if levels.is_empty() {
            break;
        }
        dir = dirfd::open_child(dir.as_fd(), b"..", flags, 0).map_err(io)?;
        retry_busy(end, || dirfd::rmdirat(dir.as_fd(), &name).map_err(io))?;
    }
    Ok(())
}

fn groups_in(dir: &OwnedFd) -> Result<Vec<Vec<u8>>> {
    let entries = dirfd::read_dir(dir.as_fd()).map_err(io)?;
    Ok(entries.into_iter().filter(|entry| entry.kind == Some(FileKind::Directory)).map(|entry| entry.name).collect())
}

fn retry_busy(end: Instant, remove: impl Fn() -> Result<()>) -> Result<()> {
    loop {
        match remove() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < end => {
                thread::sleep(Duration::from_millis(1));
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_of_that_container_are_touched() {
        for bad in [
            "/sys/fs/cgroup/system.slice",
            "/sys/fs/cgroup/ctr/abc/other",
            "/sys/fs/cgroup/x/../../../../home/ctr/abc/id",
            "/home/ctr/abc/id",
            "id",
            "",
        ] {
            assert!(!is_group_of(Path::new(bad), "id"), "{bad}");
        }
        for good in ["/sys/fs/cgroup/ctr/abc/id", "/sys/fs/cgroup/memory/ctr/abc/id", "/sys/fs/cgroup/a/b/ctr/abc/id"] {
            assert!(is_group_of(Path::new(good), "id"), "{good}");
        }
        assert!(of("no-such-id", "no-such-root", &["/etc".to_owned()]).is_empty());
        remove(Path::new("/sys/fs/cgroup/memory/ctr/no-such-root/id")).unwrap();
    }

    /// Directories stand for groups: deeper than a path can name, and wide.
    #[test]
    fn nested_groups_go_the_deepest_first() {
        let top = tempfile::tempdir().unwrap();
        let group = top.path().join("group");
        fs::create_dir(&group).unwrap();
        let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY;
        let mut dir = dirfd::open_child(ctr_sys::files::CWD, group.as_os_str().as_bytes(), flags, 0).unwrap();
        for _ in 0..3000 {
            dirfd::mkdirat(dir.as_fd(), b"deeper", 0o700).unwrap();
            dir = dirfd::open_child(dir.as_fd(), b"deeper", flags, 0).unwrap();
        }
        drop(dir);
        for number in 0..50 {
            fs::create_dir_all(group.join(format!("wide-{number}/x"))).unwrap();
        }
        remove(&group).unwrap();
        assert!(!group.exists());
    }

    /// A file cannot be removed this way: it stands for a process that does not go.
    #[test]
    fn what_is_in_use_stays() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir_all(top.path().join("group/below")).unwrap();
        fs::write(top.path().join("group/below/file"), "").unwrap();
        assert!(remove(&top.path().join("group")).is_err());
        assert!(top.path().join("group/below/file").exists());
    }
}
