//! Which control groups a container gets and what is written to them.
//!
//! On a pure v2 host that is one group. On a hybrid or v1 host the unified hierarchy, where there is one, tracks and kills,
//! and the container joins a v1 hierarchy only where a limit needs it: each join costs a start tens of microseconds.

use ctr_sys::privilege::CapSet;
use serde::Serialize;

use super::{HostFacts, ProcessPlan};
use crate::error::SandboxError;
use crate::options::RunOptions;

/// `pids.max` unless asked otherwise (spec/limits.md): room for servers, an end for fork bombs.
const DEFAULT_PIDS: u64 = 2048;
/// Microseconds of the period over which CPU time is counted.
const CPU_PERIOD: u64 = 100_000;
/// `CAP_SYS_ADMIN` and `CAP_MKNOD`, with which device nodes can be made or mounted.
const MAKES_DEVICES: [u8; 2] = [21, 27];

/// The hierarchies of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupLayout {
    /// cgroup v2 at `/sys/fs/cgroup`.
    Unified,
    /// v1 controllers below `/sys/fs/cgroup`, and the directory of the v2 hierarchy if there is one beside them.
    V1 {
        /// `/sys/fs/cgroup/unified`, where it is mounted.
        unified: bool,
        /// Names of the controller directories that this start can need and that exist.
        controllers: Vec<&'static str>,
    },
    /// No control groups can be seen.
    None,
}

/// The control groups of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CgroupPlan {
    /// The groups, the one that tracks and kills first.
    pub groups: Vec<GroupPlan>,
    /// `memory.max`, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// CPU time in thousandths of one CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u64>,
    /// `pids.max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
    /// Whether a start may go on without groups: nothing was asked for that needs one.
    pub optional: bool,
}

/// One control group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupPlan {
    /// Mount point of its hierarchy.
    pub hierarchy: String,
    /// Its path below that.
    pub path: String,
    /// Whether the hierarchy is v2.
    pub v2: bool,
    /// Controllers that must be enabled on the way down (v2).
    pub controllers: Vec<&'static str>,
    /// Files to write before the container joins.
    pub writes: Vec<(&'static str, String)>,
}

pub(super) fn plan(
    id: &str,
    options: &RunOptions,
    process: &ProcessPlan,
    host: &HostFacts,
    notes: &mut Vec<String>,
) -> Result<CgroupPlan, SandboxError> {
    let limits = options.limits;
    let asked = limits.memory.is_some() || limits.cpu_millis.is_some() || limits.pids.is_some_and(|pids| pids != 0);
    let pids = Some(limits.pids.unwrap_or(DEFAULT_PIDS)).filter(|pids| *pids != 0);
    let mut plan =
        CgroupPlan { groups: Vec::new(), memory: limits.memory, cpu_millis: limits.cpu_millis, pids, optional: !asked };
    let device_rules = needs_device_rules(process.cap_set);
    let path = format!("{}/{id}", host.cgroup_parent);
    match &host.cgroups {
        CgroupLayout::Unified if device_rules => return Err(device_rules_missing()),
        CgroupLayout::Unified => plan.groups.push(unified(&plan, path)),
        CgroupLayout::V1 { unified, controllers } => {
            plan.groups = v1(&plan, &path, *unified, controllers, device_rules)?;
        }
        CgroupLayout::None if asked => {
            return Err(SandboxError::request_hint(
                "limits were asked for, and this host shows no control groups at /sys/fs/cgroup",
                "mount cgroup2 there, or run without --memory, --cpus and --pids-limit",
            ));
        }
        CgroupLayout::None => {
            plan.pids = None;
            notes
                .push("no control groups at /sys/fs/cgroup: the default limit of processes is not in force".to_owned());
        }
    }
    Ok(plan)
}

/// Whether capabilities let a program make or mount device nodes.
pub(crate) fn needs_device_rules(capabilities: CapSet) -> bool {
    MAKES_DEVICES.iter().any(|capability| capabilities.has(*capability))
}

