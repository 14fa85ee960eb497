//! Terminal and standard input.

use clap::Args;

/// Terminal and standard input.
#[derive(Debug, Args)]
#[command(next_help_heading = "Terminal")]
pub(crate) struct TerminalArgs {
    /// Give the program input; stay until it ends unless --detach is given
    #[arg(long, short)]
    pub(crate) interactive: bool,
    /// Give the program a terminal; stay until it ends unless --detach is given
    #[arg(long, short)]
    pub(crate) tty: bool,
    /// Do not stay, with -i and -t too: ctr-attach finds the container's terminal and input later
    #[arg(long, short, conflicts_with = "wait")]
    pub(crate) detach: bool,
    /// Keys that end ctr-run and leave the container running; '' for none
    #[arg(long, value_name = "KEYS", default_value = ctr_sandbox::terminal::DEFAULT_DETACH_KEYS)]
    pub(crate) detach_keys: ctr_sandbox::terminal::DetachKeys,
}
