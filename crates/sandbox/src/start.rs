//! A start from the plan to the running program, and what follows where the caller stays.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctr_core::container::{
    ContainerError, ContainerRecord, Embryo, ImageRecord, IsolationRecord, MountedImageRecord, ProcessRecord,
    RECORD_VERSION,
};
use ctr_core::timestamp::Timestamp;
use ctr_sys::process::{self, Namespaces};
use ctr_sys::{Errno, signal};

use crate::enter::{self, Entered, FailedStep, Script};
use crate::error::{SandboxError, StepCause};
use crate::idmap::Extent;
use crate::inherited::{Inherited, Names};
use crate::plan::{Plan, PlannedMount, ProcessPlan, Shown};
use crate::prepare::{self, Attached, Groups, Places, Prepared};
use crate::script::Step;

/// A container whose program was executed.
#[derive(Debug)]
pub struct Started {
    /// Its PID 1 in the host's namespace.
    pub pid: i32,
    /// Its directory.
    pub dir: PathBuf,
    /// What was found out while preparing that the plan could not know.
    pub notes: Vec<String>,
    pub(crate) pidfd: OwnedFd,
    pub(crate) groups: Groups,
    pub(crate) counts_memory: bool,
    /// The container's directory outlives it.
    pub(crate) keeps_record: bool,
    /// The caller's side of the program's terminal.
    pub(crate) attached: Option<Attached>,
    /// What is typed is passed on.
    pub(crate) input: bool,
}

/// `container.json` as a start writes it: what every command reads, and the profile of the program, which ctr-exec reads.
#[derive(Debug, serde::Serialize)]
pub struct StartRecord<'a> {
    #[serde(flatten)]
    container: ContainerRecord,
    process: &'a ProcessPlan,
}

/// `container.json` of a plan.
pub fn record(plan: &Plan, labels: std::collections::BTreeMap<String, String>) -> StartRecord<'_> {
    StartRecord { container: container_record(plan, labels), process: &plan.process }
}

fn volume_name(mount: &PlannedMount) -> Option<String> {
    match &mount.shown {
        Shown::Volume { name, .. } => Some(name.clone()),
        _ => None,
    }
}

fn mounted_image(mount: &PlannedMount) -> Option<MountedImageRecord> {
    let Shown::Image(image) = &mount.shown else { return None };
    Some(MountedImageRecord { target: mount.target.clone(), digest: image.digest, layers: image.layers.clone() })
}

/// What `container.json` tells beside the program's profile.
fn container_record(plan: &Plan, labels: std::collections::BTreeMap<String, String>) -> ContainerRecord {
    ContainerRecord {
        version: RECORD_VERSION,
        id: plan.id.clone(),
        name: plan.name.clone(),
        image: Some(ImageRecord { name: plan.image.name.clone(), digest: plan.image.digest }),
        bundle: None,
        layers: plan.rootfs.layers.clone(),
        command: plan.process.args.clone(),
        created_at: Timestamp::now(),
        hostname: plan.hostname.clone(),
        labels,
        stop_signal: plan.stop_signal,
        stop_timeout: plan.stop_timeout,
        log: plan.log,
        journal: plan.journal.clone(),
        tty: plan.streams.tty,
        stdin: plan.streams.stdin,
        init: plan.init,
        rm: plan.rm,
        cgroups: plan.cgroups.groups.iter().map(|group| format!("{}/{}", group.hierarchy, group.path)).collect(),
        volumes: plan.mounts.iter().filter_map(volume_name).collect(),
        mounted_images: plan.mounts.iter().filter_map(mounted_image).collect(),
        isolation: IsolationRecord {
            namespaces: plan.namespaces.iter().map(|name| (*name).to_owned()).collect(),
            userns: plan.userns.mode.name().to_owned(),
            uid_map: Extent::lines(&plan.userns.map.uids),
            gid_map: Extent::lines(&plan.userns.map.gids),
            network: plan.network.clone(),
            capabilities: plan.process.capabilities.clone(),
            seccomp: plan.process.seccomp.name().to_owned(),
            no_new_privileges: plan.process.no_new_privileges,
            read_only: plan.rootfs.read_only,
            memory: plan.cgroups.memory,
            cpu_millis: plan.cgroups.cpu_millis,
            pids: plan.cgroups.pids,
        },
    }
}

