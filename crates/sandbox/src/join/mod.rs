//! Joining: one more program in a container that runs, by the profile of its first one.
//!
//! ```text
//!  ctr-exec (parent)                                   the program's process (child)
//!  -----------------                                   -----------------------------
//!  looks everything up, opens everything
//!  makes itself not dumpable
//!  joins the namespaces but pid (for children only)
//!  and cgroup; one clone3, into the v2 group  ------->  joins v1 groups, then the cgroup namespace
//!  reads the pipe, ten seconds at most                 the steps of program.rs, as a start has them
//!    EOF: the program runs   <------------------------ exec closes the pipe
//!    8 bytes: step, errno    <------------------------ a step failed
//!  passes signals on, waits, returns the status
//! ```
//! When the child can first be seen in the container it is in the container's mount namespace already: of the host it has
//! nothing but its memory, which only a holder of `CAP_SYS_PTRACE` over the namespace of ctr-exec could look at, and the
//! descriptors of the script. A container without a user namespace of its own may have a process that is such a holder; there
//! the child does all its steps before it forks the process that the container can see ([`enter`]).
//!
//! The cgroup namespace comes last because the kernel lets a process that is in one move only below its root (cgroups(7),
//! `nsdelegate`).

mod enter;
mod groups;
mod process;
mod profile;
mod target;

use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;

use ctr_core::container::Container;
use ctr_sys::Errno;
use ctr_sys::files::{self, OpenAs};
use ctr_sys::privilege::CapSet;

pub use enter::{JoinEnd, Joined};
pub use process::{JoinProcess, prepare_process};
pub use target::has_uid;

use crate::error::SandboxError;
use crate::inherited::{Inherited, Names};
use crate::plan::ProcessPlan;
use crate::prepare;
use crate::script::{Step, Stream, Streams};
use crate::seccomp::broker::Broker;
use crate::seccomp::listener::Notify;
use crate::terminal::{self, OwnStreams, Terminal, WindowSize};
use crate::user::Identity;
use enter::{CallerTerminal, Script};
use target::Target;

