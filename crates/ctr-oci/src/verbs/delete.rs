//! `delete`: what is left of a container goes.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ctr_cli::{Context as _, Failure};
use ctr_core::container::{self, Container, ContainerError, Place};
use ctr_sys::{pidfd, poll};

use super::start::state_failure;
use crate::args::{self, Global};
use crate::cgroup::{self, CgroupRecord};
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
        // Nothing that could be read is left of it: neither half made, nor with a record that says nothing.
        Err(StateError::Missing(_) | StateError::Container(ContainerError::Damaged { .. })) if force => {
            clear_embryo(states, id)?;
            return clear_damaged(states, id);
        }
        Err(error) => return Err(state_failure(error)),
    };
    if known.status != Status::Stopped && !force {
        let name = known.status.name();
        return Err(Failure::new(format!("cannot delete container \"{id}\" that is not stopped: {name}"))
            .hint("end it with ctr-oci kill, or give --force"));
    }
    // A creation that was broken off may have left one that nobody will start.
    if known.pid.is_some() {
        end(&known.container, &known.oci.cgroup)?;
    }
    // Those that outlived the first process, as in a PID namespace of others.
    let cgroup = &known.oci.cgroup;
    cgroup::kill_all(cgroup)?;
    cgroup::remove(cgroup)?;
    let broken = |error| Failure::hinted(error, ContainerError::hint);
    let containers = states.containers();
    // A creation of the same id must not begin between the look and the removal, or its directory would go.
    let ids = (known.container.place == Place::Embryo).then(|| containers.lock_ids()).transpose().map_err(broken)?;
    let garbage = containers.discard_dir(&known.container.dir, id, None).map_err(broken)?;
    drop(ids);
    // Another delete was first.
    let Some(garbage) = garbage else { return Ok(()) };
    after(&known);
    container::delete(&garbage).context(|| format!("cannot delete {}", garbage.display()))
}

/// Kills the first process, and with it all of its PID namespace.
fn end(container: &Container, groups: &CgroupRecord) -> Result<(), Failure> {
    let Some(process) = container.process().map_err(|error| Failure::new(error.to_string()))? else {
        return Ok(());
    };
    let opened = pidfd::open_verified(process.pid, process.start_time);
    let Some(pidfd) = opened.map_err(|error| Failure::new("cannot end the container").caused_by(&error))? else {
        return Ok(());
    };
    let killed = pidfd::send_signal(pidfd.as_fd(), ctr_sys::signal::SIGKILL);
    killed.map_err(|error| Failure::new("cannot end the container").caused_by(&error))?;
    // A frozen process ends when it is thawed.
    cgroup::kill_all(groups)?;
    if poll::readable(&[pidfd.as_fd()], Some(KILL_TIME))
        .map_err(|error| Failure::new("cannot wait").caused_by(&error))?
        == [true]
    {
        return Ok(());
    }
    Err(Failure::new(format!("the container's first process {} did not end within 10 seconds", process.pid))
        .hint("it is in an uninterruptible wait: see /proc/PID/stack"))
}

/// Removes a container whose record cannot be read. Its first process and the groups of our own naming can be found still.
fn clear_damaged(states: &States, id: &ContainerId) -> Result<(), Failure> {
    let containers = states.containers();
    let broken = |error| Failure::hinted(error, ContainerError::hint);
    for place in [Place::Run, Place::Prepared] {
        let path = containers.place(place).join(id.as_str()).join("container.json");
        let damaged = ContainerError::Damaged { path, reason: "it is missing".to_owned() };
        let Some(container) = containers.salvage(&damaged).filter(|container| container.dir.is_dir()) else { continue };
        let groups = CgroupRecord::by_name(id, &containers.root_hash());
        if container.live_pid().map_err(broken)?.is_some() {
            end(&container, &groups)?;
        }
        cgroup::kill_all(&groups)?;
        cgroup::remove(&groups)?;
        if let Some(garbage) = containers.discard_dir(&container.dir, id, None).map_err(broken)? {
            container::delete(&garbage).context(|| format!("cannot delete {}", garbage.display()))?;
        }
    }
    Ok(())
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
    let ids = states.containers().lock_ids().map_err(|error| Failure::hinted(error, ContainerError::hint))?;
    clear_embryo_locked(states, id, &ids)
}

/// [`clear_embryo`] for who holds the lock of the ids: nobody else makes or clears the directory meanwhile, only its own
/// creation can move it.
pub(crate) fn clear_embryo_locked(states: &States, id: &ContainerId, _ids: &File) -> Result<(), Failure> {
    let containers = states.containers();
    let dir = containers.place(Place::Embryo).join(id.as_str());
    if is_at_work(&dir)? {
        return Err(Failure::new(format!("container with given ID already exists: \"{id}\" is being created")));
    }
    // Whoever made it is dead: what is there now stays there. A creation that has ended meanwhile has moved it.
    if !dir.exists() {
        return Ok(());
    }
    let groups = CgroupRecord::by_name(id, &containers.root_hash());
    cgroup::kill_all(&groups)?;
    cgroup::remove(&groups)?;
    let garbage =
        containers.discard_dir(&dir, id, None).map_err(|error| Failure::hinted(error, ContainerError::hint))?;
    match garbage {
        Some(garbage) => container::delete(&garbage).context(|| format!("cannot delete {}", garbage.display())),
        None => Ok(()),
    }
}

/// Whether somebody holds the lock of a container that is being made.
fn is_at_work(dir: &Path) -> Result<bool, Failure> {
    let failed = || Failure::new(format!("cannot look at {}", dir.display()));
    match ctr_sys::small::open_read(&dir.join("lock")) {
        Ok(lock) => ctr_sys::lock::is_locked(lock.as_fd()).map_err(|error| failed().caused_by(&error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed().caused_by(&error)),
    }
}
