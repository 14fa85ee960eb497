//! `ctr-ps`: list containers, show the status of one, wait until it ends.
#![forbid(unsafe_code)]

mod entry;
mod live;
mod stats;
mod wait;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use ctr_cli::{Failure, GlobalArgs, OutputFormat, Table, exit};
use ctr_core::container::{Container, ContainerError, Containers, Filter, LabelFilter, Selection};
use ctr_core::store::Store;

use entry::Entry;

/// List containers
///
/// Without arguments: those that run. With ids or names: these, in whatever state they are. The exit code is 0 if all that
/// was asked for could be shown, 1 if a part could not; with --wait, 0 once the containers have ended, whatever their
/// programs returned (the table and the JSON tell), and 1 if one still runs after the timeout.
#[derive(Debug, Parser)]
#[command(name = "ctr-ps", version = ctr_cli::VERSION)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct Options {
    /// Containers to show: ids, beginnings of ids (3 characters or more) or names
    #[arg(value_name = "CONTAINER", conflicts_with = "all")]
    containers: Vec<String>,
    /// Show also the containers that do not run
    #[arg(long, short)]
    all: bool,
    /// Show those that match: id=BEGINNING, name=NAME (* stands for anything), image=NAME, state=STATE, label=KEY[=VALUE]
    #[arg(long, short, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// Show those with this label, and this value if one is given
    #[arg(long, short, value_name = "KEY[=VALUE]")]
    label: Vec<LabelFilter>,
    /// Wait until the containers have ended, then show them
    #[arg(long, requires = "containers", conflicts_with_all = ["filter", "label"])]
    wait: bool,
    /// Longest time to wait, in seconds or as 500ms, 5m, 1h30m
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = ctr_core::quantity::parse_duration)]
    timeout: Option<Duration>,
    /// Show what running containers use: CPU, memory, processes, disks, network
    #[arg(long, conflicts_with_all = ["wait", "all"])]
    stats: bool,
    /// With --stats: show it again and again, with this time between, until the named containers have ended
    #[arg(long, value_name = "INTERVAL", requires = "stats", value_parser = interval)]
    watch: Option<Duration>,
    /// With --stats: show it once (the default)
    #[arg(long, requires = "stats", conflicts_with = "watch")]
    no_stream: bool,
    /// Show what holds the containers in: ids, namespaces, network, capabilities, system calls
    #[arg(long, conflicts_with = "stats")]
    isolation: bool,
    /// Do not shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Options of every binary.
    #[command(flatten)]
    global: GlobalArgs,
}

/// Looking costs a few dozen system calls for each container.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = ctr_core::quantity::parse_duration(text).map_err(|error| error.to_string())?;
    if interval < Duration::from_millis(20) { Err("the shortest is 20ms".to_owned()) } else { Ok(interval) }
}

/// The command line of `ctr-ps`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    Options::command()
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), exit::TOOL, run)
}

/// Does what `options` ask for. A container that cannot be shown is told of and hides no other (CLI-10, CLI-43).
pub fn run(options: Options) -> Result<ExitCode, Failure> {
    if options.stats {
        return show_stats(options);
    }
    let Options { containers: names, all, filter, label, wait, timeout, isolation, no_trunc, global, .. } = options;
    let containers = Containers::open(&global.root_or(Store::default_root));
    let mut failures = Vec::new();
    let found = if names.is_empty() {
        everything(&containers, &mut failures)?
    } else {
        find(&containers, &names, &mut failures)
    };
    let mut entries = Vec::with_capacity(found.len());
    if wait {
        wait::until_ended(&containers, found, timeout, &mut entries, &mut failures)?;
    } else {
        for container in found {
            match Entry::look(container) {
                Ok(entry) => entries.push(entry),
                Err(error) => failures.push(failure(error)),
            }
        }
    }
    // Whoever was named is shown in whatever state.
    let selection = Selection::new(all || !names.is_empty(), filter, label);
    entries.retain(|entry| selection.takes(&entry.container, &entry.status));
    // A head over nothing would only stand in the way of the errors.
    if failures.is_empty() || !entries.is_empty() || global.format == OutputFormat::Json {
        show(&entries, isolation, no_trunc, &global)?;
    }
    failures.iter().for_each(ctr_cli::print_error);
    Ok(ExitCode::from(if failures.is_empty() { exit::SUCCESS } else { exit::FAILURE }))
}

