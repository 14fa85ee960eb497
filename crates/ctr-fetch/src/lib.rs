//! `ctr-fetch`: bring images into the store.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// The command line of `ctr-fetch`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    clap::Command::new("ctr-fetch")
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    command().get_matches();
    ExitCode::SUCCESS
}
