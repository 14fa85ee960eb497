//! What the verbs ask of control groups, with failures that can be printed.

use ctr_cli::Failure;

use super::{CgroupError, CgroupRecord, Groups, Request};
use crate::args::{Global, NewContainer, Rootless};
use crate::config::{Config, Linux, Resources};
use crate::id::ContainerId;
use crate::report;
use crate::state::States;

/// Makes the groups of a container that is being created.
pub(crate) fn make(
    global: &Global,
    states: &States,
    id: &ContainerId,
    config: &Config,
    _: &NewContainer,
) -> Result<Groups, Failure> {
    let linux = config.linux.as_ref();
    let none = Resources::default();
    let made = super::create(&Request {
        id: id.as_str(),
        root_hash: &states.containers().root_hash(),
        path: linux.map_or("", |linux| &linux.cgroups_path),
        resources: linux.and_then(|linux| linux.resources.as_ref()).unwrap_or(&none),
        annotations: &config.annotations,
        systemd: global.systemd_cgroup,
        owner: linux.and_then(|linux| owner(config, linux)),
        optional: match global.rootless {
            Rootless::True => true,
            Rootless::False => false,
            Rootless::Auto => ctr_sys::ids::effective_uid() != 0 || !ctr_sys::ids::in_initial_user_namespace(),
        },
    });
    let groups = made.map_err(failure)?;
    groups.notes().iter().for_each(|note| report::debug(|| note.clone()));
    Ok(groups)
}

/// Who gets the v2 group: the container's first process, where it has a user and a control group namespace of its own and sees
/// the hierarchy writable.
fn owner(config: &Config, linux: &Linux) -> Option<u32> {
    let own = |kind: &str| linux.namespaces.iter().any(|one| one.kind == kind && one.path.is_empty());
    let writable =
        |mount: &crate::config::Mount| mount.kind == "cgroup" && !mount.options.iter().any(|option| option == "ro");
    if !own("user") || !own("cgroup") || !config.mounts.iter().any(writable) {
        return None;
    }
    let uid = config.process.as_ref().map_or(0, |process| process.user.uid);
    let map =
        linux.uid_mappings.iter().find(|map| uid.checked_sub(map.container_id).is_some_and(|at| at < map.size))?;
    map.host_id.checked_add(uid - map.container_id)
}

/// Ends every process of a container.
pub(crate) fn kill_all(record: &CgroupRecord) -> Result<(), Failure> {
    record.kill_all().map_err(failure)
}

/// Removes the groups of a container that has ended.
pub(crate) fn remove(record: &CgroupRecord) -> Result<(), Failure> {
    record.remove().map_err(failure)
}

pub(crate) fn failure(error: CgroupError) -> Failure {
    Failure::hinted(error, |error| error.hint().map(str::to_owned))
}

/// Sets other limits.
pub(crate) fn update(record: &CgroupRecord, resources: &Resources) -> Result<(), Failure> {
    record.update(resources).map_err(failure)
}
