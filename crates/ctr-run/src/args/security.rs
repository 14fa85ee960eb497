//! Privileges.

use clap::{ArgAction, Args, ValueEnum};

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
    /// System call filter
    #[arg(long, value_enum, default_value_t = SeccompArg::Default)]
    pub(crate) seccomp: SeccompArg,
    /// No program in the container can gain privileges (set-user-ID bits, file capabilities)
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) no_new_privileges: bool,
}

/// `--seccomp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeccompArg {
    /// ctr's own
    Default,
    /// None
    Unconfined,
}
