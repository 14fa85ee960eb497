//! `run`: create, start, and unless --detach stay until the end and delete.

use std::process::ExitCode;

use ctr_cli::Failure;
use ctr_sandbox::{wait_for, wait_with_terminal};

use super::create::{self, sandbox_failure};
use super::{delete, start};
use crate::args::{self, Global};
use crate::state::States;

/// `ctr-oci run`.
pub(crate) fn run(global: &Global, args: &args::Run) -> Result<ExitCode, Failure> {
    let states = States::open(global)?;
    let made = create::make(global, &states, &args.container, !args.detach)?;
    let id = &args.container.id;
    if let Err(failure) = start::begin(&states, id) {
        let _ = delete::remove(&states, id, true);
        return Err(failure);
    }
    if args.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let code = match &made.created.terminal {
        Some(terminal) if made.own_terminal => wait_with_terminal(&made.created.pidfd, terminal),
        _ => wait_for(&made.created.pidfd),
    }
    .map_err(sandbox_failure)?;
    if !args.keep {
        delete::remove(&states, id, true)?;
    }
    Ok(ExitCode::from(code))
}
