//! `ctr-image list`.

use std::time::Duration;

use ctr_cli::{Failure, GlobalArgs, OutputFormat, Table, human};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::store::{PREFIX_MIN, Store};
use ctr_core::timestamp::Timestamp;
use serde::Serialize;

use ctr_export::{Details, familiar, names_by_image};

/// List the images of the store
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only images with one of these names, or digests that begin so
    names: Vec<String>,
}

/// One line (spec/schemas/image-list.json).
#[derive(Debug, Serialize)]
struct Row {
    name: Option<String>,
    digest: Digest,
    platform: String,
    layers: usize,
    size: u64,
    created: Option<String>,
}

pub(crate) fn run(options: &Options, global: &GlobalArgs, store: &Store) -> Result<(), Failure> {
    let mut rows = rows(store)?;
    if !options.names.is_empty() {
        rows.retain(|row| options.names.iter().any(|wanted| matches(wanted, row)));
    }
    if global.format == OutputFormat::Json {
        return ctr_cli::print_json(&rows);
    }
    if global.quiet {
        let mut digests: Vec<String> = rows.iter().map(|row| row.digest.to_string()).collect();
        digests.dedup();
        return digests.iter().try_for_each(|digest| ctr_cli::print(&format!("{digest}\n")));
    }
    let mut table = Table::new(["NAME", "DIGEST", "PLATFORM", "LAYERS", "SIZE", "CREATED"]).right(3).right(4);
    for row in &rows {
        table.row([
            row.name.as_deref().map(familiar).unwrap_or_default(),
            row.digest.short(),
            row.platform.clone(),
            row.layers.to_string(),
            human::size(row.size),
            row.created.as_deref().map(age).unwrap_or_default(),
        ]);
    }
    ctr_cli::print(&table.to_string())
}

/// Images by name, those without one last. One that cannot be read hides no other.
fn rows(store: &Store) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for (digest, names) in names_by_image(store)? {
        let details = match Details::load(store, &digest) {
            Ok(details) => details,
            Err(failure) => {
                let name = names.first().cloned().unwrap_or_else(|| digest.to_string());
                ctr_cli::warn(format!("{name} cannot be read: {}; ctr-gc --check tells more", failure.what()));
                continue;
            }
        };
        let row = |name: Option<String>| Row {
            name,
            digest,
            platform: details.config.platform.to_string(),
            layers: details.manifest.layers.len(),
            size: details.size(),
            created: details.config.created.clone(),
        };
        if names.is_empty() {
            rows.push(row(None));
        } else {
            rows.extend(names.into_iter().map(|name| row(Some(name))));
        }
    }
    rows.sort_by(|a, b| (a.name.is_none(), &a.name, a.digest).cmp(&(b.name.is_none(), &b.name, b.digest)));
    Ok(rows)
}

fn matches(wanted: &str, row: &Row) -> bool {
    let by_name = || {
        let (Some(name), Ok(wanted)) = (&row.name, wanted.parse::<Reference>()) else { return false };
        *name == wanted.to_string()
    };
    let digits = wanted.trim_start_matches("sha256:");
    by_name() || (digits.len() >= PREFIX_MIN && row.digest.hex().starts_with(digits))
}

/// How long ago a time of an image config was; the text itself where it cannot be understood, nothing where it is the
/// time of an image that was made reproducible.
fn age(created: &str) -> String {
    let Ok(created) = created.parse::<Timestamp>() else { return created.to_owned() };
    if created == Timestamp(0) {
        return String::new();
    }
    human::ago(Duration::from_nanos(Timestamp::now().0.saturating_sub(created.0)))
}
