//! Mounts of a bundle as steps: what is the host's is copied by the caller, detached; what belongs to the container's namespaces
//! is made in them.

use std::ffi::CString;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use ctr_sys::mount::{self, MountAttr, Propagation};
use ctr_sys::{Errno, RawResult, files, small};

use super::ids::Ids;
use super::plan::{AttributeChange, Bundle, BundleMount, BundleShown};
use super::{cgroups, dev};
use crate::error::SandboxError;
use crate::options::PropagationKind;
use crate::prepare::c_string;
use crate::script::{Base, Leaf, Links, Step, Target};
use crate::terminal::Terminal;

/// The program's terminal and the devpts instance that it is of.
pub(super) type WithTerminal = Option<(OwnedFd, Rc<Terminal>)>;

/// Which of the kernel's directories the container has from us so far: paths below them are resolved within them.
#[derive(Debug, Default)]
pub(super) struct Kept {
    proc: bool,
    sys: bool,
    dev: bool,
}

impl Kept {
    /// The base of a path of the container, and the rest of the path.
    pub(super) fn split<'a>(&self, path: &'a str) -> (Base, &'a str) {
        let bases = [("/proc/", Base::Proc, self.proc), ("/sys/", Base::Sys, self.sys), ("/dev/", Base::Dev, self.dev)];
        let found = bases.into_iter().find_map(|(prefix, base, ours)| {
            let rest = path.strip_prefix(prefix).filter(|_| ours)?;
            Some((base, rest))
        });
        found.unwrap_or((Base::Root, path.trim_start_matches('/')))
    }

    fn target(&self, path: &str, leaf: Leaf, links: Links) -> Result<Target, SandboxError> {
        let (base, rest) = self.split(path);
        let links = if base == Base::Root { links } else { Links::Refuse };
        Target::new(base, rest, leaf, links)
            .ok_or_else(|| SandboxError::request(format!("the path \"{}\" holds a NUL byte", path.escape_debug())))
    }
}