fn show_stats(options: Options) -> Result<ExitCode, Failure> {
    let Options { containers: names, filter, label, no_trunc, watch, global, .. } = options;
    let containers = Containers::open(&global.root_or(Store::default_root));
    let selection = Selection::new(!names.is_empty(), filter, label);
    let choose = |failures: &mut Vec<Failure>| {
        let found =
            if names.is_empty() { everything(&containers, failures)? } else { find(&containers, &names, failures) };
        let mut entries = Vec::with_capacity(found.len());
        for container in found {
            match Entry::look(container) {
                Ok(entry) => entries.push(entry),
                Err(error) => failures.push(failure(error)),
            }
        }
        Ok(entries
            .into_iter()
            .filter(|entry| selection.takes(&entry.container, &entry.status))
            .map(|entry| entry.container)
            .collect())
    };
    let mut failures = Vec::new();
    let show = stats::Show { format: global.format, watch, full: no_trunc };
    stats::show(choose, !names.is_empty(), show, &mut failures)?;
    failures.iter().for_each(ctr_cli::print_error);
    Ok(ExitCode::from(if failures.is_empty() { exit::SUCCESS } else { exit::FAILURE }))
}

fn failure(error: ContainerError) -> Failure {
    Failure::hinted(error, ContainerError::hint)
}

fn find(containers: &Containers, names: &[String], failures: &mut Vec<Failure>) -> Vec<Container> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match containers.find(name) {
            Ok(container) => found.push(container),
            Err(error) => failures.push(failure(error)),
        }
    }
    found
}

fn everything(containers: &Containers, failures: &mut Vec<Failure>) -> Result<Vec<Container>, Failure> {
    let (found, damaged) = containers.scan().map_err(failure)?;
    failures.extend(damaged.into_iter().map(failure));
    Ok(found)
}

fn show(entries: &[Entry], isolation: bool, full: bool, global: &GlobalArgs) -> Result<(), Failure> {
    if global.format == OutputFormat::Json {
        return ctr_cli::print_json(&entries.iter().map(Entry::to_json).collect::<Vec<_>>());
    }
    if global.quiet {
        let ids: Vec<&str> = entries.iter().flat_map(|entry| [entry.container.record.id.as_str(), "\n"]).collect();
        return ctr_cli::print(&ids.concat());
    }
    let mut table = if isolation {
        Table::new(["ID", "NAME", "USER IDS", "OWN NAMESPACES", "NETWORK", "CAPABILITIES", "SYSTEM CALLS", "ROOT"])
    } else {
        Table::new(["ID", "NAME", "IMAGE", "COMMAND", "STATE", "PID", "CREATED", "EXIT"]).right(5)
    };
    for entry in entries {
        table.row(if isolation { entry.isolation_cells(full) } else { entry.cells(full) });
    }
    ctr_cli::print(&table.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
        for good in [
            &["ctr-ps"][..],
            &["ctr-ps", "-aq"],
            &["ctr-ps", "web", "--wait", "--timeout", "5s"],
            &["ctr-ps", "--stats", "web", "--watch", "1s"],
            &["ctr-ps", "--stats", "--no-stream"],
            &["ctr-ps", "-f", "name=web*", "-l", "a=b", "--format", "json"],
        ] {
            assert!(Options::try_parse_from(good).is_ok(), "{good:?}");
        }
        for bad in [
            &["ctr-ps", "--wait"][..],
            &["ctr-ps", "--all", "web"],
            &["ctr-ps", "web", "--wait", "--label", "a"],
            &["ctr-ps", "web", "--timeout", "5s"],
            &["ctr-ps", "--watch", "1s"],
            &["ctr-ps", "--stats", "--watch", "1ms"],
            &["ctr-ps", "--stats", "--watch", "1s", "--no-stream"],
            &["ctr-ps", "web", "--wait", "--timeout", "soon"],
            &["ctr-ps", "--filter", "colour=red"],
            &["ctr-ps", "--filter", "state=sleepy"],
            &["ctr-ps", "--label", "=b"],
        ] {
            assert!(Options::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }
}
