//! The profile of a container, from its record, with what the caller wants otherwise.

use std::path::Path;

use ctr_core::container::ContainerError;
use ctr_sys::privilege::{self, CapSet};
use serde::Deserialize;

use super::JoinOptions;
use crate::error::SandboxError;
use crate::plan::{ProcessPlan, SeccompPlan, can_make_devices};
use crate::seccomp::{self, Program};

/// The largest `container.json` that is read, in bytes.
const RECORD_MAX: usize = 8 << 20;
/// The largest compiled filter, in bytes: 4096 instructions and what stands before them.
const FILTER_MAX: usize = 8 * 4097;
/// Every capability that a kernel can have (capset(2) takes the bits that it knows).
const ALL: CapSet = CapSet(!0);

/// The part of container.json that a start writes for us.
#[derive(Deserialize)]
struct Profile {
    process: ProcessPlan,
}

/// What is executed: the container's own profile with the options over it.
pub(super) fn plan(dir: &Path, own_userns: bool, options: &JoinOptions) -> Result<ProcessPlan, SandboxError> {
    let mut plan = load(dir)?;
    plan.args.clone_from(&options.args);
    if plan.args.first().is_none_or(String::is_empty) {
        return Err(SandboxError::request("the name of the program is empty"));
    }
    if let Some(user) = &options.user {
        plan.user.clone_from(user);
    }
    if let Some(workdir) = &options.workdir {
        plan.cwd.clone_from(workdir);
    }
    if !plan.cwd.starts_with('/') {
        return Err(SandboxError::request(format!("the working directory \"{}\" is not an absolute path", plan.cwd)));
    }
    for variable in &options.env {
        let name = variable.split_once('=').map_or(variable.as_str(), |(name, _)| name);
        plan.home_from_passwd &= name != "HOME";
        plan.env.retain(|known| known.split_once('=').map_or(known.as_str(), |(known, _)| known) != name);
        plan.env.push(variable.clone());
    }
    let changed =
        options.privileged || options.cap_drop_all || options.cap_add.or(options.cap_drop) != CapSet::default();
    if changed {
        plan.capability_sets = None;
    }
    plan.cap_set = capabilities(&plan, own_userns, options)?;
    plan.capabilities = plan.cap_set.names();
    if options.privileged {
        plan.seccomp = SeccompPlan::Unconfined;
        plan.no_new_privileges = false;
    }
    Ok(plan)
}

fn load(dir: &Path) -> Result<ProcessPlan, SandboxError> {
    let path = dir.join("container.json");
    let bytes = match ctr_sys::small::read(&path, RECORD_MAX) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(source) => return Err(ContainerError::Io { action: "read", path, source }.into()),
    };
    let profile: Profile = serde_json::from_slice(&bytes).map_err(|error| ContainerError::Damaged {
        path,
        reason: format!("it has no profile of the program: {error}"),
    })?;
    let mut plan = profile.process;
    plan.cap_set = CapSet(
        plan.capabilities
            .iter()
            .filter_map(|name| privilege::capability(name))
            .fold(0, |set, number| set | 1 << number),
    );
    load_filter(dir, &mut plan);
    Ok(plan)
}

/// The filter of the container. What cannot be read is missing, and a program without the filter that was asked for is not
/// executed.
pub(super) fn load_filter(dir: &Path, plan: &mut ProcessPlan) {
    if plan.seccomp == SeccompPlan::Profile {
        let filter = ctr_sys::small::read(&dir.join(seccomp::FILE_NAME), FILTER_MAX).ok().flatten();
        plan.filter = filter.and_then(|bytes| Program::from_bytes(&bytes));
    }
}

/// The bounding set, and what user 0 has of it.
fn capabilities(plan: &ProcessPlan, own_userns: bool, options: &JoinOptions) -> Result<CapSet, SandboxError> {
    // With a user namespace of its own the container's capabilities reach no further than that; without one they are ours.
    let held = || -> Result<CapSet, SandboxError> {
        if own_userns {
            return Ok(ALL);
        }
        privilege::held_capabilities()
            .map_err(|errno| SandboxError::host("read the own capabilities", "capget", "", errno))
    };
    let first = match (options.privileged, options.cap_drop_all) {
        (_, true) => CapSet::default(),
        (true, false) => held()?,
        (false, false) => plan.cap_set,
    };
    if !options.privileged && !own_userns && can_make_devices(options.cap_add) && !can_make_devices(plan.cap_set) {
        return Err(SandboxError::request_hint(
            "CAP_SYS_ADMIN and CAP_MKNOD let a program reach host devices, and this container was started without device rules",
            "start the container with --cap-add, or use --privileged if the program may do everything",
        ));
    }
    if let Some(missing) = CapSet(options.cap_add.0 & !held()?.0).names().first() {
        return Err(SandboxError::request(format!("{missing} cannot be given: ctr-exec does not have it itself")));
    }
    Ok(CapSet((first.0 | options.cap_add.0) & !options.cap_drop.0))
}
