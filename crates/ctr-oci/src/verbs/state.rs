//! `state`: where a container is in its life, as JSON.

use std::process::ExitCode;

use ctr_cli::Failure;

use super::start::state_failure;
use crate::args::{self, Global};
use crate::state::States;

/// `ctr-oci state`.
pub(crate) fn state(global: &Global, args: &args::StateOf) -> Result<ExitCode, Failure> {
    let known = States::open(global)?.find(&args.id).map_err(state_failure)?;
    let json = ctr_cli::to_json(&known.document(), true)
        .map_err(|error| Failure::new("cannot print the state").caused_by(&error))?;
    ctr_cli::print(&format!("{json}\n"))?;
    Ok(ExitCode::SUCCESS)
}
