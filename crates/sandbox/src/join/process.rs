//! Joining as `exec` of a bundle's container does it (runtime-spec leaves it to the runtimes): the whole plan of the process is
//! given, and the container may be one that is created and waits for its start.

use std::path::PathBuf;
use std::rc::Rc;

use ctr_core::container::Container;
use ctr_sys::privilege::CapSet;
use ctr_sys::syscalls::Arch;

use super::enter::Script;
use super::target::Target;
use super::{JoinStreams, Joining, affinity, assemble, groups, profile, streams};
use crate::error::SandboxError;
use crate::plan::{ProcessPlan, capabilities_by_name};
use crate::prepare;
use crate::script::Step;
use crate::seccomp::Program;
use crate::seccomp::listener::Notify;
use crate::terminal::{Terminal, WindowSize};

/// A process for a bundle's container.
#[derive(Debug)]
pub struct JoinProcess {
    /// All of it but the filter, which is that of the container where the plan asks for one.
    pub plan: ProcessPlan,
    /// Standard input, output, error.
    pub streams: JoinStreams,
    /// Size of its terminal; `None`: that of the caller's.
    pub size: Option<WindowSize>,
    /// Descriptors from 3 on that it gets.
    pub preserve_fds: u32,
    /// Directories of the control groups that it runs in.
    pub groups: Vec<PathBuf>,
    /// It may wait in frozen control groups until they are thawed.
    pub frozen: bool,
    /// The agent of the filter, if that has one.
    pub notify: Option<Notify>,
}

/// Looks up and opens all that the join needs. Nothing has changed when it fails, neither here nor in the container.
pub fn prepare_process(container: &Container, process: JoinProcess) -> Result<Joining, SandboxError> {
    let JoinProcess { mut plan, streams: wanted, size, preserve_fds, groups, frozen, notify } = process;
    let target = Target::open(container)?;
    let groups: Vec<String> = groups.iter().map(|dir| dir.display().to_string()).collect();
    let groups = groups::open(&groups, target.pid, frozen)?;
    profile::load_filter(&container.dir, &mut plan);
    let every_cpu = affinity(&mut plan);
    let identity = prepare::running_identity(&plan, &target.root)?;
    let (streams, terminal) = streams(wanted, size, &target, &identity)?;
    let mut joining = assemble(target, groups, plan, &identity, (streams, terminal), every_cpu)?;
    let script = &mut joining.script;
    for step in &mut script.steps {
        if let Step::CloseOthers { preserve, .. } = step {
            *preserve = preserve_fds;
        }
    }
    script.in_bundle = true;
    script.limited = !frozen;
    joining.notify = notify;
    split(container, &joining.plan, &mut joining.script)?;
    Ok(joining)
}

impl Joining {
    /// The master of the program's terminal, for somebody else: nothing is relayed here then.
    pub fn take_terminal(&mut self) -> Option<Rc<Terminal>> {
        self.script.terminal.take().map(|caller| caller.terminal)
    }
}

/// Decides where the process forks that the container can see, where it has the caller's user namespace. After the filter, so that
/// it has no more than the program itself. But before one that does not let it fork or that an agent shall know it by; and
/// before it takes a terminal, which is the session leader's and hung up when that ends. Without no_new_privs it still has
/// `CAP_SYS_ADMIN` for a moment then.
pub(super) fn split(container: &Container, plan: &ProcessPlan, script: &mut Script) -> Result<(), SandboxError> {
    let terminal = script.steps.iter().any(|step| matches!(step, Step::TakeTerminal));
    let filter = script.steps.iter().position(|step| matches!(step, Step::Seccomp { .. }));
    let last = script.steps.len().saturating_sub(1);
    script.split = last;
    if !script.hidden {
        return Ok(());
    }
    if let Some(index) = filter
        && let Some(Step::Seccomp { program }) = script.steps.get(index)
    {
        let must = program.notifies() || !lets_fork(program);
        let (theirs, _) = capabilities_by_name(&container.record.isolation.capabilities);
        let traced = theirs.has(CapSet::SYS_PTRACE) && theirs.and(CapSet::SYS_ADMIN) == CapSet::default();
        if must && traced && !plan.no_new_privileges {
            return Err(SandboxError::request_hint(
                "the container may trace processes, and its seccomp filter lets none be made in it without more privileges than it has",
                "set process.noNewPrivileges, or let the filter pass clone(2)",
            ));
        }
        if must || (terminal && (!traced || plan.no_new_privileges)) {
            script.split = index;
        }
    }
    if terminal {
        let at = script.steps.len();
        script.steps.retain(|step| !matches!(step, Step::NewSession | Step::TakeTerminal));
        script.split -= at - script.steps.len();
        let split = script.split;
        script.steps.splice(split..split, [Step::NewSession, Step::TakeTerminal]);
    }
    Ok(())
}

fn lets_fork(program: &Program) -> bool {
    let arguments = [ctr_sys::process::FORK_SIBLING, 0, 0, 0, 0, 0];
    Arch::NATIVE.number("clone").is_some_and(|clone| program.lets_pass(clone, arguments))
}
