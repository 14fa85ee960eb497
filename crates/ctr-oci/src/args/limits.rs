//! Verbs about control groups.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::id::ContainerId;

/// `pause`.
#[derive(Debug, Clone, Args)]
pub struct Pause {
    /// Container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

/// `resume`.
#[derive(Debug, Clone, Args)]
pub struct Resume {
    /// Container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

/// `update`. What is not given stays as it is.
#[derive(Debug, Clone, Args)]
pub struct Update {
    /// Container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
    /// File with linux.resources as JSON, `-` for standard input; the options below do not count then
    #[arg(long, short, value_name = "FILE")]
    pub resources: Option<PathBuf>,

    /// Memory, in bytes or as 512M; -1 is unlimited
    #[arg(long, value_name = "SIZE", value_parser = bytes, allow_hyphen_values = true)]
    pub memory: Option<i64>,
    /// Memory below which nothing is reclaimed from the container
    #[arg(long, value_name = "SIZE", value_parser = bytes, allow_hyphen_values = true)]
    pub memory_reservation: Option<i64>,
    /// Memory and swap together; -1 is unlimited
    #[arg(long, value_name = "SIZE", value_parser = bytes, allow_hyphen_values = true)]
    pub memory_swap: Option<i64>,
    /// Kernel memory (control groups v1, kernels before 6.1)
    #[arg(long, value_name = "SIZE", value_parser = bytes, allow_hyphen_values = true)]
    pub kernel_memory: Option<i64>,
    /// Buffers of TCP (control groups v1)
    #[arg(long, value_name = "SIZE", value_parser = bytes, allow_hyphen_values = true)]
    pub kernel_memory_tcp: Option<i64>,

    /// Weight against other containers, 2 to 262144
    #[arg(long, value_name = "N", alias = "cpu-shares")]
    pub cpu_share: Option<u64>,
    /// Microseconds of processor time in each period; -1 is unlimited
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub cpu_quota: Option<i64>,
    /// The period
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<u64>,
    /// What of the quota can be saved up
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_burst: Option<u64>,
    /// Real-time in each real-time period (control groups v1)
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub cpu_rt_runtime: Option<i64>,
    /// The real-time period (control groups v1)
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_rt_period: Option<u64>,
    /// 1: only what nobody else wants (SCHED_IDLE); 0: as usual
    #[arg(long, value_name = "0|1", allow_negative_numbers = true)]
    pub cpu_idle: Option<i64>,
    /// Processors, as 0-3,5
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,

    /// Weight of input and output, 10 to 1000
    #[arg(long, value_name = "N")]
    pub blkio_weight: Option<u16>,
    /// Processes and threads; -1 is unlimited
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub pids_limit: Option<i64>,
    /// Cache of Intel RDT: a line of schemata
    #[arg(long, value_name = "SCHEMA")]
    pub l3_cache_schema: Option<String>,
    /// Memory bandwidth of Intel RDT: a line of schemata
    #[arg(long, value_name = "SCHEMA")]
    pub mem_bw_schema: Option<String>,
}

/// `events`.
#[derive(Debug, Clone, Args)]
pub struct Events {
    /// Container
    #[arg(value_name = "ID")]
    pub id: ContainerId,
    /// Print what is used once, and end
    #[arg(long)]
    pub stats: bool,
    /// Time between two reports of what is used
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = interval)]
    pub interval: Duration,
}

/// A size, or -1.
fn bytes(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    let size = ctr_core::quantity::parse_size(text).map_err(|error| error.to_string())?;
    i64::try_from(size).map_err(|_| format!("at most {} bytes", i64::MAX))
}

fn interval(text: &str) -> Result<Duration, String> {
    let duration = ctr_core::quantity::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("it must be more than nothing".to_owned()) } else { Ok(duration) }
}
