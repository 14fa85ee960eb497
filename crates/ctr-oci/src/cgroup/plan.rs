//! Which groups a container gets, and what is written to each: pure.
//!
//! | host | groups |
//! |---|---|
//! | v2 | one, with every controller that can be handed down to it |
//! | v1 | one in each hierarchy: engines read figures in all of them |
//! | hybrid | as v1, and one on the v2 side, which tracks and kills |

use std::path::PathBuf;

use ctr_sandbox::devices_bpf::OrderedRule;

use super::CgroupError;
use super::devices::{self, V1State};
use super::facts::Hierarchies;
use super::limits::{self, Known, Write};
use super::path::GroupPath;
use crate::config::Resources;

/// The groups of a container, the one that tracks and kills first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// They.
    pub groups: Vec<Group>,
}

/// One group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Mount point of its hierarchy.
    pub mount: PathBuf,
    /// Below that, the group that is the caller's: no group above it is made or changed.
    pub base: PathBuf,
    /// Its directory.
    pub dir: PathBuf,
    /// Controllers of v1; empty for v2.
    pub v1: Vec<String>,
    /// Files to write in order, before the container joins.
    pub writes: Vec<Write>,
    /// Device rules of v2.
    pub program: Option<Vec<OrderedRule>>,
    /// Device rules of v1.
    pub devices: Option<V1State>,
}

impl Group {
    /// Whether its hierarchy is v2.
    pub fn is_v2(&self) -> bool {
        self.v1.is_empty()
    }

    /// Whether it is for this controller of v1.
    pub fn is_of(&self, controller: &str) -> bool {
        self.v1.iter().any(|name| name == controller)
    }
}

/// Plans the groups at `path`. `device_rules`: whether they can be set, which in a user namespace below the host's they cannot.
pub fn plan(
    resources: &Resources,
    path: &GroupPath,
    host: &Hierarchies,
    device_rules: bool,
) -> Result<Plan, CgroupError> {
    let mut groups: Vec<Group> = Vec::new();
    if let Some(unified) = &host.unified {
        let base = if path.relative { unified.mount.join(&unified.base) } else { unified.mount.clone() };
        groups.push(Group { mount: unified.mount.clone(), dir: base.join(&path.path), base, ..Group::default() });
    }
    let of_v1 = |v1: &super::facts::V1| Group {
        mount: v1.mount.clone(),
        base: v1.mount.clone(),
        dir: v1.mount.join(&path.path),
        v1: v1.controllers.clone(),
        ..Group::default()
    };
    groups.extend(host.v1.iter().map(of_v1));
    // Without v2 it is the freezer's that tracks and kills, as it can stop a group's processes.
    if host.unified.is_none() {
        groups.sort_by_key(|group| !group.is_of("freezer"));
    }
    for placed in limits::writes(resources, &Known::default(), host)? {
        if let Some(group) = groups.iter_mut().find(|group| placed.v1.map_or(group.is_v2(), |name| group.is_of(name))) {
            group.writes.push(placed.write);
        }
    }
    if device_rules {
        put_devices(&devices::rules(&resources.devices)?, &mut groups)?;
    }
    Ok(Plan { groups })
}

fn put_devices(rules: &[OrderedRule], groups: &mut [Group]) -> Result<(), CgroupError> {
    if let Some(group) = groups.iter_mut().find(|group| group.is_of("devices")) {
        group.devices = Some(V1State::of(rules)?);
    } else if let Some(group) = groups.iter_mut().find(|group| group.is_v2()) {
        group.program = devices::program_of(rules).map(<[OrderedRule]>::to_vec);
    } else {
        return Err(CgroupError::property(
            "linux.resources.devices",
            "neither cgroup2 nor the devices controller of cgroup v1 is mounted below /sys/fs/cgroup",
        ));
    }
    Ok(())
}
