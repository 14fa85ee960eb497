//! The namespaces of the container: which are made by the clone, which exist and are joined.

use std::fs::File;
use std::os::fd::OwnedFd;

use ctr_sys::Errno;
use ctr_sys::process::Namespaces;

use super::userns;
use crate::error::SandboxError;
use crate::plan::{JoinPlan, Plan};

/// All of the plan's new ones but the cgroup namespace, which is made when the v1 groups have been joined, and the user
/// namespace, which is there already.
pub(crate) fn new(kinds: &[&str]) -> Namespaces {
    kinds
        .iter()
        .filter(|kind| !["cgroup", "user"].contains(kind))
        .filter_map(|kind| flag(kind))
        .fold(Namespaces::NONE, Namespaces::and)
}

/// The container's user namespace, new or another container's; `None` if it is the host's.
pub(super) fn userns(plan: &Plan) -> Result<Option<OwnedFd>, SandboxError> {
    match plan.joins.iter().find(|join| join.kind == "user") {
        Some(join) => open(join).map(Some),
        None => userns::create(&plan.userns),
    }
}

/// What exists and is joined, the user namespace last: after it the privileges over the others may be gone.
pub(crate) fn joined(joins: &[JoinPlan], userns: Option<OwnedFd>) -> Result<Vec<(OwnedFd, Namespaces)>, SandboxError> {
    let mut joined = Vec::new();
    for join in joins.iter().filter(|join| join.kind != "user") {
        joined.extend(flag(join.kind).map(|flag| open(join).map(|namespace| (namespace, flag))).transpose()?);
    }
    joined.extend(userns.map(|userns| (userns, Namespaces::USER)));
    Ok(joined)
}

fn flag(kind: &str) -> Option<Namespaces> {
    [
        ("mnt", Namespaces::MOUNT),
        ("pid", Namespaces::PID),
        ("ipc", Namespaces::IPC),
        ("uts", Namespaces::UTS),
        ("net", Namespaces::NET),
        ("cgroup", Namespaces::CGROUP),
        ("time", Namespaces::TIME),
        ("user", Namespaces::USER),
    ]
    .into_iter()
    .find_map(|(name, flag)| (name == kind).then_some(flag))
}

pub(crate) fn open(join: &JoinPlan) -> Result<OwnedFd, SandboxError> {
    let what = format!("open the {} namespace of {}", join.kind, join.from);
    let file = File::open(&join.path).map_err(|error| {
        let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
        SandboxError::host(&what, "open", join.path.display().to_string(), errno)
    })?;
    // Opened first, compared afterwards: the process that has this start time now had it then.
    if let Some((pid, start_time)) = join.process {
        let stat = ctr_sys::procfs::process_stat(pid).ok().flatten();
        if stat.is_none_or(|stat| stat.start_time != start_time) {
            return Err(SandboxError::request(format!("cannot {what}: it has ended meanwhile")));
        }
    }
    let kind = ctr_sys::process::namespace_kind(&file);
    if kind.is_ok_and(|kind| Some(kind) == flag(join.kind)) {
        return Ok(file.into());
    }
    Err(SandboxError::request(format!("{} is not a {} namespace", join.path.display(), join.kind)))
}