/// The steps of all mounts of `bundle`, in their order.
pub(super) fn steps(
    bundle: &Bundle,
    ids: &Ids,
    userns: Option<&OwnedFd>,
    (root, groups): (BorrowedFd<'_>, &[std::path::PathBuf]),
    mut terminal: WithTerminal,
) -> Result<(Vec<Step>, Kept), SandboxError> {
    let (mut steps, mut kept) = (Vec::new(), Kept::default());
    for (number, mount) in bundle.mounts.iter().enumerate() {
        let named = |error: SandboxError| named(error, number, mount);
        match &mount.shown {
            BundleShown::Bind { source, recursive } => {
                let (copy, leaf) = bind(mount, source, *recursive, userns).map_err(named)?;
                let keep = bound_kernels(mount, &copy, &mut kept).map_err(named)?;
                let links = if keep.is_some() { Links::Refuse } else { Links::Follow };
                let target = kept.target(&mount.target, leaf, links)?;
                steps.push(Step::Attach { mount: copy, target, keep, in_turn: false });
            }
            BundleShown::Filesystem { kind, options, .. } if mount.target == "/dev" && kind.as_c_str() == c"tmpfs" => {
                // Nodes of our own tmpfs are meant to be used, whatever the options say of others.
                let attributes = mount.attributes.set.without(MountAttr::NODEV);
                steps.extend(dev::steps(options, attributes, &bundle.devices, ids)?);
                kept.dev = true;
            }
            BundleShown::Filesystem { kind, .. }
                if kind.as_c_str() == c"devpts" && mount.target == "/dev/pts" && terminal.is_some() =>
            {
                let Some((devpts, terminal)) = terminal.take() else { continue };
                let target = kept.target(&mount.target, Leaf::Dir, Links::Refuse)?;
                steps.push(Step::Attach { mount: devpts, target, keep: None, in_turn: true });
                if kept.dev {
                    steps.push(Step::Console { terminal });
                }
            }
            // A hierarchy can be mounted in a cgroup namespace alone.
            BundleShown::Filesystem { kind, .. } if kind.as_c_str() == c"cgroup2" && cgroups::is_pure() => {
                steps.extend(own_groups(bundle, mount, groups, &kept)?);
            }
            BundleShown::Cgroups => steps.extend(own_groups(bundle, mount, groups, &kept)?),
            BundleShown::Filesystem { kind, options, copy_up } => {
                if *copy_up {
                    let earlier = bundle.mounts.get(..number).unwrap_or_default();
                    let copy = super::copy_up::tmpfs(root, earlier, mount, options, ids).map_err(named)?;
                    change(&copy, mount, false).map_err(|errno| unchanged(mount, errno)).map_err(named)?;
                    let target = kept.target(&mount.target, Leaf::Dir, Links::Follow)?;
                    steps.push(Step::Attach { mount: copy, target, keep: None, in_turn: true });
                    continue;
                }
                let (links, keep) = kernels(kind, mount, &mut kept);
                let target = kept.target(&mount.target, Leaf::Dir, links)?;
                steps.push(Step::Mount {
                    kind: kind.clone(),
                    options: options.clone(),
                    attributes: mount.attributes.set,
                    propagation: propagations(mount),
                    target,
                    keep,
                });
            }
            BundleShown::Remount { options } => {
                let target = kept.target(&mount.target, Leaf::Dir, remounted(&mount.target))?;
                let AttributeChange { set, clear } = mount.attributes;
                let (propagation, options) = (propagations(mount), options.clone());
                steps.push(Step::Remount { target, set, clear, propagation, options });
            }
        }
    }
    Ok((steps, kept))
}

fn own_groups(
    bundle: &Bundle,
    mount: &BundleMount,
    groups: &[std::path::PathBuf],
    kept: &Kept,
) -> Result<Vec<Step>, SandboxError> {
    let mut place = |path: &str, leaf| kept.target(path, leaf, Links::Refuse);
    cgroups::steps(bundle, mount, groups, &mut place)
}

fn propagations(mount: &BundleMount) -> Vec<Propagation> {
    mount.propagation.iter().map(|change| change.kind.attribute()).collect()
}

/// The kernel's directories are meant by their own names alone.
fn remounted(path: &str) -> Links {
    if ["/proc", "/sys", "/dev"].contains(&path) { Links::Refuse } else { Links::Follow }
}

/// A host's procfs at `/proc`, or its sysfs at `/sys`: paths below are resolved in it. Nothing else can stand at `/proc`, where
/// this process, too, writes what it takes for the kernel's (CVE-2019-16884, CVE-2019-19921).
fn bound_kernels(mount: &BundleMount, copy: &OwnedFd, kept: &mut Kept) -> Result<Option<Base>, SandboxError> {
    match mount.target.as_str() {
        "/proc" if files::is_procfs(copy.as_fd()) => {
            kept.proc = true;
            Ok(Some(Base::Proc))
        }
        "/proc" => Err(SandboxError::request_hint(
            "its source is no procfs: programs trust what they read in /proc",
            "mount a procfs there, or bind the host's",
        )),
        "/sys" if files::is_sysfs(copy.as_fd()) => {
            kept.sys = true;
            Ok(Some(Base::Sys))
        }
        _ => Ok(None),
    }
}

fn unchanged(mount: &BundleMount, errno: Errno) -> SandboxError {
    SandboxError::host(format!("set the attributes of {}", mount.target), "mount_setattr", mount.target.clone(), errno)
}

/// The kernel's own file systems at their own places: a link of the image must not lead them elsewhere, and later paths below
/// them are resolved in them.
fn kernels(kind: &CString, mount: &BundleMount, kept: &mut Kept) -> (Links, Option<Base>) {
    match (kind.to_bytes(), mount.target.as_str()) {
        (b"proc", "/proc") => {
            kept.proc = true;
            (Links::Refuse, Some(Base::Proc))
        }
        (b"sysfs", "/sys") => {
            kept.sys = true;
            (Links::Refuse, Some(Base::Sys))
        }
        (b"proc" | b"sysfs", _) => (Links::Refuse, None),
        _ => (Links::Follow, None),
    }
}

/// Says which of `mounts` an error is about.
fn named(error: SandboxError, number: usize, mount: &BundleMount) -> SandboxError {
    match error {
        SandboxError::Request { what, hint } => {
            SandboxError::Request { what: format!("mounts[{number}] ({}): {what}", mount.target), hint }
        }
        SandboxError::Host { action, cause, hint } => {
            SandboxError::Host { action: format!("{action} for mounts[{number}] ({})", mount.target), cause, hint }
        }
        other => other,
    }
}

/// A detached copy of a file or directory of the host, and which of the two it is.
fn bind(
    mount: &BundleMount,
    source: &Path,
    recursive: bool,
    userns: Option<&OwnedFd>,
) -> Result<(OwnedFd, Leaf), SandboxError> {
    let shown = source.display();
    let location = small::open_location(source).map_err(|error| {
        let what = format!("cannot use the source {shown}: {error}");
        match error.kind() {
            ErrorKind::NotFound => SandboxError::request_hint(what, "a runtime makes no directories on the host"),
            _ => SandboxError::request(what),
        }
    })?;
    let host = |call, errno| SandboxError::host(format!("copy the mount of {shown}"), call, shown.to_string(), errno);
    let facts = files::facts(location.as_fd()).map_err(|errno| host("fstat", errno))?;
    let copy = mount::open_tree_clone(location.as_fd(), c"", recursive).map_err(|errno| host("open_tree", errno))?;
    if let Some(idmap) = &mount.idmap {
        super::idmapped::apply(&copy, idmap, userns)?;
    }
    change(&copy, mount, recursive).map_err(|errno| host("mount_setattr", errno))?;
    Ok((copy, if facts.is_dir() { Leaf::Dir } else { Leaf::File }))
}

/// Attributes and propagation, as they are asked for; a copy is a slave of what it was copied from unless asked otherwise.
fn change(copy: &OwnedFd, mount: &BundleMount, recursive: bool) -> RawResult<()> {
    let (own, below, none) = (mount.attributes, mount.below, MountAttr::NONE);
    // Shared means with the source: the copy is of its peers already, and a slave would never be again.
    if mount.propagation.first().is_none_or(|change| change.kind != PropagationKind::Shared) {
        mount::mount_setattr(copy.as_fd(), recursive, none, none, Some(Propagation::Slave))?;
    }
    if below != AttributeChange::default() {
        mount::mount_setattr(copy.as_fd(), true, below.set, below.clear, None)?;
    }
    if own != AttributeChange::default() {
        mount::mount_setattr(copy.as_fd(), false, own.set, own.clear, None)?;
    }
    for change in &mount.propagation {
        mount::mount_setattr(copy.as_fd(), change.recursive, none, none, Some(change.kind.attribute()))?;
    }
    Ok(())
}

/// A devpts instance for the program's terminal as `bundle` asks for it; ids in the options are the container's.
pub(super) fn devpts(bundle: &Bundle, ids: &Ids) -> Result<Option<OwnedFd>, SandboxError> {
    let wanted = bundle.mounts.iter().find_map(|mount| match &mount.shown {
        BundleShown::Filesystem { kind, options, .. } if kind.as_c_str() == c"devpts" && mount.target == "/dev/pts" => {
            Some((mount, options))
        }
        _ => None,
    });
    let Some((mount, options)) = wanted else { return Ok(None) };
    let host = |call, errno| SandboxError::host("make the container's terminals", call, "devpts", errno);
    let make = || -> RawResult<OwnedFd> {
        let fs = mount::fsopen(c"devpts")?;
        for (key, value) in options {
            match (key.as_bytes(), value.to_str().ok().and_then(|value| value.parse::<u32>().ok())) {
                (b"gid", Some(gid)) => {
                    if let Some(gid) = ids.outside_gid(gid) {
                        let value = CString::new(gid.to_string()).map_err(|_| Errno::EINVAL)?;
                        mount::fsconfig_string(fs.as_fd(), key, &value)?;
                    }
                }
                _ if value.is_empty() => mount::fsconfig_flag(fs.as_fd(), key)?,
                _ => mount::fsconfig_string(fs.as_fd(), key, value)?,
            }
        }
        mount::fsconfig_create(fs.as_fd())?;
        mount::fsmount(fs.as_fd(), mount.attributes.set)
    };
    make().map(Some).map_err(|errno| host("fsmount", errno))
}

/// A path of the container to hide or to make read-only.
pub(super) fn below(kept: &Kept, path: &str) -> Result<(Base, CString), SandboxError> {
    let (base, rest) = kept.split(path);
    Ok((base, c_string(rest)?))
}
