//! Makes the groups of a plan, limits them and opens them for the child to join.

use std::fs;
use std::io::{Error, ErrorKind, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use ctr_core::container::groups;
use ctr_sandbox::devices_bpf::{self, OrderedRule};
use ctr_sys::{Errno, SysError, bpf, small};

use super::devices::V1State;
use super::plan::{Group, Plan};
use super::{CgroupError, Groups, control, freeze, processes};

/// How often groups above are made again that another container's `delete` takes away as empty.
const ATTEMPTS: usize = 20;

/// Makes all groups. What was made is in `groups` also if it fails, so that it goes with it.
pub(super) fn make(plan: &Plan, optional: bool, groups: &mut Groups) -> Result<(), CgroupError> {
    for group in &plan.groups {
        match make_dirs(group, groups) {
            Ok(()) => {}
            Err(error) if optional && is_unwritable(&error) && needs_nothing(group) => {
                groups.notes.push(format!("no control group below {}: {error}", group.mount.display()));
                continue;
            }
            Err(error) => return Err(error),
        }
        fill(group)?;
        open(group, groups)?;
    }
    Ok(())
}

fn needs_nothing(group: &Group) -> bool {
    group.writes.iter().all(|write| write.optional) && group.devices.is_none() && group.program.is_none()
}

fn is_unwritable(error: &CgroupError) -> bool {
    let CgroupError::Host { cause, .. } = error else { return false };
    matches!(cause.errno, Errno::EROFS | Errno::EACCES | Errno::EPERM)
}

fn make_dirs(group: &Group, groups: &mut Groups) -> Result<(), CgroupError> {
    let mut made = make_dir(&group.dir);
    for _ in 0..ATTEMPTS {
        if !made.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            break;
        }
        make_parents(group)?;
        made = make_dir(&group.dir);
    }
    match made {
        Ok(()) => groups.record.made.push(group.dir.clone()),
        // Engines make groups for us, and a start that was cut off leaves some.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => refuse_busy(&group.dir, groups)?,
        Err(error) => return Err(make_failed(group, &group.dir, &error)),
    }
    groups.record.dirs.push(group.dir.clone());
    if group.is_v2() || group.is_of("freezer") {
        freeze::refuse_frozen(&group.dir)?;
    }
    Ok(())
}

/// Ours alone: in a directory that others may write anybody could make groups.
fn make_dir(dir: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().mode(0o755).create(dir)
}

/// The groups between the one that is the caller's and the container's.
fn make_parents(group: &Group) -> Result<(), CgroupError> {
    let above: Vec<&Path> = group.dir.ancestors().skip(1).take_while(|dir| *dir != group.base).collect();
    for parent in above.into_iter().rev() {
        match make_dir(parent) {
            // Somebody removed the one above meanwhile: the caller tries again.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(make_failed(group, parent, &error)),
            _ => {}
        }
        if group.is_of("cpuset") {
            fill_cpuset(parent)?;
        }
    }
    Ok(())
}

/// A group with processes is another container's, or a user's.
fn refuse_busy(dir: &Path, groups: &Groups) -> Result<(), CgroupError> {
    let own = groups.placeholder.as_ref().map(|placeholder| placeholder.pid);
    let count = processes::of(dir)?.into_iter().filter(|pid| Some(*pid) != own).count();
    if count == 0 { Ok(()) } else { Err(CgroupError::Busy { dir: dir.to_owned(), count }) }
}

fn make_failed(group: &Group, dir: &Path, error: &Error) -> CgroupError {
    let failed = CgroupError::host("make the control group", "mkdir", dir, error);
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem => failed.hinted(format!("{} is mounted read-only", group.mount.display())),
        ErrorKind::PermissionDenied => failed
            .hinted("a user needs a group of his own: systemd-run --user --scope -p Delegate=yes, or --systemd-cgroup"),
        _ if error.raw_os_error() == Some(Errno::EAGAIN as i32) => {
            failed.hinted("cgroup.max.descendants or cgroup.max.depth of a group above is reached")
        }
        _ => failed,
    }
}

/// Writes what the plan has for a group.
pub(super) fn fill(group: &Group) -> Result<(), CgroupError> {
    if group.is_v2() {
        control::hand_down(group);
    }
    if group.is_of("cpuset") {
        fill_cpuset(&group.dir)?;
    }
    control::write_all(group, &group.writes)?;
    if let Some(devices) = &group.devices {
        set_v1_devices(&group.dir, devices, None)?;
    }
    if let Some(rules) = &group.program {
        let dir = open_dir(&group.dir)?;
        set_program(dir.as_fd(), Some(rules.as_slice()))?;
    }
    Ok(())
}

