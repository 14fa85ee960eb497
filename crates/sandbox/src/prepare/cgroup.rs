//! Control groups: made and limited before the container is born in them.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ctr_sys::files::{self, CWD};
use ctr_sys::{Errno, SysError};

use super::c_path;
use crate::error::SandboxError;
use crate::plan::{CgroupPlan, GroupPlan};
use crate::script::Step;

/// Files that a kernel may lack without the limit being void: swap accounting and group kills.
const OPTIONAL_FILES: [&str; 3] = ["memory.memsw.limit_in_bytes", "memory.swap.max", "memory.oom.group"];

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

    /// Removes them; the container has ended. The kernel lets a group go a moment after its last process.
    pub(crate) fn remove(&mut self) {
        for dir in self.dirs.drain(..) {
            for wait in 0..50 {
                match fs::remove_dir(&dir) {
                    Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                        std::thread::sleep(std::time::Duration::from_micros(200 << (wait / 8)));
                    }
                    _ => break,
                }
            }
        }
        self.kept = true;
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
/// none, and a note says why.
pub(super) fn create(plan: &CgroupPlan, notes: &mut Vec<String>) -> Result<Groups, SandboxError> {
    let mut groups = Groups::default();
    for group in &plan.groups {
        if let Err(error) = create_one(group, &mut groups) {
            let unwritable = matches!(
                &error,
                SandboxError::Host { cause, .. } if matches!(cause.errno, Errno::EROFS | Errno::EACCES | Errno::EPERM | Errno::ENOENT)
            );
            if !plan.optional || !unwritable {
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

fn create_one(group: &GroupPlan, groups: &mut Groups) -> Result<(), SandboxError> {
    let hierarchy = Path::new(&group.hierarchy);
    let dir = hierarchy.join(&group.path);
    match fs::create_dir(&dir) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create_parents(hierarchy, &group.path, &group.controllers)?;
            fs::create_dir(&dir).map_err(|error| failed("make the control group", "mkdir", &dir, &error))?;
        }
        // A fresh id: whoever made this group is not us, and it may be frozen or limited.
        Err(error) => return Err(failed("make the control group", "mkdir", &dir, &error)),
    }
    groups.dirs.push(dir.clone());
    for (file, value) in &group.writes {
        write_limit(group, hierarchy, &dir, file, value)?;
    }
    let open = |errno| {
        SandboxError::host(
            format!("open the control group {}", dir.display()),
            "openat",
            dir.display().to_string(),
            errno,
        )
    };
    if group.v2 {
        groups.unified = Some(files::open_location(CWD, &c_path(&dir)?).map_err(open)?);
    } else {
        // Not cgroup.procs: to move a whole process the kernel stops every fork and exit on the host and waits for a grace
        // period, 5 to 20 ms. A thread that moves itself needs neither, and the child has only one.
        let tasks = files::open_write(CWD, &c_path(&dir.join("tasks"))?).map_err(open)?;
        groups.joins.push(Step::JoinCgroup { tasks, group: dir.display().to_string() });
    }
    Ok(())
}

fn write_limit(group: &GroupPlan, hierarchy: &Path, dir: &Path, file: &str, value: &str) -> Result<(), SandboxError> {
    let path = dir.join(file);
    let mut written = write(&path, value);
    if group.v2 && written.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        // Our parent group is older than the first container that needs this controller.
        enable_controllers(hierarchy, &group.path, &group.controllers)?;
        written = write(&path, value);
    }
    match written {
        Err(error) if error.kind() == ErrorKind::NotFound && OPTIONAL_FILES.contains(&file) => Ok(()),
        Err(error) => Err(failed("set the limit", "write", &path, &error).hinted(format!(
            "the kernel refused \"{value}\" there: give a smaller or larger limit, or see whether the controller is in use elsewhere"
        ))),
        Ok(()) => Ok(()),
    }
}

/// Without O_CREAT and O_TRUNC, which control group files refuse or do not need.
fn write(path: &Path, value: &str) -> std::io::Result<()> {
    ctr_sys::small::write_existing(path, value.as_bytes())
}

/// Makes every group above the last one, and on v2 hands the controllers down to it.
fn create_parents(hierarchy: &Path, path: &str, controllers: &[&'static str]) -> Result<(), SandboxError> {
    let mut dir = hierarchy.to_owned();
    let names: Vec<&str> = path.split('/').collect();
    for name in names.split_last().map(|(_, parents)| parents).unwrap_or_default() {
        dir.push(name);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(failed("make the control group", "mkdir", &dir, &error));
            }
            _ => {}
        }
    }
    if controllers.is_empty() { Ok(()) } else { enable_controllers(hierarchy, path, controllers) }
}

fn enable_controllers(hierarchy: &Path, path: &str, controllers: &[&'static str]) -> Result<(), SandboxError> {
    let value = controllers.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ");
    let mut dir = hierarchy.to_owned();
    let names: Vec<&str> = path.split('/').collect();
    for name in [""].iter().chain(names.split_last().map(|(_, parents)| parents).unwrap_or_default()) {
        if !name.is_empty() {
            dir.push(name);
        }
        let file = dir.join("cgroup.subtree_control");
        write(&file, &value).map_err(|error| {
            failed("enable cgroup controllers", "write", &file, &error).hinted(format!(
                "{} must list them in cgroup.controllers; they may belong to cgroup v1 here",
                dir.display()
            ))
        })?;
    }
    Ok(())
}

fn failed(action: &str, call: &'static str, path: &Path, error: &std::io::Error) -> SandboxError {
    let cause = SysError::from_io(call, path.display().to_string(), error);
    SandboxError::Host { action: format!("{action} {}", path.display()), cause, hint: None }
}
