//! `ctr-stop`: stop containers.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// The command line of `ctr-stop`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    clap::Command::new("ctr-stop")
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    command().get_matches();
    ExitCode::SUCCESS
}
