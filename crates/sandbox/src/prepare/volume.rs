//! Host paths: opened and copied as detached mounts by the parent, with their attributes and id map, before the container
//! exists.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ctr_sys::files::{self, FileFacts};
use ctr_sys::mount::{self, MountAttr, Propagation};
use ctr_sys::{Errno, RawResult, small};

use super::mountinfo;
use crate::error::SandboxError;
use crate::options::{Atime, PropagationKind};
use crate::plan::{BindPlan, PlannedMount};
use crate::script::Leaf;

/// A detached copy of what `bind` names, as `mount` wants it, and what it is mounted on: a directory or a file. `userns` is
/// the container's user namespace, for the id map.
pub(super) fn open(
    bind: &BindPlan,
    mount: &PlannedMount,
    userns: Option<BorrowedFd<'_>>,
) -> Result<(OwnedFd, Leaf), SandboxError> {
    let (source, shown) = (Path::new(&bind.source), &bind.source);
    let location = small::open_location(source).map_err(|error| {
        let what = format!("cannot use the volume source {shown}: {error}");
        match error.kind() {
            ErrorKind::NotFound => {
                SandboxError::request_hint(what, format!("ctr makes no host directories: mkdir -p {shown}"))
            }
            _ => SandboxError::request(what),
        }
    })?;
    let host = |call, errno| SandboxError::host(format!("prepare the volume {shown}"), call, shown.clone(), errno);
    let facts = files::facts(location.as_fd()).map_err(|errno| host("fstat", errno))?;
    check(bind, &location, facts)?;
    let copy =
        mount::open_tree_clone(location.as_fd(), c"", bind.recursive).map_err(|errno| host("open_tree", errno))?;
    if bind.idmap {
        let userns = userns.ok_or_else(|| host("mount_setattr", Errno::EBADF))?;
        mount::idmap(copy.as_fd(), bind.recursive, userns)
            .map_err(|errno| not_mapped(bind, location.as_fd(), userns, errno))?;
    }
    set_attributes(copy.as_fd(), bind, mount).map_err(|errno| {
        let error = host("mount_setattr", errno);
        match errno {
            Errno::EPERM => error.hinted("the host has locked options of this mount: leave those out that change it"),
            Errno::EINVAL => error.hinted("this kernel does not know one of the options"),
            _ => error,
        }
    })?;
    Ok((copy, if facts.is_dir() { Leaf::Dir } else { Leaf::File }))
}

/// What the options say about the host's own mount must be so.
fn check(bind: &BindPlan, location: &OwnedFd, facts: FileFacts) -> Result<(), SandboxError> {
    let shown = &bind.source;
    if facts.is_device() {
        return Err(SandboxError::request_hint(
            format!("the volume source {shown} is a device, which cannot be opened on a volume"),
            format!("--device {shown}"),
        ));
    }
    let asked = bind.asked;
    if asked.writable || asked.exec || asked.suid {
        let on_host = files::mounted_as(location.as_fd()).map_err(|errno| {
            SandboxError::host(format!("look at the volume {shown}"), "fstatfs", shown.clone(), errno)
        })?;
        for (wanted, word, refused, host_word) in [
            (asked.writable, "rw", on_host.read_only, "ro"),
            (asked.exec, "exec", on_host.noexec, "noexec"),
            (asked.suid, "suid", on_host.nosuid, "nosuid"),
        ] {
            if wanted && refused {
                return Err(SandboxError::request_hint(
                    format!("the volume {shown} cannot be {word}: the host has it mounted {host_word}"),
                    format!("remount it there, or leave {word} out"),
                ));
            }
        }
    }
    let (wanted, ok): (_, fn(&mountinfo::Mounted) -> bool) = match bind.propagation {
        PropagationKind::Shared => ("shared", |mount| mount.shared),
        PropagationKind::Slave => ("shared or a slave", |mount| mount.shared || mount.slave),
        PropagationKind::Private | PropagationKind::Unbindable => return Ok(()),
    };
    let mounts = mountinfo::all();
    match mountinfo::of(location.as_fd(), &mounts) {
        Some(mount) if !ok(mount) => {
            let (point, name) = (mount.point.display(), bind.propagation.name());
            Err(SandboxError::request_hint(
                format!(
                    "the volume {shown} cannot be {name}: it is on {point}, which is not {wanted}, so that nothing would ever come"
                ),
                format!("mount --make-shared {point}"),
            ))
        }
        _ => Ok(()),
    }
}

