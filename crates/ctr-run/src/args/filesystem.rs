//! The root filesystem and what is mounted on it.

use clap::Args;

/// The root filesystem and what is mounted on it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filesystem")]
pub(crate) struct FilesystemArgs {
    /// Host directory or file, or named volume, to mount; DST alone is a volume that goes with the container
    #[arg(long, short = 'v', value_name = "[SRC:]DST[:OPTIONS]")]
    pub(crate) volume: Vec<String>,
    /// Mount, spelled out: type=bind|volume|tmpfs|image,source=SRC,target=DST[,ro][,...]
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) mount: Vec<String>,
    /// Memory file system
    #[arg(long, value_name = "DST[:OPTIONS]")]
    pub(crate) tmpfs: Vec<String>,
    /// Size of /dev/shm, or none [default: 64M]
    #[arg(long, value_name = "SIZE|none")]
    pub(crate) shm_size: Option<String>,
    /// Give no directories of their own to the volumes that the image declares
    #[arg(long)]
    pub(crate) no_image_volumes: bool,
    /// Secret from a file or a variable of the caller, in memory at /run/secrets/NAME
    #[arg(long, value_name = "NAME[,source=FILE|env=VAR][,...]")]
    pub(crate) secret: Vec<String>,
    /// Make the root filesystem read-only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// With --read-only: memory file systems at /run, /tmp and /var/tmp, where nothing else is mounted
    #[arg(long, requires = "read_only")]
    pub(crate) read_only_tmpfs: bool,
}
