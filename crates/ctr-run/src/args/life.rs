//! How long the container lives and what becomes of it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How long the container lives and what becomes of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Life")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct LifeArgs {
    /// Stay until the program ends, pass signals on, return its status
    #[arg(long, short = 'W')]
    pub(crate) wait: bool,
    /// Remove the container when it has ended
    #[arg(long)]
    pub(crate) rm: bool,
    /// Name of the container
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Label of the container
    #[arg(long, short = 'l', value_name = "KEY=VALUE")]
    pub(crate) label: Vec<String>,
    /// File with a KEY=VALUE label on each line
    #[arg(long, value_name = "FILE")]
    pub(crate) label_file: Vec<PathBuf>,
    /// Write the container's id to a new file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Write the process id of the container's PID 1 to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) pidfile: Option<PathBuf>,
    /// Where the output goes [default: file; inherit with --wait and under systemd]
    #[arg(long, value_enum)]
    pub(crate) log: Option<LogArg>,
    /// Run ctr's init as PID 1 (the default)
    #[arg(long, overrides_with = "no_init")]
    pub(crate) init: bool,
    /// Make the program itself PID 1: nothing reaps for it, and nothing records its exit
    #[arg(long, overrides_with = "init")]
    pub(crate) no_init: bool,
    /// Signal that asks the program to end [default: the image's, else SIGTERM]
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) stop_signal: Option<String>,
    /// Time from the stop signal to the kill, as 10s
    #[arg(long, value_name = "DURATION")]
    pub(crate) stop_timeout: Option<String>,
    /// Time after which the program is stopped, as 90s or 1h
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<String>,
    /// The image must be for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// When to fetch the image: a name from its registry, or a path
    #[arg(long, value_enum, default_value_t = Pull::Missing)]
    pub(crate) pull: Pull,
    /// Print the plan on standard error before it is carried out
    #[arg(long)]
    pub(crate) explain: bool,
    /// Check and decide everything, start nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `--log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogArg {
    /// Files that ctr-logs reads
    File,
    /// The caller's standard streams
    Inherit,
    /// Nowhere
    None,
}

impl Pull {
    /// As it is written.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Always => "always",
            Self::Newer => "newer",
            Self::Never => "never",
        }
    }
}

/// `--pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pull {
    /// If it is not in the store
    Missing,
    /// Every time; only what is new is downloaded
    Always,
    /// As always, but what the store has will do when the registry does not answer
    Newer,
    /// Not at all
    Never,
}
