//! The process of `exec`: a document of its own, or the container's with options over it.

use std::os::unix::fs::MetadataExt as _;

use ctr_cli::Failure;
use ctr_sandbox::plan::{CapabilitySets, ProcessPlan, capabilities_by_name};
use ctr_sandbox::terminal::WindowSize;
use ctr_sys::privilege::{self, CapSet};

use crate::args::Exec;
use crate::config::{self, Config, Process};
use crate::report;
use crate::state::Known;
use crate::translate::{self, Facts, Ids};

/// What is to be executed.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) plan: ProcessPlan,
    /// It has a terminal.
    pub(crate) terminal: bool,
    /// Of this size; `None`: that of the caller's.
    pub(crate) size: Option<WindowSize>,
}

/// What `args` ask for, in the container `known`.
pub(crate) fn wanted(args: &Exec, known: &Known) -> Result<Wanted, Failure> {
    let own_userns = has_own_userns(known)?;
    let Some(path) = &args.process else {
        return Ok(Wanted { plan: over_the_containers(args, known, own_userns)?, terminal: args.tty, size: None });
    };
    if !args.program().is_empty() {
        return Err(Failure::new("the program is given twice: in the file of --process, and after the ID"));
    }
    let process = config::load_process(path)
        .map_err(|error| Failure::hinted(error, |_| Some("it is a process as in config.json".to_owned())))?;
    let size = process.console_size.filter(|_| process.terminal).and_then(size);
    let terminal = process.terminal || args.tty;
    Ok(Wanted { plan: of_document(process, known, own_userns)?, terminal, size })
}

/// None is what encoders make of no size.
fn size(size: config::ConsoleSize) -> Option<WindowSize> {
    let number = |value: u32| u16::try_from(value).ok().filter(|value| *value > 0);
    Some(WindowSize { rows: number(size.height)?, columns: number(size.width)? })
}

/// A document says all but what belongs to the container: its filter, and what it says of programs that join.
fn of_document(process: Process, known: &Known, own_userns: bool) -> Result<ProcessPlan, Failure> {
    let config = Config { process: Some(process), ..Config::default() };
    let facts = Facts::of_host(&config);
    let process = config.process.unwrap_or_default();
    let ids = if own_userns { Ids::Foreign } else { Ids::Callers };
    let translated = translate::process_plan("process", &process, &ids, &facts)
        .map_err(|error| Failure::hinted(error, |error| error.hint().map(str::to_owned)))?;
    for warning in &translated.warnings {
        report::warn(warning);
    }
    let mut plan = translated.plan;
    let theirs = &known.process;
    plan.seccomp = theirs.seccomp;
    plan.seccomp_profile.clone_from(&theirs.seccomp_profile);
    plan.seccomp_agent.clone_from(&theirs.seccomp_agent);
    let scheduling = &theirs.scheduling;
    plan.scheduling.personality = scheduling.personality;
    plan.scheduling.memory.clone_from(&scheduling.memory);
    if plan.scheduling.join_cpus.is_none() {
        plan.scheduling.join_cpus.clone_from(&scheduling.join_cpus);
    }
    if plan.scheduling.oom_score_adj.is_none() {
        plan.scheduling.oom_score_adj = scheduling.oom_score_adj;
    }
    Ok(plan)
}

fn over_the_containers(args: &Exec, known: &Known, own_userns: bool) -> Result<ProcessPlan, Failure> {
    let mut plan = known.process.clone();
    plan.cap_set = capabilities_by_name(&plan.capabilities).0;
    plan.args = args.program().to_vec();
    match plan.args.first() {
        None => {
            return Err(Failure::new("there is no program to execute").hint("name one after the ID, or give --process"));
        }
        Some(program) if program.is_empty() => return Err(Failure::new("the name of the program is empty")),
        Some(_) => {}
    }
    if let Some(cwd) = &args.cwd {
        if !cwd.starts_with('/') {
            return Err(Failure::new(format!("--cwd {cwd}: it is not an absolute path")));
        }
        plan.cwd.clone_from(cwd);
    }
    for variable in &args.env {
        let name = variable.split_once('=').map(|(name, _)| name).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Failure::new(format!("--env {variable}: it is not NAME=VALUE")))?;
        plan.home_from_passwd &= name != "HOME";
        plan.env.retain(|known| known.split_once('=').map_or(known.as_str(), |(known, _)| known) != name);
        plan.env.push(variable.clone());
    }
    if let Some(user) = &args.user {
        plan.user = ids(user, &plan.user)?;
    }
    plan.groups.extend(args.additional_gids.iter().map(u32::to_string));
    plan.no_new_privileges |= args.no_new_privs;
    labels(args, &mut plan)?;
    add_capabilities(args, own_userns, &mut plan)?;
    Ok(plan)
}

