//! `process`: the program, its identity, its limits (config.md "Process").

use std::collections::BTreeSet;

use ctr_sandbox::idmap::IdMap;
use ctr_sandbox::plan::{CapabilitySets, ProcessPlan, RlimitPlan, SeccompPlan, capabilities_by_name};
use ctr_sandbox::terminal::WindowSize;
use ctr_sys::privilege::{CapSet, Resource};

use super::path::{absolute, c_string};
use super::{Facts, TranslateError, Translated, scheduling};
use crate::config::{self, Process, Rlimit, User};

/// Of a program whose `user.umask` is not given.
const UMASK: u32 = 0o022;

/// Which ids a container has.
#[derive(Debug, Clone, Copy)]
pub enum Ids<'a> {
    /// The caller's.
    Callers,
    /// Those of a user namespace whose map is not known here.
    Foreign,
    /// These.
    Mapped(&'a IdMap),
}

/// Translates a process, of a container or of `exec`; `property` is its path.
pub fn plan(
    property: &str,
    process: &Process,
    ids: &Ids<'_>,
    facts: &Facts,
) -> Result<Translated<ProcessPlan>, TranslateError> {
    let at = |name: &str| format!("{property}.{name}");
    if process.cwd.is_empty() {
        return Err(TranslateError::missing(at("cwd")));
    }
    let cwd = absolute(&at("cwd"), &process.cwd)?;
    let args = arguments(&at("args"), &process.args)?;
    let env = environment(&at("env"), &process.env)?;
    let home = env.iter().any(|variable| variable.starts_with("HOME="));
    user(&at("user"), &process.user, ids)?;
    let held = if matches!(ids, Ids::Callers) { facts.held } else { CapSet::ALL };
    let (sets, warnings) = capabilities(&at("capabilities"), process.capabilities.as_ref(), held);
    let plan = ProcessPlan {
        args,
        env,
        home_from_passwd: !home,
        cwd,
        user: format!("{}:{}", process.user.uid, process.user.gid),
        groups: process.user.additional_gids.iter().map(u32::to_string).collect(),
        keep_groups: false,
        umask: process.user.umask.unwrap_or(UMASK),
        capabilities: sets.bounding.names(),
        cap_set: sets.bounding,
        capability_sets: Some(sets),
        no_new_privileges: process.no_new_privileges,
        seccomp: SeccompPlan::Unconfined,
        seccomp_profile: None,
        seccomp_agent: None,
        filter: None,
        apparmor: label(&at("apparmorProfile"), &process.apparmor_profile, facts.apparmor, "AppArmor")?,
        selinux: label(&at("selinuxLabel"), &process.selinux_label, facts.selinux, "SELinux")?,
        rlimits: rlimits(&at("rlimits"), &process.rlimits)?,
        scheduling: scheduling::plan(property, process)?,
    };
    Ok(Translated { plan, warnings })
}

/// The size of the program's terminal, if it has one.
pub(super) fn terminal(process: &Process) -> Result<Option<WindowSize>, TranslateError> {
    if !process.terminal {
        return Ok(None);
    }
    // A size of 0 is what encoders make of none.
    let Some(size) = process.console_size.filter(|size| (size.height, size.width) != (0, 0)) else {
        return Ok(Some(WindowSize::DEFAULT));
    };
    let number = |name: &str, value: u32| {
        u16::try_from(value).map_err(|_| {
            TranslateError::invalid(format!("process.consoleSize.{name}"), format!("{value} is more than 65535"))
        })
    };
    Ok(Some(WindowSize { rows: number("height", size.height)?, columns: number("width", size.width)? }))
}

fn arguments(property: &str, args: &[String]) -> Result<Vec<String>, TranslateError> {
    match args.first() {
        None => return Err(TranslateError::missing(property).hinted("name the program")),
        Some(program) if program.is_empty() => {
            return Err(TranslateError::invalid(format!("{property}[0]"), "the name of the program is empty"));
        }
        Some(_) => {}
    }
    for (index, arg) in args.iter().enumerate() {
        c_string(&format!("{property}[{index}]"), arg)?;
    }
    Ok(args.to_vec())
}

