//! `kill`: a signal for the program, or with `--all` for every process of the control groups.

use std::os::fd::AsFd as _;
use std::process::ExitCode;

use ctr_cli::Failure;
use ctr_sys::pidfd;
use ctr_sys::signal::SIGKILL;

use super::processes;
use super::start::state_failure;
use crate::args::{self, Global};
use crate::cgroup;
use crate::state::{Known, States, Status};

/// `ctr-oci kill`.
pub(crate) fn kill(global: &Global, args: &args::Kill) -> Result<ExitCode, Failure> {
    let known = States::open(global)?.find(&args.id).map_err(state_failure)?;
    if args.all {
        to_all(&known, args.signal)?;
    } else {
        to_program(&known, args.signal)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The words are those that engines look for.
fn not_running(known: &Known) -> Failure {
    Failure::new(format!("cannot signal container \"{}\"", known.id()))
        .because(format!("container not running: it is {}", known.status.name()))
}

fn to_program(known: &Known, signal: i32) -> Result<(), Failure> {
    if matches!(known.status, Status::Stopped | Status::Creating) {
        return Err(not_running(known));
    }
    let failed = |error| Failure::new(format!("cannot signal container \"{}\"", known.id())).caused_by(&error);
    let process = known.container.process().map_err(|error| Failure::new(error.to_string()))?;
    // By its start time too: the number may be another process's by now.
    let opened = process.map(|process| pidfd::open_verified(process.pid, process.start_time)).transpose();
    let Some(pidfd) = opened.map_err(failed)?.flatten() else { return Err(not_running(known)) };
    if !pidfd::send_signal(pidfd.as_fd(), signal).map_err(failed)? {
        return Err(not_running(known));
    }
    if signal == SIGKILL && known.status == Status::Paused {
        // The freezer of v1 lets nobody end.
        cgroup::kill_all(&known.oci.cgroup)?;
    }
    Ok(())
}

/// Also when the program has ended: others of its control groups may be left, and that there are none is what was wanted.
fn to_all(known: &Known, signal: i32) -> Result<(), Failure> {
    if signal == SIGKILL {
        return cgroup::kill_all(&known.oci.cgroup);
    }
    let dirs = known.oci.cgroup.dirs();
    let sent = processes::signal(dirs, signal).map_err(|error| {
        Failure::new(format!("cannot signal all of container \"{}\"", known.id())).caused_by(&error)
    })?;
    // Without a group of its own the program is all that is known of it.
    if sent == 0 && known.status != Status::Stopped { to_program(known, signal) } else { Ok(()) }
}
