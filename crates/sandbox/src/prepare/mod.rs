//! From the plan to the script: every allocation, path lookup and open that a start needs, so that nothing of the kind is
//! left for the child. What it makes on disk and in the control groups is taken back when the start fails.

mod cgroup;
mod exec_failure;
mod files;
mod program;
mod rootfs;
mod setup;
mod userns;
mod volume;

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ctr_core::container::LogMode;
use ctr_sys::files as sys_files;
use ctr_sys::process::Namespaces;

pub(crate) use cgroup::Groups;
pub(crate) use exec_failure::exec_failed;
pub(crate) use program::steps as program_steps;
pub(crate) use rootfs::running_identity;

use crate::enter::Script;
use crate::error::SandboxError;
use crate::init::{InitFiles, LogFiles};
use crate::options::Network;
use crate::plan::Plan;
use crate::script::Stream;
use crate::user::Identity;

/// Where things are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    /// The directory of layer directories.
    pub(crate) layers: &'a Path,
    /// The container's directory, absolute.
    pub(crate) container: &'a Path,
    /// Overlay attributes of the layers are `user.*`, not `trusted.*`.
    pub(crate) user_xattrs: bool,
}

/// A start that only has to be entered.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    pub(crate) script: Script<'a>,
    pub(crate) groups: Groups,
    /// What was found out on the way that the plan could not know.
    pub(crate) notes: Vec<String>,
}

/// Prepares `plan`. `lock` is a descriptor of the container's lock for init to keep. The current directory changes.
pub(crate) fn prepare<'a>(
    plan: &Plan,
    places: Places<'_>,
    lock: BorrowedFd<'a>,
    range: Option<OwnedFd>,
) -> Result<Prepared<'a>, SandboxError> {
    let userns = userns::create(&plan.userns)?;
    let rootfs = rootfs::mount(plan, places, userns.as_ref().map(AsFd::as_fd))?;
    let identity = rootfs::identity(plan, &rootfs)?;
    userns::check_identity(&plan.userns, &identity)?;
    let mut notes = Vec::new();
    let mut groups = cgroup::create(&plan.cgroups, &mut notes)?;
    let (streams, log) = streams(plan, places)?;
    own_streams(&streams, plan, &identity)?;
    let init = if plan.init {
        Some(InitFiles { lock, range, exit: files::create(places.container, "exit")?, log })
    } else {
        None
    };
    files::generate(plan, places.container)?;
    let idmap = userns.as_ref().filter(|_| plan.userns.idmapped).map(AsFd::as_fd);
    let setup = setup::steps(plan, places, groups.take_joins(), idmap)?;
    let set_groups = !plan.userns.is_own() || !plan.userns.map.is_single();
    let program = program::steps(&plan.process, &identity, streams, plan.init, set_groups)?;
    let cgroup = groups.take_unified();
    let script = Script { userns, namespaces: namespaces(plan), root: rootfs, cgroup, setup, program, init };
    Ok(Prepared { script, groups, notes })
}

/// All but the cgroup namespace, which is made when the v1 groups have been joined.
fn namespaces(plan: &Plan) -> Namespaces {
    let own = Namespaces::MOUNT.and(Namespaces::PID).and(Namespaces::IPC).and(Namespaces::UTS);
    match plan.network {
        Network::None => own.and(Namespaces::NET),
        Network::Host => own,
    }
}

/// The program's streams, and init's side of them.
fn streams(plan: &Plan, places: Places<'_>) -> Result<([Stream; 3], Option<LogFiles>), SandboxError> {
    let pipe = || sys_files::pipe().map_err(|errno| SandboxError::host("make a pipe", "pipe2", "O_CLOEXEC", errno));
    match plan.log {
        LogMode::Inherit => Ok(([Stream::Inherit, Stream::Inherit, Stream::Inherit], None)),
        LogMode::None => Ok(([Stream::Null, Stream::Null, Stream::Null], None)),
        LogMode::File => {
            let ((stdout, out), (stderr, err)) = (pipe()?, pipe()?);
            let files = [files::append(places.container, "log")?, files::append(places.container, "log.1")?];
            Ok(([Stream::Null, Stream::Pipe(out), Stream::Pipe(err)], Some(LogFiles { stdout, stderr, files })))
        }
    }
}

/// The program owns its pipes, so that it can open `/dev/stdout` again (LIFE-53).
fn own_streams(streams: &[Stream], plan: &Plan, identity: &Identity) -> Result<(), SandboxError> {
    let (uid, gid) = userns::outside(&plan.userns, identity.uid, identity.gid);
    for stream in streams {
        if let Stream::Pipe(pipe) = stream
            && uid != 0
        {
            sys_files::change_owner(pipe.as_fd(), uid, gid)
                .map_err(|errno| SandboxError::host("give the program its pipes", "fchown", uid.to_string(), errno))?;
        }
    }
    Ok(())
}

/// A string for the kernel.
pub(crate) fn c_string(text: &str) -> Result<CString, SandboxError> {
    CString::new(text).map_err(|_| SandboxError::request(format!("\"{}\" holds a NUL byte", text.escape_debug())))
}

/// A path for the kernel.
pub(crate) fn c_path(path: &Path) -> Result<CString, SandboxError> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| SandboxError::request(format!("the path {} holds a NUL byte", path.display())))
}