/// Of several values of a name the last one is kept: programs would take the first or the last, each in its way.
fn environment(property: &str, env: &[String]) -> Result<Vec<String>, TranslateError> {
    let mut kept: Vec<(&str, &String)> = Vec::with_capacity(env.len());
    for (index, variable) in env.iter().enumerate() {
        let at = format!("{property}[{index}]");
        c_string(&at, variable)?;
        let name = variable.split_once('=').map(|(name, _)| name).filter(|name| !name.is_empty());
        let name = name
            .ok_or_else(|| TranslateError::invalid(at, format!("\"{}\" is not NAME=value", variable.escape_debug())))?;
        kept.retain(|(other, _)| *other != name);
        kept.push((name, variable));
    }
    Ok(kept.into_iter().map(|(_, variable)| variable.clone()).collect())
}

fn user(property: &str, user: &User, ids: &Ids<'_>) -> Result<(), TranslateError> {
    let map = match ids {
        Ids::Mapped(map) => Some(*map),
        Ids::Callers | Ids::Foreign => None,
    };
    let invalid = |name: &str, what: String| Err(TranslateError::invalid(format!("{property}.{name}"), what));
    if let Some(umask) = user.umask.filter(|umask| *umask > 0o777) {
        return invalid("umask", format!("{umask} has bits beyond 511 (octal 777)"));
    }
    // -1 means "as it is" to the kernel, and nobody can have it.
    let none = |id: u32, known: Option<Option<u32>>| id == u32::MAX || known.is_some_and(|id| id.is_none());
    if none(user.uid, map.map(|map| map.outside_uid(user.uid))) {
        return invalid("uid", format!("{} is none of linux.uidMappings", user.uid));
    }
    if none(user.gid, map.map(|map| map.outside_gid(user.gid))) {
        return invalid("gid", format!("{} is none of linux.gidMappings", user.gid));
    }
    for (index, &gid) in user.additional_gids.iter().enumerate() {
        let at = format!("additionalGids[{index}]");
        if none(gid, map.map(|map| map.outside_gid(gid))) {
            return invalid(&at, format!("{gid} is none of linux.gidMappings"));
        }
        if map.is_some_and(IdMap::is_single) {
            return invalid(&at, "the kernel lets nobody change groups where one id alone is mapped".to_owned());
        }
    }
    Ok(())
}

/// What cannot be granted is a warning: the specification wants no failure for it.
fn capabilities(property: &str, wanted: Option<&config::Capabilities>, held: CapSet) -> (CapabilitySets, Vec<String>) {
    let Some(wanted) = wanted else { return (CapabilitySets::NONE, Vec::new()) };
    let mut unknown = BTreeSet::new();
    let mut set = |names: &[String]| {
        let (set, names) = capabilities_by_name(names);
        unknown.extend(names);
        set
    };
    let sets = CapabilitySets {
        bounding: set(&wanted.bounding),
        effective: set(&wanted.effective),
        inheritable: set(&wanted.inheritable),
        permitted: set(&wanted.permitted),
        ambient: set(&wanted.ambient),
    };
    let (sets, left_out) = sets.grantable(held);
    let mut warnings: Vec<_> =
        unknown.iter().map(|name| format!("\"{}\" is no capability", name.escape_debug())).collect();
    if left_out != CapSet::default() {
        warnings.push(format!("{} cannot be granted in all the sets that name them", left_out.names().join(" ")));
    }
    (sets, warnings.into_iter().map(|warning| format!("{property}: {warning}")).collect())
}

fn label(property: &str, text: &str, enabled: bool, module: &str) -> Result<Option<String>, TranslateError> {
    match text {
        "" => Ok(None),
        // Where nothing confines, nothing has to be lifted.
        "unconfined" if !enabled => Ok(None),
        _ if !enabled => Err(TranslateError::unavailable(property, format!("{module} is not enabled on this host"))
            .hinted(format!("leave it out, or start the host with {module}"))),
        text => {
            c_string(property, text)?;
            Ok(Some(text.to_owned()))
        }
    }
}

