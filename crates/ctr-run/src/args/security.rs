//! Privileges.

use clap::{ArgAction, Args};

/// Privileges.
#[derive(Debug, Args)]
#[command(next_help_heading = "Security")]
pub(crate) struct SecurityArgs {
    /// Capability to add to the default ones, or ALL
    #[arg(long, value_name = "CAP")]
    pub(crate) cap_add: Vec<String>,
    /// Capability to drop, or ALL
    #[arg(long, value_name = "CAP")]
    pub(crate) cap_drop: Vec<String>,
    /// System call filter: ctr's default, none (unconfined), or a profile in OCI's or Docker's JSON
    #[arg(long, value_name = "default|unconfined|FILE")]
    pub(crate) seccomp: Option<String>,
    /// seccomp=FILE|unconfined, apparmor=PROFILE|unconfined, label=type:TYPE|level:LEVEL|disable, mask=PATH[:PATH]...,
    /// unmask=ALL|PATH[:PATH]..., systempaths=unconfined, no-new-privileges[=true|false]
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub(crate) security_opt: Vec<String>,
    /// All capabilities, all devices, no filter, nothing hidden; what that reaches is said by --userns
    #[arg(long)]
    pub(crate) privileged: bool,
    /// No program in the container can gain privileges (set-user-ID bits, file capabilities)
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) no_new_privileges: bool,
}
