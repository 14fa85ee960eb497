//! `kill`: a signal for the program, or with `--all` for every process of the control groups.

use std::os::fd::AsFd as _;
use std::process::ExitCode;

use ctr_cli::Failure;
use ctr_sys::pidfd;
use ctr_sys::signal::SIGKILL;

use super::pause::failure;
use super::start::state_failure;
use crate::args::{self, Global};
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
        // The freezer of v1 lets nobody end. That of v2 does, and then there may be nothing left to thaw.
        let thawed = known.oci.cgroup.thaw();
        if known.container.live_pid().ok().flatten().is_some() {
            thawed.map_err(failure)?;
        }
    }
    Ok(())
}

/// Also when the program has ended: others of its control groups may be left, and that there are none is what was wanted.
fn to_all(known: &Known, signal: i32) -> Result<(), Failure> {
    let groups = &known.oci.cgroup;
    let reached = if signal == SIGKILL {
        groups.kill_all().map_err(failure)?;
        groups.is_present()
    } else {
        groups.signal_all(signal).map_err(failure)? > 0
    };
    // Without a group of its own the program is all that is known of it.
    if reached || known.status == Status::Stopped { Ok(()) } else { to_program(known, signal) }
}
