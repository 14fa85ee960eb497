//! What was removed, or would be, and why.

use ctr_cli::{Failure, GlobalArgs, OutputFormat, Table, human};
use serde::Serialize;

/// One thing.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    /// What kind of thing it is.
    pub(crate) kind: &'static str,
    /// Id, name or digest.
    pub(crate) id: String,
    /// Where it lies, or lay.
    pub(crate) path: String,
    /// Bytes on the disk; none where they were not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
    /// Why it goes.
    pub(crate) reason: String,
}

/// All things.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Nothing was removed.
    pub(crate) dry_run: bool,
    /// What goes.
    pub(crate) items: Vec<Line>,
    /// Sum of the bytes.
    pub(crate) bytes: u64,
    /// Why no layers, blobs and images were collected, if so.
    pub(crate) kept_because: Vec<String>,
    /// What could not be removed.
    pub(crate) errors: Vec<String>,
}

impl Report {
    /// Adds a thing.
    pub(crate) fn add(&mut self, kind: &'static str, id: String, path: String, bytes: Option<u64>, reason: String) {
        self.bytes += bytes.unwrap_or(0);
        self.items.push(Line { kind, id, path, bytes, reason });
    }

    /// Prints the report: the list to standard output, what is to be known beside it to standard error.
    pub(crate) fn print(&self, global: &GlobalArgs) -> Result<(), Failure> {
        if global.format == OutputFormat::Json {
            ctr_cli::print_json(self)?;
        } else if global.quiet {
            let ids: Vec<&str> = self.items.iter().flat_map(|line| [line.id.as_str(), "\n"]).collect();
            ctr_cli::print(&ids.concat())?;
        } else if !self.items.is_empty() {
            let mut table = Table::new(["WHAT", "ID", "SIZE", "REASON"]).right(2);
            for line in &self.items {
                table.row([
                    line.kind,
                    &short(&line.id),
                    &line.bytes.map(human::size).unwrap_or_default(),
                    &line.reason,
                ]);
            }
            ctr_cli::print(&table.to_string())?;
        }
        for reason in &self.kept_because {
            ctr_cli::warn(format!("no image, layer or blob was collected: {reason}"));
        }
        for error in &self.errors {
            ctr_cli::warn(error);
        }
        if !self.items.is_empty() {
            let verb = if self.dry_run { "would be freed" } else { "freed" };
            let count = match self.items.len() {
                1 => "1 item".to_owned(),
                count => format!("{count} items"),
            };
            ctr_cli::note(format!("{} in {count} {verb}", human::size(self.bytes)));
        }
        Ok(())
    }
}

/// Digests are shown as the other tools show them.
fn short(id: &str) -> String {
    let (prefix, rest) = if let Some(hex) = id.strip_prefix("old-") { ("old-", hex) } else { ("", id) };
    let hex = rest.strip_prefix("sha256:").unwrap_or(rest);
    match hex.get(..64) {
        Some(digest) if digest.bytes().all(|b| b.is_ascii_hexdigit()) => {
            format!("{prefix}{}", digest.get(..12).unwrap_or(digest))
        }
        _ => id.to_owned(),
    }
}
