//! `ctr-image`: list, inspect, tag, remove, export, pack and verify images.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// The command line of `ctr-image`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    clap::Command::new("ctr-image")
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    command().get_matches();
    ExitCode::SUCCESS
}