/// Starts `plan` in `embryo`, whose record has been written. When it fails, nothing of the container is left. When it
/// succeeds, all signals are blocked, for [`Started::wait`] to take.
///
/// `range` is the file of the container's range of ids, for init to keep locked.
pub fn start(
    plan: &Plan,
    mut embryo: Embryo,
    layers: &Path,
    user_xattrs: bool,
    range: Option<OwnedFd>,
) -> Result<Started, SandboxError> {
    // What is created from here on has exactly the mode that is asked for.
    process::umask(0);
    if plan.userns.nested && !process::owns_mount_namespace() {
        let failed = |errno| SandboxError::host("make a mount namespace", "unshare", "CLONE_NEWNS", errno);
        process::unshare(Namespaces::MOUNT).map_err(failed)?;
    }
    let lock = embryo.lock();
    let places = Places { layers, container: embryo.dir(), user_xattrs };
    let Prepared { script, mut groups, attached, notes } = prepare::prepare(plan, places, lock.as_fd(), range)?;
    let inherited = Inherited::take(&plan.process, plan.kernel.clocks, &Names::OPTIONS)?;
    embryo.publish()?;
    let entered = enter::enter(&script).map_err(|errno| clone_failed(plan, errno))?;
    drop(inherited);
    // The child is on its way; this is written beside it, not before it.
    let recorded = write_process(embryo.dir(), entered.pid);
    let executed = match entered.wait_for_report(|| groups.frozen()) {
        Ok(()) => entered.wait_for_exec().map_err(|failed| explain(plan, &script, failed)),
        Err(frozen) => Err(frozen),
    };
    if let Err(error) = executed.and(recorded.map_err(SandboxError::from)) {
        entered.kill();
        let _ = signal::restore(entered.mask);
        return Err(error);
    }
    groups.keep();
    let Entered { pid, pidfd, .. } = entered;
    let counts_memory = plan.cgroups.memory.is_some();
    // A start is over in milliseconds or stays for as long as the container: a dozen closes would serve nobody.
    std::mem::forget(script);
    let (keeps_record, input) = (!plan.rm, plan.streams.stdin);
    Ok(Started { pid, dir: embryo.keep(), notes, pidfd, groups, counts_memory, keeps_record, attached, input })
}

fn clone_failed(plan: &Plan, errno: Errno) -> SandboxError {
    let error = SandboxError::host("make the container's process", "clone3", "new namespaces", errno);
    match errno {
        Errno::EPERM if !plan.joins.is_empty() => {
            error.hinted("a namespace is joined by whoever is root of the user namespace that it belongs to")
        }
        Errno::EPERM => error.hinted("new namespaces need CAP_SYS_ADMIN: run as root"),
        Errno::ENOSPC => error.hinted("a limit on namespaces is reached: see /proc/sys/user/max_*_namespaces"),
        Errno::EBUSY | Errno::EOPNOTSUPP => {
            error.hinted("the control group cannot take processes: is its parent in threaded mode?")
        }
        Errno::EAGAIN => error.hinted("the limit on processes is reached: see ulimit -u and pids.max"),
        _ => error,
    }
}

/// Records the container's first process in its directory.
pub(crate) fn write_process(dir: &Path, pid: i32) -> Result<(), ContainerError> {
    let proc = |source| ContainerError::Io { action: "read", path: PathBuf::from("/proc"), source };
    let stat = ctr_sys::procfs::process_stat(pid).map_err(proc)?;
    let record = ProcessRecord {
        version: RECORD_VERSION,
        boot_id: ctr_sys::procfs::boot_id().map_err(proc)?,
        pid,
        start_time: stat.map_or(0, |stat| stat.start_time),
        started_at: Timestamp::now(),
    };
    let path = dir.join("process");
    let json = serde_json::to_vec(&record)
        .map_err(|error| ContainerError::Damaged { path: path.clone(), reason: error.to_string() })?;
    ctr_sys::small::write_new(&path, &json, 0o600).map_err(|source| ContainerError::Io {
        action: "write",
        path,
        source,
    })
}

