//! `ctr-volume ls` and `ctr-volume inspect`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use ctr_cli::{Failure, GlobalArgs, OutputFormat, Table, human};
use ctr_core::timestamp::Timestamp;
use ctr_core::volume::{Volume, Volumes};
use serde::Serialize;

use crate::failure;

/// List volumes
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only volumes with this label
    #[arg(long, short = 'l', value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// Only volumes that no container uses
    #[arg(long)]
    unused: bool,
}

/// Show all that is known of volumes, as JSON
#[derive(Debug, clap::Args)]
pub(crate) struct InspectOptions {
    /// Names of the volumes
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// A volume (spec/schemas/volume-list.json).
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    created_at: Timestamp,
    labels: BTreeMap<String, String>,
    /// Its directory on the host.
    path: String,
    /// Names or ids of the containers that use it.
    used_by: Vec<String>,
}

fn row(volume: Volume, users: &mut ctr_core::volume::Users) -> Row {
    Row {
        path: crate::shown(&volume.data()),
        used_by: users.remove(&volume.record.name).unwrap_or_default(),
        name: volume.record.name,
        created_at: volume.record.created_at,
        labels: volume.record.labels,
    }
}

pub(crate) fn run(options: &Options, global: &GlobalArgs, volumes: &Volumes) -> Result<ExitCode, Failure> {
    let (found, damaged) = volumes.list().map_err(failure)?;
    let mut users = volumes.users().map_err(failure)?;
    let rows: Vec<Row> = found
        .into_iter()
        .filter(|volume| has_labels(volume, &options.label))
        .map(|volume| row(volume, &mut users))
        .filter(|row| !options.unused || row.used_by.is_empty())
        .collect();
    print(&rows, global)?;
    // One that cannot be read hides no other (CLI-10).
    let bad = !damaged.is_empty();
    for error in damaged {
        ctr_cli::print_error(&failure(error));
    }
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(rows: &[Row], global: &GlobalArgs) -> Result<(), Failure> {
    if global.format == OutputFormat::Json {
        return ctr_cli::print_json(&rows);
    }
    if global.quiet {
        return rows.iter().try_for_each(|row| ctr_cli::print(&format!("{}\n", row.name)));
    }
    let mut table = Table::new(["NAME", "CREATED", "USED BY", "LABELS"]);
    for row in rows {
        let age = Duration::from_nanos(Timestamp::now().0.saturating_sub(row.created_at.0));
        let labels: Vec<String> = row.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        table.row([row.name.clone(), human::ago(age), row.used_by.join(", "), labels.join(", ")]);
    }
    ctr_cli::print(&table.to_string())
}

pub(crate) fn has_labels(volume: &Volume, wanted: &[String]) -> bool {
    wanted.iter().all(|wanted| match wanted.split_once('=') {
        Some((key, value)) => volume.record.labels.get(key).is_some_and(|found| found == value),
        None => volume.record.labels.contains_key(wanted),
    })
}

pub(crate) fn inspect(options: &InspectOptions, volumes: &Volumes) -> Result<ExitCode, Failure> {
    let mut users = volumes.users().map_err(failure)?;
    let mut rows = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for name in &options.names {
        match volumes.find(name) {
            Ok(volume) => rows.push(row(volume, &mut users)),
            Err(error) => {
                ctr_cli::print_error(&failure(error));
                code = ExitCode::FAILURE;
            }
        }
    }
    ctr_cli::print_json(&rows)?;
    Ok(code)
}
