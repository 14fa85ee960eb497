//! The steps of PID 1: from the new namespaces to the container's own root.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use super::streams::{TERMINALS_MAX, TTY_GROUP};
use super::{Places, c_string, dev, kept, secrets, volume};
use crate::error::SandboxError;
use crate::plan::{BindPlan, Plan, PlannedMount, Shown, TmpfsPlan};
use crate::script::{Base, Leaf, Links, Step, Target};
use crate::terminal::Terminal;

/// Where mounts come from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources<'a> {
    pub(super) places: Places<'a>,
    /// The root filesystem, as the container will see it.
    pub(super) rootfs: BorrowedFd<'a>,
    /// The directory of layers, with the container's ids.
    pub(super) layers: BorrowedFd<'a>,
    /// The user namespace under whose ids volumes are shown, if they are.
    pub(super) idmap: Option<BorrowedFd<'a>>,
}

/// `terminal` is the devpts instance that was made for the program's terminal, and the terminal.
pub(super) fn steps(
    plan: &Plan,
    sources: Sources<'_>,
    joins: Vec<Step>,
    mut terminal: Option<(OwnedFd, Rc<Terminal>)>,
) -> Result<Vec<Step>, SandboxError> {
    // Init is out of the caller's session from the start: the terminal's signals reach it through ctr-run or not at all.
    let mut steps = vec![Step::NewSession];
    if plan.userns.is_own() {
        steps.push(Step::BecomeRoot { drop_groups: !plan.userns.map.is_single() && !plan.process.keep_groups });
    }
    steps.push(Step::NewKeyring);
    steps.extend(joins);
    if plan.has_own("cgroup") {
        steps.push(Step::NewCgroupNamespace);
    }
    if !plan.userns.is_own() {
        // A mount namespace of another user namespace receives and gives nothing from the start (mount_namespaces(7)).
        steps.push(Step::SlaveMounts);
    }
    steps.push(Step::AttachRoot);
    for mount in &plan.mounts {
        if matches!(mount.shown, Shown::Devpts)
            && let Some((devpts, terminal)) = terminal.take()
        {
            let place = target(Base::Dev, "pts", Leaf::Dir, Links::Refuse)?;
            steps.extend([
                Step::Attach { mount: devpts, target: place, keep: None, in_turn: false },
                Step::Console { terminal },
            ]);
            continue;
        }
        add_mount(mount, plan, sources, &mut steps)?;
    }
    steps.extend(secrets::steps(plan)?);
    // Before /proc/sys is made read-only.
    for sysctl in &plan.kernel.sysctls {
        let path = c_string(&format!("sys/{}", sysctl.path))?;
        steps.push(Step::Sysctl { path, value: sysctl.value.clone().into_bytes() });
    }
    for path in &plan.masked_paths {
        let (base, path) = split(path)?;
        steps.push(Step::Mask { base, path });
    }
    for path in &plan.read_only_paths {
        let (base, path) = split(path)?;
        steps.push(Step::ReadOnly { base, path });
    }
    if plan.make_cwd && plan.process.cwd != "/" {
        steps.push(Step::MakeDir { target: target(Base::Root, &plan.process.cwd, Leaf::Dir, Links::Follow)? });
    }
    if plan.rootfs.read_only {
        steps.push(Step::RootReadOnly);
    }
    if plan.has_own("net") {
        steps.push(Step::Loopback);
    }
    if plan.has_own("uts") {
        steps.push(Step::Hostname { name: c_string(&plan.hostname)? });
    }
    if let Some(name) = &plan.kernel.domainname {
        steps.push(Step::Domainname { name: c_string(name)? });
    }
    steps.push(Step::PivotRoot);
    Ok(steps)
}

