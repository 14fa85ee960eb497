//! Control groups of a container: where they are, what limits them, which devices may be used, what becomes of them.
//!
//! ```text
//! path.rs    linux.cgroupsPath           facts.rs   the hierarchies of the host
//!        \                                  /
//!         plan.rs  limits/  devices.rs            pure: groups, files and what is written to them
//!                     |
//!         make.rs  control.rs                     makes and writes them; the container's process is born in them
//!                     |
//!         record.rs                               what is kept: freeze.rs, processes.rs, update.rs, stats/ work on that
//! ```

mod ask;
mod control;
pub mod devices;
mod error;
pub mod facts;
pub mod freeze;
pub mod limits;
mod make;
pub mod path;
pub mod plan;
mod processes;
mod record;
pub mod stats;
mod systemd;
#[cfg(test)]
mod tests;
mod update;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

pub(crate) use ask::{kill_all, make, remove, update};
use ctr_sandbox::bundle::JoinedGroups;
pub use error::CgroupError;
use facts::Hierarchies;
use path::GroupPath;
pub use record::{CgroupRecord, UnitRecord};

use crate::config::Resources;

/// What a container's groups are made from.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The container.
    pub id: &'a str,
    /// The store that it is in (`ctr_core::container::root_hash`).
    pub root_hash: &'a str,
    /// `linux.cgroupsPath`.
    pub path: &'a str,
    /// `linux.resources`.
    pub resources: &'a Resources,
    /// `annotations`: `org.systemd.property.NAME` are properties of the unit.
    pub annotations: &'a BTreeMap<String, String>,
    /// `--systemd-cgroup`.
    pub systemd: bool,
    /// The host's id of who gets the v2 group (config-linux.md "Cgroup ownership").
    pub owner: Option<u32>,
    /// Groups that may not be made are left out where nothing needs them: `--rootless`.
    pub optional: bool,
}

/// Groups that were made. Dropped before [`Groups::keep`], they are removed.
#[derive(Debug, Default)]
pub struct Groups {
    record: CgroupRecord,
    joins: Vec<(OwnedFd, String)>,
    unified: Option<OwnedFd>,
    notes: Vec<String>,
    placeholder: Option<systemd::Placeholder>,
    kept: bool,
}

/// Makes the groups of a container and limits them. On failure nothing is left.
pub fn create(request: &Request<'_>) -> Result<Groups, CgroupError> {
    let host = Hierarchies::of_host();
    let device_rules = can_set_device_rules();
    let mut groups = Groups::default();
    if !device_rules && !request.resources.devices.is_empty() {
        groups.notes.push(
            "linux.resources.devices is not in force: a user cannot set device rules, and can make no device nodes"
                .to_owned(),
        );
    }
    let named = request.systemd || !request.path.is_empty();
    let path = if request.systemd {
        // What cannot be is told before systemd is asked for anything.
        let anywhere = GroupPath { path: "unit".to_owned(), relative: false };
        plan::plan(request.resources, &anywhere, &host, device_rules)?;
        let (unit, path, placeholder) = systemd::start(request, &host)?;
        groups.record.unit = Some(unit);
        groups.placeholder = placeholder;
        path
    } else {
        GroupPath::parse(request.path, request.id, request.root_hash)?
    };
    let plan = plan::plan(request.resources, &path, &host, device_rules)?;
    if !named {
        groups.record.parents = own_parents(&plan);
    }
    make::make(&plan, request.optional && !named, &mut groups)?;
    if let (Some(owner), Some(group)) = (request.owner, plan.groups.iter().find(|group| group.is_v2())) {
        make::hand_over(&group.dir, owner)?;
    }
    Ok(groups)
}

/// Only over the host's own devices, and only with privileges there.
fn can_set_device_rules() -> bool {
    ctr_sys::ids::effective_uid() == 0 && ctr_sys::ids::in_initial_user_namespace()
}

/// `ctr-oci/ROOTHASH` and `ctr-oci`, of each hierarchy.
fn own_parents(plan: &plan::Plan) -> Vec<PathBuf> {
    plan.groups.iter().flat_map(|group| group.dir.ancestors().skip(1).take(2)).map(PathBuf::from).collect()
}

impl Groups {
    /// What the launcher needs of them.
    pub fn take_joined(&mut self) -> JoinedGroups {
        JoinedGroups {
            joins: std::mem::take(&mut self.joins),
            unified: self.unified.take(),
            dirs: self.record.dirs.clone(),
        }
    }

    /// What is kept of them.
    pub fn record(&self) -> CgroupRecord {
        self.record.clone()
    }

    /// Their directories.
    pub fn dirs(&self) -> &[PathBuf] {
        &self.record.dirs
    }

    /// What is not in force, in words for the log.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The container lives in them now.
    pub fn keep(&mut self) {
        self.placeholder = None;
        self.kept = true;
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.placeholder = None;
        if !self.kept {
            // What the kernel does not let go yet is left to `delete`, or to the next of that name.
            let _ = self.record.remove();
        }
    }
}