fn rlimits(property: &str, rlimits: &[Rlimit]) -> Result<Vec<RlimitPlan>, TranslateError> {
    let mut plans: Vec<RlimitPlan> = Vec::with_capacity(rlimits.len());
    for (index, limit) in rlimits.iter().enumerate() {
        let property = format!("{property}[{index}]");
        let known = limit.kind.strip_prefix("RLIMIT_").filter(|short| short.bytes().all(|b| b.is_ascii_uppercase()));
        let resource = known.and_then(Resource::by_name).ok_or_else(|| {
            TranslateError::invalid(
                format!("{property}.type"),
                format!("there is no limit \"{}\"", limit.kind.escape_debug()),
            )
        })?;
        let resource = resource.name().to_owned();
        if plans.iter().any(|other| other.resource == resource) {
            return Err(TranslateError::invalid(format!("{property}.type"), format!("{} is set twice", limit.kind)));
        }
        if limit.soft > limit.hard {
            let what = format!("{} is more than the hard limit {}", limit.soft, limit.hard);
            return Err(TranslateError::invalid(format!("{property}.soft"), what));
        }
        let value = |value: u64| (value != u64::MAX).then_some(value);
        plans.push(RlimitPlan { resource, soft: value(limit.soft), hard: value(limit.hard) });
    }
    Ok(plans)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{with, wrong};
    use super::*;
    use ctr_sandbox::options::{IoClass, IoPriority, Scheduler};

    #[test]
    fn what_a_process_can_be() {
        let plan = |name: &str, value: Value| with(&[(&format!("process.{name}"), value)]).unwrap().process;
        let env = plan("env", json!(["A=1", "HOME=/x", "B=2", "A=3"]));
        assert_eq!(env.env, ["HOME=/x", "B=2", "A=3"]);
        assert!(!env.home_from_passwd && plan("env", json!(["HOMER=1"])).home_from_passwd);
        let user = plan("user", json!({"uid": 1, "gid": 2, "umask": 63, "additionalGids": [5, 6]}));
        assert_eq!((user.user.as_str(), user.umask), ("1:2", 0o077));
        assert_eq!(user.groups, ["5", "6"]);
        let limits = json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": u64::MAX}]);
        assert_eq!(
            plan("rlimits", limits).rlimits,
            [RlimitPlan { resource: "core".to_owned(), soft: Some(0), hard: None }]
        );
        assert_eq!(plan("cwd", json!("/a/../b/")).cwd, "/b");
        assert_eq!(plan("apparmorProfile", json!("unconfined")).apparmor, None);
        assert_eq!(
            plan("capabilities", json!({"bounding": ["CAP_KILL", "CAP_OF_TOMORROW"]})).capabilities,
            ["CAP_KILL"]
        );
        let fifo = plan("scheduler", json!({"policy": "SCHED_FIFO", "priority": 5})).scheduling;
        assert_eq!((fifo.scheduler, fifo.nice), (Some(Scheduler::Fifo { priority: 5 }), None));
        let batch = plan("scheduler", json!({"policy": "SCHED_BATCH", "nice": -3})).scheduling;
        assert_eq!((batch.scheduler, batch.nice), (Some(Scheduler::Batch), Some(-3)));
        let io = plan("ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 7})).scheduling.io;
        assert_eq!(io, Some(IoPriority { class: IoClass::BestEffort, level: 7 }));
        assert_eq!(plan("oomScoreAdj", json!(-1000)).scheduling.oom_score_adj, Some(-1000));
    }

    #[test]
    fn terminals() {
        let size = |terminal: bool, size: Value| {
            with(&[("process.terminal", json!(terminal)), ("process.consoleSize", size)]).unwrap().terminal
        };
        assert_eq!(size(false, json!({"height": 1, "width": 2})), None);
        assert_eq!(size(true, json!(null)), Some(WindowSize::DEFAULT));
        assert_eq!(size(true, json!({"height": 0, "width": 0})), Some(WindowSize::DEFAULT));
        assert_eq!(size(true, json!({"height": 9, "width": 2})), Some(WindowSize { rows: 9, columns: 2 }));
        let large = [("process.terminal", json!(true)), ("process.consoleSize", json!({"height": 65536, "width": 2}))];
        assert_eq!(wrong(&large), "process.consoleSize.height");
    }

    #[test]
    fn what_a_process_cannot_be() {
        for (name, value, property) in [
            ("cwd", json!("rel"), "cwd"),
            ("cwd", json!("/a\u{0}"), "cwd"),
            ("args", json!([""]), "args[0]"),
            ("args", json!(["a", "\u{0}"]), "args[1]"),
            ("env", json!(["A=1", "B"]), "env[1]"),
            ("env", json!(["=1"]), "env[0]"),
            ("env", json!(["A=\u{0}"]), "env[0]"),
            ("user", json!({"uid": u32::MAX}), "user.uid"),
            ("user", json!({"gid": u32::MAX}), "user.gid"),
            ("user", json!({"additionalGids": [1, u32::MAX]}), "user.additionalGids[1]"),
            ("user", json!({"umask": 512}), "user.umask"),
            ("rlimits", json!([{"type": "nofile", "soft": 1, "hard": 1}]), "rlimits[0].type"),
            ("rlimits", json!([{"type": "RLIMIT_X", "soft": 1, "hard": 1}]), "rlimits[0].type"),
            ("rlimits", json!([{"type": "RLIMIT_AS", "soft": 2, "hard": 1}]), "rlimits[0].soft"),
            (
                "rlimits",
                json!([{"type": "RLIMIT_AS", "soft": 1, "hard": 1}, {"type": "RLIMIT_AS", "soft": 1, "hard": 1}]),
                "rlimits[1].type",
            ),
            ("oomScoreAdj", json!(1001), "oomScoreAdj"),
            ("apparmorProfile", json!("docker-default"), "apparmorProfile"),
            ("selinuxLabel", json!("a:b:c"), "selinuxLabel"),
            ("scheduler", json!({"policy": "SCHED_ISO"}), "scheduler.policy"),
            ("scheduler", json!({"policy": "other"}), "scheduler.policy"),
            ("scheduler", json!({"policy": "SCHED_OTHER", "nice": 20}), "scheduler.nice"),
            ("scheduler", json!({"policy": "SCHED_OTHER", "priority": 1}), "scheduler.priority"),
            ("scheduler", json!({"policy": "SCHED_RR", "priority": 0}), "scheduler.priority"),
            ("scheduler", json!({"policy": "SCHED_RR", "priority": 1, "nice": 1}), "scheduler.nice"),
            ("scheduler", json!({"policy": "SCHED_IDLE", "period": 1}), "scheduler.period"),
            ("scheduler", json!({"policy": "SCHED_IDLE", "flags": ["X"]}), "scheduler.flags[0]"),
            ("ioPriority", json!({"class": "BE"}), "ioPriority.class"),
            ("ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 8}), "ioPriority.priority"),
            ("execCPUAffinity", json!({"initial": "0-"}), "execCPUAffinity.initial"),
            ("execCPUAffinity", json!({"final": "x"}), "execCPUAffinity.final"),
        ] {
            assert_eq!(wrong(&[(&format!("process.{name}"), value.clone())]), format!("process.{property}"), "{value}");
        }
    }

    #[test]
    fn ids_that_are_not_mapped() {
        let ids = |size: u32| json!([{"containerID": 0, "hostID": 1000, "size": size}]);
        let user = |size: u32, user: Value| {
            let namespaces = json!([{"type": "mount"}, {"type": "user"}]);
            wrong(&[
                ("linux.namespaces", namespaces),
                ("linux.uidMappings", ids(size)),
                ("linux.gidMappings", ids(size)),
                ("process.user", user),
            ])
        };
        assert_eq!(user(5, json!({"uid": 5})), "process.user.uid");
        assert_eq!(user(5, json!({"gid": 5})), "process.user.gid");
        assert_eq!(user(5, json!({"additionalGids": [4, 5]})), "process.user.additionalGids[1]");
        assert_eq!(user(1, json!({"additionalGids": [0]})), "process.user.additionalGids[0]");
    }
}