fn fill_cpuset(dir: &Path) -> Result<(), CgroupError> {
    groups::fill_cpuset(dir).map_err(|(path, error)| CgroupError::host("fill in", "write", &path, &error))
}

/// Makes the rules of a v1 group what they shall be; `now`, if known, is what they are.
pub(super) fn set_v1_devices(dir: &Path, devices: &V1State, now: Option<&V1State>) -> Result<(), CgroupError> {
    let mut opened: Option<(&str, fs::File)> = None;
    for (file, line) in devices.lines(now) {
        let path = dir.join(file);
        let mut write = || -> std::io::Result<()> {
            if opened.as_ref().is_none_or(|(open, _)| *open != file) {
                opened = Some((file, fs::OpenOptions::new().write(true).open(&path)?));
            }
            opened.as_mut().map_or(Ok(()), |(_, open)| open.write_all(line.as_bytes()))
        };
        write().map_err(|error| CgroupError::Limit {
            property: "linux.resources.devices".to_owned(),
            cause: SysError::from_io("write", path.display().to_string(), &error),
            value: line,
            hint: (error.kind() == ErrorKind::PermissionDenied)
                .then(|| "a group above does not allow it, and none can have more than that".to_owned()),
        })?;
    }
    Ok(())
}

/// Puts the rules of a v2 group in force in place of those that it has: the new program is there before the old ones go.
/// `None`: everything may be used.
pub(super) fn set_program(dir: BorrowedFd<'_>, rules: Option<&[OrderedRule]>) -> Result<(), CgroupError> {
    let refused = |call: &'static str| {
        move |errno| CgroupError::Limit {
            property: "linux.resources.devices".to_owned(),
            value: "device program".to_owned(),
            cause: SysError::new("bpf", call, errno),
            hint: match errno {
                Errno::EPERM => Some("device rules of cgroup v2 need CAP_BPF or CAP_SYS_ADMIN on the host".to_owned()),
                Errno::EINVAL | Errno::ENOSYS => {
                    Some("this kernel has no device programs (CONFIG_CGROUP_BPF)".to_owned())
                }
                _ => None,
            },
        }
    };
    let old = match bpf::device_programs(dir) {
        Ok(old) => old,
        // A kernel without them has none.
        Err(_) if rules.is_none() => return Ok(()),
        Err(errno) => return Err(refused("BPF_PROG_QUERY")(errno)),
    };
    if let Some(rules) = rules {
        let program = devices_bpf::ordered_program(rules);
        let program = bpf::load_device_program(&program).map_err(refused("BPF_PROG_LOAD"))?;
        bpf::attach_device_program(dir, program.as_fd()).map_err(refused("BPF_PROG_ATTACH"))?;
    }
    old.iter().try_for_each(|old| bpf::detach_device_program(dir, old.as_fd())).map_err(refused("BPF_PROG_DETACH"))
}

fn open(group: &Group, groups: &mut Groups) -> Result<(), CgroupError> {
    if group.is_v2() {
        groups.unified = Some(open_dir(&group.dir)?);
        return Ok(());
    }
    // Not cgroup.procs: to move a whole process the kernel stops every fork and exit on the host and waits for a grace
    // period. A thread that moves itself needs neither, and the child has only one.
    let tasks = group.dir.join("tasks");
    let opened = small::open_write(&tasks).map_err(|error| CgroupError::host("open", "openat", &tasks, &error))?;
    groups.joins.push((opened, group.dir.display().to_string()));
    Ok(())
}

/// Hands a v2 group to who is root in the container: the directory and what the kernel names for it.
pub(super) fn hand_over(dir: &Path, owner: u32) -> Result<(), CgroupError> {
    let list = fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap_or_default();
    let list = if list.is_empty() { "cgroup.procs\ncgroup.threads\ncgroup.subtree_control" } else { &list };
    let files = list.lines().filter(|name| !name.contains('/')).map(|name| dir.join(name));
    for path in std::iter::once(dir.to_owned()).chain(files) {
        match std::os::unix::fs::chown(&path, Some(owner), None) {
            // Of a controller that was not handed down.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            handed => handed.map_err(|error| CgroupError::host("hand over", "chown", &path, &error))?,
        }
    }
    Ok(())
}

pub(super) fn open_dir(dir: &Path) -> Result<OwnedFd, CgroupError> {
    small::open_read(dir).map_err(|error| CgroupError::host("open the control group", "openat", dir, &error))
}
