//! `start`: the program of a created container is executed.
//!
//! The story: claim the container by renaming its directory → connect to its first process → wait for the exec → hooks.

use std::process::ExitCode;

use ctr_cli::Failure;
use ctr_core::container::Place;
use ctr_sandbox::bundle;

use super::create::sandbox_failure;
use crate::args::{self, Global};
use crate::hooks;
use crate::id::ContainerId;
use crate::state::{Known, StateError, States, Status};

/// `ctr-oci start`.
pub(crate) fn start(global: &Global, args: &args::Start) -> Result<ExitCode, Failure> {
    begin(&States::open(global)?, &args.id)?;
    Ok(ExitCode::SUCCESS)
}

/// Starts the container `id`.
pub(crate) fn begin(states: &States, id: &ContainerId) -> Result<(), Failure> {
    let known = states.find(id).map_err(state_failure)?;
    let wrong = |status: Status| {
        Failure::new(format!("cannot start container \"{id}\": its state is \"{}\", not \"created\"", status.name()))
    };
    if known.status != Status::Created {
        return Err(wrong(known.status));
    }
    let notify = crate::seccomp::agent(&known, Status::Created)?;
    // Whoever renames it starts it: of two starts one finds nothing.
    let claimed = states.containers().promote(id).map_err(|error| Failure::new(error.to_string()))?;
    if !claimed {
        return Err(wrong(Status::Running));
    }
    let dir = states.containers().place(Place::Run).join(id.as_str());
    bundle::start(&dir, known.pid.unwrap_or(0), &known.process, notify).map_err(sandbox_failure)?;
    let _ = std::fs::remove_file(dir.join("start"));
    after(&known);
    Ok(())
}

/// poststart: its program runs, so a hook that fails is told and nothing more (runtime.md "Lifecycle", 8).
fn after(known: &Known) {
    let poststart = &known.oci.hooks.poststart;
    if poststart.is_empty() {
        return;
    }
    let mut document = known.document();
    document.status = Status::Running;
    let state = ctr_cli::to_json(&document, false).unwrap_or_default();
    hooks::run_all("poststart", poststart, state.as_bytes());
}

/// An error about a container that was looked for.
pub(crate) fn state_failure(error: StateError) -> Failure {
    Failure::hinted(error, |error| {
        matches!(error, StateError::Missing(_)).then(|| "ctr-oci list shows those of this --root".to_owned())
    })
}
