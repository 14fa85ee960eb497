//! Carries a step out: an overlay in a mount namespace of this process's own, a bundle over it, and what was made to mount on
//! taken away again.

use std::ffi::{CString, OsStr};
use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ctr_core::container::ContainerError;
use ctr_sys::mount::{self, MountAttr};
use ctr_sys::privilege::{self, CapSet};
use ctr_sys::process::{self, Namespaces};
use ctr_sys::{Errno, ids, small};

use super::etc::own_files;
use super::sources::Sources;
use super::strip::Strip;
use super::{Step, StepNetwork};
use crate::bundle::{
    self, AttributeChange, Bundle, BundleMount, BundleShown, DeviceNode, JoinedGroups, NodeKind, Rootfs,
};
use crate::error::SandboxError;
use crate::idmap::IdMap;
use crate::options::PropagationKind;
use crate::plan::{DEFAULT_CAPABILITIES, KernelPlan, MASKED, ProcessPlan, READ_ONLY, SeccompPlan};
use crate::prepare::c_string;
use crate::terminal::{self, WindowSize};

/// What the kernel reads of mount(2)'s options, less the room for the other options.
const OLD_OPTIONS_MAX: usize = 3800;

/// [`super::run`] in namespaces: the process has a mount namespace of its own afterwards. By [`super::apart()`] it ends with who
/// made it, and the program with it.
pub(super) fn run(step: &Step) -> Result<u8, SandboxError> {
    process::umask(0);
    process::unshare(Namespaces::MOUNT).and_then(|()| mount::make_all_slave()).map_err(|errno| {
        let error = SandboxError::host("make a mount namespace", "unshare", "CLONE_NEWNS", errno);
        error.hinted("RUN needs root, or a user namespace: see /proc/sys/user/max_user_namespaces")
    })?;
    let root = tree(step)?;
    let mut sources = Sources::new(step);
    let mounts = mounts(step, &mut sources)?;
    let strip =
        Strip::look(&root, &step.upper, !step.layers.is_empty(), mounts.iter().map(|mount| mount.target.as_str()))?;
    for (name, _) in own_files(step) {
        Strip::fill(&root, &format!("/etc/{name}"))?;
    }
    let bundle = bundle(step, root, mounts);
    let dir = made(step.scratch.join("bundle"))?;
    let created = bundle::create(&bundle, &dir, JoinedGroups::default(), &mut |_| Ok([Vec::new(), Vec::new()]))?;
    if let Err(error) = bundle::start(&dir, created.pid, &bundle.process, None) {
        created.kill();
        return Err(error);
    }
    let status = match &created.terminal {
        Some(terminal) => crate::wait_with_terminal(&created.pidfd, terminal),
        None => crate::wait_for(&created.pidfd),
    }?;
    strip.away()?;
    Ok(status)
}

/// A new directory that nobody else looks into.
pub(super) fn made(dir: PathBuf) -> Result<PathBuf, SandboxError> {
    let mut builder = DirBuilder::new();
    match builder.mode(0o700).create(&dir) {
        Ok(()) => Ok(dir),
        Err(source) => Err(ContainerError::Io { action: "create", path: dir, source }.into()),
    }
}

/// The root of the program: the layers with `upper` over them.
fn tree(step: &Step) -> Result<PathBuf, SandboxError> {
    // Nothing to see below: what the program makes is all that there is, or all is in it.
    if step.layers.is_empty() {
        return Ok(step.upper.clone());
    }
    let place = made(step.scratch.join("root"))?;
    let work = made(step.scratch.join("work"))?;
    overlay(&step.layers, Some((&step.upper, &work)), step.user_xattrs, &place)?;
    Ok(place)
}

/// Some kernels have these on by default. A directory that was renamed would be a reference to the one below, a file of which
/// only the mode was changed one without content: what is written is to be a layer by itself. `userxattr` has none of them.
const PLAIN: [(&std::ffi::CStr, &str); 3] = [(c"redirect_dir", "off"), (c"index", "off"), (c"metacopy", "off")];