/// Numbers alone, as in config.json; the group stays the container's where none is given.
fn ids(user: &str, theirs: &str) -> Result<String, Failure> {
    let (uid, gid) = user.split_once(':').map_or((user, None), |(uid, gid)| (uid, Some(gid)));
    let gid = gid.or_else(|| theirs.split_once(':').map(|(_, gid)| gid)).unwrap_or("0");
    let is_id = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok_and(|id| id != u32::MAX)
    };
    if is_id(uid) && is_id(gid) {
        return Ok(format!("{uid}:{gid}"));
    }
    Err(Failure::new(format!("--user {user}: it is not UID[:GID]")).hint("ids are numbers: a bundle has no names"))
}

/// A label that no security module would look at is an error.
fn labels(args: &Exec, plan: &mut ProcessPlan) -> Result<(), Failure> {
    let process = Process {
        apparmor_profile: args.apparmor.clone().unwrap_or_default(),
        selinux_label: args.process_label.clone().unwrap_or_default(),
        ..Process::default()
    };
    let facts = Facts::of_host(&Config { process: Some(process), ..Config::default() });
    let off = |option: &str, module: &str| Failure::new(format!("{option}: {module} is not enabled on this host"));
    if let Some(profile) = args.apparmor.as_ref().filter(|profile| !profile.is_empty()) {
        if !facts.apparmor {
            return Err(off("--apparmor", "AppArmor"));
        }
        plan.apparmor = Some(profile.clone());
    }
    if let Some(label) = args.process_label.as_ref().filter(|label| !label.is_empty()) {
        if !facts.selinux {
            return Err(off("--process-label", "SELinux"));
        }
        plan.selinux = Some(label.clone());
    }
    Ok(())
}

/// Those of `--cap`, which are never inheritable (CVE-2022-29162).
fn add_capabilities(args: &Exec, own_userns: bool, plan: &mut ProcessPlan) -> Result<(), Failure> {
    if args.cap.is_empty() {
        return Ok(());
    }
    let (more, unknown) = capabilities_by_name(&args.cap);
    if let Some(name) = unknown.first() {
        return Err(
            Failure::new(format!("--cap {name}: there is no such capability")).hint("capabilities(7) lists them")
        );
    }
    let held = if own_userns { CapSet::ALL } else { privilege::held_capabilities().unwrap_or_default() };
    if let Some(name) = more.without(held).names().first() {
        return Err(Failure::new(format!("--cap {name}: ctr-oci does not have it itself, so it cannot give it")));
    }
    let sets = plan.capability_sets.unwrap_or(CapabilitySets::NONE).with(more);
    plan.cap_set = sets.bounding;
    plan.capabilities = sets.bounding.names();
    plan.capability_sets = Some(sets);
    Ok(())
}

/// Whether the container's user namespace is another one than ours.
fn has_own_userns(known: &Known) -> Result<bool, Failure> {
    let identity = |process: &str| {
        std::fs::metadata(format!("/proc/{process}/ns/user")).map(|facts| (facts.dev(), facts.ino())).ok()
    };
    let theirs = known.pid.and_then(|pid| identity(&pid.to_string())).ok_or_else(|| {
        Failure::new(format!("cannot exec in container \"{}\"", known.id()))
            .because("container not running: its first process has just ended, or is another user's")
    })?;
    Ok(Some(theirs) != identity("self"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers() {
        assert_eq!(ids("5", "1:2").unwrap(), "5:2");
        assert_eq!(ids("5:6", "1:2").unwrap(), "5:6");
        assert_eq!(ids("0", "").unwrap(), "0:0");
        for bad in ["", "web", "5:", "5:web", "4294967295", "-1", "5:6:7"] {
            assert!(ids(bad, "1:2").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_size_of_nothing_is_none() {
        assert_eq!(size(config::ConsoleSize { height: 0, width: 80 }), None);
        assert_eq!(size(config::ConsoleSize { height: 30, width: 99 }), Some(WindowSize { rows: 30, columns: 99 }));
    }
}
