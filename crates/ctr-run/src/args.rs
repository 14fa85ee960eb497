//! The command line as it is given; `request.rs` makes a validated request of it.

use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};
use ctr_cli::GlobalArgs;

/// Start a container and exit once its program runs
///
/// IMAGE is the name of a stored image, its digest, or the path of an image file or directory. The container's id is printed.
/// Exit codes: 0 when the program runs (with --wait: the program's, or 128 + the signal that ended it); 125 for failures of
/// ctr-run itself, 126 if the program cannot be executed, 127 if it is not found.
#[derive(Debug, Parser)]
#[command(name = "ctr-run", version = ctr_cli::VERSION, override_usage = "ctr-run [OPTIONS] IMAGE [ARG]...")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,

    /// Name, digest or path of the image, then arguments of its entrypoint, or the program to run
    ///
    /// One list, not two: whatever follows the image belongs to the container, also where ctr-run has an option of that name.
    #[arg(value_names = ["IMAGE", "ARG"], required = true, num_args = 1.., trailing_var_arg = true)]
    image_and_program: Vec<String>,

    /// Stay until the program ends, pass signals on, return its status
    #[arg(long, short = 'W', help_heading = "Life")]
    pub(crate) wait: bool,
    /// Remove the container when it has ended
    #[arg(long, help_heading = "Life")]
    pub(crate) rm: bool,
    /// Name of the container
    #[arg(long, help_heading = "Life")]
    pub(crate) name: Option<String>,
    /// Label of the container
    #[arg(long, short = 'l', value_name = "KEY=VALUE", help_heading = "Life")]
    pub(crate) label: Vec<String>,
    /// Write the container's id to a new file
    #[arg(long, value_name = "FILE", help_heading = "Life")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Write the process id of the container's PID 1 to a file
    #[arg(long, value_name = "FILE", help_heading = "Life")]
    pub(crate) pidfile: Option<PathBuf>,
    /// Where the output goes [default: file; inherit with --wait and under systemd]
    #[arg(long, value_enum, help_heading = "Life")]
    pub(crate) log: Option<LogArg>,
    /// Run ctr's init as PID 1 (the default)
    #[arg(long, overrides_with = "no_init", help_heading = "Life")]
    pub(crate) init: bool,
    /// Make the program itself PID 1: nothing reaps for it, and nothing records its exit
    #[arg(long, overrides_with = "init", help_heading = "Life")]
    pub(crate) no_init: bool,
    /// Signal that asks the program to end [default: the image's, else SIGTERM]
    #[arg(long, value_name = "SIGNAL", help_heading = "Life")]
    pub(crate) stop_signal: Option<String>,
    /// Time from the stop signal to the kill, as 10s
    #[arg(long, value_name = "DURATION", help_heading = "Life")]
    pub(crate) stop_timeout: Option<String>,
    /// When to fetch an image that is given as a path
    #[arg(long, value_enum, default_value_t = Pull::Missing, help_heading = "Life")]
    pub(crate) pull: Pull,
    /// Print the plan on standard error before it is carried out
    #[arg(long, help_heading = "Life")]
    pub(crate) explain: bool,
    /// Check and decide everything, start nothing
    #[arg(long, help_heading = "Life")]
    pub(crate) dry_run: bool,

    /// Environment variable; without a value, the caller's
    #[arg(long, short = 'e', value_name = "NAME[=VALUE]", help_heading = "Program")]
    pub(crate) env: Vec<String>,
    /// File with a NAME=VALUE on each line
    #[arg(long, value_name = "FILE", help_heading = "Program")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Program to run instead of the image's entrypoint; '' clears it
    #[arg(long, value_name = "PROGRAM", help_heading = "Program")]
    pub(crate) entrypoint: Option<String>,
    /// Working directory, which must be there
    #[arg(long, short = 'w', value_name = "DIR", help_heading = "Program")]
    pub(crate) workdir: Option<String>,
    /// User and group, by the image's own names or by number
    #[arg(long, short = 'u', value_name = "USER[:GROUP]", help_heading = "Program")]
    pub(crate) user: Option<String>,
    /// Additional group
    #[arg(long, value_name = "GROUP", help_heading = "Program")]
    pub(crate) group_add: Vec<String>,
    /// File mode creation mask, octal
    #[arg(long, value_name = "MASK", help_heading = "Program")]
    pub(crate) umask: Option<String>,

    /// Host directory or file to mount
    #[arg(long, short = 'v', value_name = "SRC:DST[:OPTIONS]", help_heading = "Filesystem")]
    pub(crate) volume: Vec<String>,
    /// Mount, spelled out: type=bind|tmpfs,source=SRC,target=DST[,ro][,...]
    #[arg(long, value_name = "KEY=VALUE,...", help_heading = "Filesystem")]
    pub(crate) mount: Vec<String>,
    /// Memory file system
    #[arg(long, value_name = "DST[:OPTIONS]", help_heading = "Filesystem")]
    pub(crate) tmpfs: Vec<String>,
    /// Make the root filesystem read-only
    #[arg(long, help_heading = "Filesystem")]
    pub(crate) read_only: bool,

    /// Network: its own with loopback only, or the host's
    #[arg(long, visible_alias = "net", value_enum, default_value_t = NetworkArg::None, help_heading = "Network")]
    pub(crate) network: NetworkArg,
    /// Host name [default: the beginning of the id]
    #[arg(long, help_heading = "Network")]
    pub(crate) hostname: Option<String>,
    /// Line for /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS", help_heading = "Network")]
    pub(crate) add_host: Vec<String>,
    /// Name server for /etc/resolv.conf
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(crate) dns: Vec<String>,

    /// Memory limit, as 512M
    #[arg(long, short = 'm', value_name = "SIZE", help_heading = "Limits")]
    pub(crate) memory: Option<String>,
    /// CPU limit, as 1.5
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    pub(crate) cpus: Option<String>,
    /// Limit of processes and threads; 0 for none [default: 2048]
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    pub(crate) pids_limit: Option<u64>,
    /// Resource limit of the program, as nofile=1024:4096
    #[arg(long, value_name = "NAME=SOFT[:HARD]", help_heading = "Limits")]
    pub(crate) ulimit: Vec<String>,

    /// Capability to add to the default ones, or ALL
    #[arg(long, value_name = "CAP", help_heading = "Security")]
    pub(crate) cap_add: Vec<String>,
    /// Capability to drop, or ALL
    #[arg(long, value_name = "CAP", help_heading = "Security")]
    pub(crate) cap_drop: Vec<String>,
    /// System call filter
    #[arg(long, value_enum, default_value_t = SeccompArg::Default, help_heading = "Security")]
    pub(crate) seccomp: SeccompArg,
    /// No program in the container can gain privileges (set-user-ID bits, file capabilities)
    #[arg(long, action = ArgAction::SetTrue, help_heading = "Security")]
    pub(crate) no_new_privileges: bool,
}

impl Args {
    /// The image as it was named.
    pub(crate) fn image(&self) -> &str {
        self.image_and_program.first().map_or("", String::as_str)
    }

    /// What follows the image: arguments of its entrypoint, or the program to run.
    pub(crate) fn program(&self) -> &[String] {
        self.image_and_program.get(1..).unwrap_or_default()
    }
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

/// `--pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pull {
    /// If it is not in the store
    Missing,
    /// Every time
    Always,
    /// Not at all
    Never,
}

/// `--network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkArg {
    /// Loopback only
    None,
    /// The host's
    Host,
}

/// `--seccomp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeccompArg {
    /// ctr's own
    Default,
    /// None
    Unconfined,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_image_belongs_to_the_container() {
        let args =
            Args::try_parse_from(["ctr-run", "--rm", "image", "--version", "-m", "64", "--rm", "--", "x"]).unwrap();
        assert_eq!(args.image(), "image");
        assert_eq!(args.program(), ["--version", "-m", "64", "--rm", "--", "x"]);
        assert!(args.rm && args.memory.is_none());
        assert!(Args::try_parse_from(["ctr-run", "--no-such-option", "image"]).is_err());
        assert!(Args::try_parse_from(["ctr-run", "--rm"]).is_err());
    }
}
