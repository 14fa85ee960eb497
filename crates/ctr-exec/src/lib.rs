//! `ctr-exec`: execute one more program in a container that runs.
//!
//! The story: find the container → look everything up (`ctr_sandbox::join`) → enter → wait, passing signals on.
#![forbid(unsafe_code)]

mod args;

use std::process::ExitCode;

use clap::CommandFactory;
use ctr_cli::Failure;
use ctr_core::container::{ContainerError, Containers};
use ctr_core::store::Store;
use ctr_sandbox::SandboxError;
use ctr_sandbox::join::{self, JoinEnd};

use crate::args::Args;

/// The command line of `ctr-exec`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    Args::command()
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), ctr_cli::exit::RUNNER, run)
}

fn run(args: Args) -> Result<ExitCode, Failure> {
    let containers = Containers::open(&args.global.root_or(Store::default_root));
    let (name, detach, keys) = (args.container().to_owned(), args.detach, args.detach_keys.clone());
    let options = args.options()?;
    let container = containers.find(&name).map_err(|error| Failure::hinted(error, ContainerError::hint))?;
    // Until the exec the program's process is one of this executable.
    if ctr_sys::sealed::is_exposed_to(|uid| join::has_uid(&container, uid).unwrap_or(true)) {
        let Err(error) = ctr_sys::sealed::execute_again(&[]);
        return Err(Failure::new("cannot run from where the container cannot write this program").caused_by(&error));
    }
    let joined = join::prepare(&container, options).and_then(join::Joining::start).map_err(failure)?;
    if detach {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(match joined.wait(&keys).map_err(failure)? {
        JoinEnd::Code(code) => code,
        JoinEnd::Detached => ctr_cli::exit::SUCCESS,
        JoinEnd::HungUp => HUNG_UP,
        JoinEnd::Late => ctr_cli::exit::RUNNER_FAILURE,
    }))
}

/// Exit code when the caller's own terminal has gone: 128 + SIGHUP.
const HUNG_UP: u8 = 129;

fn failure(error: SandboxError) -> Failure {
    let code = error.exit_code();
    Failure::hinted(error, |error| error.hint().map(str::to_owned)).code(code)
}
