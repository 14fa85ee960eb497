//! Control groups: made and limited before the container is born in them.

use std::fs;
use std::io::{Error, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ctr_core::container::groups;
use ctr_sys::files::{self, CWD};
use ctr_sys::{Errno, SysError, bpf};

use super::{c_path, delegate};
use crate::error::SandboxError;
use crate::plan::{CgroupPlan, GroupPlan, Need, Write};
use crate::script::Step;

/// Names of one file in other kernels: a disk scheduler may have the weight to itself (Linux, block/bfq-cgroup.c).
const OTHER_NAMES: [(&str, &str); 2] = [("io.weight", "io.bfq.weight"), ("blkio.weight", "blkio.bfq.weight")];
/// Levels of our own below the group that is given: `ctr`, `ROOTHASH`, `ID`.
const OWN_LEVELS: usize = 3;

/// Groups that were made. Dropped before [`Groups::keep`], they are removed.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    dirs: Vec<PathBuf>,
    joins: Vec<Step>,
    unified: Option<OwnedFd>,
    kept: bool,
}

impl Groups {
    /// Steps by which the child joins the v1 groups.
    pub(super) fn take_joins(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.joins)
    }

    /// The v2 group to be born in.
    pub(super) fn take_unified(&mut self) -> Option<OwnedFd> {
        self.unified.take()
    }

    /// The container lives in them now.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    /// Whether the kernel killed a process in them for lack of memory (cgroup v2 `memory.events`, v1 `memory.oom_control`).
    pub(crate) fn out_of_memory(&self) -> bool {
        self.dirs.iter().any(|dir| {
            ["memory.events", "memory.oom_control"].iter().any(|file| {
                let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
                text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
            })
        })
    }

    /// Removes them with those that the container made below; it has ended.
    pub(crate) fn remove(&mut self) {
        for dir in self.dirs.drain(..) {
            // What the kernel does not let go yet is ctr-gc's.
            let _ = groups::remove(&dir);
        }
        self.kept = true;
    }

    /// Why a process in them would never run, if it would not.
    pub(crate) fn frozen(&self) -> Option<SandboxError> {
        self.dirs.iter().find_map(|dir| check_thawed(dir).err())
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        if !self.kept {
            self.remove();
        }
    }
}

/// Makes the groups of `plan`, writes their limits, opens them. Where none can be made and none was asked for, there are
/// none, and a note says why. `owner` is the container's root, outside of it.
pub(super) fn create(plan: &CgroupPlan, owner: (u32, u32), notes: &mut Vec<String>) -> Result<Groups, SandboxError> {
    let mut groups = Groups::default();
    for group in &plan.groups {
        let asked = (group.delegate && !plan.optional)
            || !group.devices.is_empty()
            || group.writes.iter().any(|write| matches!(write.need, Need::Asked(_)));
        if let Err(error) = create_one(group, owner, &mut groups, notes) {
            let unwritable = matches!(
                &error,
                SandboxError::Host { cause, .. } if matches!(cause.errno, Errno::EROFS | Errno::EACCES | Errno::EPERM | Errno::ENOENT)
            );
            if asked || !unwritable {
                return Err(error);
            }
            notes.push(format!(
                "no control group below {}: {error}; the default limits are not in force",
                group.hierarchy
            ));
        }
    }
    Ok(groups)
}

fn create_one(
    group: &GroupPlan,
    owner: (u32, u32),
    groups: &mut Groups,
    notes: &mut Vec<String>,
) -> Result<(), SandboxError> {
    let hierarchy = Path::new(&group.hierarchy);
    let dir = hierarchy.join(&group.path);
    let made = match make_dir(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create_parents(group, hierarchy)?;
            make_dir(&dir)
        }
        made => made,
    };
    // A fresh id: whoever made a group of that name is not us, and it may be frozen or limited.
    made.map_err(|error| make_failed(group, &dir, &error))?;
    groups.dirs.push(dir.clone());
    if group.v2 || group.controllers.iter().any(|name| name == "freezer") {
        check_thawed(&dir)?;
    }
    if is_v1_cpuset(group) {
        fill_cpuset(&dir)?;
    }
    for write in &group.writes {
        write_limit(group, &dir, write, notes)?;
    }
    open_group(group, &dir, groups)?;
    if group.delegate {
        let payload = delegate::payload(&dir, owner)?;
        groups.unified = Some(open_dir(&payload)?);
    }
    Ok(())
}

fn open_dir(dir: &Path) -> Result<OwnedFd, SandboxError> {
    let shown = dir.display().to_string();
    files::open_location(CWD, &c_path(dir)?)
        .map_err(|errno| SandboxError::host(format!("open the control group {shown}"), "openat", shown, errno))
}

