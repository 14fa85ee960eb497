//! Which control groups a container gets and what is written to them.
//!
//! On a pure v2 host that is one group. On a hybrid or v1 host the unified hierarchy, where there is one, tracks and kills,
//! and the container joins a v1 hierarchy only where a limit needs it: each join costs a start tens of microseconds. A
//! controller is where the kernel has bound it: some hosts keep one or two on the v2 side of a v1 layout.

mod devices;
mod limits;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub(crate) use devices::can_make_devices;
pub use limits::weight_of_shares;

use super::{DevicePlan, HostFacts, ProcessPlan, UsernsPlan};
use crate::error::SandboxError;
use crate::options::{DeviceRule, RunOptions};

/// `pids.max` unless asked otherwise (spec/limits.md): room for servers, an end for fork bombs.
const DEFAULT_PIDS: u64 = 2048;

/// The control group hierarchies of a host, as far as this start can need them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CgroupFacts {
    /// The v2 hierarchy, where we may make groups in it.
    pub unified: Option<UnifiedFacts>,
    /// v1 controllers that this start can need, with the mount point of each.
    pub v1: Vec<(&'static str, String)>,
    /// Why there is none that we may use, or none of v2.
    pub missing: Option<String>,
}

/// The v2 hierarchy of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnifiedFacts {
    /// `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` beside v1.
    pub mount: String,
    /// The group below which ours are made: the root of the hierarchy (empty), or one that an ordinary user was given.
    pub base: String,
    /// Its `cgroup.controllers`.
    pub controllers: Vec<String>,
    /// There is no v1 beside it.
    pub pure: bool,
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
    /// Controllers that must be enabled on the way down (v2), or that the hierarchy is for (v1).
    pub controllers: Vec<String>,
    /// Files to write before the container joins.
    pub writes: Vec<Write>,
    /// Devices that may be used, by a program at the group (v2); empty: no program, all may.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceRule>,
    /// The container makes groups below it.
    pub delegate: bool,
}

/// What is written to one file of a control group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Write {
    /// Its name.
    pub file: String,
    /// What.
    pub value: String,
    /// Who wants it and how much.
    #[serde(skip)]
    pub need: Need,
}

/// How much a write is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// This option asked for it: without it there is no start.
    Asked(&'static str),
    /// A default: without it there is a note.
    Default,
    /// It makes a limit better where the kernel has it.
    Welcome,
}

/// What a controller is to do, in the words of both versions.
#[derive(Debug, Default)]
struct Wanted {
    /// Its name in v2.
    controller: &'static str,
    /// Its name in v1.
    v1_name: &'static str,
    v2: Vec<Write>,
    v1: Vec<Write>,
    /// An option that v2 cannot do.
    v1_only: Option<&'static str>,
}

impl Wanted {
    /// The option that asked first, if one did.
    fn asked(&self) -> Option<&'static str> {
        self.v2.iter().chain(&self.v1).find_map(|write| match write.need {
            Need::Asked(option) => Some(option),
            _ => None,
        })
    }
}

pub(super) fn plan(
    id: &str,
    options: &RunOptions,
    (process, devices, userns): (&ProcessPlan, &[DevicePlan], &UsernsPlan),
    host: &HostFacts,
    notes: &mut Vec<String>,
) -> Result<CgroupPlan, SandboxError> {
    let limits = &options.limits;
    let pids = Some(limits.pids.unwrap_or(DEFAULT_PIDS)).filter(|pids| *pids != 0);
    let mut plan = CgroupPlan { groups: Vec::new(), memory: limits.memory, cpu_millis: None, pids, optional: true };
    let (wanted, cpu_millis) = limits::wanted(limits, pids)?;
    plan.cpu_millis = cpu_millis;
    let privileged = options.security.privileged;
    let rules = devices::rules(process, devices, &options.devices.rules, !userns.is_own() && !privileged);
    if rules.len() > crate::devices_bpf::RULES_MAX {
        return Err(SandboxError::request(format!(
            "{} device rules, and {} are the most that a container can have",
            rules.len(),
            crate::devices_bpf::RULES_MAX
        )));
    }
    plan.optional = rules.is_empty() && wanted.iter().all(|wanted| wanted.asked().is_none());
    let mut places = Places::new(&host.cgroups, format!("{}/{id}", host.cgroup_parent));
    for wanted in wanted {
        places.put(wanted, &mut plan, notes)?;
    }
    places.put_devices(rules)?;
    if limits.delegate || (privileged && host.cgroups.unified.as_ref().is_some_and(|unified| unified.pure)) {
        places.delegate()?;
        plan.optional &= !limits.delegate;
    }
    plan.groups = places.finish();
    if plan.groups.is_empty() {
        plan.pids = None;
    }
    Ok(plan)
}

