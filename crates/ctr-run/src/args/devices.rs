//! Devices of the host.

use clap::Args;

/// Devices of the host.
#[derive(Debug, Args)]
#[command(next_help_heading = "Devices")]
pub(crate) struct DeviceArgs {
    /// Device of the host, or directory of devices, to show below /dev
    #[arg(long, value_name = "HOST[:CONTAINER][:rwm]")]
    pub(crate) device: Vec<String>,
    /// Device numbers that may be used, as 'c 10:200 rw'
    #[arg(long, value_name = "TYPE MAJOR:MINOR ACCESS")]
    pub(crate) device_cgroup_rule: Vec<String>,
}