/// A masked or read-only path and the mount that it is below.
fn split(path: &str) -> Result<(Base, CString), SandboxError> {
    let (base, path) = match (path.strip_prefix("/proc/"), path.strip_prefix("/sys/")) {
        (Some(path), _) => (Base::Proc, path),
        (_, Some(path)) => (Base::Sys, path),
        _ => match path.strip_prefix("/dev/") {
            Some(path) => (Base::Dev, path),
            None => (Base::Root, path.trim_start_matches('/')),
        },
    };
    Ok((base, c_string(path)?))
}

fn target(base: Base, path: &str, leaf: Leaf, links: Links) -> Result<Target, SandboxError> {
    Target::new(base, path, leaf, links)
        .ok_or_else(|| SandboxError::request(format!("the path \"{}\" holds a NUL byte", path.escape_debug())))
}

fn add_mount(
    mount: &PlannedMount,
    plan: &Plan,
    sources: Sources<'_>,
    steps: &mut Vec<Step>,
) -> Result<(), SandboxError> {
    let kernel = |kind: &str, options: &[(&str, &str)], keep: Option<Base>| -> Result<Step, SandboxError> {
        let mut owned = Vec::with_capacity(options.len());
        for (key, value) in options {
            owned.push((c_string(key)?, c_string(value)?));
        }
        let (base, path) = match mount.target.strip_prefix("/dev/") {
            Some(path) => (Base::Dev, path),
            None => (Base::Root, mount.target.as_str()),
        };
        let target = target(base, path, Leaf::Dir, Links::Refuse)?;
        let attributes = volume::attributes(mount);
        Ok(Step::Mount { kind: c_string(kind)?, options: owned, attributes, propagation: Vec::new(), target, keep })
    };
    match &mount.shown {
        Shown::Proc => steps.push(kernel("proc", &[], Some(Base::Proc))?),
        Shown::HostSys { recursive } => {
            let (copy, leaf) = volume::open(&BindPlan::plain("/sys", *recursive), mount, None)?;
            let place = target(Base::Root, &mount.target, leaf, Links::Refuse)?;
            steps.push(Step::Attach { mount: copy, target: place, keep: Some(Base::Sys), in_turn: false });
        }
        Shown::HostProc { recursive } => {
            let (copy, leaf) = volume::open(&BindPlan::plain("/proc", *recursive), mount, None)?;
            let place = target(Base::Root, &mount.target, leaf, Links::Refuse)?;
            steps.push(Step::Attach { mount: copy, target: place, keep: Some(Base::Proc), in_turn: false });
        }
        // A host that shows none of its message queues has none to share by path.
        Shown::HostDir { source } if !Path::new(source).exists() => {}
        Shown::HostDir { source } => {
            let (copy, leaf) = volume::open(&BindPlan::plain(source, false), mount, None)?;
            let name = mount.target.strip_prefix("/dev/").unwrap_or(&mount.target);
            steps.push(Step::Attach {
                mount: copy,
                target: target(Base::Dev, name, leaf, Links::Refuse)?,
                keep: None,
                in_turn: false,
            });
        }
        Shown::Sysfs => steps.push(kernel("sysfs", &[], Some(Base::Sys))?),
        Shown::Dev => steps.extend(dev::steps(plan, mount)?),
        Shown::Devpts => {
            let mut options = vec![("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("max", TERMINALS_MAX)];
            // The group of terminals, where there is one.
            options.extend(plan.userns.outside_gid(TTY_GROUP).map(|_| ("gid", "5")));
            steps.push(kernel("devpts", &options, None)?);
        }
        Shown::Mqueue => steps.push(kernel("mqueue", &[], None)?),
        Shown::Cgroup2 => {
            let target = target(Base::Sys, "fs/cgroup", Leaf::Dir, Links::Refuse)?;
            let attributes = volume::attributes(mount);
            steps.push(Step::Mount {
                kind: c_string("cgroup2")?,
                options: Vec::new(),
                attributes,
                propagation: Vec::new(),
                target,
                keep: None,
            });
        }
        Shown::Tmpfs(tmpfs) if tmpfs.copy_up => {
            let made = kept::filled_tmpfs(plan, mount, tmpfs, sources.rootfs)?;
            steps.push(attach(mount, made, Leaf::Dir)?);
        }
        Shown::Tmpfs(tmpfs) => {
            let options = tmpfs_options(tmpfs);
            let options: Vec<(&str, &str)> = options.iter().map(|(key, value)| (*key, value.as_str())).collect();
            let mut step = kernel("tmpfs", &options, None)?;
            if let (Step::Mount { target: place, .. }, false) = (&mut step, mount.target.starts_with("/dev/")) {
                *place = target(Base::Root, &mount.target, Leaf::Dir, Links::Follow)?;
            }
            steps.push(step);
        }
        Shown::Bind(bind) => {
            let opened = volume::open(bind, mount, sources.idmap)?;
            let (copy, leaf) = sealed(mount, bind, opened, sources, steps.len())?;
            steps.push(attach(mount, copy, leaf)?);
        }
        Shown::Volume { copy, bind, .. } => {
            let opened = kept::named(plan, mount, bind, *copy, sources.rootfs, sources.idmap)?;
            let (volume, leaf) = sealed(mount, bind, opened, sources, steps.len())?;
            steps.push(attach(mount, volume, leaf)?);
        }
        Shown::Anonymous { directory, copy } => {
            let volume = kept::anonymous(plan, mount, directory, *copy, sources.places, sources.rootfs)?;
            steps.push(attach(mount, volume, Leaf::Dir)?);
        }
        Shown::Image(image) => {
            let tree = kept::image(plan, mount, image, sources.places, sources.layers)?;
            steps.push(attach(mount, tree, Leaf::Dir)?);
        }
        Shown::Generated { file } => {
            let copy = volume::own(&sources.places.container.join(file), mount)?;
            // The name itself is covered: an image's link there leads nowhere that we would have to judge.
            steps.push(Step::Attach {
                mount: copy,
                target: target(Base::Root, &mount.target, Leaf::File, Links::Cover)?,
                keep: None,
                in_turn: false,
            });
        }
    }
    Ok(())
}

/// Under an overlay without an upper layer, if the plan says so. `number` is no other mount's.
fn sealed(
    mount: &PlannedMount,
    bind: &BindPlan,
    opened: (OwnedFd, Leaf),
    sources: Sources<'_>,
    number: usize,
) -> Result<(OwnedFd, Leaf), SandboxError> {
    if bind.sealed { kept::sealed(mount, bind, number, opened, sources.places) } else { Ok(opened) }
}

/// Attaches what was asked for at its place. Links of the image are followed within it.
fn attach(mount: &PlannedMount, detached: OwnedFd, leaf: Leaf) -> Result<Step, SandboxError> {
    let (base, path, links) = match mount.target.strip_prefix("/dev/") {
        // Our own /dev has no links but ours, and nobody else writes to it yet.
        Some(path) if !path.starts_with("shm/") => (Base::Dev, path, Links::Refuse),
        _ => (Base::Root, mount.target.as_str(), Links::Follow),
    };
    Ok(Step::Attach { mount: detached, target: target(base, path, leaf, links)?, keep: None, in_turn: false })
}

/// Ids are those of the container: its own process makes the mount.
fn tmpfs_options(tmpfs: &TmpfsPlan) -> Vec<(&'static str, String)> {
    let mut options = vec![("mode", format!("{:o}", tmpfs.mode))];
    options.extend(tmpfs.size.map(|size| ("size", size.to_string())));
    options.extend(tmpfs.inodes.map(|inodes| ("nr_inodes", inodes.to_string())));
    options.extend((tmpfs.uid != 0).then(|| ("uid", tmpfs.uid.to_string())));
    options.extend((tmpfs.gid != 0).then(|| ("gid", tmpfs.gid.to_string())));
    options
}