/// Mounts an overlay of `layers`, lowest first, at `place`; what is written goes to `upper`, and nowhere without one.
pub(super) fn overlay(
    layers: &[PathBuf],
    upper: Option<(&Path, &Path)>,
    user_xattrs: bool,
    place: &Path,
) -> Result<(), SandboxError> {
    let failed = |call, errno| {
        let error = SandboxError::host("mount the files of a stage", call, "overlay", errno);
        match errno {
            Errno::EINVAL => error.hinted(
                "the store's file system may not carry an overlay (another overlay, NFS): put --root on ext4, xfs, btrfs or tmpfs",
            ),
            Errno::ENODEV => error.hinted("this kernel has no overlay file system: modprobe overlay"),
            _ => error,
        }
    };
    // The kernel takes 255 bytes of a name, and few of all: descriptors have short ones wherever the store is.
    let mut open = Vec::with_capacity(layers.len() + 2);
    let mut name = |path: &Path| -> Result<String, SandboxError> {
        let fd: OwnedFd = small::open_location(path).map_err(|source| ContainerError::Io {
            action: "open",
            path: path.to_owned(),
            source,
        })?;
        let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
        open.push(fd);
        Ok(name)
    };
    let lower = layers.iter().rev().map(|layer| name(layer)).collect::<Result<Vec<_>, _>>()?;
    let writable = upper.map(|(upper, work)| Ok::<_, SandboxError>((name(upper)?, name(work)?))).transpose()?;
    let target = c_string(place.to_str().unwrap_or_default())?;
    match new_overlay(&lower, writable.as_ref(), user_xattrs) {
        Ok(mount) => {
            return mount::move_mount_to_path(mount.as_fd(), &target).map_err(|errno| failed("move_mount", errno));
        }
        // Kernels before 6.8 know no lowerdir+.
        Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
        Err(errno) => return Err(failed("fsopen", errno)),
    }
    let mut options = format!("lowerdir={}", lower.join(":"));
    if let Some((upper, work)) = &writable {
        let _ = write!(options, ",upperdir={upper},workdir={work},volatile");
        for (key, value) in PLAIN.iter().filter(|_| !user_xattrs) {
            let _ = write!(options, ",{key}={value}", key = key.to_string_lossy());
        }
    }
    if user_xattrs {
        options.push_str(",userxattr");
    }
    if options.len() > OLD_OPTIONS_MAX {
        return Err(SandboxError::request_hint(
            format!("the stage has {} layers, more than this kernel mounts at once", layers.len()),
            "build it with fewer layers",
        ));
    }
    mount::mount_old(c"overlay", &target, c"overlay", mount::MS_NODEV, &c_string(&options)?)
        .map_err(|errno| failed("mount", errno))
}

fn new_overlay(lower: &[String], upper: Option<&(String, String)>, user_xattrs: bool) -> Result<OwnedFd, Errno> {
    let fs = mount::fsopen(c"overlay")?;
    let set = |key: &std::ffi::CStr, value: &str| {
        let value = CString::new(value).map_err(|_| Errno::EINVAL)?;
        mount::fsconfig_string(fs.as_fd(), key, &value)
    };
    for layer in lower {
        set(c"lowerdir+", layer)?;
    }
    if let Some((upper, work)) = upper {
        set(c"upperdir", upper)?;
        set(c"workdir", work)?;
        mount::fsconfig_flag(fs.as_fd(), c"volatile")?;
        for (key, value) in PLAIN.iter().filter(|_| !user_xattrs) {
            set(key, value)?;
        }
    }
    if user_xattrs {
        mount::fsconfig_flag(fs.as_fd(), c"userxattr")?;
    }
    mount::fsconfig_create(fs.as_fd())?;
    mount::fsmount(fs.as_fd(), MountAttr::NODEV)
}

/// All mounts: those that every program finds, then those of the step, which may be within them.
fn mounts(step: &Step, sources: &mut Sources<'_>) -> Result<Vec<BundleMount>, SandboxError> {
    let shm_size = step.shm_size.to_string();
    let closed = MountAttr::NOSUID.and(MountAttr::NOEXEC).and(MountAttr::NODEV);
    let mut mounts = vec![
        filesystem("/proc", c"proc", &[], closed)?,
        filesystem("/dev", c"tmpfs", &[("mode", "755"), ("size", "65536k")], MountAttr::NOSUID)?,
        filesystem(
            "/dev/pts",
            c"devpts",
            &[("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")],
            MountAttr::NOSUID.and(MountAttr::NOEXEC),
        )?,
        filesystem(
            "/dev/shm",
            c"tmpfs",
            &[("mode", "1777"), ("size", &shm_size)],
            MountAttr::NOSUID.and(MountAttr::NODEV),
        )?,
        filesystem("/dev/mqueue", c"mqueue", &[], closed)?,
        sys(step, closed)?,
    ];
    for (name, text) in own_files(step) {
        let path = step.scratch.join(name);
        small::write_new(&path, text.as_bytes(), 0o644).map_err(|source| ContainerError::Io {
            action: "create",
            path: path.clone(),
            source,
        })?;
        mounts.push(bind(&format!("/etc/{name}"), path, MountAttr::NOSUID.and(MountAttr::NODEV)));
    }
    for mount in &step.mounts {
        mounts.push(sources.mount(mount)?);
    }
    Ok(mounts)
}