/// Ours alone: the umask is 0 here, and in a directory that others may write anybody could make groups.
pub(super) fn make_dir(dir: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().mode(0o755).create(dir)
}

fn open_group(group: &GroupPlan, dir: &Path, groups: &mut Groups) -> Result<(), SandboxError> {
    let shown = || dir.display().to_string();
    let open = |errno| SandboxError::host(format!("open the control group {}", shown()), "openat", shown(), errno);
    if !group.v2 {
        // Not cgroup.procs: to move a whole process the kernel stops every fork and exit on the host and waits for a grace
        // period, 5 to 20 ms. A thread that moves itself needs neither, and the child has only one.
        let tasks = files::open_write(CWD, &c_path(&dir.join("tasks"))?).map_err(open)?;
        groups.joins.push(Step::JoinCgroup { tasks, group: shown() });
        return Ok(());
    }
    let location = open_dir(dir)?;
    if !group.devices.is_empty() {
        let refused = |call: &'static str| {
            move |errno| {
                SandboxError::host("put device rules in force", "bpf", call, errno).hinted(match errno {
                    Errno::EPERM => "device rules of cgroup v2 need CAP_BPF or CAP_SYS_ADMIN on the host, and RLIMIT_MEMLOCK above 64 KiB before Linux 5.11",
                    Errno::EINVAL | Errno::ENOSYS => "this kernel has no device programs (CONFIG_CGROUP_BPF)",
                    _ => "run without --cap-add SYS_ADMIN and MKNOD, and give devices with rwm",
                })
            }
        };
        let program = crate::devices_bpf::program(&group.devices);
        let program = bpf::load_device_program(&program).map_err(refused("BPF_PROG_LOAD"))?;
        bpf::attach_device_program(location.as_fd(), program.as_fd()).map_err(refused("BPF_PROG_ATTACH"))?;
    }
    groups.unified = Some(location);
    Ok(())
}

fn make_failed(group: &GroupPlan, dir: &Path, error: &Error) -> SandboxError {
    let failed = failed("make the control group", "mkdir", dir, error);
    match error.kind() {
        ErrorKind::AlreadyExists => {
            failed.hinted("another program made it; a container's id is new, so it is none of ours")
        }
        ErrorKind::ReadOnlyFilesystem => failed.hinted(format!("{} is mounted read-only", group.hierarchy)),
        ErrorKind::PermissionDenied if group.v2 => {
            failed.hinted("a user needs a group of his own: systemd-run --user --scope -p Delegate=yes ctr-run ...")
        }
        _ if error.raw_os_error() == Some(Errno::EAGAIN as i32) => {
            failed.hinted("cgroup.max.descendants or cgroup.max.depth of a group above is reached")
        }
        _ => failed,
    }
}

/// A process that is born in a frozen group does not run until somebody thaws it, and nobody could tell the caller.
fn check_thawed(dir: &Path) -> Result<(), SandboxError> {
    // Only v2 has the first file, only the freezer of v1 the second.
    let (frozen_v2, frozen_v1) = match fs::read_to_string(dir.join("cgroup.events")) {
        Ok(events) => (events.contains("frozen 1"), false),
        Err(_) => (false, fs::read_to_string(dir.join("freezer.state")).is_ok_and(|state| state.trim() != "THAWED")),
    };
    if !frozen_v1 && !frozen_v2 {
        return Ok(());
    }
    let own = |dir: &&Path| {
        let says = |file: &str| fs::read_to_string(dir.join(file)).is_ok_and(|text| text.trim() == "1");
        says("cgroup.freeze") || says("freezer.self_freezing")
    };
    let by = dir.ancestors().find(own).unwrap_or(dir);
    let thaw = if frozen_v2 {
        format!("echo 0 >{}/cgroup.freeze", by.display())
    } else {
        format!("echo THAWED >{}/freezer.state", by.display())
    };
    Err(SandboxError::request_hint(
        format!("the control group {} is frozen: the container would never run", by.display()),
        format!("thaw it: {thaw}"),
    ))
}

fn write_limit(group: &GroupPlan, dir: &Path, limit: &Write, notes: &mut Vec<String>) -> Result<(), SandboxError> {
    let error = match try_write(group, dir, limit) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    match limit.need {
        Need::Asked(_) => Err(error),
        Need::Default => {
            notes.push(format!("the default {}={} is not in force: {error}", limit.file, limit.value));
            Ok(())
        }
        Need::Welcome => Ok(()),
    }
}

