//! The container's user namespace, made before everything that needs it.

use std::os::fd::OwnedFd;

use ctr_sys::Errno;

use crate::error::SandboxError;
use crate::idmap::IdMap;
use crate::plan::UsernsPlan;
use crate::user::Identity;

/// The namespace of `plan`; `None` if the container has none of its own.
pub(super) fn create(plan: &UsernsPlan) -> Result<Option<OwnedFd>, SandboxError> {
    if !plan.is_own() {
        return Ok(None);
    }
    create_mapped(&plan.map).map(Some)
}

/// A user namespace with these maps and with nobody in it.
pub(crate) fn create_mapped(map: &IdMap) -> Result<OwnedFd, SandboxError> {
    ctr_sys::userns::create(&map.uid_text(), &map.gid_text()).map_err(|cause| {
        let hint = match (cause.call, cause.errno) {
            ("clone3", Errno::EPERM | Errno::ENOSPC | Errno::EUSERS) => Some(
                "this host does not allow user namespaces here: see /proc/sys/user/max_user_namespaces, or run with --userns=host",
            ),
            ("clone3", Errno::ENOSYS) => Some(
                "a filter refuses new namespaces, as around another container: start that one with --privileged, or --security-opt seccomp=unconfined and CAP_SYS_ADMIN",
            ),
            ("write", Errno::EINVAL) => Some("the map overlaps itself, or names ids that are not there"),
            ("write", Errno::EPERM) => Some("the map names ids that this user namespace does not have"),
            _ => None,
        };
        let action = "make the container's user namespace".to_owned();
        SandboxError::Host { action, cause, hint: hint.map(str::to_owned) }
    })
}

/// The ids outside of a user and group of the container; [`fit_identity`] has seen that they are mapped.
pub(super) fn outside(plan: &UsernsPlan, uid: u32, gid: u32) -> (u32, u32) {
    (plan.outside_uid(uid).unwrap_or(uid), plan.outside_gid(gid).unwrap_or(gid))
}

/// Whether the program's ids exist in the container. Memberships that the image lists and the container has no ids for are left out, with a
/// note: images list root in a dozen groups, and a caller with a single id could run none of them.
pub(super) fn fit_identity(
    plan: &UsernsPlan,
    identity: &mut Identity,
    notes: &mut Vec<String>,
) -> Result<(), SandboxError> {
    let missing = |kind: &str, id: u32| {
        let ids = plan.map.uids.iter().map(|extent| u64::from(extent.count)).sum::<u64>();
        Err(SandboxError::request_hint(
            format!(
                "the program would run as {kind} {id}, which the container's user namespace ({ids} ids) does not map"
            ),
            if plan.map.is_single() {
                "run it as root of the container (--user 0:0), or give the caller ids in /etc/subuid and /etc/subgid"
            } else {
                "choose another --user, or map more ids with --uidmap and --gidmap"
            },
        ))
    };
    if plan.outside_uid(identity.uid).is_none() {
        return missing("user", identity.uid);
    }
    if let Some(gid) = [identity.gid].iter().chain(&identity.asked).find(|gid| plan.outside_gid(**gid).is_none()) {
        return missing("group", *gid);
    }
    let before = identity.groups.len();
    identity.groups.retain(|gid| plan.outside_gid(*gid).is_some());
    if identity.groups.len() < before {
        let count = before - identity.groups.len();
        notes.push(format!("{count} groups that the image gives the user have no ids in the user namespace: left out"));
    }
    Ok(())
}
