//! The control groups that a joining process enters: those of the start, opened before anything else happens.

use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ctr_sys::Errno;
use ctr_sys::files::{self, CWD};

use crate::error::SandboxError;
use crate::script::Step;

/// Descriptors by which a process enters the groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Steps by which the child joins the v1 groups.
    pub(super) joins: Vec<Step>,
    /// The v2 group to be born in.
    pub(super) unified: Option<OwnedFd>,
    /// How to join on v2 where the kernel refuses a birth there: the group that PID 1 is in now. A container that manages its
    /// own groups has none in the topmost one.
    pub(super) fallback: Option<Step>,
}

/// Opens the groups `recorded` of the container whose PID 1 is `pid`. A frozen group is an error: a process that enters it
/// stops, and whoever waits for it waits as long as it is frozen; unless `frozen` says that this is wanted.
pub(super) fn open(recorded: &[String], pid: i32, frozen: bool) -> Result<Groups, SandboxError> {
    let refuse_frozen = |dir: &Path| if frozen { Ok(()) } else { refuse_frozen(dir) };
    let current = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mut groups = Groups::default();
    for dir in recorded.iter().map(Path::new).filter(|dir| dir.is_dir()) {
        refuse_frozen(dir)?;
        let failed = |errno| {
            SandboxError::host(
                format!("open the control group {}", dir.display()),
                "openat",
                dir.display().to_string(),
                errno,
            )
        };
        if !files::is_cgroup2(&c_path(dir).map_err(failed)?) {
            let tasks = files::open_write(CWD, &c_path(&dir.join("tasks")).map_err(failed)?).map_err(failed)?;
            groups.joins.push(Step::JoinCgroup { tasks, group: dir.display().to_string() });
            continue;
        }
        groups.unified = Some(files::open_location(CWD, &c_path(dir).map_err(failed)?).map_err(failed)?);
        let now = current_group(dir, &current).unwrap_or_else(|| dir.to_owned());
        if now != dir {
            refuse_frozen(&now)?;
        }
        // What the container may have made unusable is looked at only if it comes to that.
        if let Ok(tasks) = c_path(&now.join("cgroup.procs")).and_then(|path| files::open_write(CWD, &path)) {
            groups.fallback = Some(Step::JoinCgroup { tasks, group: now.display().to_string() });
        }
    }
    if let Some(dir) = own_freezer(&current) {
        refuse_frozen(&dir)?;
    }
    Ok(groups)
}

fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| Errno::EINVAL)
}

/// The group that PID 1 is in now, if it is below `dir`: the recorded path and that of /proc/PID/cgroup have an end and a
/// beginning in common, `ctr/ROOTHASH/ID`.
fn current_group(dir: &Path, current: &str) -> Option<PathBuf> {
    let path = current.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let id = dir.file_name()?.to_str()?;
    let mut below = path.split('/').skip_while(|name| *name != id);
    below.next()?;
    let mut group = dir.to_owned();
    for name in below {
        if matches!(name, "" | "." | "..") {
            return None;
        }
        group.push(name);
    }
    group.is_dir().then_some(group)
}

/// The v1 freezer group that PID 1 is in, whether or not we made it.
fn own_freezer(current: &str) -> Option<PathBuf> {
    let path = current.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == "freezer").then_some(path)
    })?;
    let dir = Path::new("/sys/fs/cgroup/freezer").join(path.trim_start_matches('/'));
    dir.is_dir().then_some(dir)
}

fn refuse_frozen(dir: &Path) -> Result<(), SandboxError> {
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    let frozen = read("cgroup.events").lines().any(|line| line == "frozen 1")
        || read("cgroup.freeze").trim() == "1"
        || matches!(read("freezer.state").trim(), "FROZEN" | "FREEZING");
    if !frozen {
        return Ok(());
    }
    let v1 = dir.join("freezer.state");
    let (word, file) = if v1.exists() { ("THAWED", v1) } else { ("0", dir.join("cgroup.freeze")) };
    let hint = format!("thaw it first: echo {word} > {}", file.display());
    Err(SandboxError::request_hint("the container is frozen: a program that enters it would stop", hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_pid_1_is_found_below_the_recorded_one() {
        let top = std::env::temp_dir().join(format!("ctr-join-groups-{}", std::process::id()));
        let dir = top.join("ctr/hash/id");
        fs::create_dir_all(dir.join("init.scope")).unwrap();
        let at = |path: &str| current_group(&dir, &format!("5:pids:/x\n0::{path}\n"));
        assert_eq!(at("/ctr/hash/id"), Some(dir.clone()));
        assert_eq!(at("/outer/ctr/hash/id/init.scope"), Some(dir.join("init.scope")));
        assert_eq!(at("/ctr/hash/id/gone"), None);
        assert_eq!(at("/ctr/hash/id/../other"), None);
        assert_eq!(at("/elsewhere"), None);
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn a_frozen_group_is_refused() {
        let dir = std::env::temp_dir().join(format!("ctr-join-frozen-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for (file, frozen, thawed) in [
            ("cgroup.events", "populated 1\nfrozen 1\n", "populated 1\nfrozen 0\n"),
            ("cgroup.freeze", "1\n", "0\n"),
            ("freezer.state", "FREEZING\n", "THAWED\n"),
        ] {
            fs::write(dir.join(file), frozen).unwrap();
            assert!(refuse_frozen(&dir).unwrap_err().hint().unwrap().contains("thaw"), "{file}");
            fs::write(dir.join(file), thawed).unwrap();
            assert!(refuse_frozen(&dir).is_ok(), "{file}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
