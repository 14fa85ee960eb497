//! From a bundle to the script of its first process.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ctr_core::container::ContainerError;
use ctr_sys::mount::{self, MountAttr, Propagation};
use ctr_sys::process::CStringArray;
use ctr_sys::{Errno, files, small, socket, tty, unnamed};

use super::ids::Ids;
use super::joined_mounts;
use super::mounts::{self, WithTerminal};
use super::plan::{Bundle, HookPlan};
use crate::enter::Script;
use crate::error::SandboxError;
use crate::idmap::{IdMap, parse_extents};
use crate::options::PropagationKind;
use crate::prepare::{self, c_string, namespaces, userns};
use crate::script::{Base, Hook, Leaf, Links, StartFiles, Step, Stream, Streams, Target};
use crate::terminal::Terminal;
use crate::user::Identity;

/// The socket in the container's directory by which the start comes.
pub(super) const START_SOCKET: &str = "start";

/// The control groups of a container, made and limited by the caller.
#[derive(Debug, Default)]
pub struct JoinedGroups {
    /// v1: the `tasks` file of each group, open to write, and the group for words.
    pub joins: Vec<(OwnedFd, String)>,
    /// v2: the group to be born in.
    pub unified: Option<OwnedFd>,
    /// The directories of all of them.
    pub dirs: Vec<PathBuf>,
}

/// What the caller keeps.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) script: Script<'static>,
    /// Written to, it lets the first process go on after the hooks; dropped, it ends it.
    pub(super) answer: Option<OwnedFd>,
    /// What hooks in the container read, while it is being created and when it is started.
    pub(super) documents: [Option<Rc<OwnedFd>>; 2],
    /// The caller's end of the program's terminal.
    pub(super) terminal: Option<Rc<Terminal>>,
}

/// Prepares `bundle` in the container's directory `dir`.
pub(super) fn prepare(bundle: &Bundle, dir: &Path, groups: JoinedGroups) -> Result<Prepared, SandboxError> {
    let userns = own_userns(bundle)?;
    let ids = ids(bundle, userns.as_ref())?;
    let root = rootfs(bundle)?;
    let identity = prepare::running_identity(&bundle.process, &root)?;
    let (streams, with_terminal) = streams(bundle, &ids, &identity)?;
    let terminal = with_terminal.as_ref().map(|(_, terminal)| Rc::clone(terminal));
    let documents = documents(bundle)?;
    let [creating, created] = &documents;
    let (asks, answer) =
        if bundle.caller_hooks || !bundle.net_devices.is_empty() || documents.iter().any(Option::is_some) {
            let (read, write) = files::pipe().map_err(|errno| SandboxError::host("make a pipe", "pipe2", "", errno))?;
            (Some(read), Some(write))
        } else {
            (None, None)
        };
    let mut setup = first_steps(bundle, &ids, groups.joins);
    let (mounts, kept) = mounts::steps(bundle, &ids, userns.as_ref(), (root.as_fd(), &groups.dirs), with_terminal)?;
    setup.extend(mounts);
    setup.extend(asks.map(|answer| Step::AskCaller { answer }));
    setup.extend(hooks(&bundle.create_container, creating.as_ref()));
    last_steps(bundle, &kept, &mut setup)?;
    let joined = namespaces::joined(&bundle.joins, userns)?;
    joined_mounts::refuse_hosts(&joined)?;
    let listener = listen(dir)?;
    prepare::keep_filter(&bundle.process, dir)?;
    let start = StartFiles { listener, document: created.clone() };
    let program = program(bundle, &identity, streams, ids.can_set_groups(), start)?;
    let script = Script {
        own_pids: bundle.namespaces.contains(&"pid"),
        joined,
        namespaces: namespaces::new(&bundle.namespaces),
        root,
        cgroup: groups.unified,
        setup,
        program,
        init: None,
        range: None,
    };
    Ok(Prepared { script, answer, documents, terminal })
}

/// The container's user namespace, new or somebody else's.
fn own_userns(bundle: &Bundle) -> Result<Option<OwnedFd>, SandboxError> {
    if let Some(join) = bundle.joins.iter().find(|join| join.kind == "user") {
        return namespaces::open(join).map(Some);
    }
    bundle.namespaces.contains(&"user").then(|| userns::create_mapped(&bundle.map)).transpose()
}

