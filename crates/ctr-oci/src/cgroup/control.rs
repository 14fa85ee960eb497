//! Writing limits to the files of a group, and handing v2 controllers down to it.

use std::io::{Error, ErrorKind};
use std::path::Path;

use ctr_sys::{Errno, SysError, small};

use super::CgroupError;
use super::limits::Write;
use super::plan::Group;

/// Writes all, in order. What the kernel refuses because of what is still to be written (a limit of memory above that of memory
/// and swap, a burst above the quota) is written again after the others.
pub(super) fn write_all(group: &Group, writes: &[Write]) -> Result<(), CgroupError> {
    let again: Vec<&Write> = writes
        .iter()
        .filter_map(|limit| match write(group, limit) {
            Ok(()) => None,
            Err(error) if depends_on_others(&error) && writes.len() > 1 => Some(Ok(limit)),
            Err(error) => Some(Err(failed(group, limit, &error))),
        })
        .collect::<Result<_, _>>()?;
    again.into_iter().try_for_each(|limit| write(group, limit).map_err(|error| failed(group, limit, &error)))
}

fn depends_on_others(error: &Error) -> bool {
    error.raw_os_error() == Some(Errno::EINVAL as i32)
}

fn write(group: &Group, limit: &Write) -> std::io::Result<()> {
    let written = put(&group.dir, &limit.file, &limit.value);
    let written = match (&limit.other, written) {
        (Some((file, value)), Err(error)) if error.kind() == ErrorKind::NotFound => put(&group.dir, file, value),
        (_, written) => written,
    };
    match written {
        Err(error) if limit.optional && is_absent(&error) => Ok(()),
        written => written,
    }
}

fn put(dir: &Path, file: &str, value: &str) -> std::io::Result<()> {
    small::write_existing(&dir.join(file), value.as_bytes())
}

fn is_absent(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32)
}

fn failed(group: &Group, limit: &Write, error: &Error) -> CgroupError {
    let path = group.dir.join(&limit.file);
    let hint = match error.kind() {
        ErrorKind::NotFound if group.is_v2() => why_not_handed_down(group, &limit.file)
            .unwrap_or_else(|| format!("this kernel has no {}: it cannot be held here", limit.file)),
        ErrorKind::NotFound => format!("this kernel has no {}: it cannot be held here", limit.file),
        _ if error.raw_os_error() == Some(Errno::EBUSY as i32) => "more than that is in use".to_owned(),
        _ => "give another value, or see whether a group above has less to give".to_owned(),
    };
    CgroupError::Limit {
        property: limit.property.clone(),
        cause: SysError::from_io("write", path.display().to_string(), error),
        value: limit.value.clone(),
        hint: Some(hint),
    }
}

/// Enables every controller that there is on the way down to a v2 group: engines read figures of all of them. What cannot be
/// handed down is told where a limit needs it.
pub(super) fn hand_down(group: &Group) {
    let list = |dir: &Path| small::read_text(&dir.join("cgroup.controllers")).unwrap_or_default();
    let (above, own) = (list(&group.base), list(&group.dir));
    let lacking =
        |own: &str| above.split_ascii_whitespace().any(|name| own.split_ascii_whitespace().all(|had| had != name));
    if !lacking(&own) {
        return;
    }
    for parent in parents(group) {
        let file = parent.join("cgroup.subtree_control");
        let names: Vec<String> = list(parent).split_ascii_whitespace().map(|name| format!("+{name}")).collect();
        if small::write_existing(&file, names.join(" ").as_bytes()).is_err() {
            // Each by itself: one that cannot be handed on (cpu, with realtime processes about) takes no other with it.
            for name in names {
                let _ = small::write_existing(&file, name.as_bytes());
            }
        }
    }
}

/// The groups that hand controllers down, the topmost first.
fn parents(group: &Group) -> Vec<&Path> {
    let mut parents: Vec<&Path> =
        group.dir.ancestors().skip(1).take_while(|dir| dir.starts_with(&group.base)).collect();
    parents.reverse();
    parents
}

/// Which group does not hand the controller of `file` down, and why.
fn why_not_handed_down(group: &Group, file: &str) -> Option<String> {
    let controller = file.split('.').next()?;
    for parent in parents(group) {
        let shown = parent.display();
        let path = parent.join("cgroup.subtree_control");
        let Err(error) = small::write_existing(&path, format!("+{controller}").as_bytes()) else { continue };
        return Some(match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
            Errno::EBUSY => format!(
                "{shown} has processes of its own, and a group with processes hands no controller down (cgroups(7), \"no \
                 internal processes\"): move them to a group below it, as {shown}/init, or give another linux.cgroupsPath"
            ),
            Errno::ENOENT => {
                format!(
                    "{shown}/cgroup.controllers does not list \"{controller}\": it was not delegated, or cgroup v1 has it"
                )
            }
            Errno::EACCES | Errno::EPERM => {
                format!(
                    "\"{controller}\" was not delegated: systemd-run --user --scope -p Delegate=yes, or --systemd-cgroup"
                )
            }
            Errno::EOPNOTSUPP => format!("{shown} is in threaded mode"),
            errno => format!("{} says {errno:?}", path.display()),
        });
    }
    None
}
