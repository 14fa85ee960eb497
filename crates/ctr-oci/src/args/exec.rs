//! `exec`.

use std::path::PathBuf;

use clap::Args;

use crate::id::ContainerId;

/// `exec`.
#[derive(Debug, Clone, Args)]
#[command(
    override_usage = "ctr-oci exec [OPTIONS] ID PROGRAM [ARG]...\n       ctr-oci exec [OPTIONS] --process FILE ID"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct Exec {
    /// Container; then the program and its arguments, if they are not in the file of --process
    #[arg(value_names = ["ID", "PROGRAM"], required = true, num_args = 1.., trailing_var_arg = true)]
    id_and_program: Vec<String>,

    /// JSON file with the process: all of config.json's process; the options below do not go with it
    #[arg(long, short, value_name = "FILE")]
    pub process: Option<PathBuf>,
    /// Socket on which the master of the program's terminal is passed on
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// File that gets the process id of the program
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// End when the program runs
    #[arg(long, short)]
    pub detach: bool,
    /// Descriptors from 3 on that the program gets
    #[arg(long, value_name = "N", default_value_t)]
    pub preserve_fds: u32,
    /// Control group below the container's own to run in; in the v1 hierarchies named before the colon
    #[arg(long, value_name = "[CONTROLLER,...:]PATH")]
    pub cgroup: Vec<String>,
    /// Do it although the container is paused: the program waits until it goes on
    #[arg(long)]
    pub ignore_paused: bool,

    /// Working directory [default: the container's]
    #[arg(long, value_name = "DIR", conflicts_with = "process")]
    pub cwd: Option<String>,
    /// Environment variable, besides the container's
    #[arg(long, short, value_name = "NAME=VALUE", conflicts_with = "process")]
    pub env: Vec<String>,
    /// Give the program a terminal
    #[arg(long, short)]
    pub tty: bool,
    /// User and group, by number [default: the container's]
    #[arg(long, short, value_name = "UID[:GID]", conflicts_with = "process")]
    pub user: Option<String>,
    /// Supplementary group
    #[arg(long, short = 'g', value_name = "GID", conflicts_with = "process")]
    pub additional_gids: Vec<u32>,
    /// SELinux context
    #[arg(long, value_name = "LABEL", conflicts_with = "process")]
    pub process_label: Option<String>,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE", conflicts_with = "process")]
    pub apparmor: Option<String>,
    /// The program gains no privileges by executing others
    #[arg(long, conflicts_with = "process")]
    pub no_new_privs: bool,
    /// Capability to add to the container's
    #[arg(long, short, value_name = "CAP", conflicts_with = "process")]
    pub cap: Vec<String>,
    /// Accepted for older engines: ctr-oci is no subreaper
    #[arg(long, hide = true)]
    pub no_subreaper: bool,
}

impl Exec {
    /// The container.
    pub fn id(&self) -> Result<ContainerId, crate::id::IdError> {
        self.id_and_program.first().map_or("", String::as_str).parse()
    }

    /// The program and its arguments; empty with `--process`.
    pub fn program(&self) -> &[String] {
        self.id_and_program.get(1..).unwrap_or_default()
    }
}
