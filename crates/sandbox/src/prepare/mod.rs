//! From the plan to the script: every allocation, path lookup and open that a start needs, so that nothing of the kind is
//! left for the child. What it makes on disk and in the control groups is taken back when the start fails.

mod cgroup;
mod content;
mod delegate;
mod dev;
mod exec_failure;
mod files;
mod kept;
mod mountinfo;
pub(crate) mod namespaces;
mod program;
mod rootfs;
mod secrets;
mod setup;
mod streams;
mod timezone;
pub(crate) mod userns;
mod volume;

use std::borrow::Cow;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

pub(crate) use cgroup::Groups;
pub(crate) use content::copy as copy_content;
pub(crate) use dev::{LINKS as DEVICE_LINKS, copy as copy_of_device, give, make_parents};
pub(crate) use exec_failure::exec_failed;
pub(crate) use files::keep_filter;
pub(crate) use program::{candidates, steps as program_steps};
pub(crate) use rootfs::running_identity;
pub(crate) use streams::Attached;
use streams::PreparedStreams;

use crate::enter::Script;
use crate::error::SandboxError;
use crate::init::{InitFiles, TimeLimit};
use crate::options::SecretPlace;
use crate::plan::{Plan, ProcessPlan};

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
    /// The caller's side of the terminal, if it stays.
    pub(crate) attached: Option<Attached>,
    /// What was found out on the way that the plan could not know.
    pub(crate) notes: Vec<String>,
}

/// Prepares `plan`. `lock` is a descriptor of the container's lock for init to keep. The current directory changes.
pub(crate) fn prepare<'a>(
    plan: &Plan,
    places: Places<'_>,
    lock: BorrowedFd<'a>,
    mut range: Option<OwnedFd>,
) -> Result<Prepared<'a>, SandboxError> {
    let userns = namespaces::userns(plan)?;
    let (rootfs, layers) = rootfs::mount(plan, places, userns.as_ref().map(AsFd::as_fd))?;
    let mut identity = rootfs::identity(plan, &rootfs)?;
    let mut notes = Vec::new();
    userns::fit_identity(&plan.userns, &mut identity, &mut notes)?;
    let mut groups = cgroup::create(&plan.cgroups, userns::outside(&plan.userns, 0, 0), &mut notes)?;
    let PreparedStreams { program: streams, source, log, attach, devpts, attached } =
        streams::prepare(plan, places.container, &identity)?;
    let init = if plan.init {
        let exit = files::create(places.container, "exit")?;
        Some(InitFiles { lock, range: range.take(), exit, source, log, attach, limit: time_limit(plan) })
    } else {
        None
    };
    files::keep_filter(&plan.process, places.container)?;
    files::generate(plan, places.container)?;
    let idmap = userns.as_ref().filter(|_| plan.userns.idmapped).map(AsFd::as_fd);
    let sources = setup::Sources { places, rootfs: rootfs.as_fd(), layers: layers.as_fd(), idmap };
    let setup = setup::steps(plan, sources, groups.take_joins(), devpts.zip(streams.terminal()))?;
    let set_groups = !plan.userns.is_own() || !plan.userns.map.is_single();
    let program = program::steps(&with_secrets(plan), &identity, streams, plan.init, set_groups)?;
    let cgroup = groups.take_unified();
    let joined = namespaces::joined(&plan.joins, userns)?;
    let script = Script {
        own_pids: plan.has_own("pid"),
        joined,
        namespaces: namespaces::new(&plan.namespaces),
        root: rootfs,
        cgroup,
        setup,
        program,
        init,
        range,
    };
    Ok(Prepared { script, groups, attached, notes })
}

fn time_limit(plan: &Plan) -> Option<TimeLimit> {
    let time = Duration::from_millis(plan.timeout_ms?);
    Some(TimeLimit { time, stop_signal: plan.stop_signal, grace: Duration::from_secs(plan.stop_timeout) })
}

/// The program's profile with the secrets that are variables, which no record has.
fn with_secrets(plan: &Plan) -> Cow<'_, ProcessPlan> {
    let mut process = Cow::Borrowed(&plan.process);
    for secret in &plan.secrets {
        let SecretPlace::Env { variable } = &secret.place else { continue };
        let process = process.to_mut();
        let prefix = format!("{variable}=");
        process.env.retain(|other| !other.starts_with(&prefix));
        process.env.push(prefix + &String::from_utf8_lossy(&secret.content.0));
    }
    process
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
