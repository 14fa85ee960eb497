//! `list`: the containers of this root.

use std::process::ExitCode;

use ctr_cli::{Failure, Table};

use super::start::state_failure;
use crate::args::{self, Global, ListFormat};
use crate::state::{Known, States};

/// `ctr-oci list`.
pub(crate) fn list(global: &Global, args: &args::List) -> Result<ExitCode, Failure> {
    let found = States::open(global)?.list().map_err(state_failure)?;
    match (args.quiet, args.format) {
        (true, _) => {
            let ids: Vec<&str> = found.iter().flat_map(|known| [known.id(), "\n"]).collect();
            ctr_cli::print(&ids.concat())?;
        }
        (false, ListFormat::Table) => ctr_cli::print(&table(&found).to_string())?,
        // As the other runtimes have it: what has no containers is null.
        (false, ListFormat::Json) if found.is_empty() => ctr_cli::print("null\n")?,
        (false, ListFormat::Json) => {
            let documents: Vec<_> = found.iter().map(Known::document).collect();
            ctr_cli::print(&format!("{}\n", ctr_cli::to_json(&documents, false)?))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(found: &[Known]) -> Table {
    let mut table = Table::new(["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    for known in found {
        let document = known.document();
        table.row([
            document.id,
            &document.pid.to_string(),
            document.status.name(),
            &document.bundle.to_string_lossy(),
            &document.created.to_string(),
            &document.owner,
        ]);
    }
    table
}
