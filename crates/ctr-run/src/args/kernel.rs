//! Kernel parameters, names and clocks of the container.

use clap::Args;

/// Kernel parameters, names and clocks of the container.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kernel")]
pub(crate) struct KernelArgs {
    /// Kernel parameter of the container's namespaces, as net.ipv4.ip_forward=1
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) sysctl: Vec<String>,
    /// NIS domain name
    #[arg(long, value_name = "NAME")]
    pub(crate) domainname: Option<String>,
    /// By how much the container's clocks are ahead, as monotonic=1h,boottime=-10s
    #[arg(long, value_name = "CLOCK=DURATION[,...]", allow_hyphen_values = true)]
    pub(crate) time_offset: Option<String>,
    /// Time zone for /etc/localtime, of the host's database, or 'local' for the host's own
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
}