/// The step that failed, in words, with what to do.
fn explain(plan: &Plan, script: &Script<'_>, failed: FailedStep) -> SandboxError {
    let list = if failed.in_program { &script.program } else { &script.setup };
    let Some(step) = list.get(failed.index) else {
        return SandboxError::host("start the program", "clone", "the program's process", failed.errno);
    };
    match step {
        Step::Exec { .. } => {
            let program = plan.process.args.first().map_or("", String::as_str);
            prepare::exec_failed(program, &script.root, step, failed.errno)
        }
        step => SandboxError::Step {
            step: step.to_string(),
            cause: StepCause { errno: failed.errno },
            hint: step_hint(step, failed.errno).map(str::to_owned),
        },
    }
}

pub(crate) fn step_hint(step: &Step, errno: Errno) -> Option<&'static str> {
    match (step, errno) {
        (Step::ChangeDir { .. }, Errno::ENOENT) => Some("--workdir must name a directory of the image or of a volume"),
        (Step::ChangeDir { .. }, Errno::ENOTDIR) => Some("it is a file: give a directory with --workdir"),
        (Step::ChangeDir { .. }, Errno::EXDEV) => Some("it leads out of the container's root"),
        // The kernel makes no full /proc or /sys for a user namespace that sees only masked ones.
        (Step::Mount { kind, .. }, Errno::EPERM) if [c"proc", c"sysfs"].contains(&kind.as_c_str()) => Some(
            "inside another container, whose masks hold for all below it: start that one with --privileged, or with --security-opt unmask=ALL",
        ),
        (Step::PivotRoot, Errno::EPERM) => Some(
            "inside another container, whose filter refuses pivot_root: start that one with --privileged, or with --security-opt seccomp=unconfined",
        ),
        (Step::Mount { .. }, Errno::ELOOP | Errno::ENOTDIR) => {
            Some("the image has a link or a file where the kernel's directory belongs: it is hostile or broken")
        }
        (Step::Attach { .. } | Step::Mount { .. } | Step::AttachSecret { .. }, Errno::EXDEV) => {
            Some("a link of the image, or of a volume, leads from there to /proc, /sys or /dev, which belong to ctr")
        }
        (Step::Attach { .. }, Errno::ENOTDIR) => {
            Some("a directory can only be mounted on a directory, a file on a file")
        }
        (Step::Attach { .. } | Step::MakeDir { .. }, Errno::EEXIST | Errno::ENOENT | Errno::ELOOP) => {
            Some("a link in the image leads to something that is not there")
        }
        (Step::Sysctl { .. }, Errno::ENOENT) => Some("this kernel has no such parameter in a namespace of its own"),
        (Step::Sysctl { .. }, Errno::EACCES | Errno::EPERM | Errno::EROFS) => Some(
            "this kernel lets only the host's root change it (for kernel.* and fs.mqueue.* until Linux 5.19): --userns=host",
        ),
        (Step::Sysctl { .. }, Errno::EINVAL | Errno::ERANGE) => Some("the kernel does not take this value"),
        (Step::Affinity { .. }, Errno::EINVAL) => {
            Some("some of them are not there, or are not in the cpuset of the container")
        }
        (Step::Scheduler { .. }, Errno::EPERM) => {
            Some("a process can take this policy on only with CAP_SYS_NICE in the first user namespace: --userns=host")
        }
        (Step::Scheduler { .. }, Errno::EINVAL) => Some("the kernel does not take these values: see sched_setattr(2)"),
        (Step::Label { .. }, Errno::ENOENT) => {
            Some("is the profile loaded? see apparmor_status, apparmor_parser -r FILE loads one")
        }
        (Step::Label { .. }, _) => Some("the host's policy does not let ctr-run give this label"),
        (Step::Seccomp { .. }, Errno::EINVAL) => Some("the kernel does not know a flag or an action of the profile"),
        (Step::Mask { .. }, Errno::ENODEV) => {
            Some("/dev/null of the container is not the null device: is a volume there?")
        }
        (Step::Limit { .. }, Errno::EPERM) => Some("raising a hard limit needs CAP_SYS_RESOURCE"),
        (Step::JoinCgroup { .. }, _) => Some("is the control group frozen, or full?"),
        _ => None,
    }
}