/// A sysfs can be mounted by the owner of the network namespace alone; others see the host's, read-only.
fn sys(step: &Step, closed: MountAttr) -> Result<BundleMount, SandboxError> {
    let attributes = closed.and(MountAttr::RDONLY);
    if step.network == StepNetwork::None || ids::in_initial_user_namespace() {
        return filesystem("/sys", c"sysfs", &[], attributes);
    }
    Ok(BundleMount {
        below: AttributeChange { set: attributes, clear: MountAttr::NONE },
        shown: BundleShown::Bind { source: "/sys".into(), recursive: true },
        ..bind("/sys", PathBuf::new(), attributes)
    })
}

fn filesystem(
    target: &str,
    kind: &std::ffi::CStr,
    options: &[(&str, &str)],
    attributes: MountAttr,
) -> Result<BundleMount, SandboxError> {
    let option = |(key, value): &(&str, &str)| Ok::<_, SandboxError>((c_string(key)?, c_string(value)?));
    let options = options.iter().map(option).collect::<Result<_, _>>()?;
    let shown = BundleShown::Filesystem { kind: kind.to_owned(), options, copy_up: false };
    Ok(BundleMount { shown, ..bind(target, PathBuf::new(), attributes) })
}

/// A file or directory of the host at `target`.
pub(super) fn bind(target: &str, source: PathBuf, attributes: MountAttr) -> BundleMount {
    BundleMount {
        target: target.to_owned(),
        shown: BundleShown::Bind { source, recursive: false },
        attributes: AttributeChange { set: attributes, clear: MountAttr::NONE },
        below: AttributeChange::default(),
        propagation: Vec::new(),
        idmap: None,
    }
}

fn bundle(step: &Step, root: PathBuf, mounts: Vec<BundleMount>) -> Bundle {
    let mut namespaces = vec!["mnt", "pid", "ipc", "uts"];
    if step.network == StepNetwork::None {
        namespaces.push("net");
    }
    let hidden =
        |paths: &[&str]| if step.insecure { Vec::new() } else { paths.iter().map(|path| (*path).to_owned()).collect() };
    let device = |path: &str, major, minor| DeviceNode {
        path: path.to_owned(),
        kind: NodeKind::Char(major, minor),
        mode: 0o666,
        uid: 0,
        gid: 0,
    };
    Bundle {
        rootfs: Rootfs { path: root, read_only: false, propagation: PropagationKind::Private },
        namespaces,
        joins: Vec::new(),
        map: IdMap::default(),
        kernel: KernelPlan::default(),
        hostname: Some(step.hostname.clone()),
        net_devices: Vec::new(),
        mounts,
        devices: vec![
            device("/dev/null", 1, 3),
            device("/dev/zero", 1, 5),
            device("/dev/full", 1, 7),
            device("/dev/random", 1, 8),
            device("/dev/urandom", 1, 9),
            device("/dev/tty", 5, 0),
        ],
        masked_paths: hidden(&MASKED),
        read_only_paths: hidden(&READ_ONLY),
        process: program(step, capabilities(step)),
        terminal: step.terminal.then(|| terminal::own_size().unwrap_or(WindowSize::DEFAULT)),
        create_container: Vec::new(),
        start_container: Vec::new(),
        caller_hooks: false,
        dies_with_creator: true,
        keep_keyring: false,
        no_pivot: false,
        preserve_fds: 0,
    }
}

/// The default ones, as far as this process has them.
pub(super) fn capabilities(step: &Step) -> CapSet {
    let held = privilege::held_capabilities().unwrap_or(CapSet::ALL);
    if step.insecure { held } else { DEFAULT_CAPABILITIES.and(held) }
}

pub(super) fn groups_are_fixed() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}

/// The program of `step`, with these capabilities.
pub(super) fn program(step: &Step, capabilities: CapSet) -> ProcessPlan {
    ProcessPlan {
        args: step.args.clone(),
        env: step.env.clone(),
        home_from_passwd: !step.env.iter().any(|variable| variable.starts_with("HOME=")),
        cwd: step.cwd.clone(),
        user: step.user.clone(),
        groups: step.groups.clone(),
        // Where one id is all there is the kernel lets nobody change groups (user_namespaces(7)).
        keep_groups: groups_are_fixed(),
        umask: 0o022,
        capabilities: capabilities.names(),
        cap_set: capabilities,
        capability_sets: None,
        // sudo and its like work in a RUN, as they do with every other builder.
        no_new_privileges: false,
        seccomp: if step.insecure { SeccompPlan::Unconfined } else { SeccompPlan::Default },
        seccomp_profile: None,
        seccomp_agent: None,
        filter: None,
        apparmor: None,
        selinux: None,
        rlimits: Vec::new(),
        scheduling: crate::options::Scheduling::default(),
    }
}

/// A path of the step's, as text: a mount's options have no other.
pub(super) fn text(path: &Path) -> &str {
    OsStr::to_str(path.as_os_str()).unwrap_or_default()
}
