//! `ctr-image`: list, inspect, tag, remove, export, pack and verify images.
#![forbid(unsafe_code)]

mod export;
mod inspect;
mod list;
mod names;
mod pack;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use ctr_cli::{Failure, GlobalArgs};
use ctr_core::store::Store;
use ctr_export::hinted;

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
    #[command(visible_alias = "ls")]
    List(list::Options),
    Inspect(inspect::Options),
    Tag(names::TagOptions),
    Rm(names::RemoveOptions),
    Export(export::Options),
    Pack(Box<pack::Options>),
    Verify(verify::Options),
}

/// The command line of `ctr-image`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    // What all binaries take may stand behind the verb too.
    Options::command().mut_args(|argument| argument.global(true))
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), ctr_cli::exit::TOOL, run)
}

#[allow(clippy::needless_pass_by_value, reason = "the signature that run_main takes")]
fn run(options: Options) -> Result<ExitCode, Failure> {
    let global = &options.global;
    let root = global.root_or(Store::default_root);
    let store = || Store::open(&root).map_err(hinted);
    match &options.verb {
        Verb::Verify(options) => return verify::run(options, global, &root),
        Verb::List(options) => list::run(options, global, &store()?),
        Verb::Inspect(options) => inspect::run(options, global, &store()?),
        Verb::Tag(options) => names::tag(options, &store()?),
        Verb::Rm(options) => names::remove(options, global, &store()?),
        Verb::Export(options) => export::run(options, global, &store()?),
        Verb::Pack(options) => pack::run(options, global),
    }
    .map(|()| ExitCode::SUCCESS)
}
