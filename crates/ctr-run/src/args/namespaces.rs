//! Namespaces, and what is set in them.

use clap::{Args, ValueEnum};

/// Namespaces, and what is set in them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Namespaces")]
pub(crate) struct NamespaceArgs {
    /// User ids: auto, host, keep-id[:uid=UID,gid=GID], or a map CONTAINER:HOST:COUNT[,...] [default: auto]
    #[arg(long, value_name = "MODE")]
    pub(crate) userns: Option<String>,
    /// Map of user ids; groups the same unless --gidmap is given
    #[arg(long, value_name = "CONTAINER:HOST:COUNT", conflicts_with = "userns")]
    pub(crate) uidmap: Vec<String>,
    /// Map of group ids; users the same unless --uidmap is given
    #[arg(long, value_name = "CONTAINER:HOST:COUNT", conflicts_with = "userns")]
    pub(crate) gidmap: Vec<String>,
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
