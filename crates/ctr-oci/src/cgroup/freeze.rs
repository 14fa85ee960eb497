//! Freezing and thawing (cgroup-v2.rst "cgroup.freeze", cgroup-v1/freezer-subsystem.rst).

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ctr_core::container::groups::MOUNTS;
use ctr_sys::dirfd::{self, OpenFlags};
use ctr_sys::{files, small};

use super::{CgroupError, processes};

/// How long freezing may take: a process in an uninterruptible sleep is frozen when that ends.
const FREEZE_TIME: Duration = Duration::from_secs(10);

/// Which file of a group freezes it, and with which words.
#[derive(Debug, Clone, Copy)]
enum Freezer {
    V2,
    V1,
}

fn freezer(dir: &Path) -> Option<Freezer> {
    if dir.join("cgroup.freeze").exists() {
        Some(Freezer::V2)
    } else if dir.join("freezer.state").exists() {
        Some(Freezer::V1)
    } else {
        None
    }
}

/// The groups of a container that freeze: the one of v2 where the kernel can (5.2), the freezer's of v1.
fn freezing(dirs: &[PathBuf]) -> impl Iterator<Item = (&Path, Freezer)> {
    dirs.iter().filter_map(|dir| Some((dir.as_path(), freezer(dir)?)))
}

/// Stops every process of the groups, and waits until the kernel says so.
pub(super) fn freeze(dirs: &[PathBuf]) -> Result<(), CgroupError> {
    set(dirs)
}

/// Lets them go on, whichever of the groups stopped them.
pub(super) fn thaw(dirs: &[PathBuf]) -> Result<(), CgroupError> {
    let end = Instant::now() + FREEZE_TIME;
    let mut any = false;
    for (dir, freezer) in freezing(dirs) {
        any = true;
        if !until(dir, freezer, false, end)? {
            return Err(too_slow("thaw the container", "a group above it is frozen"));
        }
    }
    if any { Ok(()) } else { Err(no_freezer("thaw the container")) }
}

fn set(dirs: &[PathBuf]) -> Result<(), CgroupError> {
    let action = "freeze the container";
    // One is enough: a process that the other one has stopped already cannot be stopped by this one.
    let Some((dir, freezer)) = freezing(dirs).next() else { return Err(no_freezer(action)) };
    if is_frozen(dirs) || until(dir, freezer, true, Instant::now() + FREEZE_TIME)? {
        return Ok(());
    }
    let _ = ask(dir, freezer, false);
    Err(too_slow(
        action,
        "a process in an uninterruptible sleep (ps: state D) is frozen when that ends; the container runs on",
    ))
}

fn no_freezer(action: &str) -> CgroupError {
    CgroupError::Timeout { action: action.to_owned(), seconds: 0, hint: None }
        .hinted("it has no control group that can freeze: cgroup v2 of Linux 5.2, or the freezer of cgroup v1")
}

fn too_slow(action: &str, hint: &str) -> CgroupError {
    CgroupError::Timeout { action: action.to_owned(), seconds: FREEZE_TIME.as_secs(), hint: Some(hint.to_owned()) }
}

