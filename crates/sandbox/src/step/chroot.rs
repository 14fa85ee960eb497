//! A step where nothing can be mounted and no namespace be made: chroot(2), fewer capabilities, and nothing that stays behind.
//!
//! What holds the program in its tree: without `CAP_SYS_CHROOT` it cannot leave a chroot, without `CAP_MKNOD` it cannot make
//! a disk's device to look past it (capabilities(7)). It sees the processes and the network of whatever is around: that is the
//! border here, as a rule a container.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use ctr_core::container::ContainerError;
use ctr_sys::poll::{self, Interest};
use ctr_sys::privilege::{self, CapSet};
use ctr_sys::process::{self, Ended, Namespaces, WaitFor};
use ctr_sys::{Errno, procfs, signal};

use super::carry_out::{capabilities, groups_are_fixed, program};
use super::{Step, StepNetwork};
use crate::bundle;
use crate::enter::{self, Entered, FailedStep, Script};
use crate::error::{SandboxError, StepCause};
use crate::plan::{ProcessPlan, SeccompPlan};
use crate::prepare;
use crate::script::{self, Stream, Streams};

/// [`super::run`] in a chroot.
pub(super) fn run(step: &Step) -> Result<u8, SandboxError> {
    let host = |call: &'static str| move |errno| SandboxError::host("run a step", call, "", errno);
    if step.network == StepNetwork::None {
        return Err(SandboxError::request_hint(
            "a network of its own cannot be had for the command: this caller can make no namespaces",
            "leave --network=none out, or build with CAP_SYS_ADMIN or with user namespaces",
        ));
    }
    // Who made us takes us with it only when everything below us is gone too.
    let builder = process::pidfd_open(process::parent_pid()).map_err(host("pidfd_open"))?;
    process::become_subreaper().map_err(host("prctl"))?;
    process::umask(0);
    let plan = plan(step);
    let script = script(step, &plan)?;
    let entered = enter::enter(&script).map_err(host("clone3"))?;
    if let Err(failed) = entered.wait_for_exec() {
        entered.kill();
        return Err(explain(&plan, &script, failed));
    }
    let ended = wait(&entered, &builder);
    // What the program left running would still write while the tree is looked through.
    end_all().map_err(|errno| SandboxError::host("end what the command left running", "kill", "", errno))?;
    Ok(match ended? {
        Ended::Code(code) => code,
        Ended::Signal(signal) => 128 + signal,
    })
}

fn plan(step: &Step) -> ProcessPlan {
    let held = privilege::held_capabilities().unwrap_or(CapSet::ALL);
    let escapes = CapSet::SYS_CHROOT.or(CapSet::MKNOD).or(CapSet::SYS_ADMIN).or(CapSet(1 << CapSet::SYS_PTRACE));
    let mut plan = program(step, capabilities(step).without(escapes));
    // A filter without no_new_privs takes CAP_SYS_ADMIN (seccomp(2)); sudo and its like are to work here too. The container
    // around us has its own.
    if held.and(CapSet::SYS_ADMIN) == CapSet::default() {
        plan.seccomp = SeccompPlan::Unconfined;
    }
    plan
}

fn script(step: &Step, plan: &ProcessPlan) -> Result<Script<'static>, SandboxError> {
    let root = File::open(&step.upper).map(OwnedFd::from).map_err(|source| ContainerError::Io {
        action: "open",
        path: step.upper.clone(),
        source,
    })?;
    let identity = prepare::running_identity(plan, &root)?;
    let streams = Streams::Each([Stream::Inherit, Stream::Inherit, Stream::Inherit]);
    let mut steps = Vec::new();
    for next in prepare::program_steps(plan, &identity, streams, false, !groups_are_fixed())? {
        if matches!(next, script::Step::DefaultSignals) {
            // Ids and capabilities, whose change would undo it, are settled.
            steps.push(script::Step::DieWithParent);
        }
        steps.push(next);
    }
    let mut setup = vec![script::Step::NewSession, script::Step::NewKeyring, script::Step::EnterRoot];
    if plan.cwd != "/" {
        let target = script::Target::new(script::Base::Root, &plan.cwd, script::Leaf::Dir, script::Links::Follow);
        setup.extend(target.map(|target| script::Step::MakeDir { target }));
    }
    setup.push(script::Step::Chroot);
    Ok(Script {
        joined: Vec::new(),
        namespaces: Namespaces::NONE,
        own_pids: false,
        root,
        cgroup: None,
        setup,
        program: steps,
        init: None,
        range: None,
    })
}

fn explain(plan: &ProcessPlan, script: &Script<'_>, failed: FailedStep) -> SandboxError {
    let list = if failed.in_program { &script.program } else { &script.setup };
    match list.get(failed.index) {
        Some(script::Step::Exec { .. }) | None => bundle::not_executed(plan, failed.errno),
        Some(step) => SandboxError::Step {
            step: step.to_string(),
            cause: StepCause { errno: failed.errno },
            hint: crate::start::step_hint(step, failed.errno).map(str::to_owned),
        },
    }
}

/// Waits for the end of the program, or of the builder.
fn wait(entered: &Entered, builder: &OwnedFd) -> Result<Ended, SandboxError> {
    let failed = |call: &'static str| move |errno| SandboxError::host("wait for the command", call, "", errno);
    let both = [Interest::Readable(entered.pidfd.as_fd()), Interest::Readable(builder.as_fd())];
    let met = poll::wait(&both, None).map_err(|error| failed("poll")(error.errno))?;
    if met.first() != Some(&true) {
        let _ = process::pidfd_signal(entered.pidfd.as_fd(), signal::SIGKILL);
    }
    let ended = process::wait(WaitFor::PidFd(entered.pidfd.as_fd()), true).map_err(failed("waitid"))?;
    Ok(ended.map_or(Ended::Code(0), |(_, ended)| ended))
}

/// Ends all descendants: those whose parent has ended are ours, and theirs become so.
fn end_all() -> Result<(), Errno> {
    let own = process::own_pid();
    loop {
        for child in procfs::children_of(own).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))? {
            let _ = process::kill(child, signal::SIGKILL);
        }
        loop {
            match process::wait(WaitFor::Any, false) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(Errno::ECHILD) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