fn device_rules_missing() -> SandboxError {
    SandboxError::request_hint(
        "CAP_SYS_ADMIN and CAP_MKNOD let a container reach host devices, and this release has no device rules for cgroup v2",
        "run without --cap-add SYS_ADMIN and MKNOD",
    )
}

fn cpu_quota(millis: u64) -> u64 {
    millis.saturating_mul(CPU_PERIOD) / 1000
}

fn unified(plan: &CgroupPlan, path: String) -> GroupPlan {
    let mut group = GroupPlan {
        hierarchy: "/sys/fs/cgroup".to_owned(),
        path,
        v2: true,
        controllers: Vec::new(),
        writes: Vec::new(),
    };
    if let Some(memory) = plan.memory {
        group.controllers.push("memory");
        group.writes.push(("memory.max", memory.to_string()));
        // As much swap again as memory, as docker run --memory has it.
        group.writes.push(("memory.swap.max", memory.to_string()));
        // One process that is out of memory ends the container, not a random part of it.
        group.writes.push(("memory.oom.group", "1".to_owned()));
    }
    if let Some(millis) = plan.cpu_millis {
        group.controllers.push("cpu");
        group.writes.push(("cpu.max", format!("{} {CPU_PERIOD}", cpu_quota(millis))));
    }
    if let Some(pids) = plan.pids {
        group.controllers.push("pids");
        group.writes.push(("pids.max", pids.to_string()));
    }
    group
}

fn v1(
    plan: &CgroupPlan,
    path: &str,
    unified: bool,
    controllers: &[&'static str],
    device_rules: bool,
) -> Result<Vec<GroupPlan>, SandboxError> {
    let group = |name: &str, v2: bool, writes: Vec<(&'static str, String)>| GroupPlan {
        hierarchy: format!("/sys/fs/cgroup/{name}"),
        path: path.to_owned(),
        v2,
        controllers: Vec::new(),
        writes,
    };
    let mut groups = Vec::new();
    if unified {
        groups.push(group("unified", true, Vec::new()));
    }
    let mut join = |name: &'static str, option: &str, writes: Vec<(&'static str, String)>| {
        if controllers.contains(&name) {
            groups.push(group(name, false, writes));
            return Ok(());
        }
        Err(SandboxError::request_hint(
            format!("{option} needs the cgroup controller \"{name}\", which this host does not show"),
            format!("mount it at /sys/fs/cgroup/{name}, or run without {option}"),
        ))
    };
    if let Some(memory) = plan.memory {
        let both = memory.saturating_mul(2).to_string();
        let writes = vec![("memory.limit_in_bytes", memory.to_string()), ("memory.memsw.limit_in_bytes", both)];
        join("memory", "--memory", writes)?;
    }
    if let Some(millis) = plan.cpu_millis {
        let writes =
            vec![("cpu.cfs_period_us", CPU_PERIOD.to_string()), ("cpu.cfs_quota_us", cpu_quota(millis).to_string())];
        join("cpu", "--cpus", writes)?;
    }
    if let Some(pids) = plan.pids {
        match join("pids", "--pids-limit", vec![("pids.max", pids.to_string())]) {
            Err(_) if plan.optional => {}
            result => result?,
        }
    }
    if device_rules {
        let allow = "c 1:3 rwm\nc 1:5 rwm\nc 1:7 rwm\nc 1:8 rwm\nc 1:9 rwm\nc 5:0 rwm\nc 5:2 rwm\nc 136:* rwm";
        let mut writes = vec![("devices.deny", "a".to_owned())];
        writes.extend(allow.lines().map(|rule| ("devices.allow", rule.to_owned())));
        join("devices", "--cap-add SYS_ADMIN or MKNOD", writes)?;
    }
    if groups.is_empty() {
        // Something must tell which processes are the container's.
        if let Some(name) = ["freezer", "pids", "memory", "cpu"].into_iter().find(|name| controllers.contains(name)) {
            groups.push(group(name, false, Vec::new()));
        }
    }
    Ok(groups)
}
