//! Namespaces, and what is set in them.

use clap::Args;

/// Namespaces, and what is set in them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Namespaces")]
pub(crate) struct NamespaceArgs {
    /// User ids: auto, host, keep-id[:uid=UID,gid=GID], container:CONTAINER, or a map CONTAINER:HOST:COUNT[,...] [default: auto]
    #[arg(long, value_name = "MODE")]
    pub(crate) userns: Option<String>,
    /// Map of user ids; groups the same unless --gidmap is given
    #[arg(long, value_name = "CONTAINER:HOST:COUNT", conflicts_with = "userns")]
    pub(crate) uidmap: Vec<String>,
    /// Map of group ids; users the same unless --uidmap is given
    #[arg(long, value_name = "CONTAINER:HOST:COUNT", conflicts_with = "userns")]
    pub(crate) gidmap: Vec<String>,
    /// Network: none (its own, loopback only), host, container:CONTAINER or ns:PATH
    #[arg(long, visible_alias = "net", value_name = "MODE", default_value = "none")]
    pub(crate) network: String,
    /// IPC: own, host, container:CONTAINER or ns:PATH
    #[arg(long, value_name = "MODE", default_value = "own")]
    pub(crate) ipc: String,
    /// Process ids: own, host, container:CONTAINER or ns:PATH
    #[arg(long, value_name = "MODE", default_value = "own")]
    pub(crate) pid: String,
    /// Host name: own, host, container:CONTAINER or ns:PATH
    #[arg(long, value_name = "MODE", default_value = "own")]
    pub(crate) uts: String,
    /// Root of the control groups that are seen: own, host, container:CONTAINER or ns:PATH
    #[arg(long, value_name = "MODE", default_value = "own")]
    pub(crate) cgroupns: String,
    /// Host name [default: the beginning of the id]
    #[arg(long)]
    pub(crate) hostname: Option<String>,
    /// Line for /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub(crate) add_host: Vec<String>,
    /// Leave /etc/hosts as the image has it
    #[arg(long, conflicts_with = "add_host")]
    pub(crate) no_hosts: bool,
    /// Name server for /etc/resolv.conf
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns: Vec<String>,
}