/// The v1 controllers that a start with these options can need.
pub(crate) fn v1_controllers(options: &RunOptions, unified: bool) -> Vec<&'static str> {
    let pids = (options.limits.pids != Some(0)).then_some(DEFAULT_PIDS);
    // What is wrong with the limits is said by the plan.
    let wanted = limits::wanted(&options.limits, pids).map(|(wanted, _)| wanted).unwrap_or_default();
    let mut names: Vec<&str> = wanted.iter().map(|wanted| wanted.v1_name).collect();
    if devices::can_make_devices(options.security.wanted()) || !options.devices.devices.is_empty() {
        names.push("devices");
    }
    if !unified {
        names.push("freezer");
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// The groups as they come together.
struct Places<'a> {
    facts: &'a CgroupFacts,
    path: String,
    unified: Option<GroupPlan>,
    v1: Vec<GroupPlan>,
}

impl<'a> Places<'a> {
    fn new(facts: &'a CgroupFacts, path: String) -> Self {
        let unified = facts.unified.as_ref().map(|unified| GroupPlan {
            hierarchy: unified.mount.clone(),
            path: if unified.base.is_empty() { path.clone() } else { format!("{}/{path}", unified.base) },
            v2: true,
            controllers: Vec::new(),
            writes: Vec::new(),
            devices: Vec::new(),
            delegate: false,
        });
        Self { facts, path, unified, v1: Vec::new() }
    }

    fn put(&mut self, wanted: Wanted, plan: &mut CgroupPlan, notes: &mut Vec<String>) -> Result<(), SandboxError> {
        let asked = wanted.asked();
        if let Some(mount) = self.v1_mount(wanted.v1_name) {
            if wanted.v1.is_empty() {
                return Err(only_v2(asked.unwrap_or_default(), wanted.controller, &mount));
            }
            self.v1_group(wanted.v1_name, mount).writes.extend(wanted.v1);
            return Ok(());
        }
        let there =
            self.facts.unified.as_ref().is_some_and(|facts| facts.controllers.iter().any(|c| c == wanted.controller));
        match (&mut self.unified, asked) {
            (Some(group), _) if there => {
                if let Some(option) = wanted.v1_only {
                    return Err(only_v1(option));
                }
                if !group.controllers.iter().any(|name| name == wanted.controller) {
                    group.controllers.push(wanted.controller.to_owned());
                }
                group.writes.extend(wanted.v2);
            }
            (_, Some(option)) => return Err(self.no_controller(option, &wanted)),
            (_, None) => {
                if wanted.controller == "pids" {
                    plan.pids = None;
                }
                notes.push(format!("the default limit of {} is not in force: {}", of(&wanted), self.why(&wanted)));
            }
        }
        Ok(())
    }

    fn put_devices(&mut self, rules: Vec<DeviceRule>) -> Result<(), SandboxError> {
        if rules.is_empty() {
            return Ok(());
        }
        if let Some(mount) = self.v1_mount("devices") {
            let need = Need::Asked("a device rule");
            let write = |file: &str, value: String| Write { file: file.to_owned(), value, need };
            let group = self.v1_group("devices", mount);
            group.writes.push(write("devices.deny", "a".to_owned()));
            group.writes.extend(devices::v1_lines(&rules).into_iter().map(|line| write("devices.allow", line)));
            return Ok(());
        }
        let Some(group) = &mut self.unified else {
            return Err(SandboxError::request_hint(
                "capabilities that make or mount device nodes (CAP_SYS_ADMIN, CAP_MKNOD) and devices with narrowed access \
                 need device rules, which no control group here can hold",
                "run without --cap-add SYS_ADMIN and MKNOD, give devices with rwm, or mount cgroup2 at /sys/fs/cgroup",
            ));
        };
        group.devices = rules;
        Ok(())
    }