/// Asks until the kernel says that it is so; `false`: it was not by `end`.
fn until(dir: &Path, freezer: Freezer, frozen: bool, end: Instant) -> Result<bool, CgroupError> {
    let action = if frozen { "freeze" } else { "thaw" };
    let mut pause = Duration::from_micros(100);
    loop {
        // v1 may stay in FREEZING beside forks until it is asked again (runc's issues 2767 and 2774 tell of it).
        ask(dir, freezer, frozen).map_err(|error| CgroupError::host(action, "write", dir, &error))?;
        if state(dir, freezer) == Some(frozen) {
            return Ok(true);
        }
        if Instant::now() > end {
            return Ok(false);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn ask(dir: &Path, freezer: Freezer, frozen: bool) -> std::io::Result<()> {
    let (file, word) = match (freezer, frozen) {
        (Freezer::V2, true) => ("cgroup.freeze", "1"),
        (Freezer::V2, false) => ("cgroup.freeze", "0"),
        (Freezer::V1, true) => ("freezer.state", "FROZEN"),
        (Freezer::V1, false) => ("freezer.state", "THAWED"),
    };
    small::write_existing(&dir.join(file), word.as_bytes())
}

/// Whether a group is frozen as a whole; `None` while it is on the way, or if it cannot be told.
fn state(dir: &Path, freezer: Freezer) -> Option<bool> {
    match freezer {
        Freezer::V2 => {
            let events = fs::read_to_string(dir.join("cgroup.events")).ok()?;
            let own = fs::read_to_string(dir.join("cgroup.freeze")).ok()?.trim() == "1";
            let all = events.lines().any(|line| line == "frozen 1");
            // A group without processes is frozen at once; one that thaws is not frozen as soon as one process runs.
            if own && !all { None } else { Some(all) }
        }
        Freezer::V1 => match fs::read_to_string(dir.join("freezer.state")).ok()?.trim() {
            "FROZEN" => Some(true),
            "THAWED" => Some(false),
            _ => None,
        },
    }
}

/// Whether the container is paused: one of its groups says so, or one above it.
///
/// Read for every `state`: no file is opened that cannot tell.
pub fn is_frozen(dirs: &[PathBuf]) -> bool {
    let of_freezer = |dir: &Path| {
        let hierarchy = dir.strip_prefix(MOUNTS).ok().and_then(|below| below.components().next());
        hierarchy.is_some_and(|name| name.as_os_str().to_string_lossy().contains("freezer"))
    };
    let v2 = |dir: &Path| {
        let says = |file: &str, word: &str| read(&dir.join(file)).lines().any(|line| line == word);
        says("cgroup.freeze", "1") || says("cgroup.events", "frozen 1")
    };
    dirs.iter().enumerate().any(|(at, dir)| {
        if of_freezer(dir) {
            return !matches!(read(&dir.join("freezer.state")).trim(), "THAWED" | "");
        }
        // The one of v2 is the first.
        at == 0 && v2(dir)
    })
}

/// In as few system calls as can be; nothing of what is not there.
fn read(path: &Path) -> String {
    let bytes = small::read(path, 4096).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asks once, and does not wait.
pub(super) fn request(dir: &Path, frozen: bool) {
    if let Some(freezer) = freezer(dir) {
        let _ = ask(dir, freezer, frozen);
    }
}

/// Asks a group and all below it: the container may have frozen some itself.
pub(super) fn request_below(dir: &Path, frozen: bool) {
    let Some(freezer) = freezer(dir) else { return };
    let (file, word) = match freezer {
        Freezer::V2 => ("cgroup.freeze", if frozen { "1" } else { "0" }),
        Freezer::V1 => ("freezer.state", if frozen { "FROZEN" } else { "THAWED" }),
    };
    let _ = processes::walk(dir, &mut |group| {
        if let Ok(file) = dirfd::open_child(group, file.as_bytes(), OpenFlags::O_WRONLY, 0) {
            let _ = files::write_all(file.as_fd(), word.as_bytes());
        }
        Ok(())
    });
}

/// A process that is born in a frozen group does not run until somebody thaws it, and nobody could tell the caller.
pub(super) fn refuse_frozen(dir: &Path) -> Result<(), CgroupError> {
    let frozen = match small::read_text(&dir.join("cgroup.events")) {
        Ok(events) => events.lines().any(|line| line == "frozen 1"),
        // Only v2 has the first file, only the freezer of v1 the second.
        Err(_) => small::read_text(&dir.join("freezer.state")).is_ok_and(|state| state.trim() != "THAWED"),
    };
    if !frozen {
        return Ok(());
    }
    let own = |dir: &&Path| {
        let says = |file: &str| fs::read_to_string(dir.join(file)).is_ok_and(|text| text.trim() == "1");
        says("cgroup.freeze") || says("freezer.self_freezing")
    };
    Err(CgroupError::Frozen { dir: dir.ancestors().find(own).unwrap_or(dir).to_owned() })
}
