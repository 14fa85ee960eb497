//! The command line: one struct for each verb, plain data that the verbs take (spec/09-oci.md).
//!
//! Names and short forms are those that engines use of any OCI runtime. Options stand before or after the id, but what follows
//! the id of `exec` and `ps` belongs to the program and to ps(1).

mod exec;
mod lifecycle;
mod limits;
mod tell;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub use exec::Exec;
pub use lifecycle::{Create, Delete, Kill, NewContainer, Run, Start, StateOf};
pub use limits::{Events, Pause, Resume, Update};
pub use tell::{Checkpoint, Features, List, ListFormat, Ps, PsFormat, Restore, Spec};

/// What `--version` prints after the name; engines look for the word "version" and the line `spec:`.
const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.3.0");

/// Run containers from OCI bundles, for an engine or by hand
///
/// Podman, containerd, Docker, Kubernetes' CRI and Slurm call this as their OCI runtime. A container is made of a bundle: a
/// directory with a config.json and a root filesystem. Nothing stays resident: the program is PID 1 of the container.
#[derive(Debug, Parser)]
#[command(name = "ctr-oci", version = VERSION, disable_help_subcommand = true)]
pub struct Args {
    /// Options of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb, before or after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Options of every verb")]
pub struct Global {
    /// Directory of the containers' state [default: /run/ctr-oci, for users $XDG_RUNTIME_DIR/ctr-oci]
    #[arg(long, value_name = "DIR", global = true)]
    pub root: Option<PathBuf>,
    /// File to append errors, warnings and --debug messages to [default: standard error]
    #[arg(long, value_name = "FILE", global = true)]
    pub log: Option<PathBuf>,
    /// How messages are written there
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, global = true)]
    pub log_format: LogFormat,
    /// Tell what is done, too
    #[arg(long, global = true)]
    pub debug: bool,
    /// Let systemd make the control group; linux.cgroupsPath is then SLICE:PREFIX:NAME
    #[arg(long, global = true)]
    pub systemd_cgroup: bool,
    /// Whether control groups that may not be changed are left out: for containers of ordinary users
    #[arg(long, value_name = "WHEN", value_enum, default_value_t, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub rootless: Rootless,
    /// Accepted for older engines; criu(8) is not used
    #[arg(long, value_name = "FILE", global = true, hide = true)]
    pub criu: Option<PathBuf>,
}

/// How messages are written to the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// time="..." level=error msg="..."
    #[default]
    Text,
    /// One object a line: level, msg, time
    Json,
}

/// `--rootless`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Rootless {
    /// They are left out
    True,
    /// They are an error
    False,
    /// As the caller is an ordinary user or not
    #[default]
    Auto,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a container; its program waits for start
    Create(Create),
    /// Execute the program of a created container
    Start(Start),
    /// Print the state of a container as JSON
    State(StateOf),
    /// Send a signal to a container
    Kill(Kill),
    /// Remove a stopped container
    Delete(Delete),
    /// Create, start, and wait for the end
    Run(Run),
    /// Execute a program in a running container
    Exec(Exec),
    /// Show the processes of a container
    Ps(Ps),
    /// List containers
    List(List),
    /// Freeze all processes of a container
    Pause(Pause),
    /// Let a paused container go on
    Resume(Resume),
    /// Change the limits of a container
    Update(Update),
    /// Show what a container uses, and when it lacks memory
    Events(Events),
    /// Write a config.json to begin with
    Spec(Spec),
    /// Print what of the specification is supported, as JSON
    Features(Features),
    /// Not supported: save a container to disk
    Checkpoint(Checkpoint),
    /// Not supported: bring back a container that was saved
    Restore(Restore),
}

#[cfg(test)]
mod tests;
