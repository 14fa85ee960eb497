//! `ctr-ps`: list containers, show the status of one, wait until it ends.
#![forbid(unsafe_code)]

mod entry;
mod live;
mod select;
mod wait;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use ctr_cli::{Failure, GlobalArgs, OutputFormat, Table, exit, human};
use ctr_core::container::{Container, ContainerError, Containers};
use ctr_core::store::Store;

use entry::Entry;
use select::{Filter, LabelFilter, Selection};

/// List containers
///
/// Without arguments: those that run. With ids or names: these, in whatever state they are. The exit code is 0 if all that
/// was asked for could be shown; with --wait, 0 once the containers have ended, whatever their programs returned (the
/// table and the JSON tell), and 1 if they still run after the timeout.
#[derive(Debug, Parser)]
#[command(name = "ctr-ps", version = ctr_cli::VERSION)]
pub struct Options {
    /// Containers to show: ids, beginnings of ids (3 characters or more) or names
    #[arg(value_name = "CONTAINER")]
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
    #[arg(long, requires = "containers")]
    wait: bool,
    /// Longest time to wait, in seconds or as 500ms, 5m, 1h30m
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = human::parse_duration)]
    timeout: Option<Duration>,
    /// Do not shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Options of every binary.
    #[command(flatten)]
    global: GlobalArgs,
}

/// The command line of `ctr-ps`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    Options::command()
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), exit::TOOL, run)
}

/// Does what `options` ask for.
pub fn run(options: Options) -> Result<(), Failure> {
    let containers = Containers::open(&options.global.root_or(Store::default_root));
    let selection = Selection::new(options.all, options.filter, options.label);
    let entries = if options.wait {
        let named = find(&containers, &options.containers)?;
        wait::until_ended(&containers, named, options.timeout)?
    } else if options.containers.is_empty() {
        everything(&containers)?.into_iter().filter(|entry| selection.takes(entry)).collect()
    } else {
        let named = find(&containers, &options.containers)?;
        let entries = named.into_iter().map(Entry::look).collect::<Result<Vec<_>, _>>().map_err(failure)?;
        entries.into_iter().filter(|entry| selection.matches(entry)).collect()
    };
    show(&entries, options.global.format, options.global.quiet, options.no_trunc)
}

fn failure(error: ContainerError) -> Failure {
    Failure::hinted(error, ContainerError::hint)
}

fn find(containers: &Containers, names: &[String]) -> Result<Vec<Container>, Failure> {
    names.iter().map(|name| containers.find(name).map_err(failure)).collect()
}

/// All containers. One that cannot be read is told of and hides no other.
fn everything(containers: &Containers) -> Result<Vec<Entry>, Failure> {
    let (found, damaged) = containers.scan().map_err(failure)?;
    let mut entries = Vec::with_capacity(found.len());
    for container in found {
        match Entry::look(container) {
            Ok(entry) => entries.push(entry),
            Err(error) => ctr_cli::print_error(&failure(error)),
        }
    }
    for error in damaged {
        ctr_cli::print_error(&failure(error));
    }
    Ok(entries)
}

fn show(entries: &[Entry], format: OutputFormat, quiet: bool, full: bool) -> Result<(), Failure> {
    if format == OutputFormat::Json {
        return ctr_cli::print_json(&entries.iter().map(Entry::to_json).collect::<Vec<_>>());
    }
    if quiet {
        let ids: Vec<&str> = entries.iter().flat_map(|entry| [entry.container.record.id.as_str(), "\n"]).collect();
        return ctr_cli::print(&ids.concat());
    }
    let mut table = Table::new(["ID", "NAME", "IMAGE", "COMMAND", "STATE", "PID", "CREATED", "EXIT"]).right(5);
    for entry in entries {
        table.row(entry.cells(full));
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
            &["ctr-ps", "-f", "name=web*", "-l", "a=b", "--format", "json"],
        ] {
            assert!(Options::try_parse_from(good).is_ok(), "{good:?}");
        }
        for bad in [
            &["ctr-ps", "--wait"][..],
            &["ctr-ps", "web", "--timeout", "5s"],
            &["ctr-ps", "web", "--wait", "--timeout", "soon"],
            &["ctr-ps", "--filter", "colour=red"],
            &["ctr-ps", "--filter", "state=sleepy"],
            &["ctr-ps", "--label", "=b"],
        ] {
            assert!(Options::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }
}
