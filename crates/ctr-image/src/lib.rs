//! `ctr-image`: list, inspect, tag, remove, export, pack and verify images.
#![forbid(unsafe_code)]

mod archive;
mod new_file;
mod pack;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use ctr_cli::{Failure, GlobalArgs};

/// List, inspect, tag, remove, export, pack and verify images
#[derive(Debug, Parser)]
#[command(name = "ctr-image", version = ctr_cli::VERSION)]
pub struct Options {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Pack(pack::Options),
}

/// The command line of `ctr-image`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    Options::command()
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), ctr_cli::exit::TOOL, run)
}

fn run(options: Options) -> Result<ExitCode, Failure> {
    let global = &options.global;
    match options.verb {
        Verb::Pack(options) => pack::run(&options, global).map(|()| ExitCode::SUCCESS),
    }
}
