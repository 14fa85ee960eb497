//! The steps of the program's own process, in an order that matters: what needs privileges first, then the ids, then the
//! capabilities, the filter where it can be loaded, the exec.

use std::ffi::CString;

use ctr_sys::privilege::CapSet;
use ctr_sys::process::CStringArray;
use ctr_sys::schedule::CpuMask;

use super::c_string;
use crate::error::SandboxError;
use crate::options::{Cpus, IoClass, Scheduling};
use crate::plan::{ProcessPlan, SeccompPlan};
use crate::script::{Step, Streams};
use crate::seccomp::Program;
use crate::user::Identity;

/// `new_session`: the process that they run in is not the leader of a session of its own yet. `set_groups`: the kernel lets
/// it change groups, as it does in every user namespace of more than one id.
pub(crate) fn steps(
    process: &ProcessPlan,
    identity: &Identity,
    streams: Streams,
    new_session: bool,
    set_groups: bool,
) -> Result<Vec<Step>, SandboxError> {
    let mut steps = Vec::new();
    if new_session {
        steps.push(Step::NewSession);
    }
    labels(process, &mut steps)?;
    let terminal = matches!(streams, Streams::Terminal(_));
    steps.push(Step::Stdio { streams });
    steps.extend(terminal.then_some(Step::TakeTerminal));
    steps.push(Step::CloseOthers { preserve: 0, start: None });
    for limit in &process.rlimits {
        let (soft, hard) = (limit.soft.unwrap_or(u64::MAX), limit.hard.unwrap_or(u64::MAX));
        let resource = ctr_sys::privilege::Resource::by_name(&limit.resource)
            .ok_or_else(|| SandboxError::request(format!("there is no limit \"{}\"", limit.resource)))?;
        steps.push(Step::Limit { resource, soft, hard });
    }
    schedule(&process.scheduling, &mut steps)?;
    steps.push(Step::Umask { mask: process.umask });
    steps.push(Step::ChangeDir { path: c_string(&process.cwd)? });
    let sets = process.capability_sets;
    steps.push(Step::Bounding { keep: sets.map_or(process.cap_set, |sets| sets.bounding) });
    let filter = filter(process)?;
    // The filter comes last, so that it need not let pass what comes before it. Without no_new_privs its loading takes
    // CAP_SYS_ADMIN, which the process keeps for it and which the exec takes away: what a program may have is decided by the
    // bounding set and the user (capabilities(7), "Transformation of capabilities during execve()").
    let for_filter = if filter.is_some() && !process.no_new_privileges { CapSet::SYS_ADMIN } else { CapSet::default() };
    if set_groups && !process.keep_groups {
        steps.push(Step::Groups { groups: identity.groups.clone() });
    }
    steps.push(Step::Gid { gid: identity.gid });
    if identity.uid != 0 && (sets.is_some() || for_filter != CapSet::default()) {
        steps.push(Step::KeepCapabilities);
    }
    steps.push(Step::Uid { uid: identity.uid });
    steps.push(if let Some(sets) = sets {
        // CAP_SYS_ADMIN goes with the exec here too: it is not ambient unless it is asked for.
        Step::CapabilitySets { sets, extra: for_filter }
    } else {
        // As for every user but root on a plain host, capabilities come back only by exec of a file that has them.
        let permitted = if identity.uid == 0 { process.cap_set } else { CapSet::default() };
        Step::Capabilities { permitted: permitted.or(for_filter) }
    });
    if process.no_new_privileges {
        steps.push(Step::NoNewPrivileges);
    }
    steps.push(Step::DefaultSignals);
    steps.extend(filter.map(|program| Step::Seccomp { program }));
    let environment = environment(process, identity)?;
    steps.push(Step::Exec {
        candidates: candidates(process)?,
        arguments: CStringArray::new(process.args.iter().map(|arg| c_string(arg)).collect::<Result<_, _>>()?),
        environment: CStringArray::new(environment),
    });
    Ok(steps)
}

/// While the container's own procfs is at hand.
fn labels(process: &ProcessPlan, steps: &mut Vec<Step>) -> Result<(), SandboxError> {
    if let Some(profile) = &process.apparmor {
        steps.push(Step::Label {
            text: c_string(&format!("exec {profile}"))?,
            file: c"thread-self/attr/apparmor/exec".to_owned(),
            // Linux before 5.8 has one file for all modules.
            older: Some(c"thread-self/attr/exec".to_owned()),
        });
    }
    if let Some(context) = &process.selinux {
        steps.push(Step::Label { text: c_string(context)?, file: c"thread-self/attr/exec".to_owned(), older: None });
    }
    Ok(())
}

/// The filter to load, if any.
fn filter(process: &ProcessPlan) -> Result<Option<Program>, SandboxError> {
    match process.seccomp {
        SeccompPlan::Default => Ok(Some(Program::default_profile(process.cap_set))),
        SeccompPlan::Unconfined => Ok(None),
        // Never without what was asked for.
        SeccompPlan::Profile => process.filter.clone().map(Some).ok_or_else(|| {
            SandboxError::request("the compiled seccomp profile of the container (seccomp.bpf) is missing or damaged")
        }),
    }
}

/// What needs a privilege of the host has been taken on by the launcher: it is the same again here, which the kernel allows.
fn schedule(wanted: &Scheduling, steps: &mut Vec<Step>) -> Result<(), SandboxError> {
    if let Some(persona) = wanted.personality {
        steps.push(Step::Personality { persona });
    }
    if let Some(cpus) = &wanted.cpus {
        let mask = cpus.mask().ok_or_else(|| SandboxError::request(format!("\"{cpus}\" is no list of CPUs")))?;
        steps.push(Step::Affinity { cpus: Box::new(mask) });
    }
    if let Some(policy) = &wanted.memory {
        let nodes = policy.nodes.as_ref().map_or(Some(CpuMask::default()), Cpus::mask);
        let nodes = nodes.ok_or_else(|| SandboxError::request("the NUMA nodes of the memory policy are no list"))?;
        steps.push(Step::MemoryPolicy { mode: policy.mode, nodes: Box::new(nodes) });
    }
    let flags = wanted.scheduler_flags;
    steps.extend(wanted.scheduler.map(|scheduler| Step::Scheduler { scheduler, flags }));
    steps.extend(wanted.nice.map(|nice| Step::Nice { nice }));
    // The real-time class is the one that may not be set again.
    steps.extend(wanted.io.filter(|io| io.class != IoClass::RealTime).map(|io| Step::IoPriority { io }));
    Ok(())
}

fn environment(process: &ProcessPlan, identity: &Identity) -> Result<Vec<CString>, SandboxError> {
    let mut environment = Vec::with_capacity(process.env.len() + 1);
    for variable in &process.env {
        environment.push(c_string(variable)?);
    }
    if process.home_from_passwd {
        environment.push(c_string(&format!("HOME={}", identity.home))?);
    }
    Ok(environment)
}

/// A name with a slash is a path; another is looked for in the container's `PATH`.
pub(crate) fn candidates(process: &ProcessPlan) -> Result<Vec<CString>, SandboxError> {
    let Some(program) = process.args.first() else { return Ok(Vec::new()) };
    if program.contains('/') {
        return Ok(vec![c_string(program)?]);
    }
    let path = process.env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or_default();
    path.split(':')
        .map(
            |dir| {
                if dir.is_empty() { c_string(&format!("./{program}")) } else { c_string(&format!("{dir}/{program}")) }
            },
        )
        .collect()
}
