//! `--check` and `--repair`.

use std::process::ExitCode;

use ctr_cli::{Failure, OutputFormat, Table, human};
use ctr_core::store::Store;
use ctr_core::store::fsck::{Checked, DamageKind, Repaired};
use serde::Serialize;

use crate::{Options, failure};

#[derive(Debug, Serialize)]
struct Report<'a> {
    images: u64,
    layers: u64,
    blobs: u64,
    bytes: u64,
    damage: Vec<Line<'a>>,
    /// Images that are gone until they are fetched again.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_images: Option<&'a [String]>,
    /// Images that lack something that only an export needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    thinned_images: Option<&'a [String]>,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    kind: DamageKind,
    id: &'a str,
    path: String,
    problem: &'a str,
    images: &'a [String],
    /// Whether the images cannot be started with it.
    fatal: bool,
}

pub(crate) fn run(store: &Store, options: &Options) -> Result<ExitCode, Failure> {
    let checked = store.check(|_| ()).map_err(failure)?;
    let repaired = if options.repair && !options.dry_run && !checked.damage.is_empty() {
        Some(store.repair(&checked, options.wait).map_err(failure)?)
    } else {
        None
    };
    match options.global.format {
        OutputFormat::Json => ctr_cli::print_json(&report(&checked, repaired.as_ref()))?,
        OutputFormat::Table => print_table(&checked)?,
    }
    ctr_cli::note(format!(
        "checked {} images, {} layers, {} blobs with {}: {}",
        checked.images,
        checked.layers,
        checked.blobs,
        human::size(checked.bytes),
        match checked.damage.len() {
            0 => "all is well".to_owned(),
            count => format!("{count} damaged"),
        }
    ));
    let Some(repaired) = repaired else { return unrepaired(&checked) };
    for error in &repaired.failed {
        ctr_cli::warn(error.to_string());
    }
    for image in &repaired.removed_images {
        ctr_cli::warn(format!("{image} is removed until it is fetched again: ctr-fetch it from where it came"));
    }
    for image in &repaired.thinned_images {
        ctr_cli::warn(format!("{image} can be started, but not exported until it is fetched again"));
    }
    Ok(if repaired.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unrepaired(checked: &Checked) -> Result<ExitCode, Failure> {
    if checked.damage.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut images: Vec<&str> = checked.damage.iter().flat_map(|damage| &damage.images).map(String::as_str).collect();
    images.sort_unstable();
    images.dedup();
    let hint = match images.as_slice() {
        [] => "ctr-gc --check --repair removes it; no image needs it".to_owned(),
        images => format!(
            "ctr-fetch of these again replaces what is damaged: {}; ctr-gc --check --repair removes it",
            images.join(", ")
        ),
    };
    Err(Failure::new("the store is damaged").hint(hint))
}

fn report<'a>(checked: &'a Checked, repaired: Option<&'a Repaired>) -> Report<'a> {
    let line = |damage: &'a ctr_core::store::fsck::Damage| Line {
        kind: damage.kind,
        id: &damage.id,
        path: damage.path.display().to_string(),
        problem: &damage.problem,
        images: &damage.images,
        fatal: damage.fatal,
    };
    Report {
        images: checked.images,
        layers: checked.layers,
        blobs: checked.blobs,
        bytes: checked.bytes,
        damage: checked.damage.iter().map(line).collect(),
        removed_images: repaired.map(|repaired| repaired.removed_images.as_slice()),
        thinned_images: repaired.map(|repaired| repaired.thinned_images.as_slice()),
    }
}

fn print_table(checked: &Checked) -> Result<(), Failure> {
    if checked.damage.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["WHAT", "ID", "PROBLEM", "IMAGES"]);
    for damage in &checked.damage {
        let kind = match damage.kind {
            DamageKind::Name => "name",
            DamageKind::Image => "image",
            DamageKind::Layer => "layer",
            DamageKind::Blob => "blob",
            DamageKind::Referrers => "referrers",
        };
        let id: String = damage.id.chars().take(12).collect();
        table.row([kind, &id, &damage.problem, &damage.images.join(", ")]);
    }
    ctr_cli::print(&table.to_string())
}
