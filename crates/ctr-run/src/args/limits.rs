//! Limits of the container.

use clap::Args;

/// Limits of the container.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Memory limit, as 512M
    #[arg(long, short = 'm', value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// CPU limit, as 1.5
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cpus: Option<String>,
    /// Limit of processes and threads; 0 for none [default: 2048]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) pids_limit: Option<u64>,
}
