//! `ctr-stop`: ask containers to end, and end them if they do not.
#![forbid(unsafe_code)]

mod group;
mod remove;
mod stop;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use ctr_cli::{Failure, GlobalArgs, OutputFormat, exit};
use ctr_core::container::{Container, ContainerError, Containers, State};
use ctr_core::store::Store;

use stop::{Outcome, Request, Stopping};

/// Stop containers
///
/// Sends the stop signal (of the command line, else of the image, else SIGTERM) to the program, waits, and then kills all
/// that is left in the container's control group. Prints the ids of the containers that have ended. A container that
/// does not run is left as it is, with a note, and is no failure. Containers that were started with --rm are removed.
#[derive(Debug, Parser)]
#[command(name = "ctr-stop", version = ctr_cli::VERSION)]
pub struct Options {
    /// Containers to stop: ids, beginnings of ids (3 characters or more) or names
    #[arg(value_name = "CONTAINER", required_unless_present = "all", conflicts_with = "all")]
    containers: Vec<String>,
    /// Stop all containers that run
    #[arg(long, short)]
    all: bool,
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
    let Options { containers: names, all, signal, timeout, global } = options;
    let containers = Containers::open(&global.root_or(Store::default_root));
    let mut progress = Progress { format: global.format, outcomes: Vec::new(), failed: false };
    let chosen = if all { all_running(&containers, &mut progress)? } else { named(&containers, &names, &mut progress) };
    let request = Request { signal, timeout };
    // All are asked first, then waited for: ten containers take as long as the slowest, not as all together.
    let mut asked = Vec::with_capacity(chosen.len());
    for container in chosen {
        match Stopping::ask(container, request) {
            Ok(stopping) => asked.push(stopping),
            Err(failure) => progress.fail(&failure),
        }
    }
    asked.sort_by_key(Stopping::deadline);
    for stopping in asked {
        match stopping.finish(&containers) {
            Ok(outcome) => progress.ended(outcome)?,
            Err(failure) => progress.fail(&failure),
        }
    }
    progress.finish()
}

fn failure(error: ContainerError) -> Failure {
    Failure::hinted(error, ContainerError::hint)
}

fn all_running(containers: &Containers, progress: &mut Progress) -> Result<Vec<Container>, Failure> {
    let (found, damaged) = containers.scan().map_err(failure)?;
    for error in damaged {
        progress.fail(&failure(error));
    }
    let mut running = Vec::new();
    for container in found {
        match container.status() {
            Ok(status) if status.state == State::Running => running.push(container),
            Ok(_) => {}
            Err(error) => progress.fail(&failure(error)),
        }
    }
    Ok(running)
}

/// The containers with these names, each once.
fn named(containers: &Containers, names: &[String], progress: &mut Progress) -> Vec<Container> {
    let mut found: Vec<Container> = Vec::with_capacity(names.len());
    for name in names {
        match containers.find(name) {
            Ok(container) if found.iter().any(|other| other.record.id == container.record.id) => {}
            Ok(container) => found.push(container),
            Err(error) => progress.fail(&failure(error)),
        }
    }
    found
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