/// The maps of that namespace: those of the bundle, or as the kernel has them for one that is joined.
fn ids(bundle: &Bundle, userns: Option<&OwnedFd>) -> Result<Ids, SandboxError> {
    let Some(userns) = userns else { return Ok(Ids { map: None }) };
    if !bundle.map.uids.is_empty() {
        return Ok(Ids { map: Some(bundle.map.clone()) });
    }
    let (uids, gids) = ctr_sys::userns::maps_of(userns.as_fd()).map_err(|cause| SandboxError::Host {
        action: "read the maps of the user namespace that is joined".to_owned(),
        cause,
        hint: None,
    })?;
    Ok(Ids { map: Some(IdMap { uids: parse_extents(&uids), gids: parse_extents(&gids) }) })
}

/// A detached copy of the root directory with what is mounted below it. Nothing that is mounted on it later is seen on the
/// host.
fn rootfs(bundle: &Bundle) -> Result<OwnedFd, SandboxError> {
    let path = &bundle.rootfs.path;
    let shown = path.display();
    let host = |call, errno| SandboxError::host(format!("copy the mount of {shown}"), call, shown.to_string(), errno);
    let location = small::open_location(path)
        .map_err(|error| SandboxError::request(format!("root.path: cannot use {shown}: {error}")))?;
    if !files::facts(location.as_fd()).is_ok_and(|facts| facts.is_dir()) {
        return Err(SandboxError::request(format!("root.path: {shown} is not a directory")));
    }
    let copy = mount::open_tree_clone(location.as_fd(), c"", true).map_err(|errno| host("open_tree", errno))?;
    // Shared comes last: until then what is mounted here would be seen there.
    let propagation = match bundle.rootfs.propagation {
        PropagationKind::Shared | PropagationKind::Slave => Propagation::Slave,
        PropagationKind::Private | PropagationKind::Unbindable => Propagation::Private,
    };
    mount::mount_setattr(copy.as_fd(), true, MountAttr::NONE, MountAttr::NONE, Some(propagation))
        .map_err(|errno| host("mount_setattr", errno))?;
    Ok(copy)
}

fn streams(bundle: &Bundle, ids: &Ids, identity: &Identity) -> Result<(Streams, WithTerminal), SandboxError> {
    let Some(size) = bundle.terminal else {
        return Ok((Streams::Each([Stream::Inherit, Stream::Inherit, Stream::Inherit]), None));
    };
    let host = |call: &'static str| move |errno| SandboxError::host("make a terminal", call, "", errno);
    let devpts = mounts::devpts(bundle, ids)?.ok_or_else(|| {
        SandboxError::request_hint(
            "process.terminal needs a devpts of the container's own at /dev/pts",
            "add it to mounts: {\"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\", \"options\": [\"newinstance\", \"ptmxmode=0666\"]}",
        )
    })?;
    let terminal = Terminal::open(devpts.as_fd()).map_err(host("ioctl TIOCGPTPEER"))?;
    terminal.give_to(ids.outside(identity.uid, identity.gid).0).map_err(host("fchown"))?;
    tty::set_window_size(terminal.master.as_fd(), size).map_err(host("ioctl TIOCSWINSZ"))?;
    let terminal = Rc::new(terminal);
    Ok((Streams::Terminal(Rc::clone(&terminal)), Some((devpts, terminal))))
}

/// Files in memory for the state that hooks in the container read: filled when the container's process is known.
fn documents(bundle: &Bundle) -> Result<[Option<Rc<OwnedFd>>; 2], SandboxError> {
    let document = |hooks: &[HookPlan]| {
        if hooks.is_empty() {
            return Ok(None);
        }
        let made = unnamed::in_memory(c"ctr-state").map(|file| Some(Rc::new(file)));
        made.map_err(|errno| SandboxError::host("make the state for hooks", "memfd_create", "", errno))
    };
    Ok([document(&bundle.create_container)?, document(&bundle.start_container)?])
}

fn hooks(plans: &[HookPlan], document: Option<&Rc<OwnedFd>>) -> Vec<Step> {
    let hook = |plan: &HookPlan| Step::Hook {
        hook: Hook {
            path: plan.path.clone(),
            arguments: CStringArray::new(plan.args.clone()),
            environment: CStringArray::new(plan.env.clone()),
            document: document.cloned(),
            timeout_ms: plan.timeout.map(|time| i32::try_from(time.as_millis()).unwrap_or(i32::MAX)),
        },
    };
    plans.iter().map(hook).collect()
}

