//! The systemd driver: the container's group is a scope of systemd's, which is told of its limits.
//!
//! ```text
//! placeholder (a fork that waits)  ->  StartTransientUnit(scope, PIDs=[placeholder])
//! the group that it is in now      ->  the files of cgroupfs, as for the other driver
//! the container's process is born there, the placeholder ends
//! ```
//! systemd holds the group of v2 or of `name=systemd`; with v1 the others are made at the same path.

mod bus;
mod gvariant;
mod properties;
mod wire;

use std::os::fd::{AsFd, OwnedFd};

use ctr_sys::process::{self, WaitFor};
use ctr_sys::{Errno, SysError, files};

use super::facts::Hierarchies;
use super::limits::{self, Known};
use super::path::{GroupPath, Unit};
use super::record::UnitRecord;
use super::{CgroupError, Request};
use crate::config::Resources;
use bus::Bus;
use wire::{Properties, Value};

/// A process of ours that is in the scope until the container's is. It ends when its end of the pipe is closed, so also when
/// this process is killed.
#[derive(Debug)]
pub(super) struct Placeholder {
    pub(super) pid: i32,
    held: Option<OwnedFd>,
}

impl Placeholder {
    fn new() -> Result<Self, CgroupError> {
        let failed = |call: &'static str| {
            move |errno: Errno| CgroupError::Host {
                action: "make a process for the scope".to_owned(),
                cause: SysError::new(call, "", errno),
                hint: None,
            }
        };
        let (waits, held) = files::pipe().map_err(failed("pipe2"))?;
        let Some(pid) = process::fork().map_err(failed("clone"))? else {
            drop(held);
            let _ = files::read(waits.as_fd(), &mut [0]);
            process::exit_now(0)
        };
        Ok(Self { pid, held: Some(held) })
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        drop(self.held.take());
        let _ = process::wait(WaitFor::Pid(self.pid), true);
    }
}

/// Who runs the service manager: a user has his own.
fn is_user() -> bool {
    ctr_sys::ids::effective_uid() != 0 || !ctr_sys::ids::in_initial_user_namespace()
}

/// Starts the unit of a container; says where its group is.
pub(super) fn start(
    request: &Request<'_>,
    host: &Hierarchies,
) -> Result<(UnitRecord, GroupPath, Option<Placeholder>), CgroupError> {
    let user = is_user();
    let unit = Unit::parse(request.path, request.id, user)?;
    let placed = limits::writes(request.resources, &Known::default(), host)?;
    let mut properties = basic(request, &unit);
    if host.unified.as_ref().is_some_and(|unified| unified.pure) {
        properties.extend(properties::of_v2(request.resources, &placed, &Known::default()));
    } else {
        properties.extend(properties::of_v1(request.resources));
    }
    properties.extend(gvariant::of_annotations(request.annotations)?);
    let placeholder = if unit.is_slice() { None } else { Some(Placeholder::new()?) };
    if let Some(placeholder) = &placeholder {
        properties.push(("PIDs".to_owned(), Value::U32s(vec![placeholder.pid.cast_unsigned()])));
    }
    let mut bus = Bus::connect(user)?;
    match bus.start_transient(&unit.name, &properties) {
        // One that failed before keeps its name.
        Err(error) if bus::is_there(&error) => {
            bus.reset_failed(&unit.name)?;
            bus.start_transient(&unit.name, &properties)?;
        }
        started => started?,
    }
    let record = UnitRecord { name: unit.name.clone(), slice: unit.slice.clone(), user };
    let path = match &placeholder {
        Some(placeholder) => group_of(placeholder.pid, &unit),
        None => Ok(unit.path()),
    };
    let path = path.inspect_err(|_| {
        let _ = stop(&record);
    })?;
    Ok((record, GroupPath { path, relative: false }, placeholder))
}

fn basic(request: &Request<'_>, unit: &Unit) -> Properties {
    let on = |name: &str| (name.to_owned(), Value::Bool(true));
    let mut properties = vec![
        ("Description".to_owned(), Value::Str(format!("ctr-oci container {}", request.id))),
        ("DefaultDependencies".to_owned(), Value::Bool(false)),
        on("MemoryAccounting"),
        on("CPUAccounting"),
        on("IOAccounting"),
        on("TasksAccounting"),
    ];
    if unit.is_slice() {
        properties.push(("Wants".to_owned(), Value::Strs(vec![unit.slice.clone()])));
    } else {
        properties.push(("Slice".to_owned(), Value::Str(unit.slice.clone())));
        properties.push(on("Delegate"));
        // What has ended does not keep its name.
        properties.push(("CollectMode".to_owned(), Value::Str("inactive-or-failed".to_owned())));
    }
    properties
}

/// Where systemd has put the placeholder: a user's service manager is itself in a group.
fn group_of(pid: i32, unit: &Unit) -> Result<String, CgroupError> {
    let path = format!("/proc/{pid}/cgroup");
    let text =
        std::fs::read_to_string(&path).map_err(|error| CgroupError::host("read", "openat", path.as_ref(), &error))?;
    let field = |start: &str| text.lines().find_map(|line| line.split_once(start)).map(|(_, path)| path.to_owned());
    let found = field(":name=systemd:/").into_iter().chain(field("0::/"));
    let found = found.into_iter().find(|path| path.rsplit('/').next() == Some(unit.name.as_str()));
    match found {
        Some(path) if path.split('/').all(|name| name != "..") => Ok(path),
        _ => Err(CgroupError::systemd(
            format!("find the group of {}", unit.name),
            "systemd says that it is active, and its process is in another group",
        )),
    }
}

/// Ends a unit and forgets it; one that is not there is no error.
pub(super) fn stop(unit: &UnitRecord) -> Result<(), CgroupError> {
    let mut bus = Bus::connect(unit.user)?;
    bus.stop(&unit.name)?;
    bus.reset_failed(&unit.name)
}

/// Tells systemd of new limits.
pub(super) fn update(
    unit: &UnitRecord,
    resources: &Resources,
    known: &Known,
    host: &Hierarchies,
) -> Result<(), CgroupError> {
    let properties = if host.unified.as_ref().is_some_and(|unified| unified.pure) {
        properties::of_v2(resources, &limits::writes(resources, known, host)?, known)
    } else {
        properties::of_v1(resources)
    };
    if properties.is_empty() {
        return Ok(());
    }
    Bus::connect(unit.user)?.set_properties(&unit.name, &properties)
}
