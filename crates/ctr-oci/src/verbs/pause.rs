//! `pause` and `resume`: all processes of a container are frozen, or go on.

use std::process::ExitCode;

use ctr_cli::Failure;

use super::start::state_failure;
use crate::args::{self, Global};
use crate::cgroup::CgroupError;
use crate::state::{Known, States, Status};

/// `ctr-oci pause`.
pub(crate) fn pause(global: &Global, args: &args::Pause) -> Result<ExitCode, Failure> {
    let known = States::open(global)?.find(&args.id).map_err(state_failure)?;
    wants(&known, Status::Running, "pause", "container not running")?;
    known.oci.cgroup.freeze().map_err(failure)?;
    // The program may have ended meanwhile; it cannot from here on.
    if known.container.live_pid().ok().flatten().is_none() {
        let _ = known.oci.cgroup.thaw();
        return Err(wrong(&known, "pause", "container not running: it has just ended"));
    }
    Ok(ExitCode::SUCCESS)
}

/// `ctr-oci resume`.
pub(crate) fn resume(global: &Global, args: &args::Resume) -> Result<ExitCode, Failure> {
    let known = States::open(global)?.find(&args.id).map_err(state_failure)?;
    wants(&known, Status::Paused, "resume", "container not paused")?;
    known.oci.cgroup.thaw().map_err(failure)?;
    Ok(ExitCode::SUCCESS)
}

fn wants(known: &Known, status: Status, verb: &str, words: &str) -> Result<(), Failure> {
    if known.status == status {
        return Ok(());
    }
    Err(wrong(known, verb, &format!("{words}: it is {}", known.status.name())))
}

/// The words are those that engines look for.
fn wrong(known: &Known, verb: &str, why: &str) -> Failure {
    Failure::new(format!("cannot {verb} container \"{}\"", known.id())).because(why)
}

/// An error of the control groups.
pub(super) fn failure(error: CgroupError) -> Failure {
    Failure::hinted(error, |error| error.hint().map(str::to_owned))
}
