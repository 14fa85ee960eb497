//! `ctr-stop`: ask containers to end, and end them if they do not.
#![forbid(unsafe_code)]

pub mod choose;
mod group;
pub mod remove;
mod stop;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use ctr_cli::{Failure, GlobalArgs, OutputFormat, exit};
use ctr_core::container::{Container, ContainerError, Containers, Filter, LabelFilter, Selection};
use ctr_core::store::Store;

use stop::Outcome;
pub use stop::{Ended, Request, Stopping};

/// Stop containers
///
/// Sends the stop signal (of the command line, else of the image, else SIGTERM) to the program, waits, and then kills all
/// that is left in the container's control group. Prints the ids of the containers that have ended. A container that
/// does not run is left as it is, with a note, and is no failure. Containers that were started with --rm are removed.
#[derive(Debug, Parser)]
#[command(name = "ctr-stop", version = ctr_cli::VERSION)]
pub struct Options {
    /// Containers to stop: ids, beginnings of ids (3 characters or more) or names
    #[arg(value_name = "CONTAINER", required_unless_present_any = ["all", "filter", "label"], conflicts_with_all = ["all", "filter", "label"])]
    containers: Vec<String>,
    /// Stop all containers that run
    #[arg(long, short)]
    all: bool,
    /// Stop those that run and match: id=BEGINNING, name=NAME (* stands for anything), image=NAME, label=KEY[=VALUE]
    #[arg(long, short, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// Stop those that run and have this label, and this value if one is given
    #[arg(long, short, value_name = "KEY[=VALUE]")]
    label: Vec<LabelFilter>,
    /// Signal to send first, by name or number
    #[arg(long, short, value_name = "SIGNAL", value_parser = signal)]
    signal: Option<i32>,
    /// Time to wait before the kill, in seconds or as 500ms, 5m [default: of the container, else 10 s]
    #[arg(long, short, value_name = "DURATION", value_parser = ctr_core::quantity::parse_duration)]
    timeout: Option<Duration>,
    /// Options of every binary.
    #[command(flatten)]
    global: GlobalArgs,
}

fn signal(text: &str) -> Result<i32, String> {
    ctr_sys::signal::parse(text).ok_or_else(|| "expected a signal, for example TERM, SIGINT or 15".to_owned())
}

/// The command line of `ctr-stop`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    Options::command()
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), exit::TOOL, run)
}

/// Does what `options` ask for. One container that cannot be stopped keeps no other from being stopped.
pub fn run(options: Options) -> Result<ExitCode, Failure> {
    let Options { containers: names, all, filter, label, signal, timeout, global } = options;
    let containers = Containers::open(&global.root_or(Store::default_root));
    let mut progress = Progress { format: global.format, outcomes: Vec::new(), failed: false };
    let chosen = if names.is_empty() {
        let selection = Selection::new(false, filter, label);
        choose::matching(
            &containers,
            |container, status| selection.takes(container, status),
            all,
            |failure| progress.fail(failure),
        )?
    } else {
        choose::named(&containers, &names, |error| progress.fail(&failure(error)))
    };
    let mut ended = stop_all(chosen, Request { signal, timeout }, |failure| progress.fail(failure));
    if ended.iter().any(|ended| ended.container.record.rm) {
        remove::prepare();
    }
    for ended in ended.drain(..) {
        match ended.settle(&containers) {
            Ok(outcome) => progress.ended(outcome)?,
            Err(failure) => progress.fail(&failure),
        }
    }
    progress.finish()
}

/// Stops containers: all are asked first, then waited for, so that ten take as long as the slowest, not as all together.
pub fn stop_all(chosen: Vec<Container>, request: Request, mut failed: impl FnMut(&Failure)) -> Vec<Ended> {
    let mut asked = Vec::with_capacity(chosen.len());
    for container in chosen {
        match Stopping::ask(container, request) {
            Ok(stopping) => asked.push(stopping),
            Err(failure) => failed(&failure),
        }
    }
    asked.sort_by_key(Stopping::deadline);
    let mut ended = Vec::with_capacity(asked.len());
    for stopping in asked {
        match stopping.finish() {
            Ok(one) => ended.push(one),
            Err(failure) => failed(&failure),
        }
    }
    ended
}

pub(crate) fn failure(error: ContainerError) -> Failure {
    Failure::hinted(error, ContainerError::hint)
}

/// What has been reached, told as it happens (ids) or at the end (JSON).
struct Progress {
    format: OutputFormat,
    outcomes: Vec<Outcome>,
    failed: bool,
}

impl Progress {
    fn fail(&mut self, failure: &Failure) {
        self.failed = true;
        ctr_cli::print_error(failure);
    }

    fn ended(&mut self, outcome: Outcome) -> Result<(), Failure> {
        if self.format == OutputFormat::Table {
            ctr_cli::print(&format!("{}\n", outcome.id))?;
        }
        self.outcomes.push(outcome);
        Ok(())
    }

    fn finish(self) -> Result<ExitCode, Failure> {
        if self.format == OutputFormat::Json {
            ctr_cli::print_json(&self.outcomes)?;
        }
        Ok(ExitCode::from(if self.failed { exit::FAILURE } else { exit::SUCCESS }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
        for good in [
            &["ctr-stop", "web", "db"][..],
            &["ctr-stop", "--all", "-t", "0"],
            &["ctr-stop", "--label", "team=db", "-f", "name=w*"],
            &["ctr-stop", "web", "--signal", "INT", "--timeout", "1m"],
        ] {
            assert!(Options::try_parse_from(good).is_ok(), "{good:?}");
        }
        for bad in [
            &["ctr-stop"][..],
            &["ctr-stop", "--all", "web"],
            &["ctr-stop", "web", "--signal", "NOPE"],
            &["ctr-stop", "web", "--timeout", "-1"],
        ] {
            assert!(Options::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }
}
