//! `delete`: what is left of a container goes.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ctr_cli::{Context as _, Failure};
use ctr_core::container::{self, ContainerError, Place};
use ctr_sys::{pidfd, poll};

use super::start::state_failure;
use crate::args::{self, Global};
use crate::cgroup;
use crate::hooks;
use crate::id::ContainerId;
use crate::state::{Known, StateError, States, Status};

/// How long a killed process may take to end.
const KILL_TIME: Duration = Duration::from_secs(10);

/// `ctr-oci delete`.
pub(crate) fn delete(global: &Global, args: &args::Delete) -> Result<ExitCode, Failure> {
    remove(&States::open(global)?, &args.id, args.force)?;
    Ok(ExitCode::SUCCESS)
}

/// Removes the container `id`; with `force` it is killed before, and it is no error if there is none.
pub(crate) fn remove(states: &States, id: &ContainerId, force: bool) -> Result<(), Failure> {
    let known = match states.find(id) {
        Ok(known) => known,
        // Nothing that could be read is left of it: neither by this name nor half made.
        Err(StateError::Missing(_)) if force => return clear_embryo(states, id),
        Err(error) => return Err(state_failure(error)),
    };
    if known.status != Status::Stopped {
        if !force {
            let name = known.status.name();
            return Err(Failure::new(format!("cannot delete container \"{id}\" that is not stopped: {name}"))
                .hint("end it with ctr-oci kill, or give --force"));
        }
    }
    // A creation that was broken off may have left one that nobody will start.
    if known.pid.is_some() {
        end(&known)?;
    }
    // Those that outlived the first process, as in a PID namespace of others.
    let cgroup = &known.oci.cgroup;
    cgroup::kill_all(cgroup)?;
    cgroup::remove(cgroup)?;
    let garbage = states
        .containers()
        .discard_dir(&known.container.dir, id, None)
        .map_err(|error| Failure::hinted(error, ContainerError::hint))?;
    // Another delete was first.
    let Some(garbage) = garbage else { return Ok(()) };
    after(&known);
    container::delete(&garbage).context(|| format!("cannot delete {}", garbage.display()))
}

/// Kills the first process, and with it all of its PID namespace.
fn end(known: &Known) -> Result<(), Failure> {
    let Some(process) = known.container.process().map_err(|error| Failure::new(error.to_string()))? else {
        return Ok(());
    };
    let opened = pidfd::open_verified(process.pid, process.start_time);
    let Some(pidfd) = opened.map_err(|error| Failure::new("cannot end the container").caused_by(&error))? else {
        return Ok(());
    };
    use std::os::fd::AsFd as _;
    let killed = pidfd::send_signal(pidfd.as_fd(), ctr_sys::signal::SIGKILL);
    killed.map_err(|error| Failure::new("cannot end the container").caused_by(&error))?;
    // A frozen process ends when it is thawed.
    cgroup::kill_all(&known.oci.cgroup)?;
    if poll::readable(&[pidfd.as_fd()], Some(KILL_TIME))
        .map_err(|error| Failure::new("cannot wait").caused_by(&error))?
        == [true]
    {
        return Ok(());
    }
    Err(Failure::new(format!("the container's first process {} did not end within 10 seconds", process.pid))
        .hint("it is in an uninterruptible wait: see /proc/PID/stack"))
}

/// poststop: the container is deleted, so a hook that fails is told and nothing more (runtime.md "Lifecycle", 13).
fn after(known: &Known) {
    let poststop = &known.oci.hooks.poststop;
    if poststop.is_empty() {
        return;
    }
    let mut document = known.document();
    (document.status, document.pid) = (Status::Stopped, 0);
    let state = ctr_cli::to_json(&document, false).unwrap_or_default();
    hooks::run_all("poststop", poststop, state.as_bytes());
}

/// Removes what a killed `create` left before it had a record; not what one that is at work has.
pub(crate) fn clear_embryo(states: &States, id: &ContainerId) -> Result<(), Failure> {
    let containers = states.containers();
    let dir = containers.place(Place::Embryo).join(id.as_str());
    let look = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(format!("cannot look at {}", dir.display())).caused_by(error)
    };
    use std::os::fd::AsFd as _;
    if !dir.exists() {
        return Ok(());
    }
    let held = match open_lock(&dir).map_err(|error| look(&error))? {
        Some(lock) => ctr_sys::lock::is_locked(lock.as_fd()).map_err(|error| look(&error))?,
        None => false,
    };
    if held {
        return Err(Failure::new(format!("container with given ID already exists: \"{id}\" is being created")));
    }
    let garbage =
        containers.discard_dir(&dir, id, None).map_err(|error| Failure::hinted(error, ContainerError::hint))?;
    match garbage {
        Some(garbage) => container::delete(&garbage).context(|| format!("cannot delete {}", garbage.display())),
        None => Ok(()),
    }
}

/// The lock file of a container that is being made; `None` if whoever made the directory did not come to it in a while.
fn open_lock(dir: &Path) -> std::io::Result<Option<OwnedFd>> {
    /// Two system calls lie between the directory and its lock.
    const PATIENCE: Duration = Duration::from_millis(50);
    for last in [false, true] {
        match ctr_sys::small::open_read(&dir.join("lock")) {
            Err(error) if error.kind() == ErrorKind::NotFound && !last => std::thread::sleep(PATIENCE),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            result => return result.map(Some),
        }
    }
    Ok(None)
}