/// What to execute, and what of it is not as the container's own program has it.
#[derive(Debug, Default)]
pub struct JoinOptions {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`, over the container's environment.
    pub env: Vec<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// `user[:group]`, names of the container or numbers.
    pub user: Option<String>,
    /// All capabilities of the container's user namespace, no system call filter.
    pub privileged: bool,
    /// Begin with no capability instead of the container's.
    pub cap_drop_all: bool,
    /// Capabilities to add to the container's.
    pub cap_add: CapSet,
    /// Capabilities to drop; they win over those to add.
    pub cap_drop: CapSet,
    /// Standard input, output, error.
    pub streams: JoinStreams,
}

/// Where the standard streams of the program lead.
#[derive(Debug, Default)]
pub enum JoinStreams {
    /// To the caller's output and error; input has an end at once.
    #[default]
    Output,
    /// All to the caller's.
    Caller,
    /// Nowhere: for a program that outlives the caller.
    Nowhere,
    /// All to a new terminal of the container's own, of which the caller has the other end; it is typed to if `input`.
    Terminal {
        /// Whether what is typed at the caller's terminal is passed on.
        input: bool,
    },
    /// Output and error to this descriptor; input has an end at once.
    To(OwnedFd),
}

/// A join that only has to be entered.
#[derive(Debug)]
pub struct Joining {
    script: Script,
    /// What it executes, and by which profile.
    plan: ProcessPlan,
    /// The agent of its filter.
    notify: Option<Notify>,
}

/// Looks up and opens all that the join needs. Nothing has changed when it fails, neither here nor in the container.
pub fn prepare(container: &Container, options: JoinOptions) -> Result<Joining, SandboxError> {
    let target = Target::open(container)?;
    let groups = groups::open(&container.record.cgroups, target.pid, false)?;
    let mut plan = profile::plan(&container.dir, target.own_user_namespace, &options)?;
    let every_cpu = affinity(&mut plan);
    let identity = prepare::running_identity(&plan, &target.root)?;
    let streams = streams(options.streams, None, &target, &identity)?;
    let mut joining = assemble(target, groups, plan, &identity, streams, every_cpu)?;
    process::split(container, &joining.plan, &mut joining.script)?;
    Ok(joining)
}

/// The script of a join. `every_cpu`: the program may use all that its cpuset has, though the caller may not.
fn assemble(
    target: Target,
    groups: groups::Groups,
    plan: ProcessPlan,
    identity: &Identity,
    (streams, terminal): (Streams, Option<CallerTerminal>),
    every_cpu: bool,
) -> Result<Joining, SandboxError> {
    // Our own procfs shows every process to itself, whatever the container has at /proc.
    let labelled = plan.apparmor.is_some() || plan.selinux.is_some();
    let proc = labelled.then(|| files::open_directory(c"/proc")).transpose().map_err(|errno| {
        SandboxError::host("open /proc, which labels of the program are written to", "openat", "/proc", errno)
    })?;
    let mut steps = groups.joins;
    steps.extend(target.late.into_iter().map(|(namespace, kind)| Step::JoinNamespace { namespace, kind }));
    steps.extend(every_cpu.then_some(Step::EveryCpu));
    steps.push(Step::NewKeyring);
    steps.extend(prepare::program_steps(&plan, identity, streams, true, target.set_groups)?);
    let script = Script {
        root: target.root,
        proc,
        pidfd: target.pidfd,
        namespaces: target.namespaces,
        cgroup: groups.unified,
        fallback: groups.fallback,
        hidden: !target.own_user_namespace,
        split: steps.len().saturating_sub(1),
        steps,
        terminal,
        in_bundle: false,
        limited: true,
    };
    Ok(Joining { script, plan, notify: None })
}

/// The program's CPUs are those of a joining program, where the container says so. Whether the steps have to give it all that its
/// cpuset has, because what it begins with is less.
fn affinity(plan: &mut ProcessPlan) -> bool {
    let Some(cpus) = &plan.scheduling.join_cpus else { return false };
    let all = cpus.initial.is_some() && cpus.last.is_none();
    plan.scheduling.cpus.clone_from(&cpus.last);
    all
}

/// The CPUs until the program is in the container's control groups: its process inherits them.
fn take_initial_cpus(plan: &ProcessPlan) -> Result<(), SandboxError> {
    let Some(cpus) = plan.scheduling.join_cpus.as_ref().and_then(|cpus| cpus.initial.as_ref()) else { return Ok(()) };
    let mask = cpus.mask().ok_or_else(|| SandboxError::request(format!("\"{cpus}\" is no list of CPUs")))?;
    ctr_sys::schedule::set_affinity(&mask).map_err(|errno| {
        SandboxError::host(format!("run on the CPUs {cpus} (execCPUAffinity)"), "sched_setaffinity", "0", errno)
    })
}

/// The program's streams. Nothing of the host's `/dev` is given to it: who has a device open can change its mode.
fn streams(
    streams: JoinStreams,
    size: Option<WindowSize>,
    target: &Target,
    identity: &Identity,
) -> Result<(Streams, Option<CallerTerminal>), SandboxError> {
    let failed = |call: &'static str| move |errno| SandboxError::host("set up the standard streams", call, "", errno);
    let copy = |fd: &OwnedFd| {
        fd.try_clone().map_err(|error| failed("dup")(Errno::from_raw(error.raw_os_error().unwrap_or(0))))
    };
    // The end to read of a pipe that nobody can write to.
    let empty = || files::pipe().map(|(read, _)| Stream::Pipe(read)).map_err(failed("pipe2"));
    let each = match streams {
        JoinStreams::Terminal { input } => {
            let terminal = Rc::new(terminal(target, identity.uid, size)?);
            let caller = CallerTerminal { terminal: Rc::clone(&terminal), input, streams: OwnStreams::open() };
            return Ok((Streams::Terminal(terminal), Some(caller)));
        }
        JoinStreams::Caller => [Stream::Inherit, Stream::Inherit, Stream::Inherit],
        JoinStreams::Output => [empty()?, Stream::Inherit, Stream::Inherit],
        JoinStreams::To(output) => [empty()?, Stream::Pipe(copy(&output)?), Stream::Pipe(output)],
        JoinStreams::Nowhere => {
            let null = container_null(&target.root)?;
            [Stream::Pipe(copy(&null)?), Stream::Pipe(copy(&null)?), Stream::Pipe(null)]
        }
    };
    Ok((Streams::Each(each), None))
}

/// A terminal of the container's own devpts, for the user with this id inside.
fn terminal(target: &Target, uid: u32, size: Option<WindowSize>) -> Result<Terminal, SandboxError> {
    let terminal = Terminal::open_in(target.root.as_fd())?;
    let size = size.or_else(terminal::own_size).unwrap_or(WindowSize::DEFAULT);
    let failed = |call: &'static str| move |errno| SandboxError::host("make a terminal", call, "", errno);
    ctr_sys::tty::set_window_size(terminal.master.as_fd(), size).map_err(failed("ioctl TIOCSWINSZ"))?;
    match target.outside_uid(uid) {
        // An ordinary user cannot give files to the other ids of the range; the program has it open all the same.
        Some(uid) if ctr_sys::ids::effective_uid() == 0 => terminal.give_to(uid).map_err(failed("fchown"))?,
        _ => {}
    }
    Ok(terminal)
}

/// The container's `/dev/null`, if it is one.
fn container_null(root: &OwnedFd) -> Result<OwnedFd, SandboxError> {
    let open = || {
        let place = files::open_in_root(root.as_fd(), c"dev/null", OpenAs::Location, 0)?;
        let facts = files::facts(place.as_fd())?;
        if !facts.is_char_device() || facts.device != (1, 3) {
            return Err(Errno::ENODEV);
        }
        ctr_sys::small::reopen(place.as_fd(), true)
    };
    open().map_err(|errno| {
        SandboxError::host("open the container's /dev/null", "openat2", "dev/null", errno)
            .hinted("the container has changed its /dev: run without --detach")
    })
}

impl Joining {
    /// Enters the container and executes the program. Afterwards this process is in the container's namespaces, and all
    /// signals are blocked, for [`Joined`] to take.
    pub fn start(self) -> Result<Joined, SandboxError> {
        take_initial_cpus(&self.plan)?;
        let names = if self.script.in_bundle { &Names::PROPERTIES } else { &Names::OPTIONS };
        Inherited::take(&self.plan, None, names)?.keep();
        let broker = self.notify.map(Broker::start).transpose()?;
        enter::enter(self.script, broker.as_ref(), &self.plan)
    }
}
