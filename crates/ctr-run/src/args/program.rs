//! The program and its process.

use std::path::PathBuf;

use clap::Args;

/// The program and its process.
#[derive(Debug, Args)]
#[command(next_help_heading = "Program")]
pub(crate) struct ProgramArgs {
    /// Environment variable; without a value, the caller's; PREFIX* for all of the caller's that begin so
    #[arg(long, short = 'e', value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// File with a NAME=VALUE on each line
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Program to run instead of the image's entrypoint; '' clears it
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// Working directory, which must be there
    #[arg(long, short = 'w', value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// User and group, by the image's own names or by number
    #[arg(long, short = 'u', value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Additional group; keep-groups keeps those of the caller, an ordinary user
    #[arg(long, value_name = "GROUP")]
    pub(crate) group_add: Vec<String>,
    /// File mode creation mask, octal
    #[arg(long, value_name = "MASK")]
    pub(crate) umask: Option<String>,
    /// Resource limit of the program, as nofile=1024:4096
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub(crate) ulimit: Vec<String>,
}