    fn delegate(&mut self) -> Result<(), SandboxError> {
        let pure = self.facts.unified.as_ref().is_some_and(|facts| facts.pure);
        let Some(group) = self.unified.as_mut().filter(|_| pure) else {
            return Err(SandboxError::request_hint(
                "--cgroup-delegate needs cgroup v2 alone at /sys/fs/cgroup, with a group that the caller may use",
                "boot with systemd.unified_cgroup_hierarchy=1; an ordinary user: systemd-run --user --scope -p Delegate=yes ctr-run ...",
            ));
        };
        group.delegate = true;
        Ok(())
    }

    fn finish(mut self) -> Vec<GroupPlan> {
        if self.unified.is_none() && self.v1.is_empty() {
            // Something must tell which processes are the container's.
            let first = ["freezer", "pids", "memory", "cpu"].into_iter();
            if let Some((name, mount)) = first.into_iter().find_map(|name| Some((name, self.v1_mount(name)?))) {
                self.v1_group(name, mount);
            }
        }
        self.unified.into_iter().chain(self.v1).collect()
    }

    fn v1_mount(&self, name: &str) -> Option<String> {
        self.facts.v1.iter().find(|(known, _)| *known == name).map(|(_, mount)| mount.clone())
    }

    /// The group of a v1 controller. Controllers that are mounted together have one.
    fn v1_group(&mut self, name: &str, mount: String) -> &mut GroupPlan {
        let at = self.v1.iter().position(|group| group.hierarchy == mount).unwrap_or_else(|| {
            let (path, writes) = (self.path.clone(), Vec::new());
            let group = GroupPlan {
                hierarchy: mount,
                path,
                v2: false,
                controllers: Vec::new(),
                writes,
                devices: Vec::new(),
                delegate: false,
            };
            self.v1.push(group);
            self.v1.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "just found or pushed")]
        let group = &mut self.v1[at];
        group.controllers.push(name.to_owned());
        group
    }

    fn no_controller(&self, option: &str, wanted: &Wanted) -> SandboxError {
        SandboxError::request_hint(
            format!("{option} needs the control group controller \"{}\": {}", wanted.controller, self.why(wanted)),
            match &self.facts.unified {
                Some(facts) if !facts.base.is_empty() => format!(
                    "a user gets it by delegation: systemd-run --user --scope -p Delegate=yes ctr-run ..., or Delegate={} \
                     in user@.service; or run without {option}",
                    wanted.controller
                ),
                None if self.facts.missing.is_some() => {
                    format!(
                        "run it in a group of your own: systemd-run --user --scope -p Delegate=yes ctr-run ...; or run without {option}"
                    )
                }
                _ => format!(
                    "see whether the kernel has it (cgroup_disable= on its command line?) and which hierarchy it is bound to \
                     (/proc/cgroups); or run without {option}"
                ),
            },
        )
    }

    /// Why a controller cannot be had.
    fn why(&self, wanted: &Wanted) -> String {
        let v1 = format!("/sys/fs/cgroup/{}", wanted.v1_name);
        match &self.facts.unified {
            Some(facts) => {
                let list = if facts.base.is_empty() {
                    format!("{}/cgroup.controllers", facts.mount)
                } else {
                    format!("{}/{}/cgroup.controllers", facts.mount, facts.base)
                };
                let v1 = if facts.pure { String::new() } else { format!(", nor is there {v1}") };
                format!("{list} does not list it{v1}")
            }
            None => self.facts.missing.clone().unwrap_or_else(|| format!("there is neither cgroup2 nor {v1} here")),
        }
    }
}

fn of(wanted: &Wanted) -> &'static str {
    if wanted.controller == "pids" { "processes" } else { wanted.controller }
}

fn only_v1(option: &str) -> SandboxError {
    SandboxError::request_hint(
        format!("{option} exists with cgroup v1 alone, and this host has the controller in cgroup v2"),
        format!("run without {option}"),
    )
}

fn only_v2(option: &str, controller: &str, mount: &str) -> SandboxError {
    SandboxError::request_hint(
        format!(
            "{option} sets files of cgroup v2, and this host has the controller \"{controller}\" in cgroup v1 at {mount}"
        ),
        "use the option of ctr-run for that limit, which works with both",
    )
}
