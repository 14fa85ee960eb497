//! `ctr-oci`: the OCI runtime command line over ctr's sandbox, for Podman, containerd, Docker and Slurm.
#![forbid(unsafe_code)]

pub mod args;
pub mod cgroup;
pub mod config;
mod console;
mod exec_groups;
mod exec_process;
mod hooks;
pub mod id;
mod pid_file;
pub mod report;
mod seccomp;
pub mod state;
pub mod translate;
pub mod verbs;

use std::process::ExitCode;

use clap::CommandFactory as _;
use ctr_cli::exit::{Codes, FAILURE};

/// The command line, for documentation and completions.
pub fn command() -> clap::Command {
    args::Args::command()
}

/// Entry point. All errors are 1, wrong usage too: engines take other codes of `run` and `exec` for the program's.
pub fn main() -> ExitCode {
    let codes = Codes { failure: FAILURE, usage: FAILURE };
    ctr_cli::run_main_telling(command(), codes, verbs::run, report::failure)
}
