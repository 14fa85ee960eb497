//! `ctr-volume`: make, list, inspect and remove named volumes (spec/05-store.md "Volumes").
#![forbid(unsafe_code)]

mod list;
mod remove;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use ctr_cli::{Failure, GlobalArgs, OutputFormat};
use ctr_core::store::Store;
use ctr_core::volume::{VolumeError, VolumeRecord, Volumes};

/// Make, list, inspect and remove named volumes
///
/// A volume is a directory that outlives containers: ctr-run -v NAME:/path. It is made at its first use, and removed here
/// only: neither ctr-gc nor the end of a container touches it.
#[derive(Debug, Parser)]
#[command(name = "ctr-volume", version = ctr_cli::VERSION)]
pub struct Options {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(CreateOptions),
    #[command(visible_alias = "list")]
    Ls(list::Options),
    Inspect(list::InspectOptions),
    Rm(remove::Options),
    Prune(remove::PruneOptions),
}

/// Make volumes
#[derive(Debug, clap::Args)]
struct CreateOptions {
    /// Names of the volumes
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Label of the volumes
    #[arg(long, short = 'l', value_name = "KEY=VALUE")]
    label: Vec<String>,
}

/// The command line of `ctr-volume`; help, man page and completions come from it.
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
    let root = std::path::absolute(&root)
        .map_err(|error| Failure::new(format!("cannot find {}", root.display())).caused_by(&error))?;
    if matches!(options.verb, Verb::Rm(_) | Verb::Prune(_)) {
        // The namespace gives an ordinary user power over files of the subordinate ids.
        if let Err(error) = ctr_sys::userns::enter_storage_map() {
            ctr_cli::note(format!("files of subordinate user ids cannot be removed: {error}"));
        }
    }
    let volumes = Volumes::open(&root);
    match &options.verb {
        Verb::Create(options) => create(options, global, &volumes),
        Verb::Ls(options) => list::run(options, global, &volumes),
        Verb::Inspect(options) => list::inspect(options, &volumes),
        Verb::Rm(options) => remove::run(options, global, &volumes),
        Verb::Prune(options) => remove::prune(options, global, &volumes),
    }
}

fn create(options: &CreateOptions, global: &GlobalArgs, volumes: &Volumes) -> Result<ExitCode, Failure> {
    let mut labels = BTreeMap::new();
    for label in &options.label {
        let (key, value) = ctr_core::name::parse_label(label)
            .map_err(|error| Failure::usage(format!("--label {label}")).because(error))?;
        labels.insert(key, value);
    }
    let mut outcome = Outcome::default();
    for name in &options.names {
        let made = volumes
            .hold()
            .and_then(|held| volumes.create(&VolumeRecord::new(name, labels.clone()), &held))
            .map_err(failure)
            .and_then(|made| made.ok_or_else(|| Failure::new(format!("there is a volume {name} already"))));
        outcome.add(name, made.map(drop));
    }
    outcome.finish(global)
}

/// What became of each of several volumes.
#[derive(Debug, Default)]
struct Outcome {
    done: Vec<String>,
    failed: bool,
}

impl Outcome {
    fn add(&mut self, name: &str, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.done.push(name.to_owned()),
            Err(failure) => {
                ctr_cli::print_error(&failure);
                self.failed = true;
            }
        }
    }

    /// Prints the names of those that it was done to.
    fn finish(self, global: &GlobalArgs) -> Result<ExitCode, Failure> {
        if global.format == OutputFormat::Json {
            ctr_cli::print_json(&self.done)?;
        } else {
            self.done.iter().try_for_each(|name| ctr_cli::print(&format!("{name}\n")))?;
        }
        Ok(if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// A volume's error with what the user can do about it.
fn failure(error: VolumeError) -> Failure {
    Failure::hinted(error, VolumeError::hint)
}

/// A path for people and JSON.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
