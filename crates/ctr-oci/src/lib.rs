//! `ctr-oci`: the OCI runtime command line over ctr's sandbox, for Podman, containerd, Docker and Slurm.
#![forbid(unsafe_code)]

pub mod config;

use std::process::ExitCode;

/// Entry point.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