fn try_write(group: &GroupPlan, dir: &Path, limit: &Write) -> Result<(), SandboxError> {
    let path = dir.join(&limit.file);
    let mut written = write(&path, &limit.value);
    if group.v2 && is_missing(&written) {
        // Our parent group is older than the first container that needs this controller.
        let controller = limit.file.split('.').next().unwrap_or_default();
        enable_controller(dir, controller, limit)?;
        written = write(&path, &limit.value);
    }
    if is_missing(&written)
        && let Some((_, other)) = OTHER_NAMES.iter().find(|(name, _)| *name == limit.file)
    {
        written = write(&dir.join(other), &bfq_weight(&limit.value));
    }
    let option = match limit.need {
        Need::Asked(option) => option,
        _ => "the default limit",
    };
    written.map_err(|error| {
        let missing = error.kind() == ErrorKind::NotFound;
        failed("set the limit", "write", &path, &error).hinted(if missing {
            format!("this kernel has no {}: {option} cannot be held here", limit.file)
        } else {
            format!(
                "the kernel refused \"{}\" for {option}: give another value, or see whether a group above has less to give",
                limit.value
            )
        })
    })
}

fn is_missing(written: &std::io::Result<()>) -> bool {
    written.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// 1 to 1000 where the others have 1 to 10000.
fn bfq_weight(value: &str) -> String {
    match value.strip_prefix("default ").map(str::parse::<u64>) {
        Some(Ok(weight)) => (weight / 10).max(1).to_string(),
        _ => value.to_owned(),
    }
}

/// Without O_CREAT and O_TRUNC, which control group files refuse or do not need.
pub(super) fn write(path: &Path, value: &str) -> std::io::Result<()> {
    ctr_sys::small::write_existing(path, value.as_bytes())
}

/// The groups of ours above the last one.
fn create_parents(group: &GroupPlan, hierarchy: &Path) -> Result<(), SandboxError> {
    let dir = hierarchy.join(&group.path);
    let above: Vec<&Path> = dir.ancestors().take(OWN_LEVELS).skip(1).collect();
    for parent in above.into_iter().rev() {
        match make_dir(parent) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(make_failed(group, parent, &error)),
            _ => {}
        }
        if is_v1_cpuset(group) {
            fill_cpuset(parent)?;
        }
    }
    Ok(())
}

fn is_v1_cpuset(group: &GroupPlan) -> bool {
    !group.v2 && group.controllers.iter().any(|name| name == "cpuset")
}

fn fill_cpuset(dir: &Path) -> Result<(), SandboxError> {
    groups::fill_cpuset(dir).map_err(|(path, error)| failed("fill in", "write", &path, &error))
}

/// Hands a controller down to the group `dir`, from the group that we were given.
fn enable_controller(dir: &Path, controller: &str, limit: &Write) -> Result<(), SandboxError> {
    let above: Vec<&Path> = dir.ancestors().take(OWN_LEVELS + 1).skip(1).collect();
    for parent in above.into_iter().rev() {
        let file = parent.join("cgroup.subtree_control");
        write(&file, &format!("+{controller}")).map_err(|error| enable_failed(parent, controller, limit, &error))?;
    }
    Ok(())
}

fn enable_failed(parent: &Path, controller: &str, limit: &Write, error: &Error) -> SandboxError {
    let file = parent.join("cgroup.subtree_control");
    let group = parent.display();
    let failed = failed(&format!("hand the controller \"{controller}\" down in"), "write", &file, error);
    let option = match limit.need {
        Need::Asked(option) => option,
        _ => "the default limit",
    };
    failed.hinted(match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
        Errno::EBUSY => format!(
            "{group} has processes of its own, and a group with processes hands no controller down (cgroups(7), \"no internal \
             processes\"): move them to a group below it, as {group}/init, or run without {option}"
        ),
        Errno::ENOENT => format!("{group}/cgroup.controllers does not list it: it was not delegated, or cgroup v1 has it"),
        Errno::EACCES | Errno::EPERM => format!("it was not delegated: systemd-run --user --scope -p Delegate=yes ctr-run ..., or run without {option}"),
        Errno::EROFS => "the hierarchy is mounted read-only".to_owned(),
        Errno::EOPNOTSUPP => format!("{group} is in threaded mode"),
        _ => format!("run without {option}"),
    })
}

pub(super) fn failed(action: &str, call: &'static str, path: &Path, error: &Error) -> SandboxError {
    let cause = SysError::from_io(call, path.display().to_string(), error);
    SandboxError::Host { action: format!("{action} {}", path.display()), cause, hint: None }
}
