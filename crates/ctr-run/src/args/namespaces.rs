//! Namespaces, and what is set in them.

use clap::{Args, ValueEnum};

/// Namespaces, and what is set in them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NamespaceArgs {
    /// Network: its own with loopback only, or the host's
    #[arg(long, visible_alias = "net", value_enum, default_value_t = NetworkArg::None)]
    pub(crate) network: NetworkArg,
    /// Host name [default: the beginning of the id]
    #[arg(long)]
    pub(crate) hostname: Option<String>,
    /// Line for /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub(crate) add_host: Vec<String>,
    /// Name server for /etc/resolv.conf
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns: Vec<String>,
}

/// `--network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkArg {
    /// Loopback only
    None,
    /// The host's
    Host,
}