fn set_attributes(copy: BorrowedFd<'_>, bind: &BindPlan, mount: &PlannedMount) -> RawResult<()> {
    let (all, clear) = (attributes(mount), cleared(mount));
    let kind = bind.propagation.attribute();
    if bind.writable_below && bind.recursive {
        mount::mount_setattr(copy, true, all.without(MountAttr::RDONLY), clear, Some(kind))?;
        return mount::mount_setattr(copy, false, all, clear, None);
    }
    mount::mount_setattr(copy, bind.recursive, all, clear, Some(kind))
}

/// Why ids could not be mapped: which file system, where, and the ways out.
fn not_mapped(bind: &BindPlan, location: BorrowedFd<'_>, userns: BorrowedFd<'_>, errno: Errno) -> SandboxError {
    let shown = &bind.source;
    let mounts = mountinfo::all();
    let own = mountinfo::of(location, &mounts).map_or("unknown", |mount| mount.kind.as_str());
    let top = mount::open_tree_clone(location, c"", false).and_then(|copy| mount::idmap(copy.as_fd(), false, userns));
    let culprit = match top {
        Err(Errno::EPERM) => "its ids are mapped on the host already".to_owned(),
        Err(_) => format!("it lies in a {own} file system, which cannot show mapped ids"),
        Ok(()) => {
            let path = std::fs::canonicalize(shown).unwrap_or_else(|_| shown.into());
            let failing = mountinfo::below(&path, &mounts).find(|mount| !can_be_mapped(&mount.point, userns));
            failing.map_or_else(
                || format!("mount_setattr: {}", errno.desc()),
                |mount| {
                    format!(
                        "{} below it is a {} file system, which cannot show mapped ids",
                        mount.point.display(),
                        mount.kind
                    )
                },
            )
        }
    };
    let smaller = if top.is_ok() { "bind-nonrecursive leaves the mounts below it out, " } else { "" };
    SandboxError::request_hint(
        format!("the ids of the volume {shown} cannot be mapped: {culprit}"),
        format!(
            "{smaller}noidmap shows its files as nobody's (as in -v {shown}:{shown}:noidmap), --userns=host runs with the host's ids"
        ),
    )
}

fn can_be_mapped(point: &Path, userns: BorrowedFd<'_>) -> bool {
    let Ok(path) = super::c_path(point) else { return true };
    let copy = mount::open_tree_clone(files::CWD, &path, false);
    copy.and_then(|copy| mount::idmap(copy.as_fd(), false, userns)).is_ok()
}

/// A detached copy of a file or directory of ours, by a path that nobody else writes to.
pub(super) fn own(path: &Path, mount: &PlannedMount) -> Result<OwnedFd, SandboxError> {
    let shown = path.display();
    let host =
        |call, errno| SandboxError::host(format!("prepare the mount of {shown}"), call, shown.to_string(), errno);
    let copy =
        mount::open_tree_clone(files::CWD, &super::c_path(path)?, false).map_err(|errno| host("open_tree", errno))?;
    mount::mount_setattr(copy.as_fd(), false, attributes(mount), cleared(mount), Some(Propagation::Private))
        .map_err(|errno| host("mount_setattr", errno))?;
    Ok(copy)
}

/// The attributes of a planned mount as mount_setattr(2) takes them.
pub(super) fn attributes(mount: &PlannedMount) -> MountAttr {
    let atime = |wanted| mount.atime == Some(wanted);
    [
        (mount.read_only, MountAttr::RDONLY),
        (mount.nosuid, MountAttr::NOSUID),
        (mount.nodev, MountAttr::NODEV),
        (mount.noexec, MountAttr::NOEXEC),
        (mount.nodiratime, MountAttr::NODIRATIME),
        (mount.nosymfollow, MountAttr::NOSYMFOLLOW),
        (atime(Atime::Noatime), MountAttr::NOATIME),
        (atime(Atime::Strictatime), MountAttr::STRICTATIME),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .fold(MountAttr::NONE, |all, (_, attribute)| all.and(attribute))
}

/// What has to be cleared for them: access times are one choice of three.
fn cleared(mount: &PlannedMount) -> MountAttr {
    if mount.atime.is_some() { MountAttr::ATIME } else { MountAttr::NONE }
}
