//! The root filesystem and what is mounted on it.

use clap::Args;

/// The root filesystem and what is mounted on it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filesystem")]
pub(crate) struct FilesystemArgs {
    /// Host directory or file to mount
    #[arg(long, short = 'v', value_name = "SRC:DST[:OPTIONS]")]
    pub(crate) volume: Vec<String>,
    /// Mount, spelled out: type=bind|tmpfs,source=SRC,target=DST[,ro][,...]
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) mount: Vec<String>,
    /// Memory file system
    #[arg(long, value_name = "DST[:OPTIONS]")]
    pub(crate) tmpfs: Vec<String>,
    /// Make the root filesystem read-only
    #[arg(long)]
    pub(crate) read_only: bool,
}
