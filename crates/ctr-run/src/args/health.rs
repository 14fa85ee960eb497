//! When the container is ready.

use std::time::Duration;

use clap::Args;
use ctr_core::quantity::parse_duration;

/// When the container is ready.
#[derive(Debug, Args)]
#[command(next_help_heading = "Readiness")]
pub(crate) struct HealthArgs {
    /// End only when --health-cmd has succeeded in the container; stop it and fail if that does not come to pass
    #[arg(long, requires = "health_cmd", conflicts_with_all = ["wait", "interactive", "tty"])]
    pub(crate) wait_ready: bool,
    /// Shell command that succeeds in the container when it is ready, by the profile of its program
    #[arg(long, value_name = "COMMAND", requires = "wait_ready")]
    pub(crate) health_cmd: Option<String>,
    /// Time between two tries
    #[arg(long, value_name = "DURATION", requires = "health_cmd", default_value = "1s", value_parser = parse_duration)]
    pub(crate) health_interval: Duration,
    /// Longest time of one try
    #[arg(long, value_name = "DURATION", requires = "health_cmd", default_value = "30s", value_parser = parse_duration)]
    pub(crate) health_timeout: Duration,
    /// Failed tries after which it is given up
    #[arg(long, value_name = "NUMBER", requires = "health_cmd", default_value_t = 30)]
    pub(crate) health_retries: u32,
    /// Time from the start in which a failed try does not count
    #[arg(long, value_name = "DURATION", requires = "health_cmd", default_value = "0s", value_parser = parse_duration)]
    pub(crate) health_start_period: Duration,
}
