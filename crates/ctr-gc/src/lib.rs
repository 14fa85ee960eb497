//! `ctr-gc`: remove dead containers, unreferenced images and leftovers; check and repair the store.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// The command line of `ctr-gc`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    clap::Command::new("ctr-gc")
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    command().get_matches();
    ExitCode::SUCCESS
}