fn first_steps(bundle: &Bundle, ids: &Ids, joins: Vec<(OwnedFd, String)>) -> Vec<Step> {
    let mut steps = vec![Step::NewSession];
    if ids.map.is_some() {
        steps.push(Step::BecomeRoot { drop_groups: ids.can_set_groups() });
    }
    if !bundle.keep_keyring {
        steps.push(Step::NewKeyring);
    }
    steps.extend(joins.into_iter().map(|(tasks, group)| Step::JoinCgroup { tasks, group }));
    if bundle.namespaces.contains(&"cgroup") {
        steps.push(Step::NewCgroupNamespace);
    }
    // A new mount namespace of a new user namespace has nothing but slaves.
    if ids.map.is_none() || bundle.joins.iter().any(|join| join.kind == "mnt") {
        steps.push(Step::SlaveMounts);
    }
    steps.push(Step::AttachRoot);
    steps
}

/// What follows the mounts and the hooks, up to the container's own root.
fn last_steps(bundle: &Bundle, kept: &mounts::Kept, steps: &mut Vec<Step>) -> Result<(), SandboxError> {
    for sysctl in &bundle.kernel.sysctls {
        let path = c_string(&format!("sys/{}", sysctl.path))?;
        steps.push(Step::Sysctl { path, value: sysctl.value.clone().into_bytes() });
    }
    for path in &bundle.masked_paths {
        let (base, path) = mounts::below(kept, path)?;
        steps.push(Step::Mask { base, path });
    }
    for path in &bundle.read_only_paths {
        let (base, path) = mounts::below(kept, path)?;
        steps.push(Step::ReadOnly { base, path });
    }
    if bundle.process.cwd != "/" {
        let target = Target::new(Base::Root, &bundle.process.cwd, Leaf::Dir, Links::Follow);
        steps.extend(target.map(|target| Step::MakeDir { target }));
    }
    if bundle.rootfs.read_only {
        steps.push(Step::RootReadOnly);
    }
    if bundle.namespaces.contains(&"net") {
        steps.push(Step::Loopback);
    }
    if let Some(name) = &bundle.hostname {
        steps.push(Step::Hostname { name: c_string(name)? });
    }
    if let Some(name) = &bundle.kernel.domainname {
        steps.push(Step::Domainname { name: c_string(name)? });
    }
    steps.push(if bundle.no_pivot { Step::Chroot } else { Step::PivotRoot });
    if let kind @ (PropagationKind::Shared | PropagationKind::Unbindable) = bundle.rootfs.propagation {
        steps.push(Step::RootPropagation { propagation: kind.attribute() });
    }
    Ok(())
}

/// The steps of the program, with the wait for the start just before what cannot be undone.
fn program(
    bundle: &Bundle,
    identity: &Identity,
    streams: Streams,
    set_groups: bool,
    start: StartFiles,
) -> Result<Vec<Step>, SandboxError> {
    let plain = prepare::program_steps(&bundle.process, identity, streams, false, set_groups)?;
    let mut start = Some(start);
    let mut steps = Vec::with_capacity(plain.len() + 4);
    for step in plain {
        match step {
            Step::CloseOthers { .. } => {
                steps.push(Step::CloseOthers { preserve: bundle.preserve_fds, start: start.take() });
            }
            // From here on a signal ends a container that was never started.
            Step::DefaultSignals => {
                steps.push(Step::FindProgram { candidates: prepare::candidates(&bundle.process)? });
                steps.push(Step::DefaultSignals);
                // Ids and capabilities, whose change would undo it, are settled.
                steps.extend(bundle.dies_with_creator.then_some(Step::DieWithParent));
                steps.push(Step::AwaitStart);
                steps.extend(hooks(&bundle.start_container, None));
            }
            step => steps.push(step),
        }
    }
    Ok(steps)
}

/// The socket in the container's directory, which nobody but its owner can reach.
fn listen(dir: &Path) -> Result<OwnedFd, SandboxError> {
    let opened = std::fs::File::open(dir).map_err(|source| ContainerError::Io {
        action: "open",
        path: dir.to_owned(),
        source,
    })?;
    socket::listen(opened.as_fd(), START_SOCKET)
        .map_err(|errno: Errno| SandboxError::host("make the socket of the start", "bind", START_SOCKET, errno))
}
