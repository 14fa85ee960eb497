//! From the command line to one validated request, before any work starts; one file for each subject.

mod devices;
mod filesystem;
mod kernel;
mod life;
mod limits;
mod mount_options;
mod mount_text;
mod namespaces;
mod program;
mod schedule;
mod secrets;
mod security;
mod terminal;

use ctr_cli::Failure;
use ctr_sandbox::options::RunOptions;

use crate::args::Args;

/// An option and its value that cannot be.
pub(crate) fn bad(option: &str, value: &str, why: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("{option} {value}")).because(why)
}

/// Checks every option.
pub(crate) fn request(args: &Args) -> Result<RunOptions, Failure> {
    Ok(RunOptions {
        life: life::request(&args.life)?,
        program: program::request(&args.program, args.program())?,
        filesystem: filesystem::request(&args.filesystem)?,
        devices: devices::request(&args.devices, args.security.privileged)?,
        namespaces: namespaces::request(&args.namespaces)?,
        kernel: kernel::request(&args.kernel)?,
        scheduling: schedule::request(&args.scheduling)?,
        limits: limits::request(&args.limits)?,
        security: security::request(&args.security)?,
        terminal: terminal::request(&args.terminal)?,
    })
}
