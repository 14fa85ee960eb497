//! `ctr-rm`: remove containers at once, which ctr-gc would after their grace.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use ctr_cli::{Failure, GlobalArgs, OutputFormat, exit};
use ctr_core::container::{Container, ContainerError, Containers, Filter, LabelFilter, Selection, State};
use ctr_core::store::Store;
use ctr_stop::{Request, choose, remove};
use serde::Serialize;

/// Remove containers
///
/// Removes containers that do not run: their directory with all that their programs wrote and logged, their name and what is
/// left of their control groups. Images and volumes stay. Prints the ids of the containers that were removed. With --force,
/// those that run are stopped first, as ctr-stop does it.
#[derive(Debug, Parser)]
#[command(name = "ctr-rm", version = ctr_cli::VERSION)]
pub struct Options {
    /// Containers to remove: ids, beginnings of ids (3 characters or more) or names
    #[arg(
        value_name = "CONTAINER",
        required_unless_present_any = ["all", "filter", "label"],
        conflicts_with_all = ["all", "filter", "label"]
    )]
    containers: Vec<String>,
    /// Remove all containers that do not run; with --force all
    #[arg(long, short)]
    all: bool,
    /// Remove those that match: id=BEGINNING, name=NAME (* stands for anything), image=NAME, state=STATE, label=KEY[=VALUE]
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// Remove those with this label, and this value if one is given
    #[arg(long, short, value_name = "KEY[=VALUE]")]
    label: Vec<LabelFilter>,
    /// Stop containers that run, then remove them
    #[arg(long, short)]
    force: bool,
    /// With --force: time from the stop signal to the kill, in seconds or as 500ms, 5m [default: of the container]
    #[arg(long, short, value_name = "DURATION", requires = "force", value_parser = ctr_core::quantity::parse_duration)]
    timeout: Option<Duration>,
    /// A container that is not there is no failure
    #[arg(long, short)]
    ignore: bool,
    /// Options of every binary.
    #[command(flatten)]
    global: GlobalArgs,
}

/// What was removed; printed as JSON (spec/schemas/rm.json).
#[derive(Debug, Serialize)]
struct Removed {
    id: String,
    name: Option<String>,
    was_running: bool,
}

/// The command line of `ctr-rm`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    Options::command()
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), exit::TOOL, run)
}

/// Does what `options` ask for. One container that cannot be removed keeps no other from being removed.
pub fn run(options: Options) -> Result<ExitCode, Failure> {
    let Options { containers: names, all, filter, label, force, timeout, ignore, global } = options;
    let containers = Containers::open(&global.root_or(Store::default_root));
    let mut failed = false;
    let mut fail = |failure: &Failure| {
        failed = true;
        ctr_cli::print_error(failure);
    };
    let chosen = if names.is_empty() {
        let selection = Selection::new(true, filter, label);
        choose::matching(
            &containers,
            |container, status| (force || status.state != State::Running) && selection.takes(container, status),
            all && force,
            &mut fail,
        )?
    } else {
        choose::named(&containers, &names, |error| {
            if !(ignore && matches!(error, ContainerError::NotFound(_))) {
                fail(&Failure::hinted(error, ContainerError::hint));
            }
        })
    };
    let dead: Vec<(Container, bool)> = if force {
        let ended = ctr_stop::stop_all(chosen, Request { signal: None, timeout }, &mut fail);
        ended.into_iter().map(|ended| (ended.container, ended.was_running)).collect()
    } else {
        chosen.into_iter().filter_map(|container| only_dead(container).map_err(|failure| fail(&failure)).ok()).collect()
    };
    if !dead.is_empty() {
        remove::prepare();
    }
    let mut removed = Vec::with_capacity(dead.len());
    for (container, was_running) in dead {
        match remove::container(&containers, &container) {
            // Another process was first: it is gone all the same.
            Ok(_) => {
                if global.format == OutputFormat::Table {
                    ctr_cli::print(&format!("{}\n", container.record.id))?;
                }
                removed.push(Removed { id: container.record.id, name: container.record.name, was_running });
            }
            Err(failure) => fail(&failure),
        }
    }
    if global.format == OutputFormat::Json {
        ctr_cli::print_json(&removed)?;
    }
    Ok(ExitCode::from(if failed { exit::FAILURE } else { exit::SUCCESS }))
}

/// The container, if it does not run and is not just being made.
fn only_dead(container: Container) -> Result<(Container, bool), Failure> {
    let failure = |error| Failure::hinted(error, ContainerError::hint);
    let record = &container.record;
    let name = record.name.clone().unwrap_or_else(|| record.id.chars().take(12).collect());
    match container.status().map_err(failure)?.state {
        State::Running => Err(Failure::new(format!("cannot remove {name}: it runs"))
            .hint("stop it first (ctr-stop), or use --force, which does")),
        State::Embryo | State::Prepared if container.lock_is_held().map_err(failure)? => {
            Err(Failure::new(format!("cannot remove {name}: it is just being started")).hint("run the command again"))
        }
        _ => Ok((container, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
        for good in [
            &["ctr-rm", "web", "db"][..],
            &["ctr-rm", "--all"],
            &["ctr-rm", "-af", "-t", "1"],
            &["ctr-rm", "--filter", "state=exited", "-l", "team"],
            &["ctr-rm", "-i", "web"],
        ] {
            assert!(Options::try_parse_from(good).is_ok(), "{good:?}");
        }
        for bad in [&["ctr-rm"][..], &["ctr-rm", "--all", "web"], &["ctr-rm", "web", "-t", "1"]] {
            assert!(Options::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }
}
